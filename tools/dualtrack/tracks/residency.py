"""Whose requests left the country, as the gateways of the tracks that are up have counted it."""

from __future__ import annotations

from collections.abc import Sequence

from dualtrack.core.errors import DualtrackError
from dualtrack.serving.residency import Counted, ResidencyReport, report
from dualtrack.tracks.serving import Site, side_by_side


def persons(sites: Sequence[Site], year: int | None = None) -> ResidencyReport:
    """Ask every gateway, and add up; of ``year``, or of the year that it is in China now."""

    def one(site: Site) -> Counted | str:
        try:
            return site.gateway.persons(year)
        except DualtrackError as error:
            return f"{site.gateway.name}: {error}"

    said = side_by_side(sites, one)
    counted = [it for it in said if isinstance(it, Counted)]
    # Gateways whose clocks are a moment apart may be in two years; the newer one counts.
    newest = max((it.year for it in counted), default=year or 0)
    return report(newest, counted, [it for it in said if isinstance(it, str)])
