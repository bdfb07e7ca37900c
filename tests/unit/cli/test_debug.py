"""`dualtrack --debug`: this program's log, without what must stay secret."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import CLI

CODE = """
from dualtrack.core import logs, proc
import logging
if {debug}:
    logs.debug()
proc.run(["true", "a b"], env={{"TOKEN": "hush-1"}}, stdin="hush-2")
proc.run(["false", "\x1b[2J"], check=False)
logging.getLogger("botocore").debug("hush-3")
"""


def logged(*, debug: bool) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(debug=debug)], capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout == ""
    return done.stderr


def test_programs_are_logged_with_their_duration_and_without_secrets() -> None:
    first, second = logged(debug=True).splitlines()
    assert "dualtrack.core.proc: true 'a b': exit code 0 after 0." in first
    assert "exit code 1" in second
    assert "\\x1b[2J" in second
    assert "hush" not in first + second


def test_nothing_is_logged_without_it() -> None:
    assert logged(debug=False) == ""


def test_it_is_an_option_of_the_top_level() -> None:
    done = subprocess.run([CLI, "-v", "doctor", "--json"], env=os.environ, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("{")
    assert "Usage" not in done.stderr
