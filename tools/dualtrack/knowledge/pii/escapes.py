r"""Characters that are written as their numbers: `\u5f20` and `\xe5\xbc\xa0` in programs and JSON, `%E5%BC%A0` in URLs,
`&#24352;` in pages; there some also as their names, such as `&nbsp;`.

Beside a number the digits of such a number make a longer one, and a word in such numbers is none. So what is around
them is looked at a second time, with the characters that they stand for. Only that: most texts have none.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, field
from html.entities import html5

#: A character, or several of them: they may be bytes of one character, or halves of one. Each begins with a sign that
#: is searched for fast.
_ESCAPED = tuple(map(re.compile, (
    rb"\\\\{0,7}(?:u[0-9a-fA-F]{4}(?:\\{1,8}u[0-9a-fA-F]{4}){0,4096}|x[0-9a-fA-F]{2}(?:\\{1,8}x[0-9a-fA-F]{2}){0,4096})",
    rb"%[0-9a-fA-F]{2}(?:%[0-9a-fA-F]{2}){0,4096}",
    rb"&(?:#(?:[0-9]{2,7}|[xX][0-9a-fA-F]{2,6})|[A-Za-z][A-Za-z0-9]{1,24});",
)))  # fmt: skip
_NUMBER = re.compile(rb"u([0-9a-fA-F]{4})")
_BYTE = re.compile(rb"[x%]([0-9a-fA-F]{2})")
#: No text has these.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
#: Bytes around such a character that are looked at again, and those of them at an end that may be a part of something.
AROUND, EDGE = 512, 96
#: Between two parts that are looked at: no number and no word goes over it.
BETWEEN = b"\nzz zz\n"


@dataclass
class Decoded:
    """Parts of a text with the characters that stand in it as their numbers.

    ``data`` are the parts, and ``_places`` where pieces of it begin there and in the text, in bytes; a piece is as it
    was, or stands for one character or several.
    """

    data: bytes
    _begins: list[int] = field(default_factory=list)
    #: Of each piece: where it begins and ends in the text, and whether it is as it was.
    _pieces: list[tuple[int, int, bool]] = field(default_factory=list)
    #: Where parts begin and end in ``data``, as far as what is found there is whole.
    _whole: list[tuple[int, int]] = field(default_factory=list)

    def span(self, start: int, end: int) -> tuple[int, int] | None:
        """Return where in the text something is that was found in ``data``; None where it may be a part of more."""
        at = bisect.bisect_right(self._whole, (start, len(self.data))) - 1
        if at < 0 or not self._whole[at][0] <= start < end <= self._whole[at][1]:
            return None
        one, other = (bisect.bisect_right(self._begins, it) - 1 for it in (start, end - 1))
        first, last = self._pieces[one], self._pieces[other]
        begin = first[0] + (start - self._begins[one] if first[2] else 0)
        return begin, last[0] + end - self._begins[other] if last[2] else last[1]


def decoded(data: bytes) -> Decoded | None:
    """Return what is around characters of a text that are written as their numbers, or None where none are."""
    found = sorted(
        (it.start(), it.end(), said)
        for pattern in _ESCAPED for it in pattern.finditer(data) if (said := _said(it[0])) is not None
    )  # fmt: skip
    if not found:
        return None
    made = Decoded(b"")
    parts: list[bytes] = []
    size = place = over = 0
    opened = begun = 0

    def add(piece: bytes, start: int, end: int, same: bool) -> None:
        nonlocal size
        if piece:
            made._begins.append(size)
            made._pieces.append((start, end, same))
            parts.append(piece)
            size += len(piece)

    def close(last: int) -> None:
        """End a part: what is near a place where the text continues may be a part of something."""
        add(data[place:last], place, last, True)
        begin = opened + (EDGE if begun else 0)
        made._whole.append((begin, max(begin, size - (EDGE if last < len(data) else 0))))

    for number, (start, end, said) in enumerate(found):
        if not number or start - AROUND > over:
            if number:
                close(over)
                add(BETWEEN, over, over, False)
            begun = place = _boundary(data, max(0, start - AROUND))
            opened = size
        add(data[place:start], place, start, True)
        add(said.encode(), start, end, False)
        place = end
        over = _boundary(data, min(len(data), end + AROUND))
    close(over)
    made.data = b"".join(parts)
    return made


def plain(value: str) -> str:
    """Return a value with the characters that stand in it as their numbers."""
    data = value.encode()
    for it in _ESCAPED:
        data = it.sub(lambda it: it[0] if (said := _said(it[0])) is None else said.encode(), data)
    return data.decode()


def _boundary(data: bytes, place: int) -> int:
    while place < len(data) and data[place] & 0xC0 == 0x80:
        place += 1
    return place


def _said(escaped: bytes) -> str | None:
    """Return the text that numbers stand for; None where they are none, or of characters that nobody writes."""
    try:
        if escaped[:1] == b"&" and escaped[1:2] != b"#":
            return html5.get(escaped[1:].decode())
        if escaped[:1] == b"&":
            number = escaped[2:-1]
            said = chr(int(number[1:], 16) if number[:1] in b"xX" else int(number))
        elif units := _NUMBER.findall(escaped):
            said = b"".join(bytes.fromhex(it.decode()) for it in units).decode("utf-16-be")
        else:
            said = _decoded(b"".join(bytes.fromhex(it.decode()) for it in _BYTE.findall(escaped)))
        said.encode()
    except (ValueError, OverflowError):
        return None
    return None if _CONTROL.search(said) else said


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("gb18030")
