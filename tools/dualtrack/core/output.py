"""What commands print: one typed JSON document on stdout, or tables for people; everything else goes to stderr.

Colours appear on terminals only and never with NO_COLOR set (rich keeps both promises). All output goes through here:
much of it was written by others (log lines, names of files and hosts), and must neither command the terminal nor hide
what it says.
"""

from __future__ import annotations

import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

STYLE = {
    "up": "green",
    "running": "green",
    "ok": "green",
    "down": "red",
    "failed": "red",
    "unverified": "yellow",
    "missing": "red",
    "warning": "yellow",
}


#: Categories of characters that command a terminal, change the order of what is read, or show nothing.
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Characters that are letters or marks to Unicode and show nothing: fillers, blanks, joiners, variation selectors.
BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_ORDINARY = re.compile(r"[ -~]*")


def visible(text: str, keep: str = "") -> str:
    """Return a text in which every character shows: those that would not are written as Python writes them (`\\x1b`).

    ``keep`` names characters that stay, such as the ends of lines.
    """
    if _ORDINARY.fullmatch(text):
        return text
    return "".join(it.encode("unicode_escape").decode() if it not in keep and _hidden(it) else it for it in text)


def _hidden(it: str) -> bool:
    return unicodedata.category(it) in UNSEEN or bool(BLANK.match(it))


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text of one or more lines."""
    print(visible(text, keep="\n\t"), end="\n" if nl else "", file=sys.stderr if err else sys.stdout, flush=True)


def json_text(data: bytes) -> str:
    """Return JSON in which every character shows: the same document."""

    def escaped(it: str) -> str:
        if it == "\n" or not _hidden(it):
            return it
        units = it.encode("utf-16-be", "surrogatepass").hex()
        return "".join(f"\\u{units[begin : begin + 4]}" for begin in range(0, len(units), 4))

    return re.sub(r"[^ -~]", lambda found: escaped(found[0]), data.decode())


def document(kind: str, body: Any, *, stack: str = "") -> None:
    """Print the one JSON document of a command: `schema` names its kind and version, the rest is ``body``'s fields.

    ``stack`` is the one that the command is about; it becomes a field unless ``body`` has one of that name.
    """
    import msgspec

    data = {"schema": f"dualtrack.{kind}/1", **msgspec.to_builtins(body)}
    if stack:
        data.setdefault("stack", stack)
    try:
        encoded = msgspec.json.encode(data)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_spelled(data))
    sys.stdout.write(json_text(msgspec.json.format(encoded, indent=2)) + "\n")


def _spelled(value: Any) -> Any:
    """Return what JSON has no characters for, such as names of files that are not UTF-8, as Python writes it."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_spelled(name): _spelled(it) for name, it in value.items()}
    return [_spelled(it) for it in value] if isinstance(value, (list, tuple)) else value


def console(*, err: bool = False) -> Console:
    """Return a console on stdout (or stderr); a pipe gets wide, plain lines."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    return Console(stderr=err, width=None if stream.isatty() else 200, highlight=False, soft_wrap=not stream.isatty())


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Print a table; cells whose word has a colour (see STYLE) are shown in it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Text, not strings: rich would take square brackets for its own.
    shown = Table(box=box.SIMPLE, pad_edge=False, title_justify="left", title_style="bold")
    shown.title = Text(visible(title)) if title else None
    for column in columns:
        shown.add_column(Text(visible(column)))
    for row in rows:
        shown.add_row(*(Text(visible(cell), style=STYLE.get(cell, "")) for cell in row))
    console().print(shown)


class Steps:
    """Progress for people on stderr: each line with the seconds since the start; silent with ``quiet``."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.begin = time.monotonic()

    def __call__(self, text: str) -> None:
        """Show one step."""
        if not self.quiet:
            echo(f"[{time.monotonic() - self.begin:6.1f} s] {visible(text)}", err=True)

    def named(self, name: str) -> Callable[[str], None]:
        """Return a `say` that puts ``name`` in front, for work that continues side by side."""
        return lambda text: self(f"{name}: {text}")
