"""Labels of values: how they are written before one, and which values the rules find after them."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dualtrack.knowledge.parsing import labels, tables
from dualtrack.knowledge.pii import vocabulary as say
from dualtrack.knowledge.pii.mask import mask, mask_parts
from tests.unit.knowledge.parsing.layouts import NAMED, WRITTEN
from tests.unit.knowledge.pii.test_beside import found_in


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("密码（初始）*", "（初始）密码"), ("**密码**：", "密码"), ("登录\n密码", "登录密码"), ("密 码", "密码"),
        ("Password *", "Password"), ("密码 (初始)", "(初始)密码"),
        ("[密码](x.md)", "x.md 密码"), ("初始值（密码）", "初始值 密码"),
        ("<b>密码</b>", "密码"), ("`password`", "password"), ("姓　名：", "姓名"),
        ("电话\n(办公)", "(办公)电话"), ("Pass\nword", "Password"),
        ("紧急联系人电话 2", "2 紧急联系人电话"), ("部门\n名称", "部门名称"), ("部门（新）", "部门（新）"),
        ("第\n2\n行", "第\n2\n行"), ("电话-家庭", "家庭 电话"), ("Wi-Fi密码", "Wi-Fi密码"),
        ("phone_number", "phone_number"), ("您的密码是？", "您的密码是"),
    ],
)  # fmt: skip
def test_written(cell: str, said: str) -> None:
    assert labels.written(cell) == said


@pytest.mark.parametrize("form", [*WRITTEN, "numbered"])
@pytest.mark.parametrize("name", NAMED)
def test_a_value_after_a_written_label_is_found(name: str, form: str) -> None:
    cell = f"{name.rstrip('：')} 2" if form == "numbered" else WRITTEN[form](name)
    said = f"{labels.written(labels.joined(cell))}: {NAMED[name]}"
    assert NAMED[name] not in mask(said.encode()).data.decode(), said


#: How people ask for a value, and what is behind a label.
ASKED = [
    "您的{}是？", "{}？", "3、您的{}是？", "请填写{}！", "{}▼", "{} ▼", "{}→", "{}☎", "{}：☎", "{} \U0001f4de\ufe0f",
    "{}-家庭", "{} - home", "{}_Home", "{}—办公", "{} (as in the document that was issued)",
    "{}（请按证件上的写法填写，不要有空格和符号，必填）", "What is your {}?",
    "Please enter your emergency contact's {}", "{} (initial, to be changed)?",
]  # fmt: skip


@pytest.mark.parametrize("form", ASKED)
def test_a_value_below_or_beside_a_label_as_people_write_it_is_found(form: str) -> None:
    for number, (name, value) in enumerate(NAMED.items()):
        label = form.format(name.rstrip("："))
        grids = [[["姓名", label, "备注"], ["李雷", value, "无"]], [[label, "备注"], [value, ""], ["", "无"]],
                 [["部门", "财务"], [label, value]]]  # fmt: skip
        parts = [it.text for it in tables.rows(grids[number % len(grids)], None)]
        assert value not in "\n".join(mask_parts(parts)[0]), (grids, parts)


@pytest.mark.parametrize(
    "cell",
    [
        "密码由管理员在每年一月和七月统一更换，任何人不得自行修改或者告诉其他人", "请联系管理员，他会重置密码。",
        "The password was changed by the administrator on Monday", "Call the phone, then enter the password of the day",
        "https://a.cn/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/password-reset-form",
    ],
)  # fmt: skip
def test_a_sentence_is_no_label(cell: str) -> None:
    assert not labels.is_label(cell)


@pytest.mark.parametrize("cell", ["u1\nAbc12345", "2024-01-02\n2024-01-03", "一段说明，\n共两行。", "a b c"])
def test_other_cells_keep_their_lines(cell: str) -> None:
    assert labels.joined(cell) == cell


@pytest.mark.parametrize(("words", "shape"), labels.SHAPES, ids=[it[0][:12] for it in labels.SHAPES])
@settings(max_examples=100, deadline=None, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_a_value_that_fits_is_found(words: str, shape: str, data: st.DataObject) -> None:
    """What is taken for the value of a label is what the rules find after it, not more."""
    label = words.split("|")[0].replace("qq", "QQ")
    without_conditions = re.sub(r"\(\?!.*?\$\)|\(\?=[^)]*\)", "", shape)
    value = data.draw(st.from_regex(re.compile(without_conditions, re.A), fullmatch=True))
    assume(labels.fits(value, label))
    assert value not in mask(f"{label}: {value}".encode()).data.decode()


def test_shapes_are_of_the_words_of_the_rules() -> None:
    assert labels.fits("Abc12345", "登录密码")
    assert not labels.fits("Abcdefgh", "登录密码")
    assert labels.fits("1990-03-07", "出生日期")
    assert not labels.fits("1990-03-07", "社保号")
    assert not labels.fits("352099001761481", "系统账号一览表")  # the word is not beside the value
    assert labels.fits_person("王五", "负责人")
    assert not labels.fits_person("金额较大的", "负责人")
    assert not labels.fits("密码", say.LOGIN.split("|")[0])


#: Names of fields, in words and as programs write them, and values of their kinds.
FIELDS = {
    "2345 6789": "Telephone|Telefax|Cellphone|Phone|Tel|Fax|Mobile|Hotline|WhatsApp|home phone|office tel|user mobile",
    "6543210987123456": "card|bank card|debit card|account no|bank account",
    "Abc12345": "password|pwd|passwd|user pwd|access token|api key|client secret|admin password",
    "12345678": "QQ|my QQ",
    "1990-03-07": "date of birth|birth date|birthday|DOB",
    "E12345678": "passport",
    "liwei_1990": "wechat|weixin",
    "219-09-9999": "SSN|user SSN",
    "00123456": "MRN|patient MRN|patient id|medical record",
    "356938035643809": "IMEI|device IMEI",
    "de89370400440532013000": "IBAN|user IBAN",
}


def written_as_programs_do(name: str) -> set[str]:
    """Return a name in words as it is, with what counts or numbers it, and as names of fields."""
    words = name.split()
    counted = [
        words,
        [*words, "No"],
        [*words, "number"],
        [*words, "no."],
        [*words, "value"],
        [*words[:-1], f"{words[-1]}s"],
    ]
    found = {joint.join(it) for it in counted for joint in (" ", "_", "-")}
    found |= {"".join([it[0].lower(), *(word.title() for word in it[1:])]) for it in counted if it[-1] != "no."}
    return found | {it.title() for it in found if " " in it} | {it.upper() for it in found if "_" in it}


@pytest.mark.parametrize("value", FIELDS)
def test_a_label_that_names_a_value_in_a_text_names_it_in_a_table(value: str) -> None:
    written = sorted(it for name in FIELDS[value].split("|") for it in written_as_programs_do(name))
    known = [
        label
        for label, found in zip(written, found_in([f"{it}: {value}" for it in written]), strict=True)
        if any(value in it for it in found)
    ]
    assert len(known) > 4
    grids = [
        grid
        for label in known
        for grid in (
            [["Name", "Li Wei"], ["Department", "Finance"], [label, value], ["Remarks", "none"]],
            [["Item", "Party A", "Party B"], ["Name", "Alpha", "Beta"], [label, value, "n/a"], ["City", "X", "Y"]],
            [["Name", "Li Wei", "Dept", "Finance"], ["Title", "Manager", label, value], ["City", "X", "Land", "Y"]],
            [["Dept", "Finance"], ["No", "Name", label], ["1", "Li Wei", value]],
        )
    ]
    texts = ["\n".join(it.text for it in tables.rows(grid, None)) for grid in grids]
    found = found_in(texts)
    assert [text for text, own in zip(texts, found, strict=True) if not any(value in it for it in own)] == []


#: How people write two values into a cell.
TWO = [
    "{}\n{}", "{} (O)\n{} (M)", "{}（办公）\n{}（家）", "{} 李雷\n{} 韩梅", "{};\n{};", "{}；\n{}。", "1. {}\n2. {}",
    "1、{}\n2、{}", "（1）{}\n（2）{}", "- {}\n- {}", "• {}\n• {}", "①{}\n②{}", "\n{}\n\n{}\n", "  {}\n  {}", "{},\n{}",
]  # fmt: skip
OTHERS = {
    "护照号": ("E12345678", "E12345679"), "电话": ("62345678", "62345679"), "密码": ("Welcome1", "Welcome2"),
    "卡号": ("6543210987123456", "6543210987123457"), "病历号": ("00123456", "00123457"),
    "微信": ("liwei_1990", "hanmei_1991"),
    "Phone": ("2345-6789", "9123-4567"), "QQ": ("12345678", "22345678"), "统一编号": ("04595257", "22099131"),
    "IBAN": ("DE89370400440532013000", "GB82WEST12345698765432"), "出生日期": ("1990-03-07", "1991年3月7日"),
}  # fmt: skip


@pytest.mark.parametrize("form", TWO)
def test_both_values_of_a_cell_are_found(form: str) -> None:
    cases = []
    for label, values in OTHERS.items():
        cell = form.format(*values)
        for grid in (
            [["部门", label], ["财务", cell], ["法务", ""]],
            [["部门", "财务"], [label, cell], ["城市", "上海"]],
        ):
            cases.append((values, "\n".join(it.text for it in tables.rows(grid, None))))
    for (values, text), found in zip(cases, found_in([text for _, text in cases]), strict=True):
        assert [it for it in values if not any(it in one for one in found)] == [], text
