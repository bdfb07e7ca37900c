"""What a look for drift found. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["resource", "instance", "pool", "host"]


class Field(msgspec.Struct, frozen=True):
    """One field that is not as declared; values as text, '' for nothing, `(sensitive)` for what is not shown."""

    path: str
    declared: str
    actual: str


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that drifted. ``since`` and ``who`` say what is known: a moment, or after which one; '' for nothing."""

    kind: Kind
    name: str
    what: str
    fields: tuple[Field, ...]
    since: str
    who: str
    remedy: str


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. ``unknown`` holds what could not be looked at, and why; ``expected`` what differs by design."""

    drifted: tuple[Drift, ...]
    expected: tuple[Drift, ...]
    unknown: tuple[str, ...]
    looked_at: tuple[str, ...]
    seconds: float

    @property
    def state(self) -> Literal["clean", "drifted", "could not tell"]:
        """Return the answer: drift that was seen outweighs what could not be seen."""
        return "drifted" if self.drifted else "could not tell" if self.unknown else "clean"
