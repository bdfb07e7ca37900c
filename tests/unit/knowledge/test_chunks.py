"""How blocks become chunks: nothing is lost, nothing is too long, and nothing crosses a heading."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.knowledge.chunks import AT_ONCE, chunks, cut
from dualtrack.knowledge.parsing.blocks import Block

TEXT = st.text(st.sampled_from("ab 甲乙。，.\n;"), max_size=400)
PLACES = st.sampled_from(["", "page 1", "page 2"])
KINDS = st.sampled_from(["heading", "text", "row"])
BLOCKS = st.lists(st.builds(Block, kind=KINDS, text=TEXT, level=st.integers(1, 4), place=PLACES), max_size=12)


def count(text: str) -> int:
    """A token for each character that is not white."""
    return len(re.sub(r"\s", "", text))


def plain(text: str) -> str:
    return re.sub(r"\s", "", text)


@given(TEXT, st.integers(1, 60))
def test_cut(text: str, most: int) -> None:
    parts = list(cut(text, count, most))
    assert plain("".join(parts)) == plain(text)
    assert all(it.strip() and count(it) <= most for it in parts)


def rounded(text: str) -> int:
    """Fewer tokens for two parts than for both together, as of texts that are cut inside of a word; or more."""
    return len(text) * 7 // 5 if len(text) % 3 else len(text)


@given(TEXT, st.integers(2, 60))
def test_nothing_is_lost_where_parts_have_other_numbers_than_the_whole(text: str, most: int) -> None:
    parts = list(cut(text, rounded, most))
    assert plain("".join(parts)) == plain(text)
    assert all(rounded(it) <= most for it in parts)


def texts(blocks: list[Block]) -> list[Block]:
    """Return the blocks that are texts of chunks: also headings with nothing below them, neither text nor heading."""
    filled = [it for it in blocks if it.kind == "heading" or it.text.strip()]
    after: list[Block | None] = [*filled[1:], None]
    return [
        it
        for it, following in zip(filled, after, strict=False)
        if it.kind != "heading" or following is None or (following.kind == "heading" and following.level <= it.level)
    ]


@given(BLOCKS, st.integers(20, 80))
def test_chunks(blocks: list[Block], most: int) -> None:
    found = list(chunks(blocks, count, most))
    assert plain("".join(it.text for it in found)) == plain("".join(it.text for it in texts(blocks)))
    headings = {it.text for it in blocks if it.kind == "heading"}
    for it in found:
        assert count(it.text) <= most
        assert set(it.headings) <= headings
        assert it.embedded.endswith(it.text)


def test_a_chunk_says_below_which_headings_it_is() -> None:
    blocks = [
        Block(kind="heading", text="Leave", level=1),
        Block(kind="text", text="All have it."),
        Block(kind="heading", text="Sick", level=2),
        Block(kind="text", text="Call."),
        Block(kind="heading", text="Paid", level=2),
        Block(kind="text", text="Ask."),
        Block(kind="heading", text="Travel", level=1),
        Block(kind="text", text="Book."),
    ]
    assert [(it.headings, it.text) for it in chunks(blocks, count, 50)] == [
        (("Leave",), "All have it."),
        (("Leave", "Sick"), "Call."),
        (("Leave", "Paid"), "Ask."),
        (("Travel",), "Book."),
    ]


def test_sentences_stay_whole_where_they_fit() -> None:
    text = "第一句话说的是磁盘。第二句话说的是网络。第三句话说的是证书。"
    assert list(cut(text, count, 22)) == ["第一句话说的是磁盘。第二句话说的是网络。", "第三句话说的是证书。"]


@pytest.mark.parametrize("unit", ["a", "word ", "一句话。", "A line.\n", "one\n\n", "a,b,,,"])
def test_tokens_of_a_long_text_are_counted_in_bounded_pieces(unit: str) -> None:
    """A table with two rows of two million columns is one block: its tokens at once took four gigabytes."""
    text = (unit * AT_ONCE)[: 5 * AT_ONCE // 2]
    seen = []

    def count(part: str) -> int:
        seen.append(len(part))
        return len(part) // 4 + 1

    assert "".join(cut(text, count, 400)) == text
    assert max(seen) <= AT_ONCE
