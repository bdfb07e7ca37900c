"""The timer on the controller: systemd takes its units, its line runs, and a failure of it is seen."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from dualtrack.cli.groups import BY_NAME
from dualtrack.core.errors import External, Findings, Missing
from dualtrack.core.output import form
from dualtrack.tracks import renewal_timer
from tests.conftest import CLI, ROOT

ACCOUNTS = {"root": 0, "a user": 1000}


@pytest.fixture(params=ACCOUNTS)
def account(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Who installs the timer; its units go into a directory of the test."""
    monkeypatch.setattr(renewal_timer.os, "geteuid", lambda: ACCOUNTS[request.param])
    monkeypatch.setattr(renewal_timer, "SYSTEM", tmp_path / "system")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return str(request.param)


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A systemctl that notes how it is called, and answers with what a test puts into a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\ncat {tmp_path}/answer 2>/dev/null\nexit 0\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(renewal_timer, "RUNNING", tmp_path)
    return tmp_path


def made(folder: Path) -> renewal_timer.Units:
    odd = folder / "a directory, 50%"
    return renewal_timer.units(CLI, odd / "pki", root=ROOT, state=odd)


def test_systemd_takes_the_units(account: str, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    found = made(tmp_path)
    for name, text in found.files.items():
        (tmp_path / name).write_text(text)
    paths = [tmp_path / name for name in found.files]
    done = subprocess.run([program, "verify", *paths], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if str(tmp_path) in line]) == (0, [])
    if account == "root":
        words = [program, "security", "--offline=yes", paths[0]]
        rated = subprocess.run(words, capture_output=True, text=True, check=False)
        level = re.search(r"exposure level for .*: ([0-9.]+)", rated.stdout)
        assert level is not None, rated.stdout + rated.stderr
        assert float(level[1]) <= 3.5, rated.stdout


@pytest.mark.usefixtures("account")
def test_the_line_of_the_service_and_that_of_cron_run(tmp_path: Path) -> None:
    found = made(tmp_path)
    text = found.files["dualtrack-certificates.service"]
    line = re.search(r"^ExecStart=(.*)$", text, re.M)
    assert line is not None
    minute, hour, *every, command = found.cron.split(" ", 5)
    assert (minute.isdecimal(), hour.isdecimal(), every) == (True, True, ["*", "*", "*"])
    for words in (shlex.split(line[1].replace("%%", "%")), ["sh", "-c", command.replace(r"\%", "%")]):
        done = subprocess.run(
            words, env={"PATH": os.environ["PATH"], "DUALTRACK_STATE_DIR": str(tmp_path)}, cwd="/",
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "no certificate is due\n", "")


def test_install_status_remove(account: str, systemd: Path) -> None:
    wanted = made(systemd)
    assert not renewal_timer.state().installed
    renewal_timer.install(wanted)
    option = [] if account == "root" else ["--user"]
    called = [line.split() for line in (systemd / "called").read_text().splitlines()]
    assert called == [[*option, "daemon-reload"], [*option, "enable", "--now", "dualtrack-certificates.timer"]]
    assert {path.name: path.read_text() for path in wanted.place.iterdir()} == wanted.files
    assert renewal_timer.remove(write=False)[0].startswith("would remove")
    assert renewal_timer.state().installed
    renewal_timer.remove(write=True)
    assert not list(wanted.place.iterdir())
    assert renewal_timer.remove(write=True) == ["no timer is installed"]


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("answer", "ok", "says"),
    [
        ("ActiveState=active\nResult=success\nNextElapseUSecRealtime=Tue\nExecMainExitTimestamp=Mon", True, "runs"),
        ("ActiveState=active\nResult=success\nNextElapseUSecRealtime=Tue\nExecMainExitTimestamp=", True, "no renewal"),
        ("ActiveState=active\nResult=exit-code\nExecMainExitTimestamp=Mon", False, "last: Mon, exit-code"),
        ("ActiveState=inactive\nResult=success\nExecMainExitTimestamp=Mon", False, "does not run"),
    ],
)
def test_state(systemd: Path, answer: str, ok: bool, says: str) -> None:
    renewal_timer.install(made(systemd))
    (systemd / "answer").write_text(answer + "\n")
    found = renewal_timer.state()
    assert (found.ok, says in found.line) == (ok, True)
    assert bool(found.remedy)


@pytest.mark.usefixtures("account")
def test_without_systemd_the_line_for_cron_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal_timer, "RUNNING", tmp_path / "nothing")
    wanted = made(tmp_path)
    with pytest.raises(Missing, match="systemd does not run") as refused:
        renewal_timer.install(wanted)
    assert wanted.cron in refused.value.hint
    assert not wanted.place.exists()


@pytest.mark.usefixtures("account")
def test_what_systemctl_refuses_is_said(systemd: Path) -> None:
    (systemd / "bin/systemctl").write_text("#!/bin/sh\necho 'Access denied' >&2\nexit 1\n")
    with pytest.raises(External, match="Access denied"):
        renewal_timer.install(made(systemd))


@pytest.mark.usefixtures("account")
def test_the_commands(systemd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def call(*words: str) -> str:
        try:
            BY_NAME["pki"].load().main(["timer", *words], standalone_mode=False)
        finally:
            form.reset()
        return capsys.readouterr().out

    with pytest.raises(Findings, match="certificates are not renewed") as missing:
        call("status")
    assert missing.value.hint == "dualtrack pki timer install"
    capsys.readouterr()
    printed = call("install", "--dry-run")
    assert ("OnCalendar=daily" in printed, (systemd / "called").exists()) == (True, False)
    assert "renews certificates every day" in call("install", "--pki", str(systemd / "pki"))
    (systemd / "answer").write_text("ActiveState=active\nResult=success\nExecMainExitTimestamp=Mon\n")
    assert call("status") == "the timer runs; next: none; last: Mon, success\n"
    (systemd / "answer").write_text("ActiveState=active\nResult=exit-code\nExecMainExitTimestamp=Mon\n")
    with pytest.raises(Findings) as failed:
        call("status", "--json")
    assert failed.value.hint.startswith("journalctl ")
    assert json.loads(capsys.readouterr().out)["result"] == "exit-code"
    assert call("remove", "--dry-run").count("would remove") == 2
    assert call("remove").count("removed") == 2
