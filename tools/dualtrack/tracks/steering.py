"""Fail-over by hand: the same word to every gateway of the tracks that are up, and what is in force on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from dualtrack.core.errors import BadInput, DualtrackError, External, Refused
from dualtrack.serving.gateway import Engine
from dualtrack.tracks.serving import TRACKS, Site, by_whom, side_by_side

Verb = Literal["switch", "hold", "drain", "release"]


class Steered(msgspec.Struct, frozen=True, kw_only=True):
    """What telling one gateway did; ``problem`` says why it could not be told, '' where it was."""

    gateway: str
    changed: bool
    problem: str = ""


class GatewaySteering(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force on a gateway, and its engines; ``problem`` says why it does not tell, '' where it does."""

    gateway: str
    first: str = ""
    held: tuple[str, ...] = ()
    engines: tuple[Engine, ...] = ()
    problem: str = ""


def status(sites: Sequence[Site]) -> list[GatewaySteering]:
    """Ask every gateway what is in force, side by side."""

    def one(site: Site) -> GatewaySteering:
        name = site.gateway.name
        try:
            now = site.gateway.steering()
            return GatewaySteering(gateway=name, first=now.first, held=now.held, engines=site.gateway.status().engines)
        except DualtrackError as error:
            return GatewaySteering(gateway=name, problem=str(error))

    return side_by_side(sites, one)


def steer(
    sites: Sequence[Site], verb: Verb, what: str, *, last: bool = False, model: str | None = None
) -> list[Steered]:
    """Give every gateway the word, one after the other; with ``model`` an engine is drained for this model alone.

    BadInput where no gateway has an engine or a track of this name, External where one does not say. Without ``last``,
    Refused where nothing could answer a model any more.
    """
    now = status(sites)
    known = {it.engine for state in now for it in state.engines if model in (None, it.model)}
    tracks = set[str](TRACKS)
    taken = {"switch": tracks | {"usual"}, "hold": tracks, "drain": known, "release": known | tracks}[verb]
    if what not in taken and (unsaid := [f"{it.gateway}: {it.problem}" for it in now if it.problem]):
        raise External(f"not every gateway says which engines it has: {'; '.join(unsaid)}")
    if what not in taken or (model is not None and what in tracks):
        raise BadInput(
            f"no gateway can {verb} {what}{'' if model is None else f' for the model {model}'}",
            hint=f"{verb} takes: {', '.join(sorted(taken)) or 'nothing now'}",
        )
    if verb in ("hold", "drain") and not last and (lost := without(now, what, model)):
        raise Refused(
            f"nothing would answer as {', '.join(lost)} any more", hint="--last does it all the same"
        )  # fmt: skip
    return [_told(site, verb, what, model) for site in sites]


def without(now: Sequence[GatewaySteering], what: str, model: str | None = None) -> list[str]:
    """Return the models that no engine would answer as, on some gateway, were a track or an engine left out.

    With ``model`` the engine is left out for this model alone.
    """
    lost = set()
    for state in now:
        left = [it for it in state.engines if it.state == "UP" and it.track not in state.held]
        still = {it.model for it in left if what not in (it.track, it.engine) or model not in (None, it.model)}
        lost |= {it.model for it in left} - still
    return sorted(lost)


def _told(site: Site, verb: Verb, what: str, model: str | None) -> Steered:
    try:
        site.gateway.note(by_whom(" ".join(["failover", verb, what, *([f"--model {model}"] if model else [])])))
        return Steered(gateway=site.gateway.name, changed=site.gateway.steer(verb, what, model))
    except DualtrackError as error:
        return Steered(gateway=site.gateway.name, changed=False, problem=str(error))
