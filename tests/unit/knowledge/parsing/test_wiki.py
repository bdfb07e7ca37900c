"""Tables of wikis: names between two bars above rows between one, and those of MediaWiki."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from dualtrack.knowledge.parsing import tables
from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import NAMED, Grid
from tests.unit.knowledge.parsing.test_columns import PLACES, read_text, sparse


def jira(grid: Grid) -> str:
    names, *rows = grid
    return "\n".join([f"||{'||'.join(names)}||", *(f"|{'|'.join(it or ' ' for it in row)}|" for row in rows)])


def closed(grid: Grid) -> str:
    """Return the same with nothing, not a blank, in empty cells."""
    names, *rows = grid
    return "\n".join([f"|| {' || '.join(names)} ||", *(f"|{'|'.join(row)}|" for row in rows)])


def mediawiki(grid: Grid) -> str:
    names, *rows = grid
    lines = [f"| {' || '.join(it)}" for it in rows]
    return "\n".join(['{| class="wikitable"', f"! {' !! '.join(names)}", *(f"|-\n{it}" for it in lines), "|}"])


def line_for_each(grid: Grid) -> str:
    names, *rows = grid
    parts = ["\n".join(f"! scope=\"col\" | '''{it}'''" for it in names)]
    parts += ["\n".join(f"|style='x'|{it}" if len(grid) % 2 else f"| {it}" for it in row) for row in rows]
    return "\n".join(["{|", *(f"|-\n{it}" for it in parts), "|}"])


def open_ended(grid: Grid) -> str:
    return mediawiki(grid).removesuffix("\n|}")


WRITERS = [jira, closed, mediawiki, line_for_each, open_ended]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("write", WRITERS, ids=lambda it: it.__name__)
def test_a_table_of_a_wiki_is_read_as_one(write: Callable[[Grid], str], place: str) -> None:
    for grid in sparse(f"{write.__name__}{place}", 20):
        grid = [it for it in grid if any(it)]
        said = write(grid)
        assert [it.text for it in PLACES[place](said)] == [it.text for it in tables.rows(grid, None)], said


@pytest.mark.parametrize("write", WRITERS, ids=lambda it: it.__name__)
def test_no_text_around_a_table_of_a_wiki_is_lost(write: Callable[[Grid], str]) -> None:
    for grid in sparse(write.__name__, 10):
        said = "\n".join(it.text for it in read_text(f"前文\n{write(grid)}\n后文"))
        assert [it for it in ("前文", "后文", *itertools.chain(*grid)) if it.rstrip("：") not in said] == []


def test_cells_of_mediawiki_over_rows_and_columns() -> None:
    said = (
        "{|\n|+ 名单\n! 姓名 !! 护照号\n|-\n| rowspan=2 | 李雷 || E12345678\n|-\n| E12345679\n第二本\n"
        "|-\n| colspan=2 | 说明 | 一\n|}"
    )
    assert [it.text for it in read_text(said)] == [
        "名单", "姓名: 李雷; 护照号: E12345678", "姓名: 李雷; 护照号: E12345679\n护照号: 第二本", "姓名: 说明 | 一",
    ]  # fmt: skip


def test_no_word_of_a_text_like_a_wiki_is_lost() -> None:
    chance = random.Random(4)
    parts = ["{|", "|}", "|-", "|+", "! 密码 !!", "| x ||", "||", "|", "a=b|", "{|\n", "\n|}", "'''", "", "\n\n"]
    for _ in range(300):
        words = [f"Word{it:03}" for it in range(chance.randint(1, 12))]
        said = "".join(f"{chance.choice(parts)} {it}{chance.choice(['', chr(10)])}" for it in words)
        found = "\n".join(it.text for it in read_text(said))
        assert [it for it in words if it not in found and f"{it}a=b|" not in said] == [], said


def test_signs_of_programs_are_no_table_of_a_wiki() -> None:
    for said in ("{| x |}", "if a || b:\n    c", "|| 密码 ||", "{|\n| 甲 || 乙\n|}"):
        assert [it.text for it in read_text(said)] == [said]
    values = "\n".join(
        mask_parts([it.text for it in read_text(jira([["部门", "密码"], ["财务", NAMED["password"]]]))])[0]
    )
    assert NAMED["password"] not in values


#: How Jira writes a cell with something in it beside its text; a value has one of the second kinds.
BESIDE = {
    "a link": "[{}|mailto:li@x.com]", "a link to a page": "[{}|https://wiki.example/a?b=1|smart-link]", "plain": "{}",
    "a picture": "!a.png|width=20! {}", "a break": "{}\n请确认", "a list": "* {}\n* 请确认", "below": "\n* {}\n* 无",
    "a status": "{{status:colour=Green|title=OK}} {}", "a panel": "{{panel:title=x|borderStyle=solid}}{}{{panel}}",
}  # fmt: skip
VALUES = {
    "color": "{{color:red}}{}{{color}}", "a color by number": "{{color:#ff0000}}{}{{color}}", "letters": "{{{{{}}}}}",
    "bold": "*{}*", "underlined": "+{}+", "deleted": "-{}-", "quoted": "{{quote}}{}{{quote}}", "plain": "{}",
    "as it is": "{{noformat}}{}{{noformat}}", "a link": "[{}|#a]", "a list": "* {}\n* 无", "a break": "{}\n（已改）",
    "a panel": "{{panel:title=x|borderStyle=solid}}{}{{panel}}",
}  # fmt: skip
AROUND = {
    "nothing": "{}", "a panel": "{{panel:title=账号表|borderStyle=solid}}\n{}\n{{panel}}",
    "a text": "各位好：\n\n{}\n\n谢谢", "a title": "h3. 账号密码\n{}",
}  # fmt: skip


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("place", PLACES)
def test_no_value_in_a_table_of_jira_is_left(place: str, around: str) -> None:
    names = ["姓名", "护照号", "办公电话", "登录密码", "备注"]
    values = [["李雷", "E12345678", "62345678", "Abc12345", "无"], ["韩梅", "E12345679", "62345679", "Xyz98765", "是"]]
    ways = [*itertools.product((1, 2), BESIDE, (0, 4), VALUES.items())]
    for deep, beside, at, (how, form) in random.Random(f"{place}{around}").sample(ways, 80):
        grid = [[*names], *([*it] for it in values[:deep])]
        grid[1][at] = BESIDE[beside].format(grid[1][at])
        grid[-1][1:4] = [form.format(it) for it in grid[-1][1:4]]
        found = "\n".join(it.text for it in PLACES[place](AROUND[around].format(jira(grid))))
        clean = "\n".join(mask_parts([found])[0])
        secrets = [it for row in values[:deep] for it in row[1:4]]
        assert [it for it in secrets if it in clean] == [], (beside, how, found)
        assert [it for it in (*names, "李雷", *secrets) if it not in found] == [], (beside, how, found)


def test_signs_of_jira_in_other_tables_stay() -> None:
    said = "| 变量 | 密码 |\n|  {{ name }} | [a|\n| +x+ | {color} |"
    assert [it.text for it in read_text(said)] == ["变量: {{ name }}; 密码: [a", "变量: +x+; 密码: {color}"]
    (found,) = read_text("{panel:title=密码|a=b}\n正文")
    assert found.text == "{panel:title=密码|a=b}\n正文"


def test_rows_of_jira_may_end_early() -> None:
    for grid in sparse("short rows", 60):
        grid = [grid[0], *(it[: max(2, len(it) - number % 3)] for number, it in enumerate(grid[1:]) if any(it))]
        if len(grid[0]) > 2:
            assert [it.text for it in read_text(jira(grid))] == [it.text for it in tables.rows(grid, None)], grid
