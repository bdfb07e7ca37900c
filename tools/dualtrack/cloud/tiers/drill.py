"""`tiers restore` as a whole: quote, ask, wait, fetch, check."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from dualtrack.cloud.prices import files
from dualtrack.cloud.tiers import restore as restores
from dualtrack.cloud.tiers.restore import Quote, Restored, Say
from dualtrack.core.errors import Refused
from dualtrack.core.progress import Progress
from dualtrack.data.checkpoints import actions
from dualtrack.data.checkpoints import address as addresses
from dualtrack.data.checkpoints import pull as pulls
from dualtrack.data.checkpoints.cache import Cache, check
from dualtrack.data.checkpoints.remote import Remote

#: Connections to S3 while the objects come.
JOBS = 8


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator asks for; see `dualtrack tiers restore --help`."""

    address: str
    way: str
    within: float | None
    days: int
    cache: Path | None
    poll: float
    wait: bool
    prices: Path | None
    region: str
    endpoint: str


def restore(asked: Asked, agreed: Callable[[Quote], bool], say: Say) -> Restored:
    """Restore a checkpoint where what it takes is ``agreed`` to; return what it took, or takes."""
    address = addresses.parse(asked.address)
    prices = files.storage(asked.prices or files.STORAGE_FACTS)
    remote = Remote(address.bucket, region=asked.region, endpoint=asked.endpoint, jobs=JOBS)
    prefix = address.prefix if address.version else address.path
    objects = restores.look(remote, prefix)
    region = asked.region or str(remote.client.meta.region_name)
    found = restores.quote(objects, prices, region, asked.way, asked.within)
    planned = Restored(
        applied=False,
        address=str(address),
        way=found.way,
        objects=found.objects,
        restoring=found.restoring,
        archived=found.archived,
        gb=sum(it.size for it in objects) / 10**9,
        usd=found.usd,
        promised_s=found.promised_hours * 3600,
    )
    if not agreed(found):
        return planned
    if found.archived:
        restores.ask(remote, objects, found.way, asked.days)
    asked_for = msgspec.structs.replace(planned, applied=True)
    if not asked.wait:
        return asked_for
    waited = restores.wait(remote, prefix, asked.poll, say)
    begin = time.monotonic()
    cache = Cache(actions.directory(asked.cache))
    pulled = pulls.pull(
        address, cache, lambda: remote, jobs=JOBS, budget=None, refresh=False, say=say,
        show=lambda total: Progress("pulled", total),
    )  # fmt: skip
    entry = cache.entry(pulled.key)
    wrong = check(Path(pulled.path), entry.manifest) if entry else ["it is gone"]
    if wrong:
        raise Refused(f"{pulled.key}: {wrong[0]}", hint="dualtrack store verify")
    return msgspec.structs.replace(
        asked_for, waited_s=waited, fetched_s=time.monotonic() - begin, path=pulled.path
    )  # fmt: skip


def words(found: Quote) -> str:
    """Return what a restore takes as a line."""
    if not found.way:
        return f"all {found.objects} objects can be read"
    restoring = f", {found.restoring} are on their way already" if found.restoring else ""
    return (
        f"{found.archived} of {found.objects} objects ({found.gb:,.3g} GB) are archived{restoring};"
        f" {found.way}: up to {found.promised_hours:g} hours, US$ {found.usd:,.2f}"
    )
