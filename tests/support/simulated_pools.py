"""A small world of pools for the tests of the watch's decisions: what AWS would do with what is decided."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import msgspec

from dualtrack.cloud.pools.model import Decision, Failure, Group, Node, Observation, Policy, Resize, Rezone, State
from dualtrack.cloud.pools.reconcile import decide
from dualtrack.inventory import contract

ZONES = {"a": "subnet-a", "b": "subnet-b", "c": "subnet-c"}
COST = 658.8  # p4de.24xlarge, 27.45 US$ an hour
POLICY = Policy(costs={"spot": COST, "ondemand": COST}, ceiling=10 * COST)


def group(pool: str = "spot", **more: object) -> Group:
    """Return a pool of two nodes in zone a, one for each wish of ``more``."""
    plain = Group(
        pool=pool,
        group=f"dualtrack-{pool}",
        lifecycle="spot" if pool == "spot" else "on-demand",
        gpus=8,
        types=("p4de.24xlarge",),
        roles=("gpu",),
        desired=2,
        min=0,
        max=8,
        zones=ZONES,
        subnets=tuple(ZONES.values()),
        nodes=tuple(node(f"i-{pool}-{number}", bought=pool != "spot") for number in range(2)),
    )
    return msgspec.structs.replace(plain, **more)


def node(name: str, zone: str = "a", *, bought: bool = False) -> Node:
    """Return a node in service."""
    return Node(id=name, zone=zone, type="p4de.24xlarge", serves=True, bought=bought)


def failure(at: float, zone: str = "a", why: str = "capacity") -> Failure:
    """Return a failed launch."""
    code = {"capacity": "InsufficientInstanceCapacity", "quota": "MaxSpotInstanceCountExceeded", "other": "Unknown"}[
        why
    ]
    return Failure(at=at, zone=zone, why=why, code=code, message=f"{code} in {zone}")


@dataclass
class World:
    """Two pools whose launches succeed in zones that have capacity, and a watch that looks at them."""

    policy: Policy = POLICY
    spot: int = 2
    base: int = 1
    on_demand_max: int = 4
    capacity: set[str] = field(default_factory=lambda: set(ZONES))
    quota: bool = True  # there is quota for on-demand
    now: float = 1_000_000.0
    memory: State = field(default_factory=State)
    inconsistency: str = ""
    obeys: bool = True  # AWS does what it is asked

    def __post_init__(self) -> None:
        self.names = (f"i-{number}" for number in itertools.count())
        self.groups = {
            "spot": group("spot", desired=self.spot, nodes=()),
            "ondemand": group("ondemand", desired=self.base, max=self.on_demand_max, nodes=()),
        }
        self.log: list[tuple[float, Decision]] = []
        self.launch()

    def launch(self) -> None:
        """Let each group do what AWS would: fill up where there is capacity, and tell what fails."""
        for name, it in self.groups.items():
            nodes = list(it.nodes[: it.desired])
            failures, successes = list(it.failures), list(it.successes)
            while len(nodes) < it.desired:
                tried = [zone for zone, subnet in ZONES.items() if subnet in it.subnets]
                if name == "ondemand":
                    if not self.quota:
                        failures.append(
                            Failure(
                                at=self.now, zone="a", why="quota", code="VcpuLimitExceeded", message="no more vCPU"
                            )
                        )
                        break
                    working: list[str] = ["a"]
                else:
                    working = [zone for zone in tried if zone in self.capacity]
                    failures += [failure(self.now, zone) for zone in tried if zone not in self.capacity]
                if not working:
                    break
                nodes.append(node(next(self.names), working[0], bought=name == "ondemand"))
                successes.append((self.now, working[0]))
            self.groups[name] = msgspec.structs.replace(
                it, nodes=tuple(nodes), failures=tuple(failures[-50:]), successes=tuple(successes[-50:])
            )

    def reclaim(self, count: int = 1) -> None:
        """Take spot nodes away."""
        it = self.groups["spot"]
        self.groups["spot"] = msgspec.structs.replace(it, nodes=it.nodes[count:])

    def set_size(self, pool: str, size: int) -> None:
        """Be the operator: set a size by hand."""
        self.groups[pool] = msgspec.structs.replace(self.groups[pool], desired=size)

    def step(self, seconds: float = 60) -> list[Decision]:
        """Let time pass, AWS launch and the watch look; do what it decides; return that."""
        self.now += seconds
        self.launch()
        seen = {name: msgspec.structs.replace(it, inconsistency=self.inconsistency) for name, it in self.groups.items()}
        decisions, self.memory = decide(Observation(self.now, seen), self.memory, self.policy, self.now)
        self.log += [(self.now, it) for it in decisions]
        for it in decisions:
            if self.obeys and isinstance(it.action, Resize):
                assert it.action.was == self.groups[it.pool].desired
                self.set_size(it.pool, it.action.to)
            elif self.obeys and isinstance(it.action, Rezone):
                before = self.groups[it.pool]
                balances = before.balances and not it.action.hold
                if balances:
                    assert all(ZONES[node.zone] in it.action.subnets for node in before.nodes), "AWS would end these"
                self.groups[it.pool] = msgspec.structs.replace(before, subnets=it.action.subnets, balances=balances)
        return list(decisions)

    def run(self, minutes: float) -> list[Decision]:
        """Let time pass, a look a minute; return all that was decided."""
        return [it for _ in range(int(minutes)) for it in self.step()]

    @property
    def size(self) -> int:
        """The on-demand pool's size."""
        return self.groups["ondemand"].desired

    @property
    def usd(self) -> float:
        """What on-demand costs a day."""
        return self.size * COST


def kinds(decisions: list[Decision]) -> list[str]:
    """Return what was done, notes left out."""
    return [it.kind for it in decisions if it.action is not None]


def reasons(world: World) -> str:
    """Return the reasons of all decisions so far."""
    return "\n".join(it.reason for _, it in world.log)


def sizes(decisions: list[Decision]) -> list[int]:
    """Return the sizes that decisions ask for, in their order."""
    return [it.action.to for it in decisions if isinstance(it.action, Resize)]


#: A stack with pools of each kind.
OUTPUT = contract.parse({
    "schema": 1, "stack": "emulator", "region": "us-east-1", "storage": {},
    "network": {"vpc_id": "vpc-1", "cidr": "10.20.0.0/16", "subnets": {}},
    "pools": {
        name: {"lifecycle": lifecycle, "autoscaling_group": f"dualtrack-{name}", "instance_types": types, "gpus": gpus,
               "roles": ["gpu"], "ssh_user": "admin", "zones": [], "min": 0, "desired": 1, "max": 4}
        for name, lifecycle, gpus, types in (
            ("spot", "spot", 8, ["p4de.24xlarge", "p4d.24xlarge"]),
            ("ondemand", "on-demand", 8, ["p4d.24xlarge"]),
            ("unpriced", "on-demand", 8, ["p4de.24xlarge", "g6e.48xlarge"]),
            ("control", "on-demand", 0, ["m6i.large"]),
        )
    },
})  # fmt: skip
