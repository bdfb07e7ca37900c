"""`tiers restore` as a whole: quote, ask, wait, fetch, check."""

from __future__ import annotations

import sys
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
    dry_run: bool
    prices: Path | None
    region: str
    endpoint: str


def restore(asked: Asked, confirm: Callable[[str], bool] | None, say: Say) -> Restored | None:
    """Restore a checkpoint; None when it was only asked for, or shown. Refused when the cost was not confirmed."""
    address = addresses.parse(asked.address)
    prices = files.storage(asked.prices or files.STORAGE_FACTS)
    remote = Remote(address.bucket, region=asked.region, endpoint=asked.endpoint, jobs=JOBS)
    prefix = address.prefix if address.version else address.path
    objects = restores.look(remote, prefix)
    region = asked.region or str(remote.client.meta.region_name)
    found = restores.quote(objects, prices, region, asked.way, asked.within)
    say(_words(found))
    if asked.dry_run:
        return None
    if found.archived:
        _confirmed(found, confirm)
        restores.ask(remote, objects, found.way, asked.days)
    if not asked.wait:
        say("asked for; the same command without --no-wait fetches it")
        return None
    waited = restores.wait(remote, prefix, asked.poll, say)
    begin = time.monotonic()
    cache = Cache(actions.folder(asked.cache))
    pulled = pulls.pull(
        address, cache, lambda: remote, jobs=JOBS, budget=None, refresh=False, say=say,
        show=lambda total: Progress("pulled", total),
    )  # fmt: skip
    entry = cache.entry(pulled.key)
    wrong = check(Path(pulled.path), entry.manifest) if entry else ["it is gone"]
    if wrong:
        raise Refused(f"{pulled.key}: {wrong[0]}", hint="dualtrack store verify")
    return Restored(
        address=str(address),
        way=found.way,
        objects=found.objects,
        gb=sum(it.size for it in objects) / 10**9,
        usd=found.usd,
        promised_s=found.promised_hours * 3600,
        waited_s=waited,
        fetched_s=time.monotonic() - begin,
        path=pulled.path,
    )


def _confirmed(found: Quote, confirm: Callable[[str], bool] | None) -> None:
    if confirm is None:
        return
    if not sys.stdin.isatty():
        raise Refused("a restore costs money and nobody can be asked", hint="--yes")
    if not confirm(f"Spend US$ {found.usd:,.2f}?"):
        raise Refused("not confirmed: nothing was asked for")


def _words(found: Quote) -> str:
    if not found.way:
        return f"all {found.objects} objects can be read"
    restoring = f", {found.restoring} are on their way already" if found.restoring else ""
    return (
        f"{found.archived} of {found.objects} objects ({found.gb:,.3g} GB) are archived{restoring};"
        f" {found.way}: up to {found.promised_hours:g} hours, US$ {found.usd:,.2f}"
    )
