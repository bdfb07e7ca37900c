"""Files of questions: both forms, and whatever else is in them is said in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core.errors import BadInput
from dualtrack.knowledge import questions
from dualtrack.knowledge.questions import Question

ONE = '{"question": "a", "sources": ["c/x.md"]}'


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("questions") / "asked"


def load(file: Path, data: bytes) -> list[Question] | str:
    file.write_bytes(data)
    try:
        return questions.load(file)
    except BadInput as error:
        return str(error)


def test_both_forms(file: Path) -> None:
    wanted = [Question("怎么请假", ("hr/leave.md", "hr/sick.md")), Question("no", ())]
    lines = (
        '\ufeff\n{"question": "怎么请假", "sources": ["hr/leave.md", "hr/sick.md"]}\n\n{"question":"no","sources":[]}'
    )
    listed = "- question: 怎么请假\n  sources: [hr/leave.md, hr/sick.md]\n- {question: no, sources: []}\n"
    assert load(file, lines.encode()) == wanted
    assert load(file, listed.encode()) == wanted
    assert (
        load(file, json.dumps([{"question": it.question, "sources": it.sources} for it in wanted]).encode()) == wanted
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not a list of questions"),
        (b"[]", "has no questions"),
        (b"a: b", "is not a list of questions"),
        (ONE.encode() + b"\n{", "line 2: "),
        (b'{"question": "a"}', "missing required field `sources`"),
        (b'{"question": 1, "sources": []}', "Expected `str`, got `int`"),
        (b'{"question": "a", "sources": "c/x.md"}', "got `str`"),
        (b'{"question": "a", "sources": [""]}', "length >= 1"),
        (b'{"question": "a", "sources": [], "answer": "b"}', "unknown field `answer`"),
        (b'{"question": " \\n", "sources": []}', "the question is empty"),
        (b'{"question": "' + b"a" * 2001 + b'", "sources": []}', "length <= 2000"),
        (b'{"question": "a", "sources": [' + b",".join([b'"x"'] * 101) + b"]}", "length <= 100"),
        (b'{"question": "\\ud800", "sources": []}', "line 1: "),
        (f"{ONE}\n\n{ONE}".encode(), "line 3: the same question as line 1"),
        (b"- {question: a, sources: [c/x.md]}\n- 7", "question 2: Expected `object`"),
        (b"- &a {question: a, sources: []}\n- *a", "line 2: no list of questions"),
        (b"[" * 100_000, "neither JSON lines nor YAML"),
        (b"- " * 50_000, "no list of questions"),
        (b'{"question":' * 100_000, "line 1: "),
        (b"- !!python/object/apply:os.system [id]", "question 1: Expected `object`"),
        (b"- {question: \xff}", "is not UTF-8, at byte 13"),
        (b"- {question: a\x00b}", "neither JSON lines nor YAML"),
        (b"x" * (questions.MOST_BYTES + 1), "too long"),
        ("\n".join(f'{{"question": "{n}", "sources": []}}' for n in range(10_001)).encode(), "more than 10,000"),
    ],
)  # fmt: skip
def test_what_is_none_is_said(file: Path, data: bytes, said: str) -> None:
    found = load(file, data)
    assert isinstance(found, str), found
    assert said in found
    assert "\n" not in found
    assert len(found) < 500


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(BadInput, match="cannot read"):
            questions.load(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["question", "sources", "x"]), inner),
    max_leaves=12,
)  # fmt: skip
LINES = st.fixed_dictionaries(
    {"question": st.text(max_size=5) | VALUES, "sources": st.lists(st.text(max_size=3)) | VALUES}
)


@given(st.lists(LINES | VALUES, max_size=4), st.booleans())
def test_any_json(file: Path, values: list[Any], listed: bool) -> None:
    text = json.dumps(values) if listed else "\n".join(map(json.dumps, values))
    whole_or_said(load(file, text.encode()))


@given(st.binary(max_size=200) | st.text("-[]{}&*:!|>'\"\n q?s,<%@", max_size=80).map(str.encode))
def test_any_bytes(file: Path, data: bytes) -> None:
    whole_or_said(load(file, data))


def whole_or_said(found: list[Question] | str) -> None:
    if isinstance(found, str):
        assert "asked" in found
        assert len(found.splitlines()) == 1
    else:
        assert found
        assert all(it.question.strip() and all(it.sources) for it in found)
