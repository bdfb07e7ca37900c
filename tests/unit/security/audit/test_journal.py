"""What an entry of the journal is called: by what journald knows of its sender, not by what the sender says."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from dualtrack.security.audit import ingest, journal
from dualtrack.security.audit.journal import cursor, label
from dualtrack.security.audit.journal_export import JournalEntry
from dualtrack.security.audit.summarize import told
from dualtrack.security.audit.writer import Writer, begin
from tests.unit.security.audit.test_journal_export import written

#: As journald writes them on a host of the lab, with the fields that count.
SUDO = {"SYSLOG_IDENTIFIER": "sudo", "_TRANSPORT": "syslog", "_UID": "1001", "_COMM": "sudo", "_EXE": "/usr/bin/sudo",
        "MESSAGE": "      bo : PWD=/ ; USER=root ; COMMAND=/bin/cat /etc/shadow"}  # fmt: skip
FORGED = {**SUDO, "_COMM": "logger", "_EXE": "/usr/bin/logger"}
SSHD = {"SYSLOG_IDENTIFIER": "sshd", "_TRANSPORT": "syslog", "_UID": "0", "_COMM": "sshd"}  # gone before it was seen
ALARM = {"SYSLOG_IDENTIFIER": "dualtrack", "_UID": "990", "_COMM": "python3", "_EXE": "/usr/bin/python3.11"}


def entry(fields: dict[str, object]) -> JournalEntry:
    found = JournalEntry()
    for name, value in fields.items():
        for it in value if isinstance(value, list) else [value]:
            found.add(name.encode(), str(it).encode())
    return found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (SUDO, ("sudo", "sudo")),
        (SSHD, ("sshd", "sshd")),
        ({**ALARM, "_SYSTEMD_UNIT": "dualtrack-audit-ship.service"}, ("dualtrack", "dualtrack")),
        ({"SYSLOG_IDENTIFIER": "CRON", "_UID": "0"}, ("journal", "CRON")),
        ({"SYSLOG_IDENTIFIER": "audit", "_TRANSPORT": "audit"}, ("audit", "audit")),
        ({"MESSAGE": "no name"}, ("journal", "")),
        ({"SYSLOG_IDENTIFIER": ["sudo", "sudo"], "_UID": "0"}, ("journal", "")),
    ],
)
def test_label(fields: dict[str, object], expected: tuple[str, str]) -> None:
    assert label(entry(fields), lambda _: "bo") == expected


@pytest.mark.attack("a user", "writes what no reader of JSON gets through", "found", "audit search")
@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 100_000, "audit: {" + '"a":{' * 100_000])
def test_deep_bodies_are_shown_as_they_are(body: str) -> None:
    assert cursor(body.encode()) == ""
    assert told("opensearch", body) == ("", body)


@pytest.mark.attack(
    "a stranger", "logs in under a name that looks like sshd's words", "found", "no name in audit search"
)
@pytest.mark.parametrize(
    ("line", "who"),
    [
        ("Accepted publickey for ana from 10.0.0.9 port 4711 ssh2: ED25519 SHA256:x", "ana"),
        ("Failed password for ana from 203.0.113.9 port 4711 ssh2", "ana"),
        ("Failed password for invalid user bo from 203.0.113.9 port 4711 ssh2", ""),
        ("Invalid user x for bo from 10.0.0.1 from 203.0.113.9 port 4711", ""),
        ("Failed none for invalid user x for bo from 10.0.0.1 from 203.0.113.9 port 4711 ssh2", ""),
        ("pam_unix(sshd:session): session opened for user ana(uid=1001) by (uid=0)", "ana"),
        ("Invalid user pam_unix(sshd:session): session opened for user bo from 203.0.113.9", ""),
    ],
)
def test_who_is_not_what_a_stranger_types(line: str, who: str) -> None:
    assert told("sshd", line)[0] == who


@pytest.mark.attack("a user", "logs under the name of sudo, sshd, su or our own programs", "found", "its kind: journal")
@pytest.mark.parametrize(
    ("fields", "source"),
    [
        (FORGED, "logger"),
        ({**FORGED, "_COMM": "sudo", "_EXE": "/home/u/sudo"}, "sudo"),
        ({**SUDO, "_EXE": "/usr/bin/sudo (deleted)"}, "sudo"),
        ({**FORGED, "SYSLOG_IDENTIFIER": "sshd"}, "logger"),
        ({**SUDO, "SYSLOG_IDENTIFIER": "su"}, "sudo"),
        ({"SYSLOG_IDENTIFIER": "sudo", "_UID": "1001"}, "?"),
        ({"SYSLOG_IDENTIFIER": "sudo"}, "?"),
        ({"SYSLOG_IDENTIFIER": "sudo", "_UID": ["0", "1001"], "_COMM": "x"}, "x"),
        ({**ALARM, "_SYSTEMD_UNIT": "user@1001.service", "_SYSTEMD_USER_UNIT": "dualtrack-x.service"}, "python3"),
        ({**ALARM, "SYSLOG_IDENTIFIER": "opensearch", "_SYSTEMD_UNIT": "ssh.service"}, "python3"),
    ],
)
def test_another_s_name_is_not_its_own(fields: dict[str, object], source: str) -> None:
    assert label(entry(fields)) == ("journal", source)


def test_who_it_was_is_not_what_a_user_says() -> None:
    for fields, name, who in ((SUDO, "bo", "bo"), (FORGED, "bo", "uid 1001"), (SUDO, "ana", "uid 1001")):
        kind = label(entry(fields), lambda _, name=name: name)[0]  # type: ignore[misc]
        assert told(kind, json.dumps(fields))[0] == who


def test_a_silent_journal_has_heartbeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes but the entry that is known: it is opened again and again, more often than a heartbeat is due."""
    program = tmp_path / "bin/journalctl"
    program.parent.mkdir()
    (tmp_path / "entry").write_bytes(written([(b"__CURSOR", b"s=1;i=1;b=1;m=1;t=1;x=1"), (b"MESSAGE", b"x")]))
    program.write_text(f"#!/bin/sh\necho >>{tmp_path}/opened\ncat {tmp_path}/entry\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(journal, "SILENCE_S", 0.1)
    monkeypatch.setattr(ingest, "TICK_S", 0.1)
    monkeypatch.setitem(ingest.follow.__kwdefaults__, "heartbeat_ns", 10**9)
    begin(tmp_path / "trail", "h1")
    give_up = time.monotonic() + 60
    with Writer(tmp_path / "trail") as writer:
        journal.collect(writer, stopped=lambda: writer.last >= 4 or time.monotonic() > give_up)
    assert len((tmp_path / "opened").read_text()) > 4, "it was not opened again"
    lines = [it for file in (tmp_path / "trail").rglob("*.log") for it in file.read_text().splitlines()]
    assert sum('"kind":"heartbeat"' in it for it in lines) >= 4, lines
