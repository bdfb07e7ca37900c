"""Tables in texts that blank lines, page numbers or notes interrupt are one, and tables below each other are not."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from html import escape

import pytest

from dualtrack.knowledge.parsing import office, tables
from dualtrack.knowledge.parsing.blocks import Block
from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import NAMED, Grid
from tests.unit.knowledge.parsing.test_columns import (
    bare_bars,
    bars,
    drawn,
    read_markdown,
    read_text,
    ruled,
    shorter,
    sparse,
    tabs,
)  # fmt: skip
from tests.unit.knowledge.parsing.test_word import document

#: What may be between two rows.
BREAKS = {
    "a blank line": "", "two blank lines": "\n", "a page": "\n第 1 页，共 2 页\n",
    "a page in English": "\nPage 1 of 2\n", "a form feed": "\f", "a number": "\n- 3 -\n",
    "a title": "\n员工信息登记表（续）\n第 2 页\n",
}  # fmt: skip


def paragraphs_of(said: str) -> list[Block]:
    """Return what is read of a document whose paragraphs are the lines of a text, headings also."""
    body = ""
    for line in said.split("\n"):
        marks, _, title = line.partition(" ")
        level = len(marks) if marks and set(marks) == {"#"} else 0
        words = "</w:t><w:tab/><w:t xml:space='preserve'>".join(map(escape, (title if level else line).split("\t")))
        outline = f"<w:pPr><w:outlineLvl w:val='{level - 1}'/></w:pPr>" if level else ""
        body += f"<w:p>{outline}<w:r><w:t xml:space='preserve'>{words}</w:t></w:r></w:p>"
    return office.docx(document(body)).blocks


READERS = [read_text, read_markdown, lambda it: read_text("\n".join(f"> {line}" for line in it.split("\n")))]


def interrupted(grid: Grid, write: Callable[[Grid], str], chance: random.Random, gap: str) -> tuple[str, Grid]:
    """Return a table with something between a few of its rows, and its rows with the texts of that."""
    lines: list[str] = []
    rows: Grid = []
    below = write(grid).split("\n")
    first = len(below) - len(grid) + 1  # names of columns, and the line below them
    places = {chance.randrange(first, len(below)) for _ in range(chance.randint(1, 3))}
    for at, line in enumerate(below):
        if at in places:
            lines += gap.split("\n")
            rows += [[it] for it in gap.split("\n") if it.strip()]
        lines.append(line)
        if at == 0 or at >= first:
            rows.append(grid[max(at - first + 1, 0)])
    return "\n".join(lines), rows


@pytest.mark.parametrize("read", READERS, ids=["text", "markdown", "quoted"])
@pytest.mark.parametrize("write", [tabs, bars, bare_bars, drawn, ruled, shorter("\t")], ids=lambda it: it.__name__)
@pytest.mark.parametrize("gap", BREAKS)
def test_an_interrupted_table_is_one(
    gap: str, write: Callable[[Grid], str], read: Callable[[str], list[Block]]
) -> None:
    chance = random.Random(f"{gap}{write.__name__}")
    for grid in sparse(f"{gap}{write.__name__}", 25):
        grid = [it for it in grid if any(it)]
        if write is drawn:
            said, rows = interrupted(grid, bars, chance, BREAKS[gap])
            said = said.replace("|", "│")
        elif write.__name__.startswith("short") and any(sum(map(bool, it)) < 2 or not it[0] for it in grid):
            continue  # lines without a tab are between rows
        else:
            said, rows = interrupted(grid, write, chance, BREAKS[gap])
        found = [it.text for it in read(f"前文\n\n{said}\n\n后文") if it.text.strip("> \n") not in ("前文", "后文")]
        clean = "\n".join(mask_parts(found)[0])
        secret = [at for at, it in enumerate(grid[0]) if it in NAMED]
        masked = "\n".join(mask_parts([it.text for it in tables.rows(rows, None)])[0])
        left = {row[at] for row in grid[1:] for at in secret if row[at] in NAMED.values()}
        assert [it for it in left if it in clean and it not in masked] == [], said
        assert [it for row in grid for it in row if it.rstrip("：") not in "\n".join(found)] == [], said


@pytest.mark.parametrize("read", READERS[:2], ids=["text", "markdown"])
@pytest.mark.parametrize("gap", BREAKS)
def test_rows_below_what_interrupts_them_have_the_names_of_their_columns(
    gap: str, read: Callable[[str], list[Block]]
) -> None:
    for write in (tabs, bars, ruled):
        said = write([["姓名", "护照号", "电话", "部门"], ["李雷", "E12345678", "62345678", "财务"]])
        rest = write([["韩梅梅", "E12345679", "62345679", "人事"], ["王芳", "", "62345670", ""]])
        rest = "\n".join(it for it in rest.split("\n") if "---" not in it)
        found = [it.text for it in read(f"{said}\n{BREAKS[gap]}\n{rest}") if "电话" in it.text]
        assert found == [
            "姓名: 李雷; 护照号: E12345678; 电话: 62345678; 部门: 财务",
            "姓名: 韩梅梅; 护照号: E12345679; 电话: 62345679; 部门: 人事", "姓名: 王芳; 电话: 62345670",
        ]  # fmt: skip


@pytest.mark.parametrize("read", READERS[:2], ids=["text", "markdown"])
def test_tables_below_each_other_stay_apart(read: Callable[[str], list[Block]]) -> None:
    people = [["姓名", "电话"], ["李雷", "62345678"], ["韩梅", "62345679"]]
    for other in (
        [["城市", "人口"], ["甲", "2189"]], [["系统", "密码"], ["OA", "Abc12345"]],
        [["电话", "姓名"], ["62345670", "李"]], [["甲", "乙", "丙"], ["1", "2", "3"]],
    ):  # fmt: skip
        for write in (tabs, bars, ruled):
            for gap in ("", "\n", "\n城市\n"):
                alone = [it.text for it in read(f"\n{write(other)}")]
                found = [it.text for it in read(f"{write(people)}\n{gap}\n{write(other)}")]
                assert found[:2] == ["姓名: 李雷; 电话: 62345678", "姓名: 韩梅; 电话: 62345679"]
                assert found[-len(alone) :] == alone


def test_a_long_note_does_not_end_a_table_whose_values_go_on() -> None:
    note = "（以上人员已经完成入职培训，并已按规定在人事系统内完成登记，请各部门知悉）"
    said = f"姓名\t护照号\n李雷\tE12345678\n{note}\n韩梅\tE12345679"
    assert [it.text for it in read_text(said)][-1] == "姓名: 韩梅; 护照号: E12345679"
    assert [it.text for it in read_text(f"姓名\t护照号\n李雷\tE12345678\n{note}\n甲\t乙")][-1] == f"{note}\n甲\t乙"


#: Lines with which people divide a table into departments, pages and lists.
DIVIDING = [
    "财务部", "财务部：", "财务部:", "Finance:", "Finance Department:", "一、财务部：", "**财务部**：", "- 财务部:",
    "## 财务部", "# 财务部：", "### 1. Finance", "（续上表）：", "以下为外包人员：", "NOTE:", "----", "====",
    "人事部 | 3人", "财务部｜3人", "部门：人事部\t人数：3", "Finance\t3", "第1页", "2024-03-15", "电话：62345699",
]  # fmt: skip
PEOPLE = [["姓名", "护照号", "办公电话", "登录密码"], ["李雷", "E12345678", "62345678", "Abc12345"]]
MORE = [["韩梅", "E12345679", "62345679", "Xyz98765"], ["王芳", "无", "", "Qwe45678"]]
SECRETS = [it for row in (*PEOPLE[1:], *MORE) for it in row if it[-1:].isdigit()]


@pytest.mark.parametrize("read", [*READERS, paragraphs_of], ids=["text", "markdown", "quoted", "docx"])
@pytest.mark.parametrize("line", DIVIDING)
def test_a_line_that_divides_a_table_does_not_end_it(line: str, read: Callable[[str], list[Block]]) -> None:
    for write in (tabs, bars, bare_bars, ruled):
        for blank in ("", "\n"):
            rest = "\n".join(it for it in write(MORE).split("\n") if "---" not in it)
            said = f"前文\n\n{write(PEOPLE)}\n{blank}{line}\n{blank}{rest}\n\n后文"
            found = read(said)
            clean = "\n".join(mask_parts([it.text for it in found])[0])
            assert [it for it in SECRETS if it in clean] == [], (said, found)
            text = "\n".join(it.text for it in found)
            assert [it for it in re.findall(r"\w+", line) if it not in text] == [], (said, found)


@pytest.mark.parametrize("read", [read_markdown, paragraphs_of], ids=["markdown", "docx"])
def test_a_heading_that_divides_a_table_stays_a_heading(read: Callable[[str], list[Block]]) -> None:
    for title in ("财务部", "1. Finance", "联系 电话", "注：外包"):
        found = read(f"{tabs(PEOPLE)}\n## {title}\n{tabs(MORE)}")
        assert [(it.kind, it.level) for it in found] == [("row", 0), ("heading", 2), ("row", 0), ("row", 0)]
        assert found[1].text == title
    (_, heading, *rest) = read(f"{tabs(PEOPLE)}\n## 城市\n城市\t人口\n甲\t2189")
    assert heading.kind == "heading"
    assert "姓名" not in "".join(it.text for it in rest)


@pytest.mark.parametrize("read", READERS, ids=["text", "markdown", "quoted"])
def test_a_line_that_announces_another_table_does_so(read: Callable[[str], list[Block]]) -> None:
    for line in ("城市如下：", "Cities:", "## 城市"):
        found = "\n".join(it.text for it in read(f"{tabs(PEOPLE)}\n{line}\n城市\t人口\n甲\t2189"))
        assert "姓名: 城市" not in found
        assert "姓名: 甲" not in found
