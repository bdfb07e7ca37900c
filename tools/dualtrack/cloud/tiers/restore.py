"""A restore from an archive: what it takes, asking for it, waiting. What is asked for once is not asked for twice."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import msgspec

from dualtrack.cloud.prices.storage import GB, Restore, Storage
from dualtrack.cloud.tiers.plan import Amount, restore_usd
from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.core.s3 import Bucket

ARCHIVES = ("DEEP_ARCHIVE", "GLACIER")
Say = Callable[[str], None]


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """One stored object, and whether it can be read: ``state`` is readable, archived, or restoring."""

    key: str
    size: int
    storage_class: str
    state: str


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore will take: by which way, how long at most, and US$; nothing where all is readable."""

    way: str
    objects: int
    restoring: int
    archived: int
    gb: float
    promised_hours: float
    usd: float


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes, and what it took. Times in seconds; ``promised_s`` is what the way may take.

    ``archived`` and ``restoring`` count objects before. ``applied`` is False for a dry run; the last three are empty
    where nothing was fetched.
    """

    applied: bool
    address: str
    way: str
    objects: int
    restoring: int
    archived: int
    gb: float
    usd: float
    promised_s: float
    waited_s: float | None = None
    fetched_s: float | None = None
    path: str = ""


def look(remote: Bucket, prefix: str) -> list[Object]:
    """Return the objects under a prefix and whether each can be read; External when there are none."""
    found = []
    for it in remote.listed(prefix):
        class_ = str(it.get("StorageClass") or "STANDARD")
        state = "readable" if class_ not in ARCHIVES else state_of((remote.head(it["Key"]) or {}).get("Restore"))
        found.append(Object(key=it["Key"], size=it["Size"], storage_class=class_, state=state))
    if not found:
        raise External(f"there is nothing at s3://{remote.bucket}/{prefix}")
    return found


def state_of(header: object) -> str:
    """Return what S3's header x-amz-restore says: none for what nobody asked for."""
    if not header:
        return "archived"
    return "readable" if re.search(r'ongoing-request="false"', str(header)) else "restoring"


def quote(objects: Sequence[Object], prices: Storage, region: str, way: str, within: float | None) -> Quote:
    """Return what restoring takes. ``way`` is Standard or Bulk, '' for the cheapest that ends ``within`` hours.

    Refused where no way does; BadInput for a way that an archive does not have.
    """
    wanted = [it for it in objects if it.state == "archived"]
    restoring = sum(it.state == "restoring" for it in objects)
    amount = Amount(sum(it.size for it in wanted), len(wanted))
    ways: dict[str, Restore] = {}
    for class_ in {it.storage_class for it in objects if it.state != "readable"}:
        price = prices.of(class_, region)
        if price is None:
            raise BadInput(f"what reading {class_} costs in {region} is not known", hint="--storage-prices FILE")
        ways |= {name: it for name, it in price.restores.items() if name not in ways or it.hours > ways[name].hours}
    if not ways:
        return Quote(way="", objects=len(objects), restoring=0, archived=0, gb=0.0, promised_hours=0.0, usd=0.0)
    if way and way not in ways:
        raise BadInput(f"there is no way {way} to read this", hint=f"one of {', '.join(sorted(ways))}")
    fitting = {
        name: it for name, it in ways.items() if (not way or name == way) and (within is None or it.hours <= within)
    }
    if not fitting:
        fastest = min(it.hours for name, it in ways.items() if not way or name == way)
        raise Refused(f"it takes up to {fastest:g} hours, and {within:g} are allowed", hint="nothing was asked for")
    name, chosen = min(fitting.items(), key=lambda it: (restore_usd(it[1], amount), it[1].hours))
    return Quote(
        way=name,
        objects=len(objects),
        restoring=restoring,
        archived=len(wanted),
        gb=amount.bytes / GB,
        promised_hours=chosen.hours,
        usd=restore_usd(chosen, amount),
    )


def ask(remote: Bucket, objects: Sequence[Object], way: str, days: int) -> int:
    """Ask S3 for what is archived and was not asked for; return for how many objects."""
    return sum(remote.restore(it.key, way, days) for it in objects if it.state == "archived")


def wait(remote: Bucket, prefix: str, poll: float, say: Say) -> float:
    """Wait until everything can be read; return the seconds. May be ended and called again: S3 continues."""
    begin, last = time.monotonic(), -1
    while True:
        objects = look(remote, prefix)
        left = [it for it in objects if it.state != "readable"]
        if not left:
            return time.monotonic() - begin
        lost = next((it for it in left if it.state == "archived"), None)
        if lost is not None:
            raise External(f"{lost.key} is not being restored any more", hint="the same command asks for it again")
        if len(left) != last:
            last = len(left)
            say(f"{len(objects) - last} of {len(objects)} objects can be read; the rest is being restored")
        time.sleep(poll)
