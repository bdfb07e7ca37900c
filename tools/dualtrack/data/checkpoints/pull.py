"""`store pull`: a version into the cache, once for all who ask for it at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING

import msgspec

from dualtrack.core.errors import BadInput, External
from dualtrack.core.files import read, write_atomically
from dualtrack.core.progress import size
from dualtrack.data.checkpoints import manifest as manifests
from dualtrack.data.checkpoints.address import LATEST, Address
from dualtrack.data.checkpoints.cache import UNSEALED, Cache, Entry, begun
from dualtrack.data.checkpoints.fetch import Fetch
from dualtrack.data.checkpoints.manifest import Manifest
from dualtrack.data.checkpoints.plan import PullPlan, plain
from dualtrack.data.checkpoints.remote import Remote

if TYPE_CHECKING:
    from dualtrack.security.seal.slots import Identity

Say = Callable[[str], None]
Tick = Callable[[int], object]
#: A display of progress towards so many bytes.
Show = Callable[[int], AbstractContextManager[Tick]]


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """What a pull did: bytes that came over the network, and bytes that an earlier, unfinished one had brought."""

    address: str
    key: str
    path: str
    size: int
    fetched: int
    resumed: int


def pull(
    address: Address, cache: Cache, connect: Callable[[], Remote], *, jobs: int, budget: int | None, refresh: bool,
    say: Say, show: Show, identities: Sequence[Identity] = (),
) -> Pulled:  # fmt: skip
    """Return where a version lies in the cache, after bringing it there if it is not.

    ``budget`` is what the cache may hold in bytes; ``refresh`` asks the bucket also for what is here already.
    A version never changes, so a warm pull of one asks nobody; plain objects are always asked for. An address with a
    digest stands for nothing else than the version whose manifest has it. With
    ``identities`` what is sealed is opened on the way: another version, beside the one as it is in the bucket.
    """
    cache.sweep()
    form = UNSEALED if identities else ""
    if address.version not in ("", LATEST) and not refresh and (known := cache.known(address, form)):
        return _warm(address, cache, *known)
    remote = connect()
    if address.version == LATEST:
        address = remote.latest(address)
        say(f"the version pushed last is {address.version}")
    address, of = _named(remote, address)
    plan = _opened(remote, address, of, identities, jobs) if identities else plain(remote, address, of)
    key = cache.key(address, plan.of)
    with closing(plan):
        with cache.pulling(key, wait=False) as mine:
            if mine:
                return _alone(address, cache, remote, plan, key, jobs, budget, say, show)
        say(f"{key} is being pulled by somebody else: waiting")
        with cache.pulling(key):
            return _alone(address, cache, remote, plan, key, jobs, budget, say, show)


def _named(remote: Remote, address: Address) -> tuple[Address, Manifest]:
    """Return an address with its digest, and what belongs to it; plain objects have none."""
    if not address.version:
        return address, remote.manifest(address)
    of, digest = remote.stored(address)
    return msgspec.structs.replace(address, digest=digest), of


def _opened(remote: Remote, address: Address, of: Manifest, identities: Sequence[Identity], jobs: int) -> PullPlan:
    from dualtrack.data.checkpoints import unsealing

    return unsealing.opened(remote, address, of, identities, jobs)


def _warm(address: Address, cache: Cache, key: str, entry: Entry) -> Pulled:
    cache.touch(key)
    return Pulled(
        address=str(address),
        key=key,
        path=str(cache.version(key) / "files"),
        size=entry.manifest.size,
        fetched=0,
        resumed=0,
    )


def _alone(
    address: Address, cache: Cache, remote: Remote, plan: PullPlan, key: str, jobs: int, budget: int | None, say: Say,
    show: Show,
) -> Pulled:  # fmt: skip
    """Pull as the only one who pulls this version."""
    entry = cache.entry(key)
    if entry is not None:
        if cache.sound(key, entry) and manifests.agree(plan.of, entry.manifest):
            cache.remember(address, key, plan.form)
            cache.note(key, entry, address)
            return _warm(address, cache, key, entry)
        say(f"{key} in the cache is torn: it is pulled anew")
    elif cache.version(key).exists():
        say(f"{key} in the cache is damaged: it is pulled anew")
    staging, of = cache.staging(key), plan.of
    make_room(cache, of.size - min(of.size, begun(staging)), of.size, budget, say)
    _same_plan(cache, key, of)
    with show(of.size) as tick:
        fetch = Fetch(remote, plan, staging, jobs=jobs, tick=tick)
        whole = fetch.run()
    path = cache.publish(key, address, whole, plan.form)
    return Pulled(
        address=str(address),
        key=key,
        path=str(path),
        size=of.size,
        fetched=of.size - fetch.resumed,
        resumed=fetch.resumed,
    )


def _same_plan(cache: Cache, key: str, of: Manifest) -> None:
    """Begin the staging directory, or continue in it; one of a damaged or another plan is begun anew."""
    file = cache.staging(key) / "plan.json"
    try:
        begun_as = read(file, Manifest)
    except BadInput:  # half a file, of before a power cut
        begun_as = None
    if begun_as is None or begun_as.digest != of.digest:
        if file.parent.exists():
            cache.discard(file.parent)
        write_atomically(file, manifests.encode(of))


def make_room(cache: Cache, needed: int, whole: int, budget: int | None, say: Say) -> None:
    """Evict until ``needed`` bytes fit the disk and ``whole`` ones the budget; External before that if they cannot."""
    held = cache.held()
    kept = sum(it.size for it in held)
    free = cache.free()
    spare = [it for it in held if not it.in_use]
    over = 0 if budget is None else max(0, kept + whole - budget)
    if needed > free + sum(it.size for it in spare) or over > sum(it.size for it in spare):
        limit = f"the budget is {size(budget)}" if over and budget is not None else f"{size(free)} are free"
        in_use = sum(it.size for it in held if it.in_use)
        raise External(
            f"{size(whole)} do not fit into {cache.root}: {limit}, {size(in_use)} of {size(kept)} held are in use",
            hint="dualtrack store list shows by what",
        )
    for it in spare:
        if needed <= cache.free() and over <= 0:
            return
        if cache.evict(it.key):
            over -= it.size
            say(f"evicted: {it.key} ({size(it.size)}), {'damaged' if it.wrong else 'not used for longest'}")
    if needed > cache.free():
        raise External(f"{size(whole)} do not fit into {cache.root}: {size(cache.free())} are free")
