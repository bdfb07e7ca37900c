"""What the law asks for when personal data leaves China: by how many persons' requests went to the cloud track.

The limits come with the gateways' counts (`hosts.agents.gateway_persons`), where their source is named. This says which
limit a count has reached, and is not legal advice: what is asked of critical infrastructure, of important data,
and of data that was collected abroad, is not in a count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

#: In the order of the limits of each kind; the first is for less than all of them.
ASKED = ("nothing", "a standard contract or a certification", "a security assessment")
NEAR = 0.8


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's digests of persons in a year: named in requests, or by their API keys; and those with sensitive data.

    ``limits`` are the law's, in persons: ``persons`` and ``sensitive``.
    """

    year: int
    limits: Mapping[str, tuple[int, ...]]
    named: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    sensitive_named: frozenset[str] = frozenset()
    sensitive_keys: frozenset[str] = frozenset()


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """How many persons there are of a kind, how many of them by API keys only, and the limit that comes next."""

    kind: str
    persons: int
    by_key: int
    next_limit: int | None

    @property
    def near(self) -> bool:
        """Whether the next limit is near: 80 percent of it or more."""
        return self.next_limit is not None and self.persons >= NEAR * self.next_limit


class ResidencyReport(msgspec.Struct, frozen=True, kw_only=True):
    """Of a calendar year in China, on all ``gateways`` that said it together: the kinds, and what the law asks for."""

    year: int
    gateways: int
    kinds: tuple[Kind, ...]
    asked: str
    problems: tuple[str, ...] = ()


def report(year: int, counted: Sequence[Counted], problems: Sequence[str] = ()) -> ResidencyReport:
    """Add up what gateways have counted: whom two of them know is one person. Other years' counts are left out."""
    of = [it for it in counted if it.year == year]
    limits = of[0].limits if of else {}
    kinds, reached = [], 0
    for kind, prefix in (("persons", ""), ("sensitive", "sensitive_")):
        named: set[str] = set().union(*(getattr(it, f"{prefix}named") for it in of))
        keys: set[str] = set().union(*(getattr(it, f"{prefix}keys") for it in of))
        count = len(named) + len(keys)
        steps = sorted(limits.get(kind, ()))
        reached = max(reached, sum(count >= it for it in steps))
        kinds.append(Kind(
            kind=kind, persons=count, by_key=len(keys), next_limit=next((it for it in steps if count < it), None)
        ))  # fmt: skip
    return ResidencyReport(
        year=year, gateways=len(of), kinds=tuple(kinds), asked=ASKED[min(reached, len(ASKED) - 1)],
        problems=tuple(problems),
    )  # fmt: skip
