"""The top level in Chinese: an entry for each command and panel, and nothing that programs read is translated."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from dualtrack.cli import chinese
from dualtrack.cli.groups import ENTRIES, PANELS, speaks_chinese
from tests.conftest import CLI

HAN = re.compile(r"[\u4e00-\u9fff]")


def call(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("LC_ALL", "LC_MESSAGES", "LANG")}
    return subprocess.run(
        [CLI, *words], env={**kept, **env}, capture_output=True, encoding="utf-8", check=False, timeout=60
    )  # fmt: skip


def test_every_command_and_panel_has_an_entry_and_no_other() -> None:
    assert list(chinese.HELP) == [it.name for it in ENTRIES]
    assert list(chinese.PANELS) == list(PANELS)
    for text in (chinese.SUMMARY, *chinese.HELP.values(), *chinese.PANELS.values()):
        assert HAN.search(text)


@pytest.mark.parametrize("env", [{"LANG": "zh_CN.UTF-8"}, {"LC_ALL": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"}])
def test_the_list_of_commands_is_chinese(env: dict[str, str]) -> None:
    shown = call("--help", **env).stdout
    assert chinese.SUMMARY in shown
    for panel in chinese.PANELS.values():
        assert f" {panel} ─" in shown
    joined = re.sub(r"[\s│]", "", shown)
    for text in chinese.HELP.values():
        assert re.sub(r"\s", "", text) in joined


@pytest.mark.parametrize("env", [{}, {"LANG": "C.UTF-8"}, {"LC_ALL": "en_US.UTF-8", "LANG": "zh_CN.UTF-8"}])
def test_it_is_english_otherwise(env: dict[str, str]) -> None:
    assert not HAN.search(call("--help", **env).stdout)


def test_what_programs_read_is_not_translated() -> None:
    for words in (("use", "--json"), ("explain", "5"), ("--version",)):
        assert call(*words, LANG="zh_CN.UTF-8").stdout == call(*words).stdout
    assert call("nonsense", LANG="zh_CN.UTF-8").returncode == 2


def test_the_first_variable_that_is_set_counts() -> None:
    assert speaks_chinese({"LANG": "zh_CN.UTF-8"})
    assert speaks_chinese({"LC_ALL": "", "LC_MESSAGES": "zh_SG", "LANG": "C"})
    assert not speaks_chinese({"LC_ALL": "C", "LANG": "zh_CN"})
    assert not speaks_chinese({})
