"""What tenants have used this month, as the gateways of the tracks that are up have counted it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from dualtrack.core.errors import DualtrackError
from dualtrack.serving import tenants
from dualtrack.serving.gateway import Tokens
from dualtrack.tracks.serving import Site, side_by_side, tenants_file


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens that a tenant has used on all gateways, and its limit on each of them (None where it has none)."""

    tenant: str
    tokens: int
    tokens_per_month: int | None


class Usage(msgspec.Struct, frozen=True):
    """Tenants of the file and those that were removed from it, and why a gateway has not counted or said all of it."""

    month: str
    tenants: tuple[Used, ...]
    problems: tuple[str, ...]


def usage(sites: Sequence[Site]) -> Usage:
    """Ask every gateway, and add up."""
    limits = {it.name: it.tokens_per_month for it in tenants.load(tenants_file(sites)).tenants}
    said = side_by_side(sites, _said)
    counted = [it for it in said if isinstance(it, Tokens)]
    problems = [
        it if isinstance(it, str) else f"{site.gateway.name}: {it.lost}"
        for site, it in zip(sites, said, strict=True)
        if isinstance(it, str) or it.lost
    ]
    # Gateways whose clocks are a moment apart may be in two months; the newer one counts.
    month = max((it.month for it in counted), default="")
    total: Counter[str] = Counter(dict.fromkeys(limits, 0))
    for it in counted:
        if it.month == month:
            total.update(it.tokens)
    rows = (Used(tenant=it, tokens=total[it], tokens_per_month=limits.get(it)) for it in sorted(total))
    return Usage(month, tuple(rows), tuple(problems))


def _said(site: Site) -> Tokens | str:
    try:
        return site.gateway.tokens()
    except DualtrackError as error:
        return f"{site.gateway.name}: {error}"
