"""Whatever is repeated in a text, what is read for its keys grows as the text does; counted, not timed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest

from dualtrack.knowledge.pii import keys
from dualtrack.knowledge.pii.mask import mask
from dualtrack.knowledge.pii.scan import scan
from tests.unit.knowledge.pii.test_keys import ARMOUR, MARKERS, body

#: Names of fields in files of keys: of PuTTY, of OpenSSH and OpenSSL, and of armour.
FIELDS = (
    "PuTTY-User-Key-File-2: ssh-rsa", "Encryption: none", "Comment: of a host", "Public-Lines: 6", "Private-Lines: 14",
    "Private-Lines: 1", "Private-MAC: 00112233445566778899aabbccddeeff00112233", "Key-Derivation: Argon2id",
    "Private-Key: (2048 bit)", "privateExponent:", "prime1:", "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----", "BEGIN PRIVATE", "-----BEGIN a1b2 c3d4 e5f6 g7h8 i9j0 PRIVATE KEY",
)  # fmt: skip
#: What is beside them: pieces of bodies, tokens, and what looks like either.
BESIDE = (
    body()[0], body()[0][:16], body()[0][:40].lower(), "0a:1b:2c:3d:4e:5f:60:71:", "text ", "=" * 16, r"\/" * 16,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0", ".eyJhbGciOiJIUzI1NiJ9", "sk-" + "a1" * 64, "password=" + "a1" * 150,
)  # fmt: skip
UNITS = (
    *(marker.format(it) for marker in MARKERS for it in ("BEGIN", "END")),
    *(it for lines in ARMOUR.values() for it in lines if it), *FIELDS, *BESIDE,
)  # fmt: skip
#: Beside which each unit is repeated as well.
WITH = ("Private-Lines: 1", MARKERS[0].format("BEGIN"), MARKERS[0].format("END"), body()[0], "text ")
SIZE = 6000
#: Bytes that are read for each byte of a text at most: it is twelve, and the square of a text would be hundreds.
MOST = 25


class Counted:
    """A pattern that counts the bytes that it reads."""

    def __init__(self, pattern: re.Pattern[bytes], read: list[int]) -> None:
        self._pattern, self._read = pattern, read
        self.pattern = pattern.pattern

    def search(self, data: bytes, *span: int) -> re.Match[bytes] | None:
        found = self._pattern.search(data, *span)
        self._count(data, found, *span)
        return found

    def match(self, data: bytes, *span: int) -> re.Match[bytes] | None:
        found = self._pattern.match(data, *span)
        self._count(data, found or data[:0], *span)
        return found

    def finditer(self, data: bytes, place: int = 0, end: int | None = None) -> Iterator[re.Match[bytes]]:
        while found := self.search(data, place, len(data) if end is None else end):
            yield found
            place = found.end()

    def _count(self, data: bytes, found: re.Match[bytes] | bytes | None, *span: int) -> None:
        first, last = (*span, 0, len(data))[:2] if len(span) != 1 else (span[0], len(data))
        if found is not None:
            last = found.end() if isinstance(found, re.Match) else first + 1
        self._read.append(max(0, min(last, len(data)) - first))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which every pattern of `keys` adds how many bytes it read."""
    found: list[int] = []
    for name, it in vars(keys).items():
        if isinstance(it, re.Pattern) and isinstance(it.pattern, bytes):
            monkeypatch.setattr(keys, name, Counted(it, found))
    return found


def texts() -> Iterator[str]:
    """Yield texts of each unit, alone and beside others, with and without ends of lines."""
    for unit, end in itertools.product(UNITS, ("\n", " ")):
        yield f"{unit}{end}" * (SIZE // len(unit))
    for unit, other in itertools.product(UNITS, WITH):
        pair = f"{unit}\n{other}\n"
        yield pair * (SIZE // len(pair))
        # One after all of the others, and all of one before all of the others.
        yield f"{unit}\n" + f"{other}\n" * (SIZE // len(other))
        yield f"{unit}\n" * (SIZE // 2 // len(unit)) + f"{other}\n" * (SIZE // 2 // len(other))


def test_what_is_read_for_keys_grows_as_a_text_does(read: list[int]) -> None:
    most, count = {}, 0
    for text in texts():
        data = text.encode()
        read.clear()
        found = scan(data)
        keys.open_ended(data, ((it.start, it.end, it.kind) for it in found))
        most[text[:200]] = sum(read) / len(data)
        count += bool(read)
    worst = sorted(most.items(), key=lambda it: -it[1])[:5]
    assert worst[0][1] < MOST, worst
    assert count > 400


def test_a_text_of_private_lines_is_masked_as_fast_as_one_of_words(read: list[int]) -> None:
    size = {}
    for count in (500, 4000):
        read.clear()
        mask(b"Private-Lines: 1\n" * count)
        size[count] = sum(read)
    assert size[4000] < 9 * size[500]
