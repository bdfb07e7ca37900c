"""Private keys and tokens that are longer than a window: where they begin and end in the bytes of a text.

A rule finds the marker of a key (`BEGIN … PRIVATE KEY`), in a window. The body is looked for in the text itself, since
it is decorated in many ways: quoted mails, comments, tables, tags, strings of a program, escapes, ends of parts.

- With an end marker within `MOST_BYTES`, all between both markers is the key.
- Without one, the key continues as long as pieces that look like base64 follow each other closely.
- Where more of such pieces follow further away, nobody can tell what belongs to the key: it has no known end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dualtrack.knowledge.pii.rules import Pattern, Rule, heads_of

#: Bytes between the markers of a key: a PGP key with a picture in it has so many.
MOST_BYTES = 256 << 10
#: Bytes between two pieces of a body, between the marker and the first piece (armour headers), and behind a body
#: without an end marker: there must not be another piece.
GAP, HEADERS, BEHIND = 256, 768, 4096
#: In the bytes of a text: a wide letter, a hyphen of any kind, a colon, a digit.
_WIDE = r"\xef(?:\xbc[\xa1-\xba]|\xbd[\x81-\x9a])"
_HYPHEN = r"(?:-|\xef\xbc\x8d|\xef\xb9\xa3|\xe2\x80[\x90-\x95]|\xe2\x88\x92)"
_COLON, _DIGIT = r"(?::|\xef\xbc\x9a|\xef\xb8\xb0|\xef\xb9\x95)", r"(?:[0-9]|\xef\xbc[\x90-\x99])"


def _wide(text: str, *, begun: bool = False) -> str:
    """Return a pattern for the bytes of a word in letters of any case, each of which may be wide.

    ``begun``: the first byte was matched before, as one of a class. Python looks for a class much faster than for
    alternatives, or for letters without regard to case.
    """
    found = [(f"[{it}{it.lower()}]", rf"(?:\xbc\x{ord(it) + 0x60:x}|\xbd\x{ord(it) + 0x40:x})") for it in text]
    letters = [rf"(?:{it}|\xef{wide})" for it, wide in found]
    if begun:
        letters[0] = rf"(?:(?<={found[0][0]})|(?<=\xef){found[0][1]})"
    return "".join(letters)


def _between(other: str) -> str:
    """Return a pattern for what is between the words of a marker, by what is not a letter: blanks of any form.

    Also escaped ones (`%20`, `&nbsp;`), and ends of lines. Atomic, as words are: whatever is written, there is one way
    to read it. (Python 3.11.2 mistakes some groups with `{…}+`.)
    """
    return rf"(?>(?:&[A-Za-z]{{2,5}};|{other}){{1,12}})"


def _words(between: str, letter: str, private: str, key: str) -> str:
    return rf"(?:(?>{letter}(?:{letter}|[0-9]){{0,15}}){between}){{0,4}}{private}{between}{key}"


_BETWEEN, _IN_BYTES = _between("[^A-Za-z]"), _between(rf"(?!{_WIDE})[^A-Za-z]")
_WORDS = _words(_BETWEEN, "[A-Za-z]", "PRIVATE", "KEY")
_MARKER = re.compile(
    rf"[BbEe\xef](?:{_wide('BEGIN', begun=True)}|({_wide('END', begun=True)})){_IN_BYTES}"
    rf"{_words(_IN_BYTES, f'(?:[A-Za-z]|{_WIDE})', _wide('PRIVATE'), _wide('KEY'))}"
    rf"(?:{_IN_BYTES}{_wide('BLOCK')})?".encode()
)
#: What closes a marker, and blanks or escapes before the sign.
_CLOSES = re.compile(
    rf"(?:(?: |\xe3\x80\x80){_wide('BLOCK')})?"
    rf"(?:(?: |\xe3\x80\x80)?{_HYPHEN}{{1,8}}|(?:%2[Dd]|&#45;|\\-|\\u002[Dd]){{1,8}})?".encode()
)
_FILE = rf"{_HYPHEN}{_wide('LINES')}"
_PUTTY = re.compile(rf"[Pp\xef]{_wide('PRIVATE', begun=True)}{_FILE}{_COLON}(?: |\xe3\x80\x80)?{_DIGIT}+".encode())
_MARKER_BEGINS = re.compile(
    rf"[BbPp\xef](?:{_wide('BEGIN', begun=True)}|{_wide('PRIVATE', begun=True)}{_FILE})".encode()
)
#: Base64, its signs also as URLs and JSON escape them, with characters that show nothing in between; or pairs of
#: hexadecimal digits with colons.
_PIECE = re.compile(
    rb"(?>(?:[0-9A-Fa-f]{2}:){6,})[0-9A-Fa-f]{0,2}"
    rb"|(?:[A-Za-z0-9+/=]|\\/|%2[BbFf]|%3[Dd]|\xe2\x80[\x8b-\x8f]|\xe2\x81\xa0|\xc2\xad|\xef\xbb\xbf){16,}+"
)
_LOOKS_LIKE_BASE64 = re.compile(rb"(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])[^0-9+/]*[0-9+/]")
_CAPITAL, _HEXADECIMAL = re.compile(rb"[A-Z]"), re.compile(rb"(?=[^0-9]*[0-9])[0-9A-Fa-f:]+\Z")
#: The last line of a body may be short: alone on its line, decoration aside, and no word.
_TAIL = re.compile(
    rb"(?:\\[nrt]|<[^<>]{0,80}>|[^A-Za-z0-9+/=\\<]){1,40}(=?[A-Za-z0-9+/]{1,64}={0,2})(?=[^A-Za-z0-9+/=]|\Z)"
)
_NO_WORD = re.compile(rb".*=|(?=.*[0-9+/]).*[A-Za-z]|.*[a-z][A-Z]", re.S)
LONG_PIECE = 40
#: Bytes of the shortest piece at most, and of a marker.
_SHORT_PIECE, _LONGEST_MARKER = 16 * 3, 1024
#: Bytes that are searched for a marker beyond those that are asked for.
_FURTHER = 32 << 10
#: A token continues so long, beyond its window.
_TOKEN_BYTES, _LONG_SECRET = 16 << 10, 120
_TOKEN_AFTER = re.compile(rb"[^\s\"'<>,;)\]}\x80-\xff]*+")
_LAST_WORD, _PARTS = re.compile(rb"[A-Za-z0-9_-]*+"), re.compile(rb"\.eyJ[A-Za-z0-9_-]{4,}+\.[A-Za-z0-9_-]{4,}+")

#: `PRIVATE KEY` in capitals, or after hyphens in letters of any case; a file of PuTTY says how many lines follow.
HINT = rb"begin.{1,64}private.{1,12}key|private-lines:"
RULE = Rule(
    "secret",
    Pattern(rf"((?:BEGIN|(?<=-)(?i:BEGIN)|(?<=- )(?i:BEGIN)){_BETWEEN}(?i:{_WORDS})|(?i:Private-Lines): ?[0-9]+)"),
    # In letters of any case after a hyphen alone; without one, words of a sentence are not a marker.
    check=lambda it: it[0][:1] in "Pp" or it.string[it.start() - 1] == "-" or it.string[it.start() - 2] == "-"
    or it[0] == it[0].upper(),
    begin=lambda it: _begin(it),
    heads=heads_of("BEGIN|Private-Lines"),
)  # fmt: skip


def _begin(found: re.Match[str]) -> int:
    """Return where a marker begins: with the hyphens before it."""
    text, start = found.string, found.start(1)
    for _ in range(9):
        if text[start - 1] != "-" and text[start - 2 : start] != "- ":
            break
        start -= 1
    return start


class Keys:
    """Says of the private keys in a text, in order, where each ends; in a time that grows as the text does.

    What is looked at for one key ends where the next one begins, and is not looked at again.
    """

    def __init__(self, data: bytes) -> None:
        """Begin before the first key."""
        self._data = data
        self._markers = _Next(_MARKER, data)

    def end(self, end: int) -> tuple[int, bool]:
        """Return where the key ends whose marker ends at a place, and whether that is certain."""
        place = _closed(self._data, end)
        marker = self._markers.after(place)
        if marker and marker[1]:
            return _closed(self._data, marker.end()), True
        limit = marker.start() if marker else len(self._data)
        over = _body(self._data, place, limit)
        behind = _PIECE.finditer(self._data, over, _file(self._data, over, min(over + BEHIND, limit)))
        open_ended = any(len(it[0]) >= LONG_PIECE and _LOOKS_LIKE_BASE64.match(it[0]) for it in behind)
        return over, not open_ended


class _Next:
    """The next match of a pattern after a place, for places in order; each byte is searched once."""

    def __init__(self, pattern: re.Pattern[bytes], data: bytes) -> None:
        self._pattern, self._data = pattern, data
        #: No match begins between these places but the last one that was found.
        self._from = self._to = 0
        self._found: re.Match[bytes] | None = None

    def after(self, place: int) -> re.Match[bytes] | None:
        """Return the next match, where one is within the bytes that a key has at most."""
        if (self._found and self._found.start() < place) or not self._from <= place <= self._to:
            self._found, self._from, self._to = None, place, place
        if not self._found and self._to < min(place + MOST_BYTES, len(self._data)):
            # Further than is asked for, so that few searches begin; what was searched is not searched again, but for
            # a match that goes over its end.
            first = max(place, self._to - _LONGEST_MARKER)
            self._to = min(place + MOST_BYTES + _FURTHER, len(self._data))
            if found := self._pattern.search(self._data, first, self._to):
                self._found, self._to = found, found.start()
        return self._found if self._found and self._found.start() < place + MOST_BYTES else None


def _closed(data: bytes, place: int) -> int:
    found = _CLOSES.match(data, place)
    return found.end() if found else place


def _base64(piece: bytes) -> bool:
    if len(piece) >= LONG_PIECE and _CAPITAL.search(piece):
        return True
    return bool(_LOOKS_LIKE_BASE64.match(piece) or _HEXADECIMAL.match(piece))


def _body(data: bytes, place: int, limit: int) -> int:
    """Return where a body without an end marker ends that begins at a place; the place itself where there is none."""
    over, reach, at = place, HEADERS, place
    while piece := _piece(data, at, over + reach, limit):
        at = piece.end()
        if _base64(piece[0]):
            over, reach = at, GAP
    for _ in range(2 if over > place else 0):
        tail = _TAIL.match(data, over, limit)
        if not tail or not _NO_WORD.match(tail[1]):
            break
        over = tail.end()
    return over


def _piece(data: bytes, place: int, last: int, limit: int) -> re.Match[bytes] | None:
    """Return the next piece, which begins at a place at most; further is not looked."""
    found = _PIECE.search(data, place, _file(data, place, min(last + _SHORT_PIECE, limit)))
    return _PIECE.match(data, found.start(), limit) if found and found.start() <= last else None


def _file(data: bytes, place: int, limit: int) -> int:
    """Return where the next key of PuTTY begins in a part of a text, or the end of that part."""
    found = _PUTTY.search(data, place, limit)
    return found.start() if found else limit


def extended(data: bytes, found: Iterable[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    """Yield findings, in order, private keys with their bodies and long tokens as far as they go.

    What is inside of a key is a part of it, whatever it looks like.
    """
    keys, over, of_token = Keys(data), 0, 0
    for start, end, kind in sorted(found):
        if end <= over:
            continue
        if kind == "secret":
            if marker(data, start, end):
                end, _ = keys.end(end)
                over = end
            elif end > of_token:
                if not (token := _token(data, start, end)):
                    continue
                start, end = token
                of_token = end
        yield start, end, kind


def open_ended(data: bytes, found: Iterable[tuple[int, int, str]]) -> bool:
    """Return whether one of some findings of `extended` is a key of which nobody can tell where it ends."""
    keys = Keys(data)
    for start, end, kind in found:
        if kind == "secret" and (place := marker(data, start, end)) and not keys.end(place)[1]:
            return True
    return False


def marker(data: bytes, start: int, end: int) -> int:
    """Return where the first marker of a key ends that is in a finding, or 0 where there is none."""
    if not _MARKER_BEGINS.search(data, start, min(end, start + 512)):
        return 0
    for it in _MARKER.finditer(data, start, end):
        if not it[1]:
            return it.end()
    found = _PUTTY.search(data, start, end)
    return found.end() if found else 0


def _token(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Return where a token begins and ends: one may be longer than the window that it was found in.

    None for what looks like the second of three parts of a token (JWT), and is none.
    """
    if data.startswith(b".eyJ", start):
        first = data.find(b"eyJ", start - _word_before(data, start), start)
        whole = _PARTS.match(data, start, end + 2 * _TOKEN_BYTES)
        return (first, whole.end()) if first >= 0 and whole else None
    if end - start < _LONG_SECRET:
        return start, end
    after = _TOKEN_AFTER.match(data, end, end + _TOKEN_BYTES)
    return start, after.end() if after else end


def _word_before(data: bytes, place: int) -> int:
    """Return how many bytes the word has that ends at a place; most words are short."""
    length = 0
    for reach in (_LONG_SECRET, _TOKEN_BYTES):
        found = _LAST_WORD.match(data[max(0, place - reach) : place][::-1])
        length = found.end() if found else 0
        if length < reach:
            break
    return length
