"""The how-to index names every page by its title; tutorials name commands that exist, in both languages."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dualtrack.cli import commands

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
TUTORIALS = sorted((DOCS / "tutorial").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def test_the_index_has_the_titles_of_the_pages() -> None:
    rows = re.findall(r"^- \[(.+)\]\((.+)\)$", (DOCS / "how-to/README.md").read_text(encoding="utf-8"), re.M)
    titles = {
        path.name: path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        for path in (DOCS / "how-to").glob("*.md")
        if path.name != "README.md"
    }
    assert sorted((name, title) for title, name in rows) == sorted(titles.items())


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_uses_commands_and_options_that_exist(path: Path) -> None:
    known = {" ".join(words): {name for it in command.params for name in it.opts} for words, command in commands()}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    found = 0
    for language, block in BLOCK.findall(path.read_text(encoding="utf-8")):
        if language != "sh":
            continue
        assert set(re.findall(r"^make ([a-z-]+)$", block, re.M)) <= targets
        for line in re.findall(r"dualtrack ([^|)\n]+)", block):
            words = shlex.split(line)
            names = [" ".join(words[:count]) for count in (3, 2, 1)]
            name = next((it for it in names if it in known), None)
            assert name is not None, line
            assert {word for word in words if word.startswith("-")} <= known[name], line
            found += 1
    assert found


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_the_translation_has_the_same_commands(path: Path) -> None:
    translated = DOCS / "zh/tutorial" / path.name
    assert BLOCK.findall(translated.read_text(encoding="utf-8")) == BLOCK.findall(path.read_text(encoding="utf-8"))
