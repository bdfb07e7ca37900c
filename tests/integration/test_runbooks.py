"""Runbooks that need no running track, and that none is left without a test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli

ALONE = ("own-servers.md", "real-account.md", "set-up-your-shell.md")


@pytest.mark.parametrize("page", ALONE)
def test_page_runs(tmp_path: Path, page: str) -> None:
    Cli(tmp_path).runbook(page)


def run_by(source: str) -> set[str]:
    """Return the pages that a test file runs: handed to a call inside of a test or a fixture that is not skipped.

    A page that is a parameter of a test counts when the test hands that parameter to a call.
    """
    pages: set[str] = set()
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef) or any(
            "skip" in ast.unparse(it) for it in function.decorator_list
        ):
            continue
        calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
        handed = {ast.unparse(argument) for call in calls for argument in call.args}
        pages |= {text.strip("'") for text in handed if text.endswith(".md'")}
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("parametrize"):
                name, values = decorator.args[:2]
                if ast.literal_eval(name) in handed:
                    pages |= set(re.findall(r"[\w-]+\.md", values_of(values, source)))
    return pages


def values_of(values: ast.expr, source: str) -> str:
    """Return the text of a parametrization's values, which may be a constant of the module."""
    if not isinstance(values, ast.Name):
        return ast.unparse(values)
    found = re.search(rf"^{values.id} = (.*)$", source, re.M)
    return found[1] if found else ""


def test_every_page_is_run_by_a_test_and_listed() -> None:
    pages = {path.name for path in (ROOT / "docs/how-to").glob("*.md")} - {"README.md"}
    run = set().union(*(run_by(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py")))
    index = (ROOT / "docs/how-to/README.md").read_text()
    assert sorted(pages - run) == []
    assert [page for page in sorted(pages) if f"({page})" not in index] == []


@pytest.mark.parametrize(
    ("source", "pages"),
    [
        ('def test_x(site):\n    site.runbook("a.md")', {"a.md"}),
        ('# site.runbook("a.md")\ndef test_x(site): pass', set()),
        ('PAGES = "a.md"\ndef test_x(site): pass', set()),
        ('@pytest.mark.skip\ndef test_x(site):\n    site.runbook("a.md")', set()),
        ('@pytest.mark.parametrize("page", ["a.md", "b.md"])\ndef test_x(page):\n    run(page)', {"a.md", "b.md"}),
        ('P = ("a.md",)\n@pytest.mark.parametrize("page", P)\ndef test_x(page):\n    run(page)', {"a.md"}),
        ('@pytest.mark.parametrize("page", ["a.md"])\ndef test_x(page):\n    pass', set()),
    ],
)
def test_a_page_counts_only_where_it_is_run(source: str, pages: set[str]) -> None:
    assert run_by(source) == pages
