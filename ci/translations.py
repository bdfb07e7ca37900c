#!/usr/bin/env python3
"""Name the translations that are older than their original; `translations.py --accept FILE …` marks them as reviewed.

A page below docs/zh names its original and that file's SHA-256 digest in its front matter, README.zh-CN.md in an HTML
comment. When the original changes, update the translation, then accept it.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FRONT = re.compile(r"\A---\noriginal: (\S+)\noriginal_sha256: ([0-9a-f]{64})\n---\n\n")
COMMENT = re.compile(r"\A<!-- original: (\S+) original_sha256: ([0-9a-f]{64}) -->\n\n?")


def translations(root: Path) -> list[Path]:
    """Return every translated file."""
    return [*sorted((root / "docs/zh").rglob("*.md")), root / "README.zh-CN.md"]


def problem(root: Path, path: Path) -> str | None:
    """Return why a translation is not up to date, in one line; None when it is."""
    name = path.relative_to(root).as_posix()
    form = FRONT if name.startswith("docs/") else COMMENT
    found = form.match(path.read_text(encoding="utf-8"))
    if found is None:
        return f"{name} does not name its original (see ci/translations.py)"
    original = root / found[1]
    if not original.is_file():
        return f"{name}: its original {found[1]} does not exist"
    if _digest(original) != found[2]:
        return f"{name} is older than {found[1]}: update it, then run ci/translations.py --accept {name}"
    return None


def accept(root: Path, path: Path) -> None:
    """Write the present digest of the original into a translation."""
    name, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
    form = FRONT if name.startswith("docs/") else COMMENT
    found = form.match(text)
    original = found[1] if found else name.replace("docs/zh/", "docs/").replace(".zh-CN", "")
    mark = f"original: {original}\noriginal_sha256: {_digest(root / original)}\n"
    mark = f"---\n{mark}---\n\n" if form is FRONT else f"<!-- {' '.join(mark.split())} -->\n\n"
    path.write_text(mark + text[found.end() if found else 0 :], encoding="utf-8")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Accept the files that are named, or check all."""
    if sys.argv[1:2] == ["--accept"]:
        for name in sys.argv[2:]:
            accept(ROOT, ROOT / name)
    elif problems := [found for path in translations(ROOT) if (found := problem(ROOT, path))]:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
