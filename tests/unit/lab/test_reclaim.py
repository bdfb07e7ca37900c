"""Taking an emulated instance back: what its metadata say, and when it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.hosts.agents.spot_guard import parse_notice
from dualtrack.lab import reclaim
from dualtrack.lab.control import LabHost
from dualtrack.lab.imds import Instance, look_up, tree


def host(instance_id: str = "i-0123456789abcdef0") -> LabHost:
    return LabHost(
        name="spot-01234567",
        address="10.20.0.5",
        user="admin",
        kind="nspawn",
        gpus=8,
        instance_id=instance_id,
        state="running",
        ssh_config="",
    )


def metadata(lab: Path) -> dict[str, str | None]:
    """Return what the instance reads at the paths that a guard asks for."""
    extra = reclaim.metadata(reclaim.pending(lab, host().instance_id))
    instance = Instance(
        id=host().instance_id, address="10.20.0.5", type="p4de.24xlarge", zone="us-east-1a", region="us-east-1",
        image="ami-1", mac="", lifecycle="spot", extra=extra,
    )  # fmt: skip
    paths = ("spot/instance-action", "events/recommendations/rebalance", "instance-id")
    return {path: look_up(tree(instance), path.split("/")) for path in paths}


def test_nothing_is_said_before(tmp_path: Path) -> None:
    assert metadata(tmp_path) == {
        "spot/instance-action": None,
        "events/recommendations/rebalance": None,
        "instance-id": host().instance_id,
    }


def test_notice_is_one_that_the_guard_reads(tmp_path: Path) -> None:
    it = reclaim.ask(tmp_path, host(), notice=120)
    said = metadata(tmp_path)["spot/instance-action"]
    assert said is not None
    assert parse_notice(said, it.noticed, 0.0).until == pytest.approx(120, abs=1)
    assert reclaim.due(tmp_path, it.noticed + 119) == []
    assert reclaim.due(tmp_path, it.noticed + 121) == [host().instance_id]
    reclaim.done(tmp_path, host().instance_id)
    assert reclaim.due(tmp_path, it.noticed + 121) == []


def test_no_notice_at_all(tmp_path: Path) -> None:
    it = reclaim.ask(tmp_path, host(), notice=0)
    assert metadata(tmp_path)["spot/instance-action"] is None
    assert reclaim.due(tmp_path, it.noticed) == [host().instance_id]


def test_recommendation_takes_nothing_and_survives_the_notice(tmp_path: Path) -> None:
    it = reclaim.ask(tmp_path, host(), notice=120, recommend=True)
    assert reclaim.due(tmp_path, it.noticed + 1e6) == []
    assert metadata(tmp_path)["events/recommendations/rebalance"]
    reclaim.ask(tmp_path, host(), notice=30)
    assert all(metadata(tmp_path).values())


def test_damaged_wish_is_none(tmp_path: Path) -> None:
    reclaim.ask(tmp_path, host(), notice=30)
    next(reclaim.folder(tmp_path).iterdir()).write_text("{")
    assert reclaim.due(tmp_path, 1e12) == []


@pytest.mark.parametrize(("instance", "notice"), [("", 120), ("i-1", -1), ("i-1", 1e9), ("i-1", float("nan"))])
def test_bad_wishes(tmp_path: Path, instance: str, notice: float) -> None:
    with pytest.raises(BadInput):
        reclaim.ask(tmp_path, host(instance), notice=notice)
