"""`store prefetch`: all versions that a file names into the cache, and what is to be said of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from dualtrack.core.errors import BadInput, DualtrackError, External
from dualtrack.core.files import read
from dualtrack.core.progress import size
from dualtrack.data.checkpoints import pull as pulls
from dualtrack.data.checkpoints.address import Address
from dualtrack.data.checkpoints.cache import UNSEALED, Cache, Entry, begun
from dualtrack.data.checkpoints.manifest import Manifest
from dualtrack.data.checkpoints.remote import Remote

Say = Callable[[str], None]


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is named, and how far it is: bytes on the disk of bytes in all (0 where nobody knows yet)."""

    address: str
    state: Literal["complete", "pulling", "unfinished", "missing"]
    done: int
    size: int
    path: str


def look(cache: Cache, addresses: Sequence[Address]) -> list[Named]:
    """Return how far each version is; nobody is asked and nothing is changed."""
    return [_look(cache, it) for it in addresses]


def _look(cache: Cache, address: Address) -> Named:
    if known := cache.known(address):
        return _complete(cache, address, *known)
    for key in cache.unfinished():
        try:
            plan = read(cache.staging(key) / "plan.json", Manifest)
        except BadInput:  # half a file, of before a power cut
            plan = None
        if plan is not None and cache.key(address, plan) == key:
            with cache.pulling(key, wait=False) as idle:
                state: Literal["unfinished", "pulling"] = "unfinished" if idle else "pulling"
            return Named(
                address=str(address),
                state=state,
                done=min(plan.size, begun(cache.staging(key))),
                size=plan.size,
                path="",
            )
    if opened := cache.known(address, UNSEALED):
        return _complete(cache, address, *opened)
    return Named(address=str(address), state="missing", done=0, size=0, path="")


def _complete(cache: Cache, address: Address, key: str, entry: Entry) -> Named:
    total = entry.manifest.size
    return Named(address=str(address), state="complete", done=total, size=total, path=str(cache.version(key) / "files"))


def fill(
    addresses: Sequence[Address], cache: Cache, connect: Callable[[str], Remote], *, jobs: int, budget: int | None,
    say: Say, show: pulls.Show,
) -> list[Named]:  # fmt: skip
    """Bring all of them into the cache, one after the other; one that fails does not stop the others.

    ``connect`` returns the API of a bucket. Each is held until all are there: none makes another one go. What is said
    of a version begins with its address. Raises External at the end when one is not there. One that was opened on the
    way is there, and stays as it is.
    """
    failed = []
    for address in addresses:
        try:
            here = cache.known_forms(address)
            for key, _ in here:
                cache.use(key)
            if here:
                continue
            say(f"{address}: pulling")
            found = pulls.pull(
                address, cache, lambda bucket=address.bucket: connect(bucket),  # type: ignore[misc]
                jobs=jobs, budget=budget, refresh=False, say=say, show=show,
            )  # fmt: skip
            cache.use(found.key)
            say(f"{address}: complete, {size(found.size)}")
        except (DualtrackError, OSError) as error:
            say(f"{address}: failed: {error}")
            failed.append(str(error))
    if failed:
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise External(f"{len(failed)} of {len(addresses)} versions are not there: {failed[0]}{more}")
    return look(cache, addresses)
