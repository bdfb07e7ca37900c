"""`dualtrack ssh`, `logs`, `events` and `status --watch`, with a program in place of ssh."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dualtrack.cloud.pools.state import Entry, Store
from dualtrack.core import moments
from dualtrack.core.errors import BadInput, Missing
from dualtrack.security.access.break_glass import Grant, Grants
from dualtrack.tracks import events, reach
from tests.conftest import CLI

HOSTS = {
    "gateway-1": {
        "ansible_host": "10.30.0.12", "ansible_user": "ops", "ansible_ssh_private_key_file": "/keys/id",
        "ansible_ssh_common_args": "-o UserKnownHostsFile=/known -o HostKeyAlias=gateway-1",
    },
    "spot-a1": {"ansible_host": "10.20.0.7", "ansible_user": "admin", "ansible_port": 2222,
                "dualtrack_instance_id": "i-0a"},
    "-oProxyCommand=touch pwned": {"ansible_host": "10.20.0.8"},
}  # fmt: skip
JOURNAL = [
    {"__REALTIME_TIMESTAMP": "1764403200000000", "_SYSTEMD_UNIT": "haproxy.service", "SYSLOG_IDENTIFIER": "haproxy",
     "_PID": "7", "PRIORITY": "4", "MESSAGE": "a \x1b[2J message"},
    {"__REALTIME_TIMESTAMP": "1764403201000000", "SYSLOG_IDENTIFIER": "kernel", "PRIORITY": "6",
     "MESSAGE": [0xFF, 0x41]},
]  # fmt: skip
#: Writes down its arguments, prints the journal, and then does what its environment says.
SSH = """#!/bin/sh
printf '%s\\n' "$@" > "$SAID"
cat "$JOURNAL"
[ -z "$FOLLOW" ] || exec sleep 60
[ -z "$FAIL" ] || echo 'Host key verification failed.' >&2
exit ${FAIL:-0}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A state directory with hosts, and a program called ssh."""
    folder = tmp_path / "inventories/lab"
    folder.mkdir(parents=True)
    (folder / "hosts-local.json").write_text(json.dumps({"all": {"hosts": HOSTS}}))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(SSH)
    (tmp_path / "bin/ssh").chmod(0o755)
    (tmp_path / "journal").write_text("not an entry\n" + "".join(f"{json.dumps(it)}\n" for it in JOURNAL))
    return tmp_path


def environment(site: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ, "DUALTRACK_LAB_DIR": str(site), "PATH": f"{site}/bin:{os.environ['PATH']}",
        "SAID": str(site / "said"), "JOURNAL": str(site / "journal"), **more,
    }  # fmt: skip


def call(site: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = environment(site, **more)
    return subprocess.run([CLI, *words], env=env, capture_output=True, text=True, check=False, timeout=60)


def said(site: Path) -> list[str]:
    return (site / "said").read_text().splitlines()


@pytest.mark.parametrize("word", ["gateway-1", "10.30.0.12"])
def test_ssh_connects_as_ansible_does(site: Path, word: str) -> None:
    assert call(site, "ssh", word).returncode == 0
    words = said(site)
    assert words[-2:] == ["--", "10.30.0.12"]
    assert {"UserKnownHostsFile=/known", "HostKeyAlias=gateway-1", "User=ops", "/keys/id"} <= set(words)


def test_ssh_runs_a_command_and_ends_as_it_does(site: Path) -> None:
    done = call(site, "ssh", "i-0a", "--", "journalctl", "-f", "--since", "x", FAIL="7")
    assert done.returncode == 7
    assert said(site)[-8:] == ["-p", "2222", "--", "10.20.0.7", "journalctl", "-f", "--since", "x"]


@pytest.mark.attack("who names a host", "makes ssh run a program", "prevented", "names are those of the inventory")
@pytest.mark.parametrize("name", ["-oProxyCommand=touch pwned", "--", "nobody", "", "gateway-1 -oX", "../x"])
@pytest.mark.parametrize("command", ["ssh", "logs"])
def test_only_hosts_of_the_inventory_are_reached(site: Path, command: str, name: str) -> None:
    done = call(site, command, name)
    assert done.returncode == 2
    assert not (site / "said").exists()


def test_a_misspelled_host_is_suggested(site: Path) -> None:
    with pytest.raises(BadInput, match="did you mean gateway-1"):
        reach.find("gatway-1", site)
    with pytest.raises(Missing, match="no track is up"):
        reach.find("gateway-1", site / "none")


def test_logs_show_entries_and_no_control_characters(site: Path) -> None:
    done = call(site, "logs", "gateway-1", "haproxy", "--since", "2025-11-29T08:00")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "2025-11-29T08:00:00Z haproxy[7]: a \\x1b[2J message",
        "2025-11-29T08:00:01Z kernel: \ufffdA",
    ]
    words = said(site)
    assert words[0] == "-T"
    asked = words[-1].split()
    assert asked[:3] == ["sudo", "-n", "journalctl"]
    assert {"--unit=haproxy", "--since=@1764403200"} <= set(asked)
    assert not [it for it in asked if it.startswith("--lines")]


def test_logs_as_documents(site: Path) -> None:
    done = call(site, "logs", "gateway-1", "--json")
    first = json.loads(done.stdout.splitlines()[0])
    assert (first["schema"], first["priority"], first["unit"]) == ("dualtrack.log-entry/1", "warning", JOURNAL[0][
        "_SYSTEMD_UNIT"])  # fmt: skip
    assert "--lines=100" in said(site)[-1]


@pytest.mark.parametrize("words", [("a;b",), ("$(id)",), ("--", "-x"), ("--since", "soon"), ("--lines", "0")])
def test_what_logs_cannot_ask_is_refused(site: Path, words: tuple[str, ...]) -> None:
    assert call(site, "logs", "gateway-1", *words).returncode == 2
    assert not (site / "said").exists()


def test_logs_of_a_host_that_refuses(site: Path) -> None:
    (site / "journal").write_text("")
    done = call(site, "logs", "gateway-1", FAIL="255")
    assert (done.returncode, done.stdout) == (4, "")
    assert "gateway-1: ssh: Host key verification failed." in done.stderr
    assert "there is no entry of slurmd" in call(site, "logs", "gateway-1", "slurmd").stderr


def interrupted(site: Path, *words: str, **more: str) -> tuple[int, str, str]:
    process = subprocess.Popen(
        [CLI, *words], env=environment(site, **more), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return process.returncode, first + out, err


@pytest.mark.parametrize(
    "words", [("logs", "gateway-1", "-f"), ("events", "--watch"), ("status", "--watch")], ids=lambda it: it[0]
)
def test_what_watches_ends_with_ctrl_c(site: Path, words: tuple[str, ...]) -> None:
    (site / "tracks.json").write_text("{}")
    code, out, err = interrupted(site, *words, FOLLOW="1")
    assert code == 130
    assert out
    assert "Traceback" not in err
    assert "interrupted" not in err


def test_watched_status_shows_a_document_for_each_change(site: Path) -> None:
    code, out, _ = interrupted(site, "status", "--watch", "--json", "--interval", "0.5")
    assert code == 130
    assert [json.loads(it)["schema"] for it in out.splitlines()] == ["dualtrack.status/1"]


def recorded(site: Path) -> None:
    Store(site / "pools/aws").append(
        Entry(at=1000.0, kind="start", reason="begins"),
        Entry(at=1001.0, kind="nodes"),
        Entry(at=2000.0, kind="failed", pool="spot", reason="no capacity"),
    )
    (site / "verified.json").write_text('{"gateway-1": ["1970-01-01T00:20:00Z", true]}')
    grant = Grant(id="1", name="anna", role="administrator", reason="a disk", since=datetime.fromtimestamp(1500, UTC),
                  until=datetime.fromtimestamp(1800, UTC))  # fmt: skip
    (site / "access").mkdir()
    (site / "access/grants.json").write_bytes(msgspec.json.encode(Grants(grants=(grant,))))
    (site / "tracks.json").write_text('{"stack": "aws"}')


def test_events_come_from_every_record_in_order(site: Path) -> None:
    recorded(site)
    found = [(it.source, it.what, it.about) for it in events.events(site)]
    assert found[:1] == [("pools", "start", "aws")]
    assert ("pools", "failed", "aws/spot") in found
    assert found[-1][0] == "tracks"
    assert [it[1] for it in found if it[0] == "access"] == ["break-glass", "ended"]
    assert len(found) == len(set(found))


def test_events_since_a_moment(site: Path) -> None:
    recorded(site)
    shown = call(site, "events", "--since", "1970-01-01T00:30:00", "--format", "csv").stdout.splitlines()
    assert shown[0] == "time,source,what,about,text"
    assert [it.split(",")[2] for it in shown[1:]] == ["ended", "failed", "changed"]
    assert json.loads(call(site, "events", "--since", "1h", "--json").stdout)["events"][0]["source"] == "tracks"


def test_nothing_recorded_is_no_error(tmp_path: Path) -> None:
    done = call(tmp_path, "events")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "nothing is recorded\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 910.0), ("15 m", 100.0), ("1970-01-01T00:00:10", 10.0), ("1970-01-01T01:00:10+01:00", 10.0)],
)
def test_moments(text: str, expected: float) -> None:
    assert moments.since(text, 1000.0) == expected


@pytest.mark.parametrize("text", ["", "soon", "-5m", "5", "2026-13-01"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        moments.since(text, time.time())


def test_entries_of_a_journal_are_read_as_they_are() -> None:
    def parsed(**fields: Any) -> Any:
        return reach.parsed("h", json.dumps({"__REALTIME_TIMESTAMP": "0", **fields}).encode())

    assert parsed(MESSAGE=["a", "b"]).message == "a, b"
    assert parsed(MESSAGE=None).message == ""
    assert parsed(PRIORITY="9").priority == "9"
    assert reach.parsed("h", b"[]") is None
    assert reach.parsed("h", b"-- No entries --\n") is None


DAMAGED = [
    b"\xff\xfe\0garbage", b"{}", b'{"all":[]}', b'{"all":{"hosts":["a"]}}', b'{"all":{"hosts":{"a":5}}}',
    b'{"all":{"hosts":{"a', b'{"a":' * 5000,
]  # fmt: skip
UNUSABLE = [
    {"ansible_ssh_common_args": "'x"}, {"ansible_host": "a\0b"},
    {"ansible_ssh_private_key_file": "~no-such-user-here/x"},
]  # fmt: skip


@pytest.mark.parametrize("data", DAMAGED, ids=lambda data: repr(data[:30]))
@pytest.mark.parametrize("words", [("ssh", "a"), ("logs", "a"), ("kb", "address"), ("play", "base", "--yes")])
def test_a_damaged_inventory_is_one_line(tmp_path: Path, data: bytes, words: tuple[str, ...]) -> None:
    place = tmp_path / "inventories/lab/hosts-local.json"
    place.parent.mkdir(parents=True)
    place.write_bytes(data)
    done = run_in(tmp_path, *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "is damaged" in done.stderr


@pytest.mark.parametrize("facts", UNUSABLE, ids=lambda facts: next(iter(facts)))
def test_a_host_that_cannot_be_reached_as_it_is_written_is_one_line(tmp_path: Path, facts: dict[str, str]) -> None:
    place = tmp_path / "inventories/lab/hosts-local.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"all": {"hosts": {"a": facts}, "children": {}}}))
    done = run_in(tmp_path, "ssh", "a")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


def test_a_pipe_in_the_place_of_a_state_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tracks.json")
    done = run_in(tmp_path, "status")
    assert (done.returncode, "is damaged" in done.stderr) == (2, True)


@pytest.mark.parametrize("words", ["verify", "verify --json", "verify --role base", "play base", "ssh x", "logs x"])
def test_without_a_track_one_line_says_so(tmp_path: Path, words: str) -> None:
    done = run_in(tmp_path / "state", *words.split())
    lines = [line for line in done.stderr.splitlines() if not line.startswith("stack: ")]
    assert (done.returncode, done.stdout, len(lines)) == (3, "", 1)
    assert lines[0].startswith("dualtrack: no track is up (")


def run_in(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DUALTRACK_STATE_DIR": str(state), "DUALTRACK_LAB_DIR": str(state / "lab")}
    return subprocess.run([CLI, *words], env=env, capture_output=True, text=True, check=False, timeout=120)
