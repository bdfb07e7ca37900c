"""Runbooks that need no running track, and that none is left without a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli

ALONE = ("own-servers.md", "real-account.md")


@pytest.mark.parametrize("page", ALONE)
def test_page_runs(tmp_path: Path, page: str) -> None:
    Cli(tmp_path).runbook(page)


def test_every_page_is_run_by_a_test_and_listed() -> None:
    pages = {path.name for path in (ROOT / "docs/runbooks").glob("*.md")} - {"README.md"}
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    index = (ROOT / "docs/runbooks/README.md").read_text()
    assert [page for page in sorted(pages) if f'"{page}"' not in tests] == []
    assert [page for page in sorted(pages) if f"({page})" not in index] == []
