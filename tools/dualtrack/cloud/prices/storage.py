"""What S3 costs by storage class: what an entry means, and what is wrong with one. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from dualtrack.cloud.prices.book import Source, dated
from dualtrack.core.errors import BadInput

#: Bytes of the GB that is priced.
GB = 10**9
#: No class costs as much a GB; a figure above it is a slip of the unit (cents, a TB).
MOST_USD = 10.0


class Restore(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One way to read what a class holds: US$ a GB and a thousand objects, and the hours that it may take."""

    usd_per_gb: float
    hours: float
    source: str
    usd_per_1000: float = 0.0


class StorageClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A storage class. Objects are billed for ``least_days`` even when they are deleted before."""

    month_usd_per_gb: float
    source: str
    least_days: int = 0
    restores: dict[str, Restore] = {}


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file of prices, which hold in its ``regions``."""

    schema: Literal["dualtrack.storage-prices/1"]
    sources: dict[str, Source]
    regions: tuple[str, ...]
    classes: dict[str, StorageClass]

    def of(self, name: str, region: str) -> StorageClass | None:
        """Return what a class costs in a region, None where that is not known."""
        return self.classes.get(name) if region in self.regions else None


def check(found: Storage) -> None:
    """Raise BadInput for what is wrong in a file of prices."""
    for name, it in found.classes.items():
        figures = [it.month_usd_per_gb, *(usd for r in it.restores.values() for usd in (r.usd_per_gb, r.usd_per_1000))]
        if any(not 0 <= usd < MOST_USD for usd in figures) or it.month_usd_per_gb == 0:
            raise BadInput(f"{name}: US$ a GB, more than 0 and less than {MOST_USD:g}")
        for source in (it.source, *(r.source for r in it.restores.values())):
            if source not in found.sources:
                raise BadInput(f"{name}: source {source!r} is not among the sources")
    for name, told in found.sources.items():
        if not dated(told.taken):
            raise BadInput(f"source {name}: {told.taken!r} is not a date", hint='write taken: "2026-11-25", in quotes')
