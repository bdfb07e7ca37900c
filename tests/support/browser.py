"""A real browser (Chromium, headless) that uses the knowledge base's page: tests/browser/page.mjs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from dualtrack.core.proc import run
from tests.conftest import ROOT


def use(address: str, token: str, question: str, seen: str, *, folder: Path, ask: bool = False) -> dict[str, Any]:
    """Use the page in both languages; return by language what it said and what axe found. Pictures go to ``folder``."""
    place = folder / "browser"
    place.mkdir()
    for name in ("package.json", "package-lock.json", "page.mjs"):
        shutil.copy(ROOT / "tests/browser" / name, place)
    tool = str(ROOT / "ci/tool.sh")
    run([tool, "node:npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=place, timeout=300)
    asked = {
        "URL": address, "TOKEN": token, "QUESTION": question, "SEEN": seen, "ASK": "1" if ask else "",
        "CHROMIUM": shutil.which("chromium") or "chromium", "PICTURES": str(folder), "HOME": str(folder),
    }  # fmt: skip
    done = run([tool, "node", "page.mjs"], cwd=place, env=asked, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
