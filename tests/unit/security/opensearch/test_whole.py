"""A cluster is waited for until another of its nodes may stop, and never for less."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from dualtrack.core.errors import External
from dualtrack.remote.opensearch import Answer, Store
from dualtrack.security.opensearch import reconcile


class Cluster:
    """A node that answers a number of times that its cluster, and then its rights, are not there yet."""

    name = "log-1"

    def __init__(self, late: int, *, ready: int = 0) -> None:
        self.late, self.ready, self.asked = late, ready, list[str]()
        self.health = self._answers(late)
        self.rights = self._answers(ready)

    @staticmethod
    def _answers(late: int) -> Iterator[int]:
        yield from [408] * late
        while True:
            yield 200

    def await_up(self, _: float) -> None:
        self.asked.append("up")

    def call(self, method: str, path: str, *_: Any) -> Answer:
        self.asked.append(f"{method} {path}")
        return Answer(status=next(self.health if "_cluster" in path else self.rights), body={})


def whole(cluster: Cluster, nodes: int, *, elastic: bool = False, patience: float = 5) -> list[str]:
    reconcile.await_whole(cast(Store, cluster), nodes, elastic=elastic, patience=patience)
    return cluster.asked


@pytest.mark.parametrize("nodes", [1, 2, 3, 5])
@pytest.mark.parametrize("late", [0, 1, 2])
def test_all_nodes_and_all_copies_are_waited_for(nodes: int, late: int) -> None:
    status = "green" if nodes > 1 else "yellow"
    health = f"GET /_cluster/health?wait_for_nodes={nodes}&wait_for_status={status}&timeout=1s"
    assert whole(Cluster(late), nodes) == ["up", *[health] * (late + 1), f"GET {reconcile.HEALTH}"]


def test_the_node_has_read_its_rights_but_elastic_has_no_such_page() -> None:
    assert whole(Cluster(0, ready=1), 1)[-2:] == [f"GET {reconcile.HEALTH}"] * 2
    assert len(whole(Cluster(0), 1, elastic=True)) == 2


def test_a_cluster_that_stays_broken_is_said() -> None:
    with pytest.raises(External, match="on log-1 is not whole: 3 nodes, status green"):
        whole(Cluster(1000), 3, patience=0.1)
