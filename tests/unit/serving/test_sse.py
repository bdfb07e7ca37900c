"""Streams of events: the same wherever they are cut, whatever ends their lines, and bounded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core.errors import External
from dualtrack.serving import sse

DATA = st.lists(st.binary(max_size=20).map(lambda it: it.replace(b"\r", b"").replace(b"\n", b"")), min_size=1)


def cut(data: bytes, at: list[int]) -> Iterator[bytes]:
    places = sorted({it % (len(data) + 1) for it in at})
    for begin, end in zip([0, *places], [*places, len(data)], strict=True):
        yield data[begin:end]


@given(DATA, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(0, 10_000)))
def test_events_are_the_same_wherever_they_are_cut(texts: list[bytes], end: bytes, at: list[int]) -> None:
    stream = b"".join(b": ping" + end + b"data: " + it + end + b"id: 7" + end + end for it in texts)
    assert list(sse.events(cut(stream, at))) == texts


@given(st.binary(), st.lists(st.integers(0, 10_000)))
def test_any_bytes_cut_anywhere(stream: bytes, at: list[int]) -> None:
    assert list(sse.events(cut(stream, at))) == list(sse.events([stream]))


def test_several_lines_are_one_event_and_a_blank_is_dropped_once() -> None:
    assert list(sse.events([b"\xef\xbb\xbfdata:a\ndata:  b\ndata\n\n\n\ndatax: c\n\n"])) == [b"a\n b\n"]


def test_what_was_cut_off_is_no_event() -> None:
    assert list(sse.events([b"data: a\n\ndata: b\n"])) == [b"a"]
    assert list(sse.events([b"data: a\n\ndata: b"])) == [b"a"]


@pytest.mark.parametrize("part", [b"x" * 1000, b"data: " + b"x" * 1000 + b"\n", b"data:\n" * 100])
def test_endless_lines_and_events_are_given_up(part: bytes) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield part

    with pytest.raises(External, match="more than 1 MiB"):
        list(sse.events(endless()))
