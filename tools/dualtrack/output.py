"""What commands print: one typed JSON document on stdout, or tables for people; everything else goes to stderr.

Colours appear on terminals only and never with NO_COLOR set (rich keeps both promises).
"""

from __future__ import annotations

import sys
import time
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


def document(kind: str, body: Any) -> None:
    """Print the one JSON document of a command: `schema` names its kind and version, the rest is ``body``'s fields."""
    import msgspec

    data = {"schema": f"dualtrack.{kind}/1", **msgspec.to_builtins(body)}
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")


def console(*, err: bool = False) -> Console:
    """Return a console on stdout (or stderr); a pipe gets wide, plain lines."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    return Console(stderr=err, width=None if stream.isatty() else 200, highlight=False, soft_wrap=not stream.isatty())


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Print a table; cells whose word has a colour (see STYLE) are shown in it."""
    from rich import box
    from rich.table import Table

    shown = Table(
        *columns, title=title or None, box=box.SIMPLE, pad_edge=False, title_justify="left", title_style="bold"
    )
    for row in rows:
        shown.add_row(*(f"[{STYLE[cell]}]{cell}[/]" if cell in STYLE else cell for cell in row))
    console().print(shown)


class Steps:
    """Progress for people on stderr: each line with the seconds since the start; silent with ``quiet``."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.begin = time.monotonic()

    def __call__(self, text: str) -> None:
        """Show one step."""
        if not self.quiet:
            print(f"[{time.monotonic() - self.begin:6.1f} s] {text}", file=sys.stderr, flush=True)

    def named(self, name: str) -> Callable[[str], None]:
        """Return a `say` that puts ``name`` in front, for work that goes on side by side."""
        return lambda text: self(f"{name}: {text}")
