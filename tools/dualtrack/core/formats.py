"""The formats of what commands print, beside the table for people: YAML and CSV, in which every character shows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dualtrack.core.characters import hidden, visible
from dualtrack.core.errors import Missing

#: What a spreadsheet program takes for a formula when a cell begins with it, and what begins so and is none.
FORMULA, PLAIN = re.compile("[=+\\-@＝＋－＠]"), re.compile(r"-|[+-]?[0-9][0-9,]*([.][0-9]+)?([eE][+-]?[0-9]+)?")
#: A sheet of values: a first row of names, and the others.
Rows = Iterable[Sequence[str]]


def text(encoded: bytes, format: str) -> str:
    """Return a document, given as JSON, in another format: yaml or csv."""
    import msgspec

    data = msgspec.json.decode(encoded)
    return yaml_text(data) if format == "yaml" else csv_text(fields(data))


def csv_text(rows: Rows) -> str:
    """Return rows as CSV (RFC 4180, lines that end as in Unix); each record is one line, and no cell is a formula."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_text(visible(cell)) for cell in row] for row in rows)
    return out.getvalue()


def _text(cell: str) -> str:
    """Put an apostrophe before a cell that a spreadsheet program would run, as OWASP recommends (CSV injection)."""
    return f"'{cell}" if FORMULA.match(cell) and not PLAIN.fullmatch(cell) else cell


def yaml_text(data: Any) -> str:
    """Return what JSON could hold as YAML: the same document, in the same order."""
    try:
        import yaml
    except ModuleNotFoundError:  # on hosts, which have what their commands need and no more
        raise Missing("PyYAML is not installed here", hint="--format json") from None

    class Dumper(yaml.SafeDumper):
        """Puts a text in which a character would not show in double quotes, where it can be escaped."""

    def shown(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if any(map(hidden, value)) else None)

    Dumper.add_representer(str, shown)
    made: str = yaml.dump(data, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=float("inf"))
    return "".join(_escaped(it) if it != "\n" and hidden(it) else it for it in made)


def _escaped(it: str) -> str:
    return f"\\u{ord(it):04x}" if ord(it) < 0x10000 else f"\\U{ord(it):08x}"


def fields(data: Any) -> Iterator[tuple[str, str]]:
    """Yield the names and values of a document, for commands without a table: `hosts.0.name`, and the value."""
    yield "field", "value"
    yield from _leaves(data, "")


def _leaves(data: Any, path: str) -> Iterator[tuple[str, str]]:
    named = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else None
    if named is None:
        yield path, cell(data)
        return
    for name, it in named:
        yield from _leaves(it, f"{path}.{name}" if path else str(name))


def cell(value: Any) -> str:
    """Return a value of a document as a cell of a table."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
