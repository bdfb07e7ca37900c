"""Blocks become chunks: what is found and shown as one (pure).

A chunk stays inside of one section, and is as long as the model reads at once. What is longer is cut where a sentence
ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import msgspec

from dualtrack.knowledge.parsing.blocks import Block

#: Returns how many tokens a model makes of a text.
Count = Callable[[str], int]
#: After these a text may be cut, the best first: paragraphs, lines, sentences, parts of them, words.
CUTS = (r"(?<=\n\n)", r"(?<=\n)", r"(?<=[。！？!?])|(?<=[.;；] )", r"(?<=[，,、：:])", r"(?<= )")
#: Characters whose tokens are counted at once: those of 10 million take gigabytes.
AT_ONCE = 1 << 16


class Chunk(msgspec.Struct, frozen=True):
    """A part of a document: the headings that it is below, its text, and where it is."""

    headings: tuple[str, ...]
    text: str
    place: str = ""

    @property
    def embedded(self) -> str:
        """What a model makes a vector of: the headings say what the text is about."""
        return "\n".join([" > ".join(self.headings), self.text]) if self.headings else self.text


def chunks(blocks: Sequence[Block], count: Count, most: int) -> Iterator[Chunk]:
    """Yield the chunks of a document, of at most ``most`` tokens each with their headings."""
    headings: list[tuple[int, str]] = []
    texts: list[str] = []
    place, room, used = "", most, 0
    bare = False  # the last heading has no text below it yet

    def flush() -> Iterator[Chunk]:
        if texts:
            yield Chunk(tuple(it for _, it in headings), "\n".join(texts), place)
            texts.clear()

    def alone() -> Iterator[Chunk]:
        """A heading that nothing stands below is a text of its own: it would be in no chunk."""
        if bare:
            above = tuple(it for _, it in headings[:-1])
            for part in cut(headings[-1][1], count, max(most - count(" > ".join(above)), most // 2)):
                yield Chunk(above, part, "")

    for block in blocks:
        if block.kind == "heading":
            yield from flush()
            if block.level <= (headings[-1][0] if headings else 0):
                yield from alone()
            bare = True
            headings = [*((level, text) for level, text in headings if level < block.level), (block.level, block.text)]
            # Headings that are longer than half of a chunk are not headings.
            room, used = max(most - count(" > ".join(it for _, it in headings)), most // 2), 0
            continue
        for part in cut(block.text, count, room):
            bare = False
            size = count(part)
            if texts and (used + size > room or block.place != place):
                yield from flush()
            if not texts:
                place, used = block.place, 0
            texts.append(part)
            used += size
    yield from flush()
    yield from alone()


def cut(text: str, count: Count, most: int) -> Iterator[str]:
    """Yield a text in parts of at most ``most`` tokens, cut at the best place that there is; none is empty."""
    if len(text) > AT_ONCE:
        for piece in _pieces(text):
            yield from cut(piece, count, most)
        return
    if count(text) <= most:
        if text.strip():
            yield text
        return
    for place in CUTS:
        parts = [it for it in re.split(place, text) if it]
        if len(parts) > 1:
            break
    else:
        middle = len(text) // 2
        parts = [text[:middle], text[middle:]]
    # As many parts together as fit; those that are too long alone are cut further. Each is counted once: what is held
    # together may have another number of tokens than its parts, and is counted when it is cut.
    held, used = "", 0
    for part in parts:
        size = count(part)
        if held and used + size > most:
            yield from cut(held, count, most)
            held, used = "", 0
        held += part
        used += size
    if held == text:  # its parts have fewer tokens than the whole: each is shorter, and nothing is left out
        middle = len(parts) // 2
        for it in ("".join(parts[:middle]), "".join(parts[middle:])):
            yield from cut(it, count, most)
    else:
        yield from cut(held, count, most)


def _pieces(text: str) -> Iterator[str]:
    """Yield a long text in pieces of at most `AT_ONCE` characters, each cut as late as the best mark allows."""
    begin = 0
    while begin < len(text):
        end = begin + AT_ONCE
        if end < len(text):
            half = begin + AT_ONCE // 2
            marks = (text.rfind(it, half, end) + len(it) for it in ("\n\n", "\n", "。", ". ", " "))
            end = next((it for it in marks if it > half), end)
        yield text[begin:end]
        begin = end
