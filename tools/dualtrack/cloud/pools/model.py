"""What the watch sees, remembers, may do and decides. Times are seconds since the epoch, by AWS's clock."""

from __future__ import annotations

from typing import Literal

import msgspec

PoolLifecycle = Literal["spot", "on-demand"]
#: Why a launch failed: no capacity in a zone; a quota of the account; or something that more money does not solve.
Why = Literal["capacity", "quota", "other"]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One failed launch, from a scaling activity."""

    at: float
    zone: str
    why: Why
    code: str
    message: str


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of a group that runs or is coming. ``bought`` is whether it is paid for on demand."""

    id: str
    zone: str
    type: str
    serves: bool  # in service; else it is on its way
    bought: bool


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A pool, with its group as AWS described it.

    ``zones`` are those the stack gives the pool, with their subnets; ``subnets`` those that the group has now.
    ``successes`` are (time, zone) of launches. ``inconsistency`` says why this answer is not believed, '' when it is.
    """

    pool: str
    group: str
    lifecycle: PoolLifecycle
    gpus: int
    types: tuple[str, ...]
    roles: tuple[str, ...]
    desired: int
    min: int
    max: int
    zones: dict[str, str]
    subnets: tuple[str, ...]
    nodes: tuple[Node, ...] = ()
    failures: tuple[Failure, ...] = ()
    successes: tuple[tuple[float, str], ...] = ()
    balances: bool = True  # AZRebalance is active: AWS would end nodes of a zone that is taken out
    launches: bool = True  # Launch is not suspended
    inconsistency: str = ""

    @property
    def short(self) -> int:
        """How many nodes it lacks, those on their way not counted as lacking."""
        return max(0, self.desired - len(self.nodes))

    @property
    def inside(self) -> tuple[str, ...]:
        """The zones of the stack that the group has now."""
        return tuple(zone for zone, subnet in self.zones.items() if subnet in self.subnets)


class Observation(msgspec.Struct, frozen=True):
    """One look at all pools. ``at`` is AWS's clock, ``skew`` how far ours is ahead of it, in seconds."""

    at: float
    groups: dict[str, Group]
    skew: float = 0.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator allows, times in seconds. ``costs``: US$ a day of a node of each pool bought on demand.

    ``ceiling`` is US$ a day for all on-demand nodes of the stack, None for none (a dry run only). A pool whose cost is
    None is never raised.
    """

    costs: dict[str, float | None]
    ceiling: float | None = None
    grace_s: float = 300
    hold_s: float = 900
    cooldown_s: float = 1800
    window_s: float = 900  # a failed launch older than this says nothing of now
    failure_threshold: int = 2  # failed launches in the window that make a zone starved
    gap_s: float = 300  # longer without a look, and what was going on is not assumed to have gone on
    settle_s: float = 600  # a group that still has its old size after so long was set back by somebody


class Shortfall(msgspec.Struct, frozen=True):
    """Spot has been short since then, by at least ``least`` nodes beyond what replaces it."""

    since: float
    least: int


class Surplus(msgspec.Struct, frozen=True):
    """More has stood in than was needed since then; at most ``most`` were needed."""

    since: float
    most: int


class ExcludedZone(msgspec.Struct, frozen=True):
    """A zone that is kept out of a spot pool's group, until then."""

    until: float
    why: str


class CapacityBackoff(msgspec.Struct, frozen=True):
    """How often a zone was starved since it last had capacity, and when it last was."""

    times: int
    at: float


class PendingResize(msgspec.Struct, frozen=True, kw_only=True):
    """A size that was asked for and not seen yet. ``before``: what stood in for each spot pool until then."""

    was: int
    to: int
    at: float
    before: dict[str, int]


class PoolState(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of one pool since it was last seen and believed, at ``at``.

    ``base`` is the size that the operator (or a schedule) gave an on-demand pool.
    """

    at: float
    nodes: tuple[str, ...] = ()
    base: int = 0
    asked: PendingResize | None = None
    lack: Shortfall | None = None
    surplus: Surplus | None = None
    avoided: dict[str, ExcludedZone] = {}
    starved: dict[str, CapacityBackoff] = {}


class State(msgspec.Struct, frozen=True):
    """What is remembered. ``fallback``: spot pool, on-demand pool, how many nodes of it replace spot."""

    at: float = 0.0
    pools: dict[str, PoolState] = {}
    fallback: dict[str, dict[str, int]] = msgspec.field(default_factory=dict, name="raised")

    def fallback_nodes(self, on_demand: str) -> int:
        """Return how many nodes of an on-demand pool replace spot."""
        return sum(shares.get(on_demand, 0) for shares in self.fallback.values())

    def with_pool(self, pool: str, state: PoolState) -> State:
        """Return the state with that of one pool replaced."""
        return msgspec.structs.replace(self, pools={**self.pools, pool: state})


class Resize(msgspec.Struct, frozen=True, tag="resize", kw_only=True):
    """Set a group's desired size."""

    pool: str
    group: str
    was: int
    to: int


class Rezone(msgspec.Struct, frozen=True, tag="rezone", kw_only=True):
    """Set a group's subnets. With ``hold`` AZRebalance is suspended first, or AWS would end what runs outside them."""

    pool: str
    group: str
    subnets: tuple[str, ...]
    hold: bool
    zones: tuple[str, ...]


Action = Resize | Rezone
#: `note` is something said, without an action.
Kind = Literal["raise", "lower", "avoid", "return", "note"]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision, or something worth saying, with its reason."""

    kind: Kind
    pool: str
    reason: str
    action: Action | None = None
