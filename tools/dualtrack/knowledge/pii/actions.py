"""What `dualtrack pii` does: a file or stdin in, a report or a clean text out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.core.files import read_secret, read_whole
from dualtrack.knowledge.pii import mask, readable
from dualtrack.knowledge.pii.scan import scan
from dualtrack.security.seal.atomic_output import check_open, target

STDIN = "-"
#: A text is held in memory, about three times over.
MOST_BYTES = 1 << 30
MOST_KEY_BYTES = 4096
OF_GB18030 = "iconv --from-code GB18030 --to-code UTF-8"
OF_UTF16 = "iconv --from-code UTF-16LE --to-code UTF-8, or tr --delete '\\000'"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Personal data: its kind, and the characters (Unicode code points) between which it is."""

    kind: str
    start: int
    end: int


class PiiReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a text, and how often each kind."""

    findings: list[Found]
    kinds: dict[str, int]


def find(source: str) -> PiiReport:
    """Return what is found in a file or, for ``-``, in stdin. Values are not in the report."""
    data = _read(source)
    try:
        found = scan(data)
    except UnicodeDecodeError as error:
        raise _no_text(source, error) from None
    places = _characters(data, [place for it in found for place in (it.start, it.end)])
    findings = [Found(kind=it.kind, start=next(places), end=next(places)) for it in found]
    return PiiReport(findings=findings, kinds=dict(Counter(it.kind for it in found)))


def clean(
    source: str, output: str, policy: mask.Policy, *, key_file: Path | None, tenant: str, force: bool
) -> dict[str, int]:
    """Write a text without personal data, all of it or nothing; return how often each kind was taken out."""
    if policy == "pseudonym" and (not key_file or not tenant):
        raise BadInput("pseudonyms need --key-file and --tenant")
    if policy != "pseudonym" and (key_file or tenant):
        raise BadInput(f"--key-file and --tenant are for pseudonyms, and the policy is {policy}")
    check_open(output, out=True)
    key = read_secret(key_file, MOST_KEY_BYTES) if key_file else b""
    try:
        found = mask.mask(_read(source), policy, key=key, tenant=tenant)
    except UnicodeDecodeError as error:
        raise _no_text(source, error) from None
    with target(output, force=force, mode=0o600) as write:
        write(memoryview(found.data))
    return found.kinds


def _read(source: str) -> bytes:
    data = _bytes(source)
    if (place := readable.not_text(data)) is not None:
        raise BadInput(f"{_name(source)} is not UTF-8 at byte {place}: it has control characters", hint=OF_UTF16)
    return data


def _bytes(source: str) -> bytes:
    if source != STDIN:
        return read_whole(Path(source), MOST_BYTES)
    check_open(source)
    data = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise BadInput(f"stdin is longer than {MOST_BYTES >> 30} GiB")
    return data


def _no_text(source: str, error: UnicodeDecodeError) -> BadInput:
    return BadInput(f"{_name(source)} is not UTF-8 at byte {error.start}", hint=OF_GB18030)


def _name(source: str) -> str:
    return "stdin" if source == STDIN else source


def _characters(data: bytes, places: list[int]) -> Iterator[int]:
    """Yield for each place in bytes, in order, how many characters are before it."""
    count = last = 0
    for place in places:
        count += len(data[last:place].decode())
        last = place
        yield count
