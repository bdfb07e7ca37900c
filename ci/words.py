#!/usr/bin/env python3
"""Report words in prose that docs/style.md replaces, and prose wider than it allows; exit code 1 where there are any.

The table below "Word list" in docs/style.md is the only list. KINDS says which files that git knows are read, and how.
Code in backticks or between braces is not read, nor are the files of EXCEPT.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: History, generated text, the table itself, the examples of its tests, and old names of commands.
EXCEPT = {
    "docs/explanation/track-record.md",
    "docs/style.md",
    "tests/unit/repository/test_words.py",
    "tools/dualtrack/cli/renamed.py",
}
ROW = re.compile(r"^\| `(?P<old>(?:[^`\\]|\\.)+)` \| (?P<new>.+?) \|$", re.M)
CODE = re.compile(r"^```.*?^```[ ]*$|`[^`\n]+`|\]\([^)\n]*\)|<[^>\n]+>", re.M | re.S)
QUOTED = re.compile(r"\"[^\"\n]*\"")
#: Inside of comments, strings and YAML: code in backticks, Ansible's C(code), keys of YAML, arguments, calls.
INLINE = re.compile(r"``[^`]+``|`[^`]+`|\b[CIVO]\([^)]*\)|^[ ]*(?:- )?[a-z_]+:(?=\s)|\b\w+=|\b\w+\.\w+\(", re.M)
BRACES = re.compile(r"\{[^{}]*\}")
PYTHON = re.compile(r'"""(?:\\.|[^\\])*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*', re.S)
COMMENT = re.compile(r"(?:^|(?<=\s))#.*$|\{#.*?#\}", re.M)
UNIT = re.compile(COMMENT.pattern + r"|^Description=.*$", re.M)
KEYS = "description|short_description|fail_msg|success_msg|msg|remedy|fix|hint|reason"
#: In YAML and HCL also names of tasks, messages and descriptions, with the lines of theirs that follow.
TEXT = re.compile(
    COMMENT.pattern
    + r"|^[ ]*- name: .+$"
    + rf"|^(?P<indent>[ ]*)(?:- )?(?:{KEYS}):.*(?:\n(?P=indent)[ ]+.*)*"
    + r'|\b(?:description|error_message) *= *"[^\n]*"',
    re.M,
)
#: Of Markdown, what has no width: code and tables.
TABLES = re.compile(r"^```.*?^[ ]*```[ ]*$|^[ ]*\|[^\n]*$", re.M | re.S)
#: What is not broken: code, links, and the mark of a list.
UNBROKEN = re.compile(r"`[^`\n]+`|\]\([^)\n]*\)|^[ ]*(?:[-*]|\d+\.)?[ ]+")
#: Not wrapped: written by a program, or in Chinese, which has no spaces to break at.
NOT_WRAPPED = re.compile(r"docs/reference/commands\.md|.*zh.*")
WIDTH = 120
Words = list[tuple[re.Pattern[str], str]]


def word_list(page: str) -> Words:
    """Return each pattern of the table with what to write instead."""
    table = page.partition("\n## Word list\n")[2]
    rows = [(match["old"].replace("\\|", "|"), match["new"]) for match in ROW.finditer(table)]
    return [(re.compile(rf"(?<![\w-]){old}(?![\w-])", re.I), new) for old, new in rows]


def blank(text: str) -> str:
    """Return a text of the same length and lines without a word in it."""
    return re.sub(r"\S", "·", text)


def without(pattern: re.Pattern[str], text: str) -> str:
    """Blank out what matches."""
    return pattern.sub(lambda match: blank(match[0]), text)


def only(pattern: re.Pattern[str], text: str) -> str:
    """Blank out what does not match; of what does, marks of comments and quotes become spaces, and code is blanked out.

    A string without a space is an identifier, a path or a word of a protocol: it is blanked out as well.
    """
    parts, end = [], 0
    for match in pattern.finditer(text):
        shown = match[0]
        if shown[0] in "\"'" and " " not in shown:
            shown = blank(shown)
        shown = re.sub(r"^\s*#+[:!]?|^(\"\"\"|\"|'|\{#)|(\"\"\"|\"|'|#\})$", lambda mark: " " * len(mark[0]), shown)
        shown = without(INLINE, shown)
        while (less := without(BRACES, shown)) != shown:
            shown = less
        parts += [blank(text[end : match.start()]), shown]
        end = match.end()
    return "".join([*parts, blank(text[end:])])


def prose(text: str, *, quotes: bool = True) -> str:
    """Return Markdown with code, and where told so quotations, blanked out."""
    text = without(CODE, text)
    return text if quotes else without(QUOTED, text)


def python(text: str) -> str:
    """Return Python's comments, docstrings, and strings with a space."""
    return only(PYTHON, text)


def comments(text: str) -> str:
    """Return the comments of shell, Makefile, TOML and templates, and systemd's descriptions."""
    return only(UNIT, text)


def texts(text: str) -> str:
    """Return what YAML and HCL tell people: comments, names of tasks, messages, descriptions."""
    return only(TEXT, text)


#: The first pattern that a path matches says how it is read. Below tests/fixtures lies data.
KINDS: tuple[tuple[str, Callable[[str], str] | None], ...] = (
    (r"tests/fixtures/.*(?<!\.py)", None),
    (r".*\.md", prose),
    (r".*\.py", python),
    (r".*\.(yml|tf|hcl|tfvars|example)", texts),
    (r".*\.(sh|j2|toml)|Makefile|\.ci/run", comments),
)


def files() -> Iterator[tuple[str, Callable[[str], str]]]:
    """Yield the files to read, and how."""
    listed = ["git", "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in sorted(set(names)):
        read = next((how for pattern, how in KINDS if re.fullmatch(pattern, name)), None)
        if read and name not in EXCEPT and not (ROOT / name).is_symlink() and (ROOT / name).is_file():
            yield name, read


def findings(text: str, words: Words) -> Iterator[tuple[int, str, str]]:
    """Yield line, word and replacement for each word of the list, also where it is broken over two lines."""
    flat = re.sub(r"\s+", " ", re.sub(r"\s*·[\s·]*", " · ", text))
    starts: list[int] = []
    for pattern, new in words:
        for match in pattern.finditer(flat):
            starts = starts or [it.start() for it in re.finditer(r"[^\s·]", text)]
            first = starts[len(re.sub(r"[ ·]", "", flat[: match.start()]))]
            yield text.count("\n", 0, first) + 1, match[0], new


def wide(text: str) -> Iterator[tuple[int, int]]:
    """Yield line and width of Markdown's prose that is wider than WIDTH and can be broken."""
    for number, line in enumerate(TABLES.sub(lambda it: "\n" * it[0].count("\n"), text).splitlines(), 1):
        if len(line) > WIDTH and " " in UNBROKEN.sub(lambda it: "·" * len(it[0]), line):
            yield number, len(line)


def main() -> None:
    """Check the tree."""
    words = word_list((ROOT / "docs/style.md").read_text(encoding="utf-8"))
    if not words:
        sys.exit("docs/style.md has no word list")
    lines = []
    for name, read in files():
        text = (ROOT / name).read_text(encoding="utf-8")
        shown = prose(text, quotes=False) if name.startswith("docs/adr/") else read(text)
        lines += [f'{name}:{line}: "{old}": {new}' for line, old, new in sorted(findings(shown, words))]
        if name.endswith(".md") and not NOT_WRAPPED.fullmatch(name):
            lines += [f"{name}:{line}: {width} characters: break it at {WIDTH}" for line, width in wide(text)]
    if lines:
        sys.exit("\n".join(lines))


if __name__ == "__main__":
    main()
