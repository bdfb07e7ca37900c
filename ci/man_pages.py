#!/usr/bin/env python3
"""Write man pages from the command line itself: dualtrack(1), and one for each command and group of the top level.

They go into a directory, build/man/man1 without an argument: `man -M build/man dualtrack-cloud` shows one.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dualtrack import __version__
from dualtrack.cli import commands
from dualtrack.cli.groups import BY_NAME, ENTRIES, PANELS
from dualtrack.core.errors import MEANING

TARGET = Path(__file__).resolve().parents[1] / "build/man/man1"
#: Marks of rich in help texts.
MARKUP = re.compile(r"\[/?(?:bold)?\]")


def text(words: str) -> str:
    """Return words as roff shows them: no escapes, no requests at the beginning of a line, hyphens as typed."""
    plain = MARKUP.sub("", words).replace("\\", "\\e").replace("-", "\\-")
    plain = "".join(it if it.isascii() else f"\\[u{ord(it):04X}]" for it in plain)
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in plain.split("\n"))


def bold(words: str) -> str:
    """Return words in bold."""
    return f"\\fB{text(words)}\\fR"


def paragraphs(words: str) -> Iterator[str]:
    """Yield a help text's paragraphs."""
    for number, part in enumerate(re.split(r"\n\s*\n", words.strip())):
        yield from ([".PP"] if number else []) + [text(" ".join(part.split()))]


def head(name: str, summary: str) -> Iterator[str]:
    """Yield the beginning of a page."""
    yield f'.TH "{name.upper()}" 1 "" "dualtrack {__version__}" "dualtrack"'
    yield from (".SH NAME", f"{text(name)} \\- {text(' '.join(summary.split()))}")


def main_page() -> str:
    """Return dualtrack(1)."""
    lines = [*head("dualtrack", "Deploy and operate GPU sites on two tracks: cloud and local")]
    lines += [".SH SYNOPSIS", f"{bold('dualtrack')} [\\-\\-debug] {text('COMMAND')} ..."]
    for panel, names in PANELS.items():
        lines += [f'.SH "{panel.upper()}"']
        for name in names:
            lines += [".TP", f"{bold(f'dualtrack-{name}')}(1)", text(BY_NAME[name].help.split("\n")[0])]
    lines += ['.SH "EXIT STATUS"']
    for code, meaning in MEANING.items():
        lines += [".TP", bold(str(int(code))), text(meaning)]
    return "\n".join(lines) + "\n"


def command_page(name: str, found: Sequence[tuple[tuple[str, ...], Any]]) -> str:
    """Return the page of a command of the top level, with all commands below it."""
    lines = [*head(f"dualtrack-{name}", BY_NAME[name].help.split("\n")[0])]
    lines += [".SH SYNOPSIS"]
    for number, (path, command) in enumerate(found):
        arguments = [it for it in command.params if it.param_type_name == "argument"]
        words = [
            bold(" ".join(["dualtrack", *path])),
            "[\\fIOPTIONS\\fR]",
            *(text(placeholder(it)) for it in arguments),
        ]
        lines += [".br"] * bool(number) + [" ".join(words)]
    for path, command in found:
        lines += ['.SH "DESCRIPTION"' if len(path) == 1 else f'.SH "{" ".join(["dualtrack", *path]).upper()}"']
        lines += paragraphs(command.help or "")
        if command.epilog:
            lines += [".PP", text(command.epilog)]
        for it in command.params:
            if it.name != "help" and it.help and not getattr(it, "hidden", False):
                lines += [".TP", option(it), text(" ".join(it.help.split()))]
    lines += ['.SH "SEE ALSO"', "\\fBdualtrack\\fR(1)"]
    return "\n".join(lines) + "\n"


def placeholder(argument: Any) -> str:
    """Return how the help calls an argument."""
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def option(it: Any) -> str:
    """Return the line of an option or argument."""
    if it.param_type_name == "argument":
        return f"\\fI{text(placeholder(it))}\\fR"
    names = ", ".join(map(bold, [*it.opts, *it.secondary_opts]))
    return names if it.is_flag else f"{names} \\fI{text(it.metavar or it.name.upper().replace('_', '-'))}\\fR"


def pages() -> dict[str, str]:
    """Return all pages by their files' names."""
    found = list(commands())
    made = {"dualtrack.1": main_page()}
    for it in ENTRIES:
        made[f"dualtrack-{it.name}.1"] = command_page(it.name, [one for one in found if one[0][0] == it.name])
    return made


def main() -> None:
    """Write the pages into the directory that is named, and remove those of commands that are gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=TARGET, help="where the pages go")
    target: Path = parser.parse_args().directory
    target.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in target.glob("dualtrack*.1"):
        if old.name not in made:
            old.unlink()
    for name, content in made.items():
        (target / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
