"""The name that records of changes have."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from dualtrack.core import operator

OTHER = pwd.getpwnam("daemon")


@pytest.mark.parametrize(
    ("own", "login", "sudo", "name"),
    [
        (OTHER.pw_uid, "0", "games", "daemon"),
        (OTHER.pw_uid, "4294967295", "games", "daemon"),
        (0, str(OTHER.pw_uid), "games", "daemon"),
        (0, "4294967295", "games", "games"),
        (0, "0", "games", "games"),
        (0, "0", "no such\naccount", "root"),
        (0, "0", "nobody here", "root"),
        (0, "4294967295", "", "root"),
        (0, "", "", "root"),
        (3999999, "0", "games", "3999999"),
    ],
)
def test_environment_does_not_choose_the_operator(
    own: int, login: str, sudo: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "loginuid").write_text(login)
    monkeypatch.setattr(operator, "LOGIN", tmp_path / "loginuid")
    monkeypatch.setattr(os, "getuid", lambda: own)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "mallory")
    monkeypatch.setenv("SUDO_USER", sudo)
    assert operator.operator() == name
