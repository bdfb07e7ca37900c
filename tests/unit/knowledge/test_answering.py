"""What a model is asked, and which sources its answer names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.knowledge import answering
from dualtrack.knowledge.answering import Answered, Message
from dualtrack.knowledge.messages import Hit
from dualtrack.serving.client import End

END = End(track="local", engine="e", finish="stop", prompt_tokens=3, completion_tokens=2)


def hit(text: str, source: str = "a.md") -> Hit:
    return Hit(score=0.5, collection="hr", source=source, place="", headings=("Leave",), text=text)


def asked(
    question: str, hits: Sequence[Hit], said: Sequence[str], **more: object
) -> tuple[list[Message], list[object]]:
    seen: list[Message] = []

    def ask(messages: Sequence[Message]) -> Iterator[str | End]:
        seen.extend(messages)
        yield from said
        yield END

    return seen, list(answering.answers(ask, question, hits, **more))  # type: ignore[arg-type]


def test_an_answer_comes_in_pieces_and_ends_with_its_sources() -> None:
    hits = [hit("fifteen days"), hit("ninety days", "b.md")]
    seen, (*pieces, last) = asked("How many?", hits, ["Fifteen ", "[1]."])
    assert pieces == ["Fifteen ", "[1]."]
    assert isinstance(last, Answered)
    assert [(it.number, it.cited, it.hit) for it in last.citations] == [(1, True, hits[0]), (2, False, hits[1])]
    assert last.end == END
    assert [it.role for it in seen] == ["system", "user"]
    assert "> fifteen days" in seen[1].content
    assert seen[1].content.endswith("Question: How many?")


@pytest.mark.parametrize(("question", "said"), [("年假有几天", "没有找到"), ("How many?", "Nothing was found")])
def test_without_sources_no_model_is_asked(question: str, said: str) -> None:
    seen, (text, last) = asked(question, [], ["never"])
    assert not seen
    assert said in str(text)
    assert last == Answered(citations=[])


def test_what_was_said_before_stands_between() -> None:
    before = [Message("user", "Hello"), Message("assistant", "Yes?")]
    seen, _ = asked("How many?", [hit("x")], [], before=before)
    assert seen[1:3] == before


@given(st.text(max_size=300))
def test_no_line_of_a_source_looks_like_another_one(text: str) -> None:
    """Whatever is in a document, its lines are quoted: the only line that begins with a number is ours."""
    [_, message] = answering.messages("x", [hit(text, f"a{text}.md")])
    sources = message.content.removeprefix("Sources:\n").rpartition("\n\nQuestion: ")[0]
    first, *rest = sources.split("\n")
    assert first.startswith("[1] a")
    assert first.endswith(".md > Leave")
    assert all(it.startswith("> ") for it in rest if it)


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [("as [1] and [2]", {1, 2}), ("[1, 3]", {1, 3}), ("见[1、2]", {1, 2}), ("[9] [0] [x] [1234]", set()), ("1", set())],
)
def test_only_numbers_of_sources_name_one(answer: str, numbers: set[int]) -> None:
    found = answering.citations(answer, [hit("a"), hit("b"), hit("c")])
    assert {it.number for it in found if it.cited} == numbers


def test_sources_fit_into_what_the_model_reads() -> None:
    hits = [hit("a" * 60), hit("b" * 30), hit("c" * 30)]
    assert answering.fitting(hits, 100) == hits[:2]
    assert answering.fitting(hits, 10) == hits[:1]
    [_, message] = answering.messages("x", hits[:1], 10)
    assert len(re.findall("a", message.content.partition("Leave")[2])) == 10
