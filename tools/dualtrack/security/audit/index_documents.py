"""How records and heads lie in the search store (pure): an index for each host and day, and names that never change.

A document's id is the record's number and its place in the chain. The same record sent twice is one document; two
records with one number, of which one must be forged, are two, and both stay.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.security.audit import record
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.record import Record

#: What a host may be called: part of an index's name.
HOST = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}")
#: An index: whose it is, and of which day.
INDEX = re.compile(r"audit-(.+)-(\d{4})\.(\d{2})\.(\d{2})")
#: Where a host puts the days of which it needs an index (`index_requests`): one for each host, made by the controller.
#: By its dot it is out of the administrator's reach, and of snapshots.
ASKED = ".asked-"
#: Nanoseconds of a day, and the last one that a date has four digits for.
DAY_NS, LAST_NS = 86_400 * 10**9, 253_402_300_799 * 10**9


def host(name: str) -> str:
    """Return a host's name; BadInput for one that no index can be called after."""
    if not HOST.fullmatch(name):
        raise BadInput(f"{name!r} cannot be a host in the store", hint="lower-case letters, digits, dots, hyphens")
    return name


def indices(name: str) -> str:
    """Return a pattern of all indices of a host, and not of one whose name begins like its: `a-b` beside `a`."""
    return f"audit-{name}-*,-audit-{name}-*-*"


def host_of(index: str) -> str:
    """Return whose index it is by its name, which the store has held to a certificate; '' for no audit index."""
    found = INDEX.fullmatch(index)
    return found[1] if found else ""


def logs_index(name: str, day: date) -> str:
    """Return what the index of a host's ordinary logs of a day is called."""
    return f"logs-{name}-{day:%Y-%m-%d}"


def of_record(name: str, line: bytes) -> bytes:
    """Return the two lines of a bulk request that create one record; BadInput for a line that is none."""
    found, data, chain = record.parse(line)
    digits = chain.hex()
    action = f'{{"create":{{"_index":"audit-{name}-{_day(found.t)}","_id":"{found.n}-{digits[:16]}"}}}}\n'
    # The record's own JSON goes in as it is, its fields beside ours.
    more = f'{{"@timestamp":"{_time(found.t)}","host":"{name}","chain":"{digits}",'
    return action.encode() + more.encode() + data[1:] + b"\n"


def of_head(name: str, line: bytes) -> bytes:
    """Return the two lines that create one head: whole, with its signature."""
    found, data, _ = heads.parse(line)
    digits = heads.digest(data)
    action = {"_index": f"audit-{name}-{_day(found.ended)}", "_id": f"head-{found.segment}-{digits[:16]}"}
    body = {
        "@timestamp": _time(found.ended), "host": name, "kind": "head", "segment": found.segment, "chain": digits,
        "line": line.decode().rstrip("\n"),
    }  # fmt: skip
    return msgspec.json.encode({"create": action}) + b"\n" + msgspec.json.encode(body) + b"\n"


def of_asks(name: str, indices: Sequence[str]) -> bytes:
    """Return the lines of a bulk request that asks for a host's indices: each by its day, once."""
    days = [it.removeprefix(f"audit-{name}-") for it in indices]
    pairs = [({"index": {"_index": f"{ASKED}{name}", "_id": it}}, {"day": it}) for it in days]
    return b"".join(msgspec.json.encode(it) + b"\n" for pair in pairs for it in pair)


def line_of(found: dict[str, Any]) -> bytes:
    """Return the line of a segment's file that a document was made from, byte for byte.

    Of a document that was never a record, a line that is none: it is for the verifier to find, and hides nothing else.
    """
    try:
        chain = bytes.fromhex(found["chain"])
        fields = {name: found[name] for name in Record.__struct_fields__ if name in found}
        return record.line(record.encode(msgspec.convert(fields, Record)), chain)
    except (KeyError, ValueError, TypeError, msgspec.ValidationError):
        return msgspec.json.encode(found)[: record.LINE - 1] + b"\n"


def line_of_head(found: dict[str, Any]) -> bytes:
    """Return a head's line out of its document."""
    return f"{found.get('line')}\n".encode()


def _day(ns: int) -> str:
    return _date(_clipped(ns) // DAY_NS)


@lru_cache(maxsize=64)
def _date(day: int) -> str:
    return f"{datetime.fromtimestamp(day * 86_400, UTC):%Y.%m.%d}"


def _time(ns: int) -> str:
    """Return a time as the store reads it, to the millisecond."""
    return datetime.fromtimestamp(_clipped(ns) / 1e9, UTC).isoformat(timespec="milliseconds")


def _clipped(ns: int) -> int:
    """Return a time that a calendar has: of one before 1970 or after 9999 the nearest."""
    return min(max(ns, 0), LAST_NS)
