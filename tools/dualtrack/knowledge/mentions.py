"""Where a text mentions somebody: by identifiers, or by keyed digests of identifiers that nobody has any more.

What is compared is a text made plain: case, width, digits of other scripts, invisible characters and separators make no
difference. Inside of a longer number or of a longer word in letters nothing is found; Chinese has no such borders.
"""

from __future__ import annotations

import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from dualtrack.core.errors import BadInput
from dualtrack.core.files import read_whole
from dualtrack.knowledge.pii import characters

#: Bytes and lines of a file of identifiers, and characters of one when it is plain.
MOST_BYTES, MOST_LINES, LONGEST = 64 << 10, 1000, 128
#: Written between parts of a document: nothing is found over it.
BORDER = "。"
#: What people write inside of names and numbers. A comma ends something: 小张，三天 is not 张三.
SEPARATORS = frozenset(characters.SEPARATORS) - {","} | {"\v", "\f"}
#: Digests that are made for one document, and places that are looked at: two seconds each.
MOST_DIGESTS, MOST_PLACES = 500_000, 4_000_000
#: Pairs of characters whose digests are remembered.
MOST_PAIRS = 1_000_000
#: What is known of characters, by code: their kinds, and whether they stay. Below 0 where nothing is yet.
_KINDS, _STAYING = (np.full(sys.maxunicode + 1, -1, np.int8) for _ in range(2))
_DROPPED = dict.fromkeys(map(ord, SEPARATORS))
#: From this on letters have no spaces between words.
_EAST = 0x0E00
Mac = Callable[[bytes], bytes]


class Plain:
    """A text made plain; ``inside[n]`` says that its character ``n`` continues with the number or word before it."""

    def __init__(self, text: str) -> None:
        """Make a text plain."""
        folded = unicodedata.normalize("NFKC", text).casefold().translate(_lookalikes())
        kinds = _each(folded, _KINDS, _kind)
        made, kept = characters.plain(folded, [])
        kinds = kinds if kept is None else kinds[kept]
        places = np.flatnonzero(_each(made, _STAYING, lambda it: it not in SEPARATORS))
        kinds = kinds[places]
        self.text = made.translate(_DROPPED)
        inside = np.zeros(len(places) + 1, np.bool_)
        inside[1:-1] = (np.diff(places) == 1) & (kinds[1:] == kinds[:-1]) & (kinds[1:] > 0)
        self.inside = inside.tobytes()

    def whole(self, start: int, end: int) -> bool:
        """Say whether no number and no word goes over a border."""
        return not (self.inside[start] or self.inside[end])

    def count(self, identifier: str) -> int:
        """Return how often an identifier, made plain, is mentioned."""
        found, place = 0, self.text.find(identifier)
        while place >= 0:
            found += self.whole(place, place + len(identifier))
            place = self.text.find(identifier, place + 1)
        return found


def read(path: Path | None) -> list[str]:
    """Return the identifiers in a file, or on stdin, made plain, each once; BadInput never repeats one."""
    where = "stdin" if path is None else str(path)
    data = sys.stdin.buffer.read(MOST_BYTES + 1) if path is None else read_whole(path, MOST_BYTES)
    if len(data) > MOST_BYTES:
        raise BadInput(f"{where} is too long for identifiers", hint=f"{MOST_BYTES >> 10} KiB at most")
    return identifiers(data, where)


def identifiers(data: bytes, where: str = "the list") -> list[str]:
    """Return the identifiers in a text, one a line; BadInput for what is none, without repeating it."""
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} is not UTF-8 at byte {error.start}", hint="iconv --to-code UTF-8") from None
    found = []
    for number, line in enumerate(lines, 1):
        if any(ord(it) < 32 and it != "\t" for it in line):
            raise BadInput(f"{where}, line {number}: there is a control character in it")
        if not line.strip():
            continue
        it = Plain(line).text
        least = 3 if it.isascii() else 2
        if len(it) < least or not any(one.isalnum() for one in it):
            raise BadInput(f"{where}, line {number}: it is too short to tell one person from others")
        if len(it) > LONGEST:
            raise BadInput(f"{where}, line {number}: it is longer than {LONGEST} characters")
        found.append(it)
    if not found:
        raise BadInput(f"{where} has no identifier", hint="names, numbers, addresses: one a line")
    if len(found) > MOST_LINES:
        raise BadInput(f"{where} has more than {MOST_LINES} identifiers")
    return list(dict.fromkeys(found))


class Digest(msgspec.Struct, frozen=True):
    """What is kept of an identifier: how long it is, and keyed digests of its first two characters and of all of it."""

    length: int
    start: bytes
    whole: bytes


def digest(identifier: str, mac: Mac) -> Digest:
    """Return what is kept of an identifier that was made plain."""
    return Digest(len(identifier), _start(identifier[:2], mac), mac(identifier.encode())[:16])


class TooMany(Exception):
    """It would take too long to say whether a text mentions somebody."""


class Known:
    """Identifiers of which only digests are left."""

    def __init__(self, digests: Iterable[Digest], mac: Mac) -> None:
        """Take digests that were made with the same key."""
        self._mac = mac
        self._starts: dict[bytes, dict[int, set[bytes]]] = defaultdict(lambda: defaultdict(set))
        for it in digests:
            self._starts[it.start][it.length].add(it.whole)
        self._pairs: dict[str, bytes] = {}

    def first(self, parts: Sequence[str]) -> bytes | None:
        """Return the digest of an identifier that is mentioned in the parts of a document, None where none is.

        Two characters say where one may begin; there what is as long as one gets a digest. Raises TooMany.
        """
        if not self._starts:
            return None
        it = Plain(BORDER.join(parts))
        pairs = {it.text[at : at + 2] for at in range(len(it.text) - 1)}
        if len(self._pairs) > MOST_PAIRS:
            self._pairs.clear()
        digests, places = MOST_DIGESTS - len(pairs - self._pairs.keys()), MOST_PLACES
        made: dict[str, bytes] = {}
        for pair in sorted(pairs):
            if digests < 0:
                raise TooMany
            if pair not in self._pairs:
                self._pairs[pair] = _start(pair, self._mac)
            if not (lengths := self._starts.get(self._pairs[pair])):
                continue
            at = it.text.find(pair)
            while at >= 0:
                for length, wanted in lengths.items():
                    text = it.text[at : at + length]
                    if len(text) < length or not it.whole(at, at + length):
                        continue
                    if text not in made:
                        made[text] = self._mac(text.encode())[:16]
                        digests -= 1
                    if made[text] in wanted:
                        return made[text]
                places -= len(lengths)
                if digests < 0 or places < 0:
                    raise TooMany
                at = it.text.find(pair, at + 1)
        return None


def _start(pair: str, mac: Mac) -> bytes:
    return mac(b"\0" + pair.encode())[:4]


def _kind(it: str) -> int:
    """Return 1 for a digit, 2 for a letter of a script with spaces between words, 0 for all else."""
    return 1 if it.isdecimal() else 2 if it.isalpha() and ord(it) < _EAST else 0


@cache
def _lookalikes() -> dict[int, str]:
    return {ord(it.casefold()): to.casefold() for it, to in characters.LOOKALIKES.items()}


def _each(text: str, known: npt.NDArray[np.int8], of: Callable[[str], int]) -> npt.NDArray[np.int8]:
    """Return a number for each character; what is not known yet of one is asked once."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    found = known[codes]
    if len(new := codes[found < 0]):
        for it in np.unique(new):
            known[it] = of(chr(it))
        found = known[codes]
    return found
