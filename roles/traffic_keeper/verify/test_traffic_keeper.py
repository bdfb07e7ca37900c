"""The records that lead users to GPU nodes are kept, by a service without rights of its own."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.service("traffic-keeper")
def test_runs_where_there_is_a_zone(host: Any, hostvars: dict[str, Any]) -> None:
    """The keeper runs, will run after a reboot, and is not root; without a zone it does not run."""
    unit = host.service("traffic-keeper")
    assert unit.is_running is bool(hostvars["traffic_keeper_zone"])
    if hostvars["traffic_keeper_zone"]:
        assert unit.is_enabled
        pid = host.check_output("systemctl show --property MainPID --value traffic-keeper")
        assert host.check_output("stat --format %%U /proc/%s", pid) == "traffic-keeper"


def test_may_ask_slurm(host: Any, hostvars: dict[str, Any]) -> None:
    """Slurm tells the keeper's user the addresses and states of its nodes."""
    if not hostvars["traffic_keeper_zone"] or not hostvars.get("slurm_controllers"):
        pytest.skip("no zone or no Slurm, no records")
    done = host.run("runuser -u traffic-keeper -- sinfo --noheader --Node '--format=%o|%T'")
    assert done.rc == 0, (done.stdout + done.stderr).strip()
