"""Server-sent events, as an OpenAI-shaped API streams its answers (pure).

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream; the stream is external text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dualtrack.core.errors import External

#: Of one event with all its lines. An API sends a few tokens in each, a few hundred bytes.
LIMIT_BYTES = 1 << 20
_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream that is cut anywhere, without their ends; External where one is too long.

    What follows the last end of a line is none: the stream was cut off there.
    """
    rest = b""
    for chunk in chunks:
        # A carriage return at the end may be half of a line's end: it waits for the next chunk.
        *found, rest = _END.split(rest + chunk)
        if len(rest) > LIMIT_BYTES:
            raise External(f"the answer has a line of more than {LIMIT_BYTES >> 20} MiB")
        yield from found
    if rest.endswith(b"\r"):
        yield rest[:-1]


def events(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the data of each event; External where one is too long. Comments and other fields are left out."""
    data: list[bytes] = []
    size = 0
    for number, line in enumerate(lines(chunks)):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        if not text:
            if data:
                yield b"\n".join(data)
            data, size = [], 0
            continue
        field, _, value = text.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
            size += len(text)
            if size > LIMIT_BYTES:
                raise External(f"the answer has an event of more than {LIMIT_BYTES >> 20} MiB")
