"""Counts the persons whose requests went to the cloud track, each once a year, from the router's lines about them.

Part of the program of hosts with the role gateway (beside `gateway`):

    dualtrack-gateway persons [YEAR]    prints {"year": 2026, "named": [digests], "keys": [digests], "sensitive_named":
                                        [digests], "sensitive_keys": [digests], "limits": {what: [numbers]}}

The router writes a line for a person whom it has not seen lately as it sends the request on: a keyed digest of the
year (in China), the tenant, and whom the request names, or else its API key. The service of `gateway_tokens` takes the
lines into a file for each year, with each digest once, and frees the place that they took. Taking a line twice changes
nothing, so nothing is lost or counted twice whenever that service is killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

KEPT = Path("/var/lib/dualtrack/gateway")
LEFT = "left.log"
LINE = re.compile(rb'\0*\{"year":([0-9]{4}),"person":"([0-9a-f]{16})","named":([01]),"sensitive":([01])\}\s*')
#: How a digest's kind is written in a year's file: named in the request, or by the key; the same with sensitive data.
KINDS = {"n": "named", "k": "keys", "N": "sensitive_named", "K": "sensitive_keys"}
LINE_BYTES = 18
KEPT_LINE = re.compile(r"[nkNK][0-9a-f]{16}\n")
#: From when on the law asks for a contract or a certificate, and for a security assessment: persons, and those with
#: sensitive data (Provisions on Promoting and Regulating Cross-Border Data Flows, CAC, 22 March 2024, art. 5, 7 and 8).
LIMITS = {"persons": (100_000, 1_000_000), "sensitive": (1, 10_000)}
#: The share of a limit from which on it is said.
NEAR = 0.8
#: Digests of a kind in a year. Nobody has to know how many there are beyond the last limit.
MOST = 1_000_000
#: Of the year in China, in which the law counts.
CHINA_S = 8 * 3600
#: Bytes that are read at once, and from how many on their place on the disk is freed.
CHUNK, FREED = 1 << 20, 1 << 20

Found = dict[str, set[str]]


def year_of(now: float) -> int:
    """Return the calendar year in China."""
    return time.gmtime(now + CHINA_S).tm_year


def parse(line: bytes) -> tuple[int, str, str] | None:
    """Return a line's year, the kind of its person, and the person's digest; None for any other line."""
    found = LINE.fullmatch(line)
    if found is None:
        return None
    kind = "n" if found[3] == b"1" else "k"
    return int(found[1]), kind.upper() if found[4] == b"1" else kind, found[2].decode()


def load(year: int, kept: Path = KEPT) -> Found:
    """Return the digests of a year's file by kind; half a line at its end, after a power cut, is none."""
    found: Found = {kind: set() for kind in KINDS}
    with contextlib.suppress(FileNotFoundError), (kept / f"persons.{year}").open(errors="replace") as file:
        for line in file:
            if KEPT_LINE.fullmatch(line):
                found[line[0]].add(line[1:-1])
    return found


def counts(found: Found) -> dict[str, int]:
    """Return how many persons there are, and how many with sensitive data."""
    return {"persons": len(found["n"] | found["k"]), "sensitive": len(found["N"] | found["K"])}


def persons(year: int | None = None, kept: Path = KEPT) -> dict[str, Any]:
    """Return a year's digests, this year's without one; see above."""
    of = year_of(time.time()) if year is None else year
    found = load(of, kept)
    return {"year": of, "limits": LIMITS, **{name: sorted(found[kind]) for kind, name in KINDS.items()}}


class Taker:
    """Takes what the router writes, step by step."""

    def __init__(self, kept: Path = KEPT) -> None:
        self.kept, self.place, self.freed = kept, 0, 0
        self.year, self.found = 0, load(0, kept)
        self.warned: set[tuple[int, str, float]] = set()

    def step(self) -> list[str]:
        """Take the lines that have come; return what must be said of limits that they have brought near."""
        with contextlib.suppress(FileNotFoundError), (self.kept / LEFT).open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size < self.place:  # somebody has emptied it
                self.place = self.freed = 0
            if size > self.place == 0:
                self.place = self.freed = _begin(file.fileno(), size)
            while self.place < size:
                file.seek(self.place)
                data = file.read(CHUNK)
                end = data.rfind(b"\n") + 1 or (len(data) if len(data) == CHUNK else 0)  # no line is so long
                if not end:
                    break
                self._take(data[:end].splitlines())
                self.place += end
            self._free()
        return list(self._warnings())

    def _take(self, lines: Iterable[bytes]) -> None:
        fresh: list[str] = []
        for year, kind, person in filter(None, map(parse, lines)):
            if year != self.year:  # requests of New Year's Eve may end after the first of the new year
                self._write(fresh)
                fresh, self.year, self.found = [], year, load(year, self.kept)
            if person not in self.found[kind] and len(self.found[kind]) < MOST:
                self.found[kind].add(person)
                fresh.append(f"{kind}{person}\n")
        self._write(fresh)

    def _write(self, fresh: list[str]) -> None:
        if not fresh:
            return
        path = self.kept / f"persons.{self.year}"
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            if os.fstat(handle).st_size % LINE_BYTES:
                file.write(
                    b"\n" * (LINE_BYTES - os.fstat(handle).st_size % LINE_BYTES)
                )  # ends half a line of a power cut
            file.write("".join(fresh).encode())
            file.flush()
            os.fsync(file.fileno())

    def _free(self) -> None:
        """Give the disk back what was taken; the file's length stays, and so does every place in it."""
        if self.place - self.freed < FREED:
            return
        words = ["fallocate", "--punch-hole", "--offset", "0", "--length", str(self.place), str(self.kept / LEFT)]
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            self.freed = self.place

    def _warnings(self) -> Iterable[str]:
        for what, count in counts(self.found).items():
            for limit in LIMITS[what]:
                for share in (NEAR, 1.0):
                    if count >= limit * share and (self.year, what, limit * share) not in self.warned:
                        self.warned.add((self.year, what, limit * share))
                        who = f"{count} persons" + (" with sensitive data" if what == "sensitive" else "")
                        yield f"{self.year}: requests of {who} have left the country; a limit is {limit}"


def _begin(handle: int, size: int) -> int:
    """Return where data begins: what was freed reads as zeros, and may be very long."""
    try:
        return os.lseek(handle, 0, os.SEEK_DATA)
    except OSError:  # there is none
        return size
