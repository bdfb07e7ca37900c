"""`make man`: a page for each command of the top level, as groff reads it without a warning."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dualtrack.cli import commands
from dualtrack.cli.groups import ENTRIES
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    target = tmp_path_factory.mktemp("man") / "man1"
    target.mkdir()
    (target / "dualtrack-gone.1").touch()
    subprocess.run([sys.executable, ROOT / "ci/man_pages.py", target], check=True, timeout=120)
    return sorted(target.iterdir())


def test_there_is_a_page_for_each_command_and_no_other(pages: list[Path]) -> None:
    assert {it.name for it in pages} == {"dualtrack.1", *(f"dualtrack-{it.name}.1" for it in ENTRIES)}


def test_pages_have_the_sections_that_readers_look_for(pages: list[Path]) -> None:
    for page in pages:
        sections = re.findall(r'^\.SH "?([^"\n]+)', page.read_text(), re.M)
        assert sections[:2] == ["NAME", "SYNOPSIS"], page.name


def test_every_option_is_in_its_page(pages: list[Path]) -> None:
    text = {it.stem: it.read_text().replace("\\-", "-") for it in pages}
    for path, command in commands():
        for option in command.params:
            if option.param_type_name == "option" and option.name != "help" and not option.hidden:
                assert f"\\fB{option.opts[0]}\\fR" in text[f"dualtrack-{path[0]}"], (path, option.opts)


def test_pages_are_ascii_and_no_line_is_a_request_by_accident(pages: list[Path]) -> None:
    known = {".TH", ".SH", ".PP", ".TP", ".br"}
    for page in pages:
        lines = page.read_text(encoding="ascii").splitlines()
        assert {it.split()[0] for it in lines if it[:1] in (".", "'")} <= known, page.name
        assert "[bold]" not in page.read_text()


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_groff_reads_every_page_without_a_warning(pages: list[Path]) -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", *pages], capture_output=True, check=False, timeout=120
    )  # fmt: skip
    assert done.stderr.decode() == ""
    assert done.returncode == 0


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
def test_mandoc_finds_no_error(pages: list[Path]) -> None:
    subprocess.run(["mandoc", "-T", "lint", "-W", "error", *pages], check=True, timeout=120)


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")
def test_man_shows_a_page(pages: list[Path]) -> None:
    (page,) = [it for it in pages if it.name == "dualtrack-pools.1"]
    shown = subprocess.run(["man", "-l", page], capture_output=True, text=True, check=True, timeout=60)
    assert "dualtrack pools watch" in re.sub(r".\x08", "", shown.stdout)
