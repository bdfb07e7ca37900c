"""Cells with several values: lists, lines, and an old value beside a new one. Each value is behind its label."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from dualtrack.knowledge.parsing import items, separated
from dualtrack.knowledge.parsing.blocks import Parsed
from tests.unit.knowledge.parsing.layouts import NAMED, Grid
from tests.unit.knowledge.parsing.test_tables import FORMATS
from tests.unit.knowledge.pii.test_beside import found_in

#: Values with a form of their own, which need no label, beside those that need one.
VALUES = {**NAMED, "手机号码": "13912345678", "银行卡号": "6222021234567890128", "办公电话": "0755-23456789",
          "身份证号": "Z6833655", "香港身份证号码": "Z683365(5)"}  # fmt: skip
#: Cells with one value, or with the same one several times: it is found each time.
CELLS = (
    "1.{}", "1. {}", "1、{}", "（1）{}", "(1) {}", "①{}", "·{}", "● {}", "1){}", "1.{}（本人）", "1.{}\n2.{}",
    "1. {}\n2. {}", "1、{}\n2、{}", "1){}\n2){}", "1) {}\n2) {}", "（1）{}\n（2）{}", "①{}\n②{}", "① {}\n② {}",
    "·{}\n·{}", "● {}\n● {}", "●{}\n●{}", "- {}\n- {}", "- [ ] {}\n- [x] {}", "01. {}\n02. {}",
    "1.{}（本人）\n2.{}（配偶）", "1.{}；2.{}", "1. {}；2. {}", "1、{}；2、{}", "1、{} 2、{}", "1、{}，2、{}",
    "（1）{}；（2）{}", "（1）{}（2）{}", "①{} ②{}", "①{}②{}", "①{}；②{}；③{}", "{}\n{}", "{}\n\n{}\n",
)  # fmt: skip
#: The same with another value that was there before, or is there beside it.
OTHERS = (
    "{}（原{}）", "{}(旧{})", "{}（备用：{}）", "{} → {}", "{}→{}", "{} -> {}", "{} 备用 {}", "{} 改为 {}", "{}&{}",
    "{}\\{}", "{}+{}", "{}。{}",
)  # fmt: skip


def left(written: Callable[[Grid], Parsed], cells: tuple[str, ...]) -> list[str]:
    """Return those cells in which a value is found fewer times than it is there, with the text of their rows."""
    cases = []
    for (label, value), cell in itertools.product(VALUES.items(), cells):
        said = cell.replace("{}", value)
        for grid in (
            [["序号", "姓名", label, "部门"], ["1", "李雷", said, "财务部"], ["2", "韩梅", value, "市场部"]],
            [["姓名", "李雷", "部门", "财务部"], [label, said, "备注", "无"]],
        ):
            text = "\n".join(it.text for it in written(grid).blocks)
            cases.append((text, value, cell.count("{}") + (len(grid) > 2)))
    found = found_in([it[0] for it in cases])
    return [
        f"{text!r} {own}" for (text, value, count), own in zip(cases, found, strict=True)
        if sum(it.count(value) for it in own) < count
    ]  # fmt: skip


@pytest.mark.parametrize("written", FORMATS, ids=lambda it: it.__name__)
def test_every_item_of_a_cell_is_found(written: Callable[[Grid], Parsed]) -> None:
    found = left(written, CELLS)
    assert not found, f"{len(found)}\n" + "\n".join(found[:20])


@pytest.mark.parametrize("written", FORMATS, ids=lambda it: it.__name__)
def test_a_value_beside_another_one_in_a_cell_is_found(written: Callable[[Grid], Parsed]) -> None:
    found = left(written, OTHERS)
    assert not found, f"{len(found)}\n" + "\n".join(found[:20])


@pytest.mark.parametrize(
    ("label", "cell"),
    [
        ("电话费", "1.25"), ("手机重量", "1.5 kg"), ("账号数", "1.2345"), ("密码", "1.Abc12345"), ("密码", "12)Abc1"),
        ("密码", "Abc&12345xyz"), ("口令", "Abc+12345xyz"), ("password", "Abc->12345xyz"), ("PIN密码", "a\\b12345"),
        ("电话", "见附件3、4层"), ("联系方式", "A座3、4层"), ("备注", "1、已办；2、未办"), ("银行卡", "工行（1）"),
        ("电话", "1.5"), ("电话", "0、62345678"), ("身份证号", "A123456(3)"), ("手机", "+86 13912345678"),
        ("电话", "0755-23456789+801"),
    ],
)  # fmt: skip
def test_a_cell_without_items_stays(label: str, cell: str) -> None:
    assert items.labelled(label, cell) == f"{label}: {cell}"


@pytest.mark.parametrize("mark", ["1. {}", "1、{}", "（1）{}", "(1) {}; (2) {}", "①{}", "1. {}；2. {}"])
@pytest.mark.parametrize("value", ["Z683365 (5)", "Z683365(5)", "A123456 (3)", "Z683365（5）"])
def test_the_last_digit_of_an_identity_card_is_no_item(mark: str, value: str) -> None:
    said = items.labelled("身份证号", mark.replace("{}", value))
    assert said.count(value) == mark.count("{}")
    assert said.count("身份证号") == mark.count("{}")


def test_a_long_cell_takes_no_time() -> None:
    """Places of numbers are looked at once each: the time of a cell is not the square of its length."""
    line = "1、E12345678；" + "3、E12345679 → x&" * 40_000
    start = time.process_time()
    items.labelled("护照号", line)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("form", ['="{}"', '"=""{}"""', '= "{}"'])
def test_a_formula_for_a_text_is_that_text(sign: str, form: str) -> None:
    rows = [["姓名", *VALUES], *([name, *(form.format(it) for it in VALUES.values())] for name in ("李雷", "韩梅"))]
    said = [it.text for it in separated.read("\n".join(map(sign.join, rows)).encode()).blocks]
    plain = [
        [it.replace(form.format(""), "") for it in rows[0]],
        *([name, *VALUES.values()] for name in ("李雷", "韩梅")),
    ]
    assert said == [it.text for it in separated.read("\n".join(map(sign.join, plain)).encode()).blocks]
    assert all(it in said[0] for it in VALUES.values())
