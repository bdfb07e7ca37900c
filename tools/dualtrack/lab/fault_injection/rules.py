"""The scenario as the lab's directory holds it now, and how often each of its rules has been used."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from dualtrack.core.errors import BadInput, DualtrackError
from dualtrack.core.files import read, write_atomically
from dualtrack.lab.fault_injection import scenario
from dualtrack.lab.fault_injection.scenario import Denial, Lifecycle, Price, Rule, Scenario

log = logging.getLogger("emulator")
#: A rule without a limit is met at every call: its count is written down this often, in seconds.
TELL_S = 1.0
R = TypeVar("R", bound=Rule)


def used_file(lab: Path) -> Path:
    """Return where the emulator says how often each rule was used, for `dualtrack lab aws show`."""
    return lab / "run/aws-conditions-used.json"


def key(rule: Rule) -> str:
    """Return what a rule is counted under: two rules that read the same are told apart by their ids."""
    return f"{type(rule).__name__} {msgspec.json.encode(rule).decode()}"


class Rules:
    """The scenario in force. Read anew when its file changes; of a damaged file the one before it stays."""

    def __init__(self, lab: Path) -> None:
        self.lab = lab
        self.path = lab / scenario.FILE
        self.lock = threading.RLock()
        self.used: dict[str, int] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._now = Scenario()
        self._prices: tuple[Price, ...] = ()
        self._told = 0.0

    def now(self) -> Scenario:
        """Return the scenario in force."""
        with self.lock:
            try:
                stat = self.path.stat()
                stamp: tuple[int, int, int] | None = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            except OSError:
                stamp = None
            if stamp != self._stamp:
                self._stamp = stamp
                self._reload(gone=stamp is None)
            return self._now

    def _reload(self, *, gone: bool) -> None:
        if gone:
            self._now, self._prices, self.used = Scenario(), (), {}
            return
        try:
            fresh = scenario.load(self.path)
            prices = fresh.prices
            if fresh.price_file:
                file = self.lab / fresh.price_file
                prices += scenario.check(Scenario(prices=_prices(file)), str(file)).prices
        except DualtrackError as error:
            log.error("%s: what was in force before stays in force", error)
            return
        kept = {key(rule) for rule in scenario.rules(fresh)}
        self._now, self._prices = fresh, prices
        self.used = {name: count for name, count in self.used.items() if name in kept}

    def prices(self) -> tuple[Price, ...]:
        """Return the spot price curves in force."""
        with self.lock:
            self.now()
            return self._prices

    def left(self, rule: Rule) -> bool:
        """Tell whether a rule still applies."""
        return rule.limit is None or self.used.get(key(rule), 0) < rule.limit

    def take(self, rules: Iterable[R], action: str) -> R | None:
        """Return the first rule about a call that still applies, and count it."""
        with self.lock:
            for rule in rules:
                if getattr(rule, "action", "") == action and self.left(rule):
                    self.count(rule)
                    return rule
        return None

    def denial(self, lifecycle: Lifecycle, instance_type: str, zone: str) -> Denial | None:
        """Return what forbids such a launch now, None where nothing does. Does not count."""
        with self.lock:
            found = (d for d in self.now().denials if d.matches(lifecycle, instance_type, zone) and self.left(d))
            return next(found, None)

    def count(self, rule: Rule) -> None:
        """Count one use of a rule, and let the operator see it."""
        with self.lock:
            self.used[key(rule)] = self.used.get(key(rule), 0) + 1
            now = time.monotonic()
            if rule.limit is None and now - self._told < TELL_S:
                return
            self._told = now
            try:
                write_atomically(used_file(self.lab), msgspec.json.encode(self.used))
            except DualtrackError as error:
                log.error("%s", error)


def used(lab: Path) -> dict[str, int]:
    """Return how often each rule was used, as the emulator last said; nothing where that cannot be read."""
    try:
        return read(used_file(lab), dict[str, int]) or {}
    except BadInput:
        return {}


def _prices(path: Path) -> tuple[Price, ...]:
    try:
        return scenario.decode(path.read_bytes(), tuple[Price, ...], str(path))
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from None
