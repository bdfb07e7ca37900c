"""Replaces what is generated in a page, between two marks, or compares it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


def put(page: Path, begin: str, end: str, block: str, *, check: bool) -> Iterator[str]:
    """Write the block, which has both marks, into a page; with ``check`` only compare. Yield what is wrong."""
    name = f"{page.parent.name}/{page.name}"
    before = page.read_text(encoding="utf-8")
    if begin not in before or end not in before:
        yield f"{name} has no place for what is generated: add a line '{begin}' and a line '{end}'"
        return
    after = before[: before.index(begin)] + block + before[before.index(end) + len(end) :]
    if after != before and check:
        yield f"{name} is older than its source: run make docs"
    elif after != before:
        page.write_text(after, encoding="utf-8")


def report(wrong: Sequence[str]) -> int:
    """Print what is wrong and return the exit code."""
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0
