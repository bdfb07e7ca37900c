"""Labels of values: how they are written before one, and which values the rules find after them."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dualtrack.knowledge.parsing import labels
from dualtrack.knowledge.pii import vocabulary as say
from dualtrack.knowledge.pii.mask import mask
from tests.unit.knowledge.parsing.layouts import NAMED, WRITTEN


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("密码（初始）*", "（初始）密码"), ("**密码**：", "密码"), ("登录\n密码", "登录密码"), ("密 码", "密码"),
        ("Password *", "Password"), ("密码 (初始)", "(初始)密码"),
        ("[密码](x.md)", "x.md 密码"), ("初始值（密码）", "初始值 密码"),
        ("<b>密码</b>", "密码"), ("`password`", "password"), ("姓　名：", "姓名"),
        ("电话\n(办公)", "(办公)电话"), ("Pass\nword", "Password"),
        ("紧急联系人电话 2", "2 紧急联系人电话"), ("部门\n名称", "部门名称"), ("部门（新）", "部门（新）"),
        ("第\n2\n行", "第 2 行"),
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
