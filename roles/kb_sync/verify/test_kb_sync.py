"""A copy has what its source has; who may copy may read what is sealed, and do nothing else at the source."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

UNIT = "dualtrack-kb-sync"
USER, OWNER = "dualtrack-sync", "dualtrack-knowledge"
SETTINGS = "/etc/dualtrack/knowledge/sync"
#: Seconds for a run that the play began.
PATIENCE_S = 120


@pytest.fixture
def copied(host: Any, hostvars: dict[str, Any]) -> dict[str, Any]:
    """What a copy says of its last run; skip on a host that is none, or whose first run is not over."""
    if not hostvars["kb_sync_source"]:
        pytest.skip("it copies no other host")
    until = time.monotonic() + PATIENCE_S
    active = f"systemctl show --property ActiveState --value {UNIT}.service"
    while (running := host.check_output(active) == "activating") and time.monotonic() < until:
        time.sleep(1)
    done = host.run("/usr/local/bin/dualtrack-sync status --json")
    if running and not done.stdout:
        pytest.skip("the first version is being copied")
    assert done.rc == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_it_has_what_the_source_has(host: Any, hostvars: dict[str, Any], copied: dict[str, Any]) -> None:
    """The last run went well, the source was asked lately, and the version answers that it has."""
    assert not copied["state"]["failed"]
    if not copied["state"]["held"]:
        assert host.check_output("readlink %s/current", hostvars["kb_sync_dir"]).endswith(copied["state"]["version"])
    checked = host.check_output("stat --format %%Y %s/sync.json", hostvars["kb_sync_dir"])
    age = int(host.check_output("date +%s")) - int(checked)
    assert age < 60 * (2 * hostvars["kb_sync_every_minutes"] + 2), f"the source was asked last {age} s ago"


@pytest.mark.usefixtures("copied")
def test_the_clock_runs(host: Any, hostvars: dict[str, Any]) -> None:
    """One of the two starts the runs."""
    by = {"timer": f"{UNIT}.timer", "cron": "cron.service"}[hostvars["kb_sync_schedule"]]
    assert host.service(by).is_running
    assert host.service(by).is_enabled
    assert host.file("/etc/cron.d/dualtrack-kb-sync").exists == (hostvars["kb_sync_schedule"] == "cron")


@pytest.mark.usefixtures("copied")
def test_keys_are_the_owners(host: Any, hostvars: dict[str, Any]) -> None:
    """The private key, the master key and the copy are for nobody else."""
    for path in (f"{SETTINGS}/identity", f"{hostvars['kb_sync_dir']}/master.key"):
        assert host.check_output("stat --format '%%U %%a' %s", path) == f"{OWNER} 600"
    assert host.run("runuser -u nobody -- ls %s", hostvars["kb_sync_dir"]).rc


def test_who_copies_may_do_nothing_else(host: Any, hostvars: dict[str, Any]) -> None:
    """Whoever signs in as that user runs one command; no password does it, no terminal, no forwarding."""
    if not hostvars["kb_sync_copies"]:
        pytest.skip("no host copies it")
    words = host.check_output("sshd -T -C user=%s,host=verify,addr=192.0.2.1", USER).splitlines()
    for wanted in ("disableforwarding yes", "permittty no", "authenticationmethods publickey", "permituserrc no"):
        assert wanted in words
    assert [it for it in words if it.startswith("forcecommand /usr/bin/sudo ")]
    allowed = [it.strip() for it in host.check_output("sudo --list --other-user=%s", USER).splitlines()]
    assert [it for it in allowed if it.startswith("(")] == [
        f'({OWNER}) NOPASSWD: /usr/local/lib/dualtrack/knowledge/offer ""'
    ]
    assert host.run("runuser -u %s -- cat %s/master.key", USER, hostvars["kb_sync_dir"]).rc
    keys = host.check_output("cat /etc/ssh/authorized_keys.d/%s", USER).splitlines()
    assert {it.split()[-1] for it in keys} <= set(hostvars["kb_sync_copies"])
    assert all(it.startswith("restrict ") for it in keys)
