"""Which stack a command is about: option, environment, `dualtrack use`, emulator; in this order, and said on stderr."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.conftest import CLI


def call(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {name: it for name, it in os.environ.items() if name != "DUALTRACK_STACK"}
    env |= {"DUALTRACK_LAB_DIR": str(folder), **more}
    return subprocess.run([CLI, *words], env=env, capture_output=True, text=True, check=False)


def said(folder: Path, *words: str, **more: str) -> str:
    return call(folder, "pools", "report", *words, **more).stderr.splitlines()[0]


def test_the_option_goes_before_the_environment_and_that_before_the_choice(tmp_path: Path) -> None:
    assert said(tmp_path) == "stack: emulator (default)"
    assert call(tmp_path, "use", "aws").stdout == "aws (dualtrack use)\n"
    assert said(tmp_path) == "stack: aws (dualtrack use)"
    assert said(tmp_path, DUALTRACK_STACK="emulator") == "stack: emulator (DUALTRACK_STACK)"
    assert said(tmp_path, "--stack", "aws", DUALTRACK_STACK="emulator") == "stack: aws (--stack)"
    assert json.loads((tmp_path / "state/context.json").read_text()) == {"stack": "aws"}


def test_documents_name_the_stack(tmp_path: Path) -> None:
    done = call(tmp_path, "pools", "report", "--json", DUALTRACK_STACK="aws")
    assert json.loads(done.stdout)["stack"] == "aws"


def test_use_prints_what_is_in_force_and_says_when_the_environment_hides_it(tmp_path: Path) -> None:
    assert call(tmp_path, "use").stdout == "emulator (default)\n"
    hidden = call(tmp_path, "use", "emulator", "--json", DUALTRACK_STACK="aws")
    assert json.loads(hidden.stdout) == {"schema": "dualtrack.use/1", "stack": "aws", "from": "DUALTRACK_STACK"}
    assert "DUALTRACK_STACK goes first" in hidden.stderr


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    assert call(tmp_path, "use", "mars").returncode == 2
    assert call(tmp_path, "use", DUALTRACK_STACK="mars").returncode == 2
    (tmp_path / "state").mkdir()
    (tmp_path / "state/context.json").write_text("{")
    done = call(tmp_path, "pools", "report")
    assert (done.returncode, "is damaged" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_what_programs_read_has_no_line_more(tmp_path: Path) -> None:
    assert "stack:" not in call(tmp_path, "inventory", "--track", "local").stderr
