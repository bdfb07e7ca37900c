"""The loop: look, decide, write down, act."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import msgspec

from dualtrack.cloud.pools.model import Action, Decision, Observation, Policy, PoolState, State
from dualtrack.cloud.pools.reconcile import decide
from dualtrack.cloud.pools.state import Count, Entry, PersistedState, Store
from dualtrack.core.daemon import Daemon
from dualtrack.core.errors import External
from dualtrack.inventory import contract

#: What runs is written down whenever it changes, and at least this often, in seconds.
COUNT_S = 900.0


class Cloud(Protocol):
    """What the loop needs of AWS (`api.Api`)."""

    def observe(self, output: contract.Output, memory: State) -> Observation:
        """Return how the pools are now, or raise External."""

    def act(self, action: Action) -> None:
        """Do one thing, or raise External."""


class Watch:
    """The watch of one stack. Without ``apply`` it only says what it would do."""

    def __init__(
        self,
        cloud: Cloud,
        output: contract.Output,
        policy: Policy,
        store: Store,
        *,
        apply: bool,
        say: Callable[[Entry], None],
    ) -> None:
        self.cloud, self.output, self.policy, self.store, self.apply, self.say = (
            cloud, output, policy, store, apply, say,
        )  # fmt: skip
        self.kept = PersistedState()

    def run(self, *, once: bool, interval: float) -> None:
        """Go round every ``interval`` seconds until stopped, or once. Refused when another watch of the stack runs.

        A round is not interrupted by the signal that stops it: what it wrote down is done.
        """
        with self.store.alone(), Daemon() as daemon:
            self.kept, problem = self.store.load()
            how = "it acts" if self.apply else "dry run: it only says what it would do"
            self._tell(Entry(at=time.time(), kind="start", reason=how, applied=self.apply, region=self.output.region))
            if problem:
                self._tell(Entry(at=time.time(), kind="note", reason=problem, applied=self.apply))
            for _ in daemon.rounds(interval):
                self.round()
                if once:
                    return

    def round(self) -> None:
        """Look, decide, act. When the API cannot be asked, nothing is done and nothing forgotten."""
        try:
            seen = self.cloud.observe(self.output, self.kept.memory)
        except External as error:
            self._notes([Entry(at=time.time(), kind="blind", reason=f"no action: {error}", applied=self.apply)])
            return
        decisions, memory = decide(seen, self.kept.memory, self.policy, seen.at)
        if not self.apply:
            memory = imagined(self.kept.memory, memory)
        # Written down before it is done: after a crash in between, the next round sees that the group did not follow.
        self.kept = msgspec.structs.replace(self.kept, memory=memory, ceiling=self.policy.ceiling)
        self.store.save(self.kept)
        notes = [self._entry(it, seen.at) for it in decisions if it.action is None or not self.apply]
        self._notes(notes)
        for decision in decisions:
            if decision.action is not None and self.apply:
                self._act(decision, decision.action, seen.at)
        self._count(seen)

    def _entry(self, decision: Decision, at: float) -> Entry:
        return Entry(
            at=at,
            kind=decision.kind,
            pool=decision.pool,
            reason=decision.reason,
            applied=self.apply,
            action=decision.action,
        )

    def _act(self, decision: Decision, action: Action, at: float) -> None:
        self._tell(self._entry(decision, at))
        try:
            self.cloud.act(action)
        except External as error:
            # The other decisions stand; this one is made again when the next round finds it still right.
            self._tell(Entry(at=at, kind="failed", pool=decision.pool, reason=f"{decision.kind}: {error}"))

    def _notes(self, entries: list[Entry]) -> None:
        """Tell what was not told in the last round."""
        words = tuple(f"{it.kind} {it.pool} {it.reason}" for it in entries)
        self._tell(*(it for it, text in zip(entries, words, strict=True) if text not in self.kept.announced))
        if set(words) != set(self.kept.announced):
            self.kept = msgspec.structs.replace(self.kept, announced=words)
            self.store.save(self.kept)

    def _count(self, seen: Observation) -> None:
        """Write down what runs, when that has changed or it is time: the report's money is calculated from it."""
        counts, replacing = counted(seen, self.kept.counts), fallback_nodes(self.kept.memory)
        before = (self.kept.counts, self.kept.fallback)
        if (counts, replacing) == before and seen.at - self.kept.counted_at < COUNT_S:
            return
        self.store.append(Entry(at=seen.at, kind="nodes", applied=self.apply, counts=counts, fallback=replacing))
        self.kept = msgspec.structs.replace(self.kept, counts=counts, fallback=replacing, counted_at=seen.at)
        self.store.save(self.kept)

    def _tell(self, *entries: Entry) -> None:
        self.store.append(*entries)
        for entry in entries:
            self.say(entry)


def imagined(before: State, after: State) -> State:
    """Return what a dry run remembers: how long things have lasted, but nothing of what it did not do. Pure."""
    pools = {}
    for name, it in after.pools.items():
        known = before.pools.get(name, PoolState(at=it.at))
        pools[name] = msgspec.structs.replace(it, asked=None, avoided=known.avoided, starved=known.starved)
    return msgspec.structs.replace(after, pools=pools, fallback=before.fallback)


def counted(seen: Observation, before: tuple[Count, ...]) -> tuple[Count, ...]:
    """Return how many nodes run by pool, type, zone and how they are bought. An inconsistent pool: as before. Pure."""
    counts: Counter[tuple[str, str, bool, str]] = Counter()
    for name, group in seen.groups.items():
        for node in group.nodes if not group.inconsistency else ():
            counts[name, node.type, node.bought, node.zone] += 1
    fresh = [
        Count(pool=pool, type=kind, lifecycle="on-demand" if bought else "spot", zone=zone, nodes=nodes)
        for (pool, kind, bought, zone), nodes in sorted(counts.items())
    ]
    inconsistent = {name for name, group in seen.groups.items() if group.inconsistency}
    return tuple(
        sorted([*fresh, *(it for it in before if it.pool in inconsistent)], key=lambda it: msgspec.structs.astuple(it))
    )


def fallback_nodes(memory: State) -> dict[str, int]:
    """Return how many nodes of each on-demand pool replace spot. Pure."""
    pools = sorted({pool for shares in memory.fallback.values() for pool in shares})
    return {pool: memory.fallback_nodes(pool) for pool in pools}
