"""The operator's side of the scenario: look at it, add a rule, take one file for it, clear it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.core.files import locked, write_atomically
from dualtrack.lab.fault_injection import rules, scenario
from dualtrack.lab.fault_injection.scenario import Delay, Denial, Lie, Rule, Scenario, Throttle


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One rule for people. ``left`` is how often it will still apply, None for always."""

    kind: str
    about: str
    left: int | None
    used: int


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The scenario as `dualtrack lab aws show` prints it."""

    file: str
    source: str
    rules: tuple[Line, ...]
    prices: int
    scores: int
    retry_s: float


def current(lab: Path) -> Scenario:
    """Return the scenario of the lab in directory ``lab``, empty where it has none; BadInput where it is damaged."""
    path = lab / scenario.FILE
    return scenario.load(path) if path.exists() else Scenario()


def show(lab: Path) -> Shown:
    """Return the scenario, and how often each of its rules was used."""
    now, used = current(lab), rules.used(lab)
    lines = []
    for rule in scenario.rules(now):
        count = used.get(rules.key(rule), 0)
        left = None if rule.limit is None else max(0, rule.limit - count)
        lines.append(Line(kind=type(rule).__name__.lower(), about=about(rule), left=left, used=count))
    return Shown(
        file=str(lab / scenario.FILE),
        source=now.source,
        rules=tuple(lines),
        prices=len(now.prices),
        scores=len(now.scores),
        retry_s=now.retry_s,
    )


def about(rule: Rule) -> str:
    """Return what a rule is about, in one line."""
    if isinstance(rule, Denial):
        what = [rule.lifecycle or "any", rule.instance_type or "any type", rule.zone or "any zone"]
        return f"{rule.error}: {', '.join(what)}"
    return f"{rule.action} by {rule.seconds:g} s" if isinstance(rule, Delay) else rule.action


def add(lab: Path, rule: Rule) -> Scenario:
    """Add a rule to the scenario and return it; BadInput where the rule makes no sense."""
    # Two rules that read the same are two rules: each has its own count.
    fresh = msgspec.structs.replace(rule, id=secrets.token_hex(4))

    def grown(now: Scenario) -> Scenario:
        if isinstance(fresh, Denial):
            return msgspec.structs.replace(now, denials=(*now.denials, fresh))
        if isinstance(fresh, Throttle):
            return msgspec.structs.replace(now, throttles=(*now.throttles, fresh))
        if isinstance(fresh, Delay):
            return msgspec.structs.replace(now, delays=(*now.delays, fresh))
        return msgspec.structs.replace(now, lies=(*now.lies, fresh))

    return _change(lab, grown)


def replace(lab: Path, file: Path) -> Scenario:
    """Take the scenario of ``file`` (JSON or YAML) in place of the lab's; BadInput where it is wrong."""
    wanted = scenario.load(file)
    if wanted.price_file and not (lab / wanted.price_file).exists() and not Path(wanted.price_file).is_absolute():
        # A price file beside the scenario is meant; the lab's copy must still find it.
        beside = file.parent / wanted.price_file
        if not beside.exists():
            raise BadInput(f"{file}: there is no price file {wanted.price_file}")
        wanted = msgspec.structs.replace(wanted, price_file=str(beside.resolve()))
    return _change(lab, lambda _: wanted)


def clear(lab: Path) -> bool:
    """Remove the scenario, also a damaged one; return whether there was one."""
    path = lab / scenario.FILE
    there = path.exists()
    path.unlink(missing_ok=True)
    return there


def _change(lab: Path, change: Callable[[Scenario], Scenario]) -> Scenario:
    path = lab / scenario.FILE
    with locked(path):
        fresh = scenario.check(change(current(lab)), str(path))
        write_atomically(path, msgspec.json.format(msgspec.json.encode(fresh), indent=2) + b"\n")
    return fresh


__all__ = ["Delay", "Denial", "Lie", "Throttle", "add", "clear", "replace", "show"]
