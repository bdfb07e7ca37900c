"""How much of the trail the messages of one account may take: a bucket of bytes for each, and a count of the rest.

Whoever may log may log without end, and would fill the disk that what `sudo` says needs. What root and the services of
dualtrack say is never counted. sudo, sshd and the other programs that are known have a bucket for each account, and so
have the beginnings of its commands. What is taken from a bucket is the size of what is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

#: Bytes that an account may log at once, bytes that it gets back each second, and seconds between two reports.
BURST, RATE, REPORT_S = 1 << 20, 2048, 60.0
#: Buckets that are remembered; an account beyond has none for what it says otherwise than by sudo or su, until others
#: are forgotten with their report.
ACCOUNTS = 4096


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float
    messages: int = 0
    bytes: int = 0
    since: float = 0.0


class Budget:
    """The buckets of all accounts; ``clock`` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[bytes, str], _Bucket] = {}

    def spend(self, account: bytes, size: int, *, kind: str = "", count: bool = True) -> bool:
        """Tell whether a message of ``size`` bytes is to be recorded; ``count`` it where it is not.

        ``kind`` is that of a program with a bucket of its own.
        """
        if account == b"0":
            return True
        now = self._clock()
        bucket = self._buckets.get((account, kind))
        if bucket is None:
            # Only an account of the host's database has a program's kind: other user ids take nothing from these.
            room = bool(kind) or len(self._buckets) < ACCOUNTS
            bucket = self._buckets[account, kind] = _Bucket(BURST if room else 0, now)
        bucket.left = min(BURST, bucket.left + (now - bucket.at) * RATE)
        bucket.at = now
        if bucket.left >= size:
            bucket.left -= size
            return True
        if not count:
            return False
        if not bucket.messages:
            bucket.since = now
        bucket.messages += 1
        bucket.bytes += size
        return False

    def reports(self, *, finished: bool = False) -> list[tuple[str, str, bytes]]:
        """Return an event of kind `flood` for each account of which messages were left out for long enough."""
        now = self._clock()
        found = []
        for (account, kind), bucket in list(self._buckets.items()):
            if bucket.messages and (finished or now - bucket.since >= REPORT_S):
                said = {"_UID": account.decode("ascii", "replace"), "messages": bucket.messages, "bytes": bucket.bytes}
                said |= {"kind": kind} if kind else {}
                found.append(("flood", "audit", msgspec.json.encode(said)))
                bucket.messages = bucket.bytes = 0
            if not bucket.messages and bucket.left + (now - bucket.at) * RATE >= BURST:
                del self._buckets[account, kind]
        return found
