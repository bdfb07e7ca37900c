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
