"""What an entry of the journal is called: by what journald knows of its sender, not by what the sender says."""

from __future__ import annotations

import json

import pytest

from dualtrack.audit.journal import label
from dualtrack.audit.telling import told

#: As journald writes them on a host of the lab, with the fields that count.
SUDO = {"SYSLOG_IDENTIFIER": "sudo", "_TRANSPORT": "syslog", "_UID": "1001", "_COMM": "sudo", "_EXE": "/usr/bin/sudo"}
FORGED = {**SUDO, "_COMM": "logger", "_EXE": "/usr/bin/logger"}
SSHD = {"SYSLOG_IDENTIFIER": "sshd", "_TRANSPORT": "syslog", "_UID": "0", "_COMM": "sshd"}  # gone before it was seen
ALARM = {"SYSLOG_IDENTIFIER": "dualtrack", "_UID": "990", "_COMM": "python3", "_EXE": "/usr/bin/python3.11"}


def entry(fields: dict[str, object]) -> bytes:
    return json.dumps(fields).encode()


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
    assert label(entry(fields)) == expected


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
    message = "      bo : PWD=/ ; USER=root ; COMMAND=/bin/cat /etc/shadow"
    genuine, forged = ({**it, "MESSAGE": message} for it in (SUDO, FORGED))
    assert told(label(entry(genuine))[0], json.dumps(genuine))[0] == "bo"
    assert told(label(entry(forged))[0], json.dumps(forged))[0] == "uid 1001"
