"""Counts the tokens of each tenant from the front's log, and stops tenants that have used up theirs.

Part of the program of hosts with the role gateway (beside `gateway`): its service runs

    dualtrack-gateway account      reads the log as it grows, for ever
    dualtrack-gateway tokens       prints {"month": "2026-11", "tokens": {tenant: tokens of this month}, "lost": why}

Checked before, charged after: a request is refused when its tenant has used up its tokens of this minute or this month
by then, and an answer that runs is never cut. Tokens of a minute are a bucket, which fills all the time by its tokens a
minute, and holds as many; whoever has gone beyond it waits for a minute at most. A month is the clock's, in UTC. What
was counted and up to where in the log are one file, so that nothing is counted twice or left out, whenever this process
is killed and the log is rotated (once while it does not run, at most).

What each tenant has asked goes into the audit trail (by the journal), once a minute, for each track and how it ended. A
minute may have several such records, which add up; killed between a record and its note, it is written once more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import syslog
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from io import BufferedReader
from pathlib import Path
from typing import Any

from dualtrack.hosts.agents import gateway
from dualtrack.hosts.agents.gateway import Haproxy, NotRunning, Refused, locked, read_map, write
from dualtrack.hosts.agents.gateway_persons import Taker

LOG = Path("/var/log/nginx/requests.log")
KEPT = Path("/var/lib/dualtrack/gateway/tokens.json")
BUDGETS, SPENT = "budgets", "spent"
#: What the name of a damaged ledger is continued with, and what follows from one.
ASIDE = ".damaged-"
LOST = "tokens of this month that are in no log any more are not counted, and tenants may use more than their limit"
#: Seconds between two looks at the log. A tenant may use more than its tokens for so long, and what runs by then.
PAUSE_S = 0.5
#: The time at which there are tokens again that were used up for the month: none that HAProxy waits for.
NEVER = 9_999_999_999
#: Bytes of the log that are read at once.
CHUNK = 1 << 20


@dataclass
class Ledger:
    """What tenants have used of the minute and the month that began last, and where in the logs that ends."""

    month: str = ""
    tokens: dict[str, int] = field(default_factory=dict)
    minute: int = 0
    #: Tokens that are missing in each tenant's bucket, and when (UTC, in seconds) they were.
    missing: dict[str, float] = field(default_factory=dict)
    at: float = 0.0
    #: How far each log was read, by its inode.
    places: dict[str, int] = field(default_factory=dict)
    #: By minute what is not in the audit trail yet: requests, tokens read and written, by tenant, track and end (JSON).
    uses: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def sound(self) -> bool:
        """Tell whether everything in it is of its kind: whoever writes to the disk may have written anything."""
        numbers = (self.tokens, self.places)
        return (
            isinstance(self.month, str)
            and isinstance(self.minute, int)
            and all(isinstance(it, dict) and all(type(value) is int for value in it.values()) for it in numbers)
            and isinstance(self.at, int | float)
            and isinstance(self.missing, dict)
            and all(isinstance(it, int | float) for it in self.missing.values())
            and isinstance(self.uses, dict)
            and all(minute.isdigit() and isinstance(it, dict) for minute, it in self.uses.items())
            and all(_is_use(key, value) for it in self.uses.values() for key, value in it.items())
        )

    def turn(self, now: float) -> None:
        """Begin a new minute or month, where one has begun."""
        month = time.strftime("%Y-%m", time.gmtime(now))
        if month != self.month:
            self.month, self.tokens = month, {}
        self.minute, self.at = int(now // 60), self.at or now

    def add(self, line: bytes) -> None:
        """Count a line of the log; one that is none, or of another minute or month, counts where it belongs or not."""
        try:
            found = json.loads(line)
            tenant, track, at = found["tenant"], found["track"], float(found["ended"])
            read, written, status = int(found["read"]), int(found["written"]), int(found["status"])
            minute = str(int(at // 60))
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            return
        if not isinstance(tenant, str) or not isinstance(track, str) or at < 0:
            return
        end = "answered" if status < 400 else "refused" if status < 500 else "failed"
        use = self.uses.setdefault(minute, {}).setdefault(json.dumps([tenant, track, end]), [0, 0, 0])
        for number, more in enumerate((1, max(0, read), max(0, written))):
            use[number] += more
        tokens = read + written
        if not tenant or tokens <= 0:
            return
        if time.strftime("%Y-%m", time.gmtime(at)) == self.month:
            self.tokens[tenant] = self.tokens.get(tenant, 0) + tokens
        if int(at // 60) >= self.minute - 1:  # what ended before has come back
            self.missing[tenant] = self.missing.get(tenant, 0) + tokens

    def over(self) -> list[str]:
        """Return records for the audit trail of the minutes that are over, and forget them."""
        records = []
        for minute in sorted((it for it in self.uses if int(it) < self.minute), key=int):
            at = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(int(minute) * 60))
            for key, (requests, read, written) in sorted(self.uses.pop(minute).items()):
                tenant, track, end = json.loads(key)
                records.append(json.dumps({
                    "event": "requests", "minute": at, "tenant": tenant, "track": track, "end": end,
                    "requests": requests, "read": read, "written": written,
                }))  # fmt: skip
        return records

    def spent(self, budgets: Mapping[str, str], now: float) -> dict[str, str]:
        """Return the map entry of each tenant with a budget, three numbers: `UNTIL MOST FULL`.

        UNTIL is the time (UTC, in seconds) from which the tenant may ask again: 0 if it may ask now, NEVER if the
        tokens of the month are used up. MOST is the number of tokens per minute, 0 if there is no limit. FULL is the
        time at which the bucket is full again, 0 if it is full. Buckets are refilled for the time since the last call.
        """
        found, missing = {}, {}
        for tenant, text in budgets.items():
            minute, month = (int(it) if it.isdigit() else 0 for it in text.partition(":")[::2])
            until = NEVER if month and self.tokens.get(tenant, 0) >= month else 0
            full = 0
            if minute and tenant in self.missing:
                # A tenant that has overdrawn its bucket owes the tokens of one minute at most.
                left = min(self.missing[tenant], 2.0 * minute) - max(0.0, now - self.at) * minute / 60
                if left > 0:
                    missing[tenant] = left
                    full = int(now + left * 60 / minute) + 1
                if left >= minute:
                    until = until or full - 60
            if minute or until:
                found[tenant] = f"{until} {minute} {full}"
        self.missing, self.at = missing, now
        return found


#: What an older version of this program may not have kept.
_OTHERS = [it.name for it in fields(Ledger)][2:]


def _is_use(key: str, value: object) -> bool:
    try:
        known = json.loads(key)
    except ValueError:
        return False
    return (
        isinstance(known, list)
        and [type(it) for it in known] == [str] * 3
        and isinstance(value, list)
        and [type(it) for it in value] == [int] * 3
    )


def lines(ledger: Ledger, log: Path) -> Iterator[bytes]:
    """Yield what came after the ledger's places, which move with it; half a line waits for its end.

    Of the log, and of the one that was rotated away last: the front writes into that until it is told of the new one.
    """
    places: dict[str, int] = {}
    with contextlib.ExitStack() as files:
        found: dict[int, BufferedReader] = {}
        for path in (log, log.with_name(f"{log.name}.1")):  # in this order, a rotation meanwhile hides neither
            with contextlib.suppress(FileNotFoundError):
                file = files.enter_context(path.open("rb"))
                found.setdefault(os.fstat(file.fileno()).st_ino, file)
        for inode, file in reversed(found.items()):
            place = ledger.places.get(str(inode), 0)
            if place > os.fstat(file.fileno()).st_size:
                place = 0
            file.seek(place)
            while data := file.read(CHUNK):
                end = data.rfind(b"\n") + 1
                if not end and len(data) == CHUNK:
                    end = len(data)  # a line of a megabyte is none of ours
                if not end:
                    break
                yield from data[:end].splitlines()
                place += end
                file.seek(place)
            places[str(inode)] = place
    ledger.places = places


def read(kept: Path) -> Ledger | None:
    """Return the ledger as it was kept; a new one where there never was one, None where it is damaged."""
    try:
        given = json.loads(kept.read_bytes())
        # What another version of this program has kept besides is not asked for.
        found = Ledger(given["month"], given["tokens"], **{it: given[it] for it in _OTHERS if it in given})
    except FileNotFoundError:
        return None if aside(kept) else Ledger()
    except (OSError, LookupError, ValueError, TypeError, RecursionError):
        return None
    return found if found.sound() else None


def aside(kept: Path) -> list[Path]:
    """Return the damaged ledgers that were kept."""
    return sorted(kept.parent.glob(f"{kept.name}{ASIDE}*"))


def load(kept: Path, *, log: Path = LOG, now: float | None = None, say: Callable[[str], None] = print) -> Ledger:
    """Return the ledger as it was kept. A damaged one is put aside, and that is said.

    In its place comes one with the tokens of this month that are still in the logs, up to their end: they count for the
    limits. What goes into the audit trail is not counted again, since most of it is there.
    """
    found = read(kept)
    if found is not None:
        return found
    name = f"{kept.name}{ASIDE}"
    try:
        data = kept.read_bytes()
        write(kept.with_name(name + hashlib.sha256(data).hexdigest()[:12]), data)
    except FileNotFoundError:  # killed after it was put aside
        pass
    except OSError:
        kept.replace(kept.with_name(f"{name}unreadable-{int(time.time())}"))
    found = Ledger()
    found.turn(time.time() if now is None else now)
    for line in lines(found, log):
        found.add(line)
    found.missing, found.uses = {}, {}
    write(kept, json.dumps(found.__dict__) + "\n")
    say(f"{kept} was damaged, and is kept beside it ({name}…): {LOST}")
    return found


def tell(record: str) -> None:
    """Give a record to the journal, from which it goes into the audit trail (role audit)."""
    syslog.openlog("dualtrack")
    syslog.syslog(syslog.LOG_INFO, record)


def step(
    ledger: Ledger, now: float, *, log: Path = LOG, kept: Path = KEPT, folder: Path = gateway.MAPS,
    path: Path = gateway.SOCKET, audit: Callable[[str], None] = tell,
) -> None:  # fmt: skip
    """Count what has come, keep it, and tell HAProxy who has used up what, and the trail who has asked."""
    ledger.turn(now)
    before = (ledger.places, ledger.month)
    for line in lines(ledger, log):
        ledger.add(line)
    records = ledger.over()
    for record in records:
        audit(record)
    if records or (ledger.places, ledger.month) != before:
        write(kept, json.dumps(ledger.__dict__) + "\n")
    spent = ledger.spent(read_map(folder / f"{BUDGETS}.map"), now)
    with locked(folder):
        changed = write(folder / f"{SPENT}.map", "".join(f"{key} {value}\n" for key, value in sorted(spent.items())))
        if changed:
            with contextlib.suppress(NotRunning):
                gateway.replace(Haproxy(path), folder, {SPENT: spent}, (SPENT,))


def account() -> None:
    """Count for ever: tokens, and persons. What HAProxy refuses is told it again at the next look."""
    ledger, taker = load(KEPT, say=_warn), Taker()
    while True:
        try:
            for warning in taker.step():
                _warn(warning)
        except OSError as error:  # tokens are counted all the same
            _warn(f"persons cannot be counted now: {error}")
            taker = Taker()  # what it has not written down, it takes again
        try:
            step(ledger, time.time())
        except Refused:
            (gateway.MAPS / f"{SPENT}.map").unlink(missing_ok=True)
        time.sleep(PAUSE_S)


def _warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def tokens(kept: Path = KEPT) -> dict[str, Any]:
    """Return the tokens of this month, by tenant, and why some are missing (`lost`), where that is so."""
    ledger, now = read(kept), time.time()
    lost = LOST if ledger is None else ""
    for path in aside(kept):
        with contextlib.suppress(FileNotFoundError):
            if time.gmtime(path.stat().st_mtime)[:2] == time.gmtime(now)[:2]:
                lost = f"{path.name}: {LOST}"
    ledger = ledger or Ledger()
    ledger.turn(now)
    return {"month": ledger.month, "tokens": ledger.tokens, "lost": lost}
