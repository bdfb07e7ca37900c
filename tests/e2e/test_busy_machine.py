"""A machine that is busy with something else: all comes up, verifies, survives the drill and goes down, only later.

The tests of this file are one story: each continues where the one before it stopped.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from dualtrack.lab.state import Store
from tests.conftest import Cli, living
from tests.support.stack import pools

pytestmark = pytest.mark.skipif(
    "DUALTRACK_WHOLE" not in os.environ, reason="keeps every processor busy for minutes: make drill-load"
)
LOOPS = 4 * (os.cpu_count() or 1)
#: The loops end automatically after this many seconds, whatever becomes of the test.
END_S = 1800


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command line of a small cloud track, on a lab of its own beside four busy loops per core."""
    cli = Cli(tmp_path_factory.mktemp("busy"))
    settings = cli.folder / "pools.json"
    # All that the drill needs: spot nodes to take back, a controller, room for a stand-in.
    settings.write_text(json.dumps({**pools(spot=2, ondemand=0), "serving": None}))
    cli.env["DUALTRACK_VARIABLES"] = str(settings)
    cli("setup", timeout=900)  # builds for all checkouts, where there are none yet: not what is looked at here
    words = ["timeout", str(END_S), "sh", "-c", "while :; do :; done"]
    loops = [subprocess.Popen(words) for _ in range(LOOPS)]
    try:
        yield cli
    finally:
        for loop in loops:
            loop.terminate()  # `timeout` passes it on
        for loop in loops:
            loop.wait(timeout=60)
        cli("lab", "down")


def timed(site: Cli, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command; print how long it took."""
    begin = time.monotonic()
    done = site(*words, timeout=END_S)
    print(f"{' '.join(words)}: {time.monotonic() - begin:.0f} s beside {LOOPS} busy loops")
    return done


def test_up(site: Cli) -> None:
    [track] = json.loads(timed(site, "cloud", "up", "--json").stdout)["tracks"]
    assert (track["hosts"], track["passed"] > 0) == (3, True)


def test_verify(site: Cli) -> None:
    hosts = json.loads(timed(site, "verify", "--json").stdout)["hosts"]
    assert {host["state"] for host in hosts} == {"passed"}


def test_drill(site: Cli) -> None:
    report = json.loads(timed(site, "drill", "spot", "--short", "--json").stdout)
    assert (report["verdict"], report["gave_up"]) == ("right", ""), report


def test_down(site: Cli) -> None:
    timed(site, "down")
    assert site.json("status")["hosts"] == []
    assert living(Store(site.folder).layout.cgroup) == []
