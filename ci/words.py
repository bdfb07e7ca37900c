#!/usr/bin/env python3
"""Report words in prose that docs/style.md replaces; exit code 1 where there are any.

The table below "Word list" in docs/style.md is the only list. Code blocks, inline code, links' targets and the pages
of EXCEPT are not read. Of YAML below TASKS only the names of tasks are read.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: What is checked: Markdown, and the names of tasks in YAML.
PROSE = ("README.md", "CONTRIBUTING.md", "AGENTS.md", "docs/**/*.md")
TASKS = ("roles/*/tasks/*.yml", "ansible/**/*.yml")
#: History, generated text, and the table itself.
EXCEPT = {"docs/explanation/track-record.md", "docs/reference/commands.md", "docs/style.md"}
ROW = re.compile(r"^\| `(?P<old>(?:[^`\\]|\\.)+)` \| (?P<new>.+?) \|$", re.M)
CODE = re.compile(r"^```.*?^```[ ]*$|`[^`\n]+`|\]\([^)\n]*\)|<[^>\n]+>", re.M | re.S)
QUOTED = re.compile(r"\"[^\"\n]*\"")
NAME = re.compile(r"^\s*- name: (?P<name>.+)$", re.M)


def word_list(page: str) -> list[tuple[re.Pattern[str], str]]:
    """Return each pattern of the table with what to write instead."""
    table = page.partition("\n## Word list\n")[2]
    rows = [(match["old"].replace("\\|", "|"), match["new"]) for match in ROW.finditer(table)]
    return [(re.compile(rf"(?<![\w-]){old}(?![\w-])", re.I), new) for old, new in rows]


def prose(text: str, *, quotes: bool = True) -> str:
    """Return Markdown with code, and where told so quotations, blanked out; lines keep their numbers."""
    for pattern in (CODE,) if quotes else (CODE, QUOTED):
        text = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return text


def task_names(text: str) -> str:
    """Return YAML with everything but the names of tasks blanked out; lines keep their numbers."""
    return "\n".join(match["name"] if (match := NAME.match(line)) else "" for line in text.splitlines())


def findings(text: str, words: list[tuple[re.Pattern[str], str]]) -> Iterator[tuple[int, str, str]]:
    """Yield line, word and replacement for each word of the list, also where it is broken over two lines."""
    flat = text.replace("\n", " ")
    for pattern, new in words:
        for match in pattern.finditer(flat):
            yield text.count("\n", 0, match.start()) + 1, match[0], new


def main() -> None:
    """Check the tree."""
    words = word_list((ROOT / "docs/style.md").read_text(encoding="utf-8"))
    if not words:
        sys.exit("docs/style.md has no word list")
    lines = []
    for patterns, readable in ((PROSE, prose), (TASKS, task_names)):
        for path in sorted({path for pattern in patterns for path in ROOT.glob(pattern)}):
            name = path.relative_to(ROOT).as_posix()
            if name in EXCEPT or not path.is_file():
                continue
            text = path.read_text(encoding="utf-8")
            record = name.startswith("docs/adr/")
            shown = prose(text, quotes=False) if record else readable(text)
            lines += [f'{name}:{line}: "{old}": {new}' for line, old, new in sorted(findings(shown, words))]
    if lines:
        sys.exit("\n".join(lines))


if __name__ == "__main__":
    main()
