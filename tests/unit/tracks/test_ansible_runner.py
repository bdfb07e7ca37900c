"""Ansible's events become progress, counts and one line of failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from dualtrack.core import proc
from dualtrack.core.errors import BadInput
from dualtrack.core.events import events
from dualtrack.tracks.ansible_runner import (
    ConfigureFailed,
    Failure,
    Result,
    collect,
    command_line,
    complaint,
    configure,
    environment,
    quiet,
)
from tests.conftest import wait
from tests.support.child import read_until


def test_changes_are_the_plays_own_count_and_localhost_is_no_host() -> None:
    lines: list[str] = []
    happened: list[dict[str, Any]] = [
        {"event": "task", "task": "install"},
        {"event": "ok", "host": "h1", "task": "install", "changed": True},
        {"event": "ok", "host": "localhost", "task": "look", "changed": False},
        {"event": "stats", "hosts": {"h1": counts(changed=2), "localhost": counts()}},
    ]
    assert collect(happened, lines.append) == ({"h1": 2}, ())
    assert lines == ["install", "install: h1 changed"]


def counts(changed: int = 0, failures: int = 0, unreachable: int = 0) -> dict[str, int]:
    return {"changed": changed, "failures": failures, "unreachable": unreachable}


def test_a_failure_is_one_line_with_host_task_and_message() -> None:
    failed = {"event": "failed", "host": "h1", "task": "install", "message": "no space"}
    _, failures = collect([failed, {"event": "stats", "hosts": {"h1": counts(failures=1)}}], quiet)
    error = ConfigureFailed(Result(changed={}, failures=failures, seconds=1.0, log="the.log"))
    assert str(error) == "h1: install: no space (all of it: the.log)"


def test_a_rescued_failure_is_none() -> None:
    failed = {"event": "failed", "host": "h1", "task": "install", "message": "no space"}
    assert collect([failed, {"event": "stats", "hosts": {"h1": counts()}}], quiet)[1] == ()


def test_a_run_that_was_cut_short_keeps_its_failures() -> None:
    lost = {"event": "unreachable", "host": "h1", "task": "facts", "message": "no route"}
    assert collect([lost], quiet)[1] == (Failure(host="h1", task="facts", message="no route", unreachable=True),)


def test_a_torn_event_is_left_out() -> None:
    assert list(events(['{"event": "task"}\n', '{"event": "ta'])) == [{"event": "task"}]


def test_limit_keeps_the_check_of_the_inventory(tmp_path: Path) -> None:
    words = command_line(Path("p"), Path("site.yml"), [tmp_path], limit="track_cloud", check=True)
    assert words[words.index("--limit") + 1] == "track_cloud,localhost"
    assert "--check" in words
    assert words[-1] == "site.yml"


def test_environment_does_not_let_the_callers_output_settings_in() -> None:
    found = environment({"ANSIBLE_STDOUT_CALLBACK": "json", "HOME": "h"}, 9)
    assert "ANSIBLE_STDOUT_CALLBACK" not in found
    assert found["HOME"] == "h"
    assert found["DUALTRACK_EVENTS_FD"] == "9"


def test_complaint_is_ansibles_first_error() -> None:
    assert complaint("x\n[ERROR]: no such file\nOrigin: y\n") == "no such file"
    assert complaint("ERROR! bad\n") == "bad"
    assert complaint("only this\n") == "only this"


def test_a_missing_inventory_is_named_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such inventory"):
        configure([tmp_path / "nothing"], log=tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_an_inventory_without_hosts_fails_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {children: {track_cloud: {}, track_local: {}}}\n")
    with pytest.raises(ConfigureFailed, match="the inventory has no host: run `make cloud-up`"):
        configure([tmp_path / "hosts.yml"], log=tmp_path / "log")
    assert "the inventory has no host" in (tmp_path / "log").read_text()


def test_end_leaves_no_child_that_ignores_the_first_signal() -> None:
    program = "import signal, subprocess, time; signal.signal(signal.SIGINT, signal.SIG_IGN); " \
        "p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); time.sleep(60)"  # fmt: skip
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None
    grandchild = int(read_until(child, child.stdout))
    proc.end(child, patience=0.3)
    assert child.returncode is not None
    wait(lambda: not running(grandchild), 5, "the end of the grandchild")
    child.stdout.close()


def test_stop_ends_a_program_that_has_lost_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "_stopping", threading.Event())
    program = "import signal, time; signal.signal(signal.SIGINT, lambda *_: print('lost', flush=True)); " \
        "print('begun', flush=True); time.sleep(60); time.sleep(60)"  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child, proc.tracked(child, patience=0.3):  # fmt: skip
        assert child.stdout is not None
        assert read_until(child, child.stdout).strip() == "begun"
        proc.stop()
        assert child.stdout.read().split()[0] == "lost"
    assert child.returncode == -int(signal.SIGTERM)


def running(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_environment_type_is_plain() -> None:
    assert isinstance(environment(os.environ, 3), dict)
