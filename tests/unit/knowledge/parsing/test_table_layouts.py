"""However a table is laid out, no value is left whose column or row has a word for it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import pytest

from dualtrack.knowledge.parsing import tables
from dualtrack.knowledge.parsing.blocks import Parsed
from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import Grid, layouts, stacked, with_pairs
from tests.unit.knowledge.parsing.test_tables import FORMATS
from tests.unit.knowledge.pii.test_beside import found_in


@pytest.mark.parametrize("written", FORMATS, ids=lambda it: it.__name__)
def test_no_value_of_any_layout_is_left(written: Callable[[Grid], Parsed]) -> None:
    cases = [
        (name, grid, secrets, "\n".join(it.text for it in written(grid).blocks))
        for name, grid, secrets in (*layouts(4242), *stacked(4242, 100), *with_pairs(4242, 10))
    ]
    left = []
    # One scan for all: what a value's second occurrence in its document would hide is seen here.
    for (name, grid, secrets, text), found in zip(cases, found_in([it[3] for it in cases]), strict=True):
        for one in found:
            text = text.replace(one, "")
        if lost := [it for it in secrets if it in text]:
            left.append((name, lost, grid, text))
    assert left == []


@pytest.mark.parametrize("start", [0, 1, 2])
def test_a_column_that_counts_the_names_of_columns_is_no_value(start: int) -> None:
    """As programs write tables without an index of their own: the first row has none, or all have one."""
    left, lost = [], []
    for name, grid, secrets in [*layouts(77), *stacked(77, 20)][start::40]:
        for first in ("", str(start)):
            numbers = [first, *map(str, range(start + 1, start + len(grid)))]
            said = "\n".join(it.text for it in tables.rows([[*it] for it in map(_with, numbers, grid)], None))
            if found := [it for it in secrets if it in "\n".join(mask_parts(said.split("\n"))[0])]:
                left.append((name, found, grid, said))
            lost += [it for it in secrets if it not in said]
    assert left == []
    assert lost == []


def _with(number: str, row: list[str]) -> list[str]:
    return [number, *row]


@pytest.mark.parametrize("side", ["left", "right"])
def test_names_beside_a_label_and_its_value_are_names(side: str) -> None:
    for pair in (["联系电话", "62345671"], ["密码", "Qwe45678"]):
        parts = [["姓名", "护照号"], pair] if side == "right" else [pair, ["姓名", "护照号"]]
        values = [["李雷", "E12345678"], ["", "财务"]] if side == "right" else [["", "财务"], ["李雷", "E12345678"]]
        names, row = (parts[0] + [""] + parts[1], values[0] + [""] + values[1])
        first, second = (it.text for it in tables.rows([names, row], None))
        assert ": ".join(pair) in first
        assert "姓名: 李雷; 护照号: E12345678" in second
        assert f"{pair[1]}: " not in second


#: What stands beside a label in a row of names of columns, without the form of a label itself.
HEADINGS = (
    ("2024-03", "2024-04"), ("2024-03-01", "2024/3/2"), ("2023年", "2024年"), ("2023", "2024"), ("FY2023", "FY2024"),
    ("2023-2024学年", "2024-2025学年"), ("Office365", "ERP"), ("08:30-11:30", "14:00-17:30"), ("1001", "1002"),
    ("20240301", "20240302"), ("2024-03-01 00:00:00", "备注"), ("2023年12月31日余额", "备注"),
    ("您对本次活动的意见和建议，请详细说明", "分数"),
)  # fmt: skip
NAMED = {
    "办公电话": "62345678", "初始密码": "Abc12345", "出生日期": "1990-03-07", "您的出生日期是？": "1990-03-07",
    "护照号": "E12345678", "微信号": "liwei_88", "QQ": "12345678", "病历号": "64902886", "银行账号": "6543210987123456",
    "Passport No.": "E12345679",
}  # fmt: skip


@pytest.mark.parametrize("written", FORMATS, ids=lambda it: it.__name__)
def test_names_of_columns_name_values_whatever_stands_beside_them(written: Callable[[Grid], Parsed]) -> None:
    cases = []
    for (label, value), (one, other) in itertools.product(NAMED.items(), HEADINGS):
        for first in (["姓名", "部门", label, one, other], [label, one, other], ["序号", label, one]):
            row = [
                value if it == label else text for it, text in zip(first, ("李雷", "财务", "√", "1", "3"), strict=False)
            ]
            cases.append((first, value, "\n".join(it.text for it in written([first, row]).blocks)))
    found = found_in([it[2] for it in cases])
    assert [(first, text) for (first, value, text), own in zip(cases, found, strict=True) if value not in own] == []


@pytest.mark.parametrize("written", FORMATS, ids=lambda it: it.__name__)
@pytest.mark.parametrize("kind", ["护照", "微信", "电话", "手机", "QQ", "密码", "信用卡"])
def test_a_form_may_begin_with_a_value_that_is_such_a_word(written: Callable[[Grid], Parsed], kind: str) -> None:
    for label, value in (*NAMED.items(), ("出生年月", "1990-03-07"), ("联系电话", "62345678（办公）")):
        for colon in ("", "："):
            grid = [[f"类型{colon}", kind], [f"{label}{colon}", value], [f"部门{colon}", "财务部"]]
            for form in (grid, [[*grid[0], *grid[1]], [*grid[2], f"国籍{colon}", "中国"]]):
                said = [it.text for it in written(form).blocks]
                number = re.sub(r"（.*", "", value)
                assert number not in "\n".join(mask_parts(said)[0]), said


@pytest.mark.parametrize("written", FORMATS, ids=lambda it: it.__name__)
@pytest.mark.parametrize("heading", ["2024-03", "2024年奖金", "ISO9001", "备注（如有变动，请注明）", "备注", ""])
def test_a_value_that_is_a_word_makes_no_names_of_columns(written: Callable[[Grid], Parsed], heading: str) -> None:
    """A row below the names of columns with `微信` above a number is one of values, also beside a month."""
    for word, number in itertools.product(
        ("微信", "电话", "护照", "重置密码", "邮箱"), ("2024年3月离职", "12306", "Office2019", "62345678")
    ):
        for label, value in NAMED.items():
            other = value.replace("8", "9").replace("5", "6")
            grid = [["姓名", label, "方式", heading], ["李雷", value, word, "√"], ["韩梅", other, number, "√"]]
            text = "\n".join(mask_parts([it.text for it in written(grid).blocks])[0])
            assert value not in text, text
            assert other not in text, text


@pytest.mark.parametrize("written", FORMATS, ids=lambda it: it.__name__)
def test_a_number_below_such_a_word_in_a_form_makes_no_names_of_columns(written: Callable[[Grid], Parsed]) -> None:
    values = {
        "联系电话": "张三 62345678", "办公电话": "62345678（办公）", "出生日期": "7 March 1990",
        "登录密码": "Abc12345（首次登录后修改）",
        "护照号": "E12345678（因私）", "银行账号": "招商银行 123456789012",
    }  # fmt: skip
    for kind, (label, number) in itertools.product(
        ("护照", "微信", "信用卡"), (("签发日期", "2019-05-06"), ("工号", "20190506"), ("邮编", "518000"))
    ):
        grid = [["姓名", "李雷"], ["类型", kind], [label, number], *map(list, values.items()), ["部门", "财务部"]]
        text = "\n".join(mask_parts([it.text for it in written(grid).blocks])[0])
        assert [it for it in values.values() if re.sub(r"（.*|.* (?=[0-9]{8})", "", it) in text] == [], text
