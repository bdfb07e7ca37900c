"""Which snapshots a restore takes, and what a snapshot is called."""

from __future__ import annotations

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.security.audit import snapshots
from dualtrack.security.audit.snapshots import Snapshot
from tests.unit.security.audit.test_chain import START


@pytest.mark.parametrize(
    ("taken", "name", "names"),
    [
        ("taken-1 taken-2 taken-3!", "", ["taken-2"]),
        ("taken-1 taken-2", "taken-1", ["taken-1"]),
        ("taken-1 taken-2 retired-3", "", ["taken-2"]),
        ("taken-1 retired-2", "retired-2", ["retired-2"]),
        ("taken-1 trails-2 taken-3! trails-4 retired-5 trails-6!", "", ["trails-4", "trails-2", "taken-1"]),
        ("trails-1 taken-2", "", ["taken-2"]),
        ("trails-1", "", ["trails-1"]),
        ("taken-1 trails-2 mine", "", ["trails-2", "taken-1"]),
        ("taken-1 mine", "mine", ["mine"]),
        ("mine", "", []),
        ("taken-1! retired-2", "", []),
        ("taken-1", "taken-2", []),
        ("taken-1!", "taken-1", []),
    ],
)
def test_restore_takes_the_newest_of_everything_and_newer_ones_of_trails(
    taken: str, name: str, names: list[str]
) -> None:
    found = [
        Snapshot(name=it.rstrip("!"), state="FAILED" if it.endswith("!") else "SUCCESS", begun=at, indices=())
        for at, it in enumerate(taken.split(), start=1)
    ]
    if names:
        assert [it.name for it in snapshots.chosen(found, name)] == names
    else:
        with pytest.raises(BadInput, match="no whole snapshot"):
            snapshots.chosen(found, name)


def test_snapshot_s_name_has_its_time() -> None:
    assert snapshots.called("taken", START + 7 * 10**6) == "taken-2026.01.01-000000.007"
