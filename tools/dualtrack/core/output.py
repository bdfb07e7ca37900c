"""What commands print: one typed JSON document on stdout, or tables for people; everything else goes to stderr.

Colours appear on terminals only and never with NO_COLOR set (rich keeps both promises). All output goes through here:
much of it was written by others (log lines, names of files and hosts), and must neither command the terminal nor hide
what it says.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import select
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dualtrack.core.characters import hidden, visible
from dualtrack.core.errors import BadInput, External

if TYPE_CHECKING:
    from rich.console import Console


class Form:
    """How the command that runs prints its result: table, wide, json, yaml or csv, and the stack that it is about."""

    format = "table"
    stack = ""
    #: Names of the columns of the last table in CSV; a further table begins after an empty line.
    columns: tuple[str, ...] | None = None

    def reset(self) -> None:
        """Forget what an earlier command of this process asked for."""
        self.format, self.stack, self.columns = "table", "", None


#: Set by the command line before a command begins.
form = Form()

STYLE = {
    "up": "green",
    "running": "green",
    "ok": "green",
    "down": "red",
    "failed": "red",
    "unverified": "yellow",
    "unknown": "yellow",
    "missing": "red",
    "warning": "yellow",
}


def stdout_is_closed() -> bool:
    """Tell whether stdout was closed when the program began, or is open to read only: what is printed would be lost.

    Where it was closed, Python has None for it since then, and its number may be another file's by now.
    """
    if sys.__stdout__ is None:
        return True
    with contextlib.suppress(OSError, ValueError):
        return fcntl.fcntl(sys.__stdout__.fileno(), fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    return False


def check_stdout() -> None:
    """Refuse to begin what prints where nobody could ever read it; BadInput says what to do."""
    if stdout_is_closed():
        raise BadInput("stdout is closed", hint="send it to a file, or to /dev/null")


class Stream(io.FileIO):
    """Stdout or stderr, whose reader may leave before its end, as `head` does: the rest is dropped, and work continues.

    Ended in the middle by what nobody reads any more, a command would have done half of its work without a word.
    """

    reader_left = False
    #: After which errors a command continues: where stderr cannot be written, nobody can be told.
    errors: tuple[type[OSError], ...] = (BrokenPipeError,)

    def write(self, data: Any, /) -> int:
        """Write all of it, or drop what nobody reads any more; return how many bytes that is."""
        rest = memoryview(data).cast("B")
        while rest and not self.reader_left:
            try:
                done = super().write(rest)
            except self.errors:
                self.reader_left = True
            else:
                if done is None:  # whoever made it does not let it block
                    select.select([], [self], [])
                rest = rest[done or 0 :]
        return memoryview(data).nbytes

    @classmethod
    def install(cls) -> None:
        """Put them in the place of the program's own streams; others stay: tests capture what is printed."""
        for name, kind in (("stdout", cls), ("stderr", Stderr)):
            own = getattr(sys, name)
            if own is getattr(sys, f"__{name}__") and isinstance(own, io.TextIOWrapper):
                # Without a buffer of bytes between both: Ctrl-C in the middle of a write would have it written again.
                stream = io.TextIOWrapper(
                    kind(own.fileno(), "w", closefd=False),
                    encoding=own.encoding, errors=own.errors, line_buffering=own.line_buffering,
                )  # fmt: skip
                setattr(sys, name, stream)


class Stderr(Stream):
    """Stderr; see `Stream`."""

    errors = (OSError,)


def reader_left() -> bool:
    """Return whether nobody reads stdout any more; what continues for ever only to be seen ends then."""
    stream = getattr(sys.stdout, "buffer", None)
    return isinstance(stream, Stream) and stream.reader_left


def check_read(what: str) -> None:
    """Raise External where nobody has read what was printed; ``what`` is printed only once, such as a key."""
    sys.stdout.flush()
    if reader_left():
        raise External(f"whoever reads our output has not read {what}", hint="it is not printed again")


def check_stdin() -> None:
    """Refuse to read stdin where it was closed when the program began; BadInput says what to do."""
    if sys.__stdin__ is None:
        raise BadInput("stdin is closed", hint="send something into it, or name a file")


class ClosedStdin(io.RawIOBase):
    """In the place of a stdin that is closed: to read it is an error."""

    def readable(self) -> bool:
        """Say that it may be tried."""
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ARG002 - as the library calls it
        """Raise BadInput."""
        check_stdin()
        return 0


class ClosedStdout(io.TextIOBase):
    """In the place of a stdout that is closed: nothing is printed and lost there, it is an error."""

    def write(self, text: str) -> int:
        """Raise BadInput."""
        check_stdout()
        return len(text)


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text of one or more lines; with CSV it goes to stderr, where it is none of the rows."""
    file = sys.stderr if err or form.format == "csv" else sys.stdout
    print(visible(text, keep="\n\t"), end="\n" if nl else "", file=file, flush=True)


def json_text(data: bytes) -> str:
    """Return JSON in which every character shows: the same document."""

    def escaped(it: str) -> str:
        if it == "\n" or not hidden(it):
            return it
        units = it.encode("utf-16-be", "surrogatepass").hex()
        return "".join(f"\\u{units[begin : begin + 4]}" for begin in range(0, len(units), 4))

    return re.sub(r"[^ -~]", lambda found: escaped(found[0]), data.decode())


def _built(kind: str, body: Any) -> dict[str, Any]:
    """Return a document: `schema` names its kind and version, the rest is ``body``'s fields."""
    import msgspec

    return {"schema": f"dualtrack.{kind}/1", **msgspec.to_builtins(body)}


def document(kind: str, body: Any, *, stack: str = "") -> None:
    """Print the one document of a command.

    ``stack`` is the one that the command is about; it becomes a field unless ``body`` has one of that name. The format
    is JSON, or what the caller asked for.
    """
    import msgspec

    data = _built(kind, body)
    if stack := stack or form.stack:
        data.setdefault("stack", stack)
    if form.format in ("yaml", "csv"):
        from dualtrack.core import formats

        sys.stdout.write(formats.text(encoded(data), form.format))
    else:
        sys.stdout.write(json_text(msgspec.json.format(encoded(data), indent=2)) + "\n")


def result(kind: str, body: Any, show: Callable[[], None], *, json: bool, stack: str = "") -> None:
    """Print what a command that may print tables found: its document with ``json``, or what ``show`` prints of it.

    With CSV the fields of the document are printed where ``show`` prints no table, such as when nothing was found.
    """
    if json:
        document(kind, body, stack=stack)
        return
    before, form.columns = form.columns, None
    show()
    if form.format == "csv" and form.columns is None:
        form.columns = before
        document(kind, body, stack=stack)


def records(kind: str) -> Callable[[Any], None]:
    """Return what prints documents of one kind as they come: a line of JSON or CSV, or a document of YAML, for each."""

    def show(body: Any) -> None:
        data = _built(kind, body)
        if form.format == "csv":
            _csv(tuple(data), [["" if it is None else str(it) for it in data.values()]])
        elif form.format == "yaml":
            from dualtrack.core import formats

            sys.stdout.write("---\n" + formats.text(encoded(data), "yaml"))
        else:
            sys.stdout.write(json_text(encoded(data)) + "\n")
        sys.stdout.flush()

    return show


def encoded(data: Any) -> bytes:
    """Return a document as JSON, also where it holds what JSON has no characters for."""
    import msgspec

    try:
        return msgspec.json.encode(data)
    except UnicodeEncodeError:
        return msgspec.json.encode(_spelled(data))


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


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", wide: int = 0, err: bool = False
) -> None:
    """Print a table, on stderr with ``err``; cells whose word has a colour (see STYLE) are shown in it.

    The last ``wide`` columns are shown with `--format wide` and csv only. Where the terminal is too narrow for the
    longest words (names, addresses, digests), lines are longer than the terminal: no word is cut.
    """
    if form.format == "csv" and not err:
        _csv(columns, rows)
        return
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    coloured, shown_columns = form.format == "table", len(columns)
    if coloured:
        shown_columns -= wide
    heading = " · ".join(filter(None, (title, f"stack {form.stack}" if form.stack else "")))
    # Text, not strings: rich would take square brackets for its own.
    shown = Table(box=box.SIMPLE, pad_edge=False, title_justify="left", title_style="bold" if coloured else "")
    shown.header_style = "table.header" if coloured else ""
    shown.title = Text(visible(heading)) if heading else None
    for column in columns[:shown_columns]:
        shown.add_column(Text(visible(column)))
    longest = [max(map(cell_len, visible(column).split()), default=0) for column in columns[:shown_columns]]
    for row in rows:
        cells = row[:shown_columns]
        longest = [
            max([size, *map(cell_len, visible(cell).split())]) for size, cell in zip(longest, cells, strict=True)
        ]
        shown.add_row(*(Text(visible(cell), style=STYLE.get(cell, "") if coloured else "") for cell in cells))
    out = console(err=err)
    # Three cells between columns, and one at each end.
    out.width = max(out.width, sum(longest) + 3 * len(longest) + 1)
    out.print(shown)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from dualtrack.core import formats

    names = tuple(columns)
    gap = "\n" if form.columns is not None and form.columns != names else ""
    head = [names] if form.columns != names else []
    form.columns = names
    sys.stdout.write(gap + formats.csv_text([*head, *rows]))


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
