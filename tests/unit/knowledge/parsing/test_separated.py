"""CSV: every value stays in its column, whatever separates the cells and whatever is in them."""

from __future__ import annotations

import csv
import io
import itertools
import random
from collections.abc import Iterator

import pytest

from dualtrack.knowledge.parsing import separated
from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import Grid

SIGNS = [",", ";", "\t", "|", "，", "；", "｜"]
REMARKS = [
    "无", "", "主卡；副卡", "a;b", "见合同|附件", "Tom's PC", "'临时'", '"紧急"', "a, b", "下班后联系；周末不接",
    "x\ty", "第一行\n第二行", "主: 1; 副: 2", "'旧号停用'", "it's ok, 'yes'", "5' 10\"", "C:\\x\\", "A|B|C",
    '他说"好, 可以"', '19" rack, 2U', "Li, Wei", 'I said "yes"', "科苑路15号, 3楼", '"A, B"项目', 'see "Plan A; B"',
    "don't", "甲，乙；丙", '"', "''", "a\n\nb", " ", "2024-01-02", ";;;", ",", "，", "\t", '",', '""', "x｜y",
]  # fmt: skip
NAMES = ["姓名", "部门", "电话", "初始密码", "护照号", "备注", "说明"]


def tables(seed: int, sign: str, count: int) -> Iterator[tuple[str, Grid]]:
    """Yield tables as programs write them, and their cells."""
    chance = random.Random(f"{seed}{sign}")
    for _ in range(count):
        names = chance.sample(NAMES, chance.randint(2, len(NAMES)))
        rows = [names]
        for _ in range(chance.choice([1, 2, 3, 5, 10, 30])):
            of = {
                "姓名": chance.choice(["李雷", "O'Brien", "Li, Wei"]), "部门": chance.choice(["财务", "R&D"]),
                "电话": f"6{chance.randrange(10**7):07}", "护照号": f"E{chance.randrange(10**8):08}",
                "初始密码": f"Abc{chance.randrange(10**5):05}{chance.choice(['', '', ';x', '|9', chr(34), '#,1'])}",
            }  # fmt: skip
            rows.append([of[it] if it in of else chance.choice(REMARKS) for it in names])
        out = io.StringIO()
        csv.writer(out, delimiter=sign, quoting=chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])).writerows(rows)
        yield out.getvalue().replace("\r\n", "\n"), rows


@pytest.mark.parametrize("sign", SIGNS)
def test_every_value_stays_in_its_column(sign: str) -> None:
    for said, rows in tables(7, sign, 60):
        for text in (said, said.rstrip("\n"), f"sep={sign}\n{said}"):
            if any(map(any, rows)):
                assert separated.cells(text) == rows, said


@pytest.mark.parametrize("sign", SIGNS)
def test_no_value_that_a_column_names_is_left(sign: str) -> None:
    for said, rows in tables(11, sign, 15):
        clean = "\n".join(mask_parts([it.text for it in separated.read(said.encode()).blocks])[0])
        secret = [at for at, it in enumerate(rows[0]) if it in ("电话", "初始密码", "护照号")]
        assert [row[at] for row in rows[1:] for at in secret if row[at] in clean] == [], said


#: Names of columns and values that have another sign, in each row as often.
WITH_SIGNS = [
    ("Name (Last{} First)", "Li{} Wei"), ("姓名（姓{}名）", "李{}雷"), ("Name [Last{}First]", "O'Brien{}Pat"),
    ("姓{}名", "欧阳{}小敏"), ("Address{} City", "12 King Road{} Central"), ("Size (m{} kg)", "1{}5"),
]  # fmt: skip


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("inside", [",", ";", "|", "，", "；"])
def test_a_sign_in_each_row_of_one_column_does_not_separate_cells(sign: str, inside: str) -> None:
    chance = random.Random(f"{sign}{inside}")
    for (name, value), *named in itertools.product(WITH_SIGNS, ("Phone", "电话"), ("", "护照号", "备注")):
        if sign == inside or not (sign.isascii() or {*name} & {*"([（"}):
            continue  # signs of sentences are between names that have no others
        rows = [[name.format(inside), *filter(None, named)]]
        for _ in range(chance.randint(1, 4)):
            of = {"护照号": f"E{chance.randrange(10**8):08}", "备注": chance.choice(["无", "a b"])}
            rows.append([value.format(inside), *(of.get(it, f"6{chance.randrange(10**7):07}") for it in rows[0][1:])])
        chance.shuffle(columns := [*range(len(rows[0]))])
        rows = [[row[at] for at in columns] for row in rows]
        said = "\n".join(sign.join(it) for it in rows)
        assert separated.cells(said) == rows, said


@pytest.mark.parametrize(
    ("said", "rows"),
    [
        ('a,b\n"x" y,z\n', [["a", "b"], ["x y", "z"]]), ('a,b\n"x, y" z,1\n', [["a", "b"], ["x, y z", "1"]]),
        ('a,b\n"x,1\ny,2\n', [["a", "b"], ['"x', "1"], ["y", "2"]]),
        ('a,b\n"x,1\ny,"2"\n', [["a", "b"], ['"x', "1"], ["y", "2"]]),
        ('a, b\nx, "y, z"\n', [["a", " b"], ["x", "y, z"]]), ('a,b\n"x" ,"y"\t\n', [["a", "b"], ["x", "y"]]),
        ('a,b\n"x \\"y, z\\"",1\n"x\\\\",2\n', [["a", "b"], ['x "y, z"', "1"], ["x\\\\", "2"]]),
        ('a,b\n"C:\\",1\n"D:\\",2\n', [["a", "b"], ["C:\\", "1"], ["D:\\", "2"]]),
        ("a,b\n,\n\n1,\n", [["a", "b"], ["", ""], [""], ["1", ""]]), ("sep=:\na:b,c\n", [["a", "b,c"]]),
        ('sep= \na "b c"\n', [["a", "b c"]]), ("一", [["一"]]),
        ("甲方，乙方签字：有\n一，二\n", [["甲方，乙方签字：有"], ["一，二"]]),
        ("一\n二\n", [["一"], ["二"]]), ("名单\n姓名;电话\n李,雷;1\n", [["名单"], ["姓名", "电话"], ["李,雷", "1"]]),
        ("姓名;室,备注\n李;1,2\n", [["姓名", "室,备注"], ["李", "1,2"]]),
    ],
)  # fmt: skip
def test_cells_as_people_write_them(said: str, rows: Grid) -> None:
    assert separated.cells(said) == rows


@pytest.mark.parametrize("data", ["姓名,部门\n甲,财务\n乙,\n", "姓名;部门\n甲;财务\n乙;\n"])
def test_rows_have_the_names_of_their_columns(data: str) -> None:
    found = separated.read(data.encode()).blocks
    assert [(it.text, it.place) for it in found] == [("姓名: 甲; 部门: 财务", "row 2"), ("姓名: 乙", "row 3")]


def test_no_file_takes_long() -> None:
    for unit in ('"', '""', '"a', '","', '"\n', ',"', '\\"', ",", ' "', "'", '"a","b"\n', "\n"):
        assert separated.cells('"a","b"\n' + unit * 20_000)
