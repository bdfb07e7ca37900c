"""The program runs without rights, the cache is its own user's, room is made, and what must be there is or will be."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

PROGRAM = "/usr/local/bin/dualtrack-store"
LIST = "/etc/dualtrack/store.versions"
#: Seconds that versions which are on their way get to arrive: enough for small ones, just after the play.
PATIENCE_S = 10


def as_models(host: Any, *words: str) -> Any:
    """Run the program as the cache's user."""
    return host.run("runuser -u models -- " + " ".join(["%s"] * (len(words) + 1)), PROGRAM, *words)


def named(host: Any) -> list[dict[str, Any]]:
    """Return how far each version is that the host must have."""
    done = as_models(host, "prefetch", LIST, "--dry-run", "--json")
    assert done.rc in (0, 1), done.stderr
    return list(json.loads(done.stdout)["versions"])


def failure(host: Any, address: str) -> str:
    """Return why a version could not be brought when it was tried last; '' where it is being tried, or never was."""
    said = host.check_output("journalctl --boot --output cat --no-pager --unit dualtrack-store-fill.service")
    of_it = [line for line in said.splitlines() if line.startswith(f"{address}: ")]
    last = of_it[-1].removeprefix(f"{address}: ") if of_it else ""
    return last.removeprefix("failed: ") if last.startswith("failed: ") else ""


def test_program(host: Any) -> None:
    """The program runs as the user models, and knows its version."""
    done = as_models(host, "--version")
    assert done.rc == 0, done.stderr
    assert done.stdout.startswith("dualtrack ")


def test_cache(host: Any, hostvars: dict[str, Any]) -> None:
    """The program's cache is the directory that was asked for, and its user can use it."""
    done = as_models(host, "list", "--json")
    assert done.rc == 0, done.stderr
    assert json.loads(done.stdout)["cache"] == hostvars["model_store_dir"]


def test_nobody_else_writes(host: Any, hostvars: dict[str, Any]) -> None:
    """The cache belongs to models; another user can neither write to it nor to the program."""
    folder = hostvars["model_store_dir"]
    assert host.check_output("stat --format %%U:%%G %s", folder) == "models:models"
    for path in (folder, "/opt/dualtrack/store/current/", "/etc/dualtrack/"):
        for user in ("nobody", "models")[: 1 if path == folder else 2]:
            done = host.run("runuser -u %s -- touch %s", user, f"{path.rstrip('/')}/probe")
            assert done.rc != 0, f"{user} can write to {path}"


@pytest.mark.service("dualtrack-store-gc")
def test_room_is_made(host: Any) -> None:
    """Room is made by the clock, also after a reboot, and a run of it ends well."""
    timer = host.service("dualtrack-store-gc.timer")
    assert timer.is_enabled
    assert timer.is_running
    done = host.run("systemctl start dualtrack-store-gc.service")
    assert done.rc == 0, "the budget or the free space cannot be had, or the service cannot run"


@pytest.mark.service("dualtrack-store-fill")
def test_versions(host: Any, hostvars: dict[str, Any]) -> None:
    """Every version that the host must have is complete, or on its way."""
    if not hostvars["model_store_versions"]:
        pytest.skip("no version is named for this host")
    assert host.service("dualtrack-store-fill.timer").is_enabled
    assert host.service("dualtrack-store-fill.timer").is_running
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = named(host)
        wanted = set(hostvars["model_store_versions"])
        assert {it["address"] for it in found} == wanted, "the host's list is not the inventory's: configure it again"
        coming = [it for it in found if it["state"] != "complete"]
        reasons = [f"{it['address']}: {why}" for it in coming if (why := failure(host, it["address"]))]
        if not coming or reasons or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert not reasons, "; ".join(reasons)
    if coming:
        far = [f"{it['address']} ({it['done'] / 1e9:.1f} of {it['size'] / 1e9:.1f} GB)" for it in coming]
        pytest.skip(f"on its way: {', '.join(far)}")


def test_group_may_hold(host: Any, hostvars: dict[str, Any]) -> None:
    """Who is in the group models can hold a version that is there and read it, and cannot change it."""
    there = [it for it in named(host) if it["state"] == "complete"] if hostvars["model_store_versions"] else []
    if not there:
        pytest.skip("no version is here yet")
    member = "setpriv --reuid nobody --regid models --clear-groups"
    look = 'cd "$DUALTRACK_CHECKPOINT" && test -n "$(ls)" && ! touch probe 2>&1'
    done = host.run(f"{member} {PROGRAM} hold %s -- sh -c %s", there[0]["address"], look)
    assert done.rc == 0, done.stdout + done.stderr
