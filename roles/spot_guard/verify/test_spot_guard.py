"""The guard runs without rights of its own, and hears what the instance's metadata say."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.service("spot-guard")
def test_runs(host: Any) -> None:
    """The guard runs, will run after a reboot, and is not root."""
    unit = host.service("spot-guard")
    assert unit.is_running
    assert unit.is_enabled
    pid = host.check_output("systemctl show --property MainPID --value spot-guard")
    assert host.check_output("stat --format %%U /proc/%s", pid) != "root"


@pytest.mark.service("spot-guard")
def test_hears(host: Any, hostvars: dict[str, Any]) -> None:
    """The metadata service answers this instance, and has no notice for it."""
    if not hostvars.get("dualtrack_instance_id"):
        pytest.skip("this host is not an instance: it has no metadata")
    base = hostvars["spot_guard_metadata_url"]
    head = "X-aws-ec2-metadata-token"
    token = host.check_output(f"curl -sf -X PUT -H '{head}-ttl-seconds: 60' {base}/latest/api/token")
    ask = f"curl -s -o /dev/null -w '%{{http_code}}' -H '{head}: {token}' {base}/latest/meta-data"
    assert host.check_output(f"{ask}/instance-life-cycle") == "200"
    assert host.check_output(f"{ask}/spot/instance-action") == "404", "this instance is being reclaimed"


def test_may_drain(host: Any, hostvars: dict[str, Any]) -> None:
    """Slurm knows the node under the name that the guard will drain."""
    name = hostvars["spot_guard_slurm_node"]
    if not name:
        pytest.skip("no Slurm here")
    done = host.run("runuser -u slurm -- scontrol --oneliner show node %s", name)
    assert done.rc == 0, f"Slurm does not know {name}: {(done.stdout + done.stderr).strip()}"
