"""Options that several commands have mean the same in each: persons and times are checked before anything is done."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import CLI, ROOT

PEOPLE = ROOT / "inventories/access.yml"
#: Each command with --as, with what it needs beside it.
IN_PLACE_OF = (
    ("kb", "search", "x"), ("kb", "ask", "x"), ("kb", "search", "x", "--base", "BASE"),
    ("kb", "ask", "x", "--base", "BASE"), ("audit", "search"), ("audit", "fetch", "host", "trail"),
)  # fmt: skip
WHEN = (("audit", "search"), ("events",), ("logs", "host"))


def run(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DUALTRACK_LAB_DIR": str(tmp_path / "lab"), "DUALTRACK_STATE_DIR": str(tmp_path / "state")}
    known = [str(tmp_path) if word == "BASE" else word for word in words]
    return subprocess.run([CLI, *known], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("words", IN_PLACE_OF, ids=" ".join)
@pytest.mark.parametrize("name", ["nobody", "../chen", "chen\x1b[2J", "CHEN"])
def test_a_name_that_nobody_has_is_refused_before_anything_is_made(
    tmp_path: Path, words: tuple[str, ...], name: str
) -> None:
    done = run(tmp_path, *words, "--as", name)
    assert done.returncode == 2, done.stderr
    assert "among the people" in done.stderr
    assert "\x1b" not in done.stderr
    assert not list(tmp_path.glob("state/pki/**/*")), "no certificate for nobody"


@pytest.mark.parametrize("words", WHEN, ids=" ".join)
@pytest.mark.parametrize(
    "when",
    [
        "yesterday",
        "-1h",
        "2026-13-40",
        "1y",
        "now+1h",
        "'; drop",
        "١h",
        "999999w",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-14:00",
    ],
)
def test_what_is_no_time_is_refused_in_the_same_words(tmp_path: Path, words: tuple[str, ...], when: str) -> None:
    done = run(tmp_path, *words, f"--since={when}")
    assert done.returncode == 2, done.stderr
    assert f"{when} is not a time" in " ".join(done.stderr.split())


@pytest.mark.parametrize("words", WHEN, ids=" ".join)
@pytest.mark.parametrize(
    "when", ["15m", "now-1h", "now", "2026-11-29", "2026-11-29T08:00", "2026-11-29T08:00:00+08:00"]
)
def test_what_is_a_time_is_taken(tmp_path: Path, words: tuple[str, ...], when: str) -> None:
    assert "is not a time" not in run(tmp_path, *words, f"--since={when}").stderr
