"""The init of a host is found while the host's services, and their control groups, come and go."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dualtrack.core.errors import External
from dualtrack.lab import nspawn


def scope(folder: Path, ids: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.procs").write_text(ids)


def test_init_is_found_in_its_usual_place_or_below(tmp_path: Path) -> None:
    with pytest.raises(External, match="not running"):
        nspawn.inside(tmp_path / "host")
    scope(tmp_path / "host/payload/init.scope", "")
    with pytest.raises(External, match="not running"):
        nspawn.inside(tmp_path / "host")
    scope(tmp_path / "host/other/init.scope", "7\n8\n")
    assert nspawn.inside(tmp_path / "host") == 7
    scope(tmp_path / "host/payload/init.scope", "5\n")
    assert nspawn.inside(tmp_path / "host") == 5


def test_services_that_end_meanwhile_are_passed_over(tmp_path: Path) -> None:
    """A hundred groups, half of them going while they are walked; the host's own is the last."""
    services = [tmp_path / f"host/payload/system.slice/{number:03}.service" for number in range(100)]
    scope(tmp_path / "host/zzz/init.scope", "9\n")
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            for it in services[::2]:
                it.mkdir(parents=True, exist_ok=True)
            for it in services[::2]:
                it.rmdir()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        assert {nspawn.inside(tmp_path / "host") for _ in range(300)} == {9}
    finally:
        over.set()
        thread.join()
