"""Completion of names: from files of this machine, quick, and silent about what cannot be read."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from dualtrack.cli import names
from tests.conftest import CLI, ROOT


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "state/inventories/lab").mkdir(parents=True)
    found = {"gateway-1": {}, "gpu-1": {}, "-oEvil": {}, "a\x1b[2J": {}, "g-": {}}
    (tmp_path / "state/inventories/lab/hosts-local.json").write_text(json.dumps({"all": {"hosts": found}}))
    (tmp_path / "hosts.d").mkdir()
    (tmp_path / "hosts.d/ghost-1.json").write_text("{}")
    (tmp_path / "cache/names").mkdir(parents=True)
    (tmp_path / "cache/names/snapshots.json").write_text('["daily-2026-11-28", "daily-2026-11-29"]')
    return tmp_path


def complete(site: Path, *words: str) -> list[str]:
    env = {
        **os.environ, "DUALTRACK_LAB_DIR": str(site), "DUALTRACK_CACHE": str(site / "cache"),
        "_DUALTRACK_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(["dualtrack", *words]),
        "COMP_CWORD": str(len(words)),
    }  # fmt: skip
    done = subprocess.run([CLI], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ssh", "g"), ["gateway-1", "gpu-1"]),
        (("logs", "ga"), ["gateway-1"]),
        (("lab", "ssh", "g"), ["gateway-1", "ghost-1", "gpu-1"]),
        (("failover", "drain", "gp"), ["gpu-1"]),
        (("verify", "--limit", "gp"), ["gpu-1"]),
        (("verify", "--role", "sl"), ["slurm"]),
        (("play", "peop"), ["people"]),
        (("audit", "restore", "daily-2026-11-29"), ["daily-2026-11-29"]),
        (("use", "e"), ["emulator"]),
        (("pools", "status", "--stack", "a"), ["aws"]),
        (("pools", "status", "--format", "y"), ["yaml"]),
    ],
)
def test_names_are_completed(site: Path, words: tuple[str, ...], expected: list[str]) -> None:
    assert complete(site, *words) == expected


@pytest.mark.parametrize("words", [("ssh", ""), ("audit", "restore", ""), ("store", "remove", "")])
def test_nothing_there_completes_to_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert complete(tmp_path, *words) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"all": []}', "null"])
def test_damaged_files_complete_to_nothing(site: Path, text: str) -> None:
    (site / "state/inventories/lab/hosts-local.json").write_text(text)
    (site / "cache/names/snapshots.json").write_text(text)
    assert complete(site, "ssh", "") == []
    assert complete(site, "audit", "restore", "") in ([], ["all"])


def test_only_names_that_a_host_can_have_are_offered(site: Path) -> None:
    assert complete(site, "ssh", "") == ["gateway-1", "gpu-1"]


def test_a_long_list_is_cut() -> None:
    assert len(names.beginning(map(str, range(10_000)), "")) == names.MOST


def test_every_playbook_is_offered() -> None:
    assert names.playbooks("") == sorted(it.stem for it in (ROOT / "ansible/playbooks").glob("*.yml"))
