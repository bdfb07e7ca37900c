"""The operator's numbers behind a break-even: read from a file, every one checked, none without a source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from dualtrack.cloud.prices.book import Source, dated
from dualtrack.core.errors import BadInput
from dualtrack.core.files import read_as

#: The guide's own case, which the repository keeps.
GUIDE = Path(__file__).with_name("guide.yml")
HELP = "docs/how-to/read-the-cost-report.md explains every field"


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One number and where it is from."""

    value: float
    source: str


class Exchange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a US$ costs in ¥, and on which day."""

    cny_per_usd: float
    taken: str
    source: str


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One call. ``tokens``: those that it reads and those that it writes."""

    tokens: Figure


class Local(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One server of one's own. ``utilisation`` is the part of a month (0 to 1) that calls can fill."""

    day_cny: Figure
    years: float
    tokens_per_s: Figure
    utilisation: Figure
    power_kw: Figure
    power_cny_per_kwh: Figure
    staff_cny_per_month: Figure


class Cloud(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One node of the cloud. ``utilisation`` is the part of the paid hours (0 to 1) in which it serves calls."""

    node_usd_per_hour: Figure
    tokens_per_s: Figure
    utilisation: Figure
    minimum_nodes: Figure
    staff_cny_per_month: Figure


class Assumptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    schema: Literal["dualtrack.breakeven/1"]
    sources: dict[str, Source]
    exchange: Exchange
    call: Call
    local: Local
    cloud: Cloud


#: Figures that may be nothing; all others must be more than that.
MAY_BE_ZERO = {
    "local.power_kw", "local.power_cny_per_kwh", "local.staff_cny_per_month", "cloud.minimum_nodes",
    "cloud.staff_cny_per_month",
}  # fmt: skip


def load(path: Path = GUIDE) -> Assumptions:
    """Return the assumptions in a YAML or JSON file, the guide's without one; BadInput names what is wrong."""
    found = read_as(path, Assumptions, "a file of assumptions", HELP)
    if problem := next(_wrong(found), ""):
        raise BadInput(f"{path}: {problem}", hint=HELP)
    return found


def figures(of: Assumptions) -> dict[str, float]:
    """Return every number by its dotted name: ``cloud.node_usd_per_hour``, …"""
    found = {"exchange.cny_per_usd": of.exchange.cny_per_usd}
    for part in ("call", "local", "cloud"):
        fields = msgspec.structs.asdict(getattr(of, part))
        found |= {f"{part}.{name}": it.value for name, it in fields.items() if isinstance(it, Figure)}
    return found


def with_figure(of: Assumptions, name: str, value: float) -> Assumptions:
    """Return the same assumptions with one number changed."""
    part, field = name.split(".")
    inner = getattr(of, part)
    new = value if part == "exchange" else msgspec.structs.replace(getattr(inner, field), value=value)
    changed = msgspec.structs.replace(inner, **{field: new})
    return msgspec.structs.replace(of, **{part: changed})


def _wrong(of: Assumptions) -> Iterator[str]:
    for name, value in figures(of).items():
        least = 0.0 if name in MAY_BE_ZERO else math.nextafter(0, 1)
        if not least <= value < math.inf:
            yield f"{name} is {value:g}: {'0 or more' if name in MAY_BE_ZERO else 'more than 0'}"
        if name.endswith("utilisation") and value > 1:
            yield f"{name} is {value:g}: a part of the time, 1 at most"
    if not 0 < of.local.years < math.inf:
        yield f"local.years is {of.local.years:g}: more than 0"
    if of.cloud.minimum_nodes.value % 1:
        yield f"cloud.minimum_nodes is {of.cloud.minimum_nodes.value:g}: nodes are whole"
    for name, source in [*_sources(of), ("exchange", of.exchange.source)]:
        if source not in of.sources:
            yield f"{name}: source {source!r} is not among the sources: describe it there, with its date"
    for name, taken in [
        ("exchange", of.exchange.taken),
        *((f"source {it}", of.sources[it].taken) for it in of.sources),
    ]:
        if not dated(taken):
            yield f'{name}: {taken!r} is not a date: write taken: "2026-11-25", in quotes'


def _sources(of: Assumptions) -> Iterator[tuple[str, str]]:
    for part in ("call", "local", "cloud"):
        for name, it in msgspec.structs.asdict(getattr(of, part)).items():
            if isinstance(it, Figure):
                yield f"{part}.{name}", it.source
