"""Tables in a file that kills and power cuts leave whole (SQLite); nothing stays in it of a row that was removed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from dualtrack.core.errors import External

#: Seconds to wait for others that use the file.
PATIENCE = 60


class Table:
    """A file of SQLite, only its owner's to read; External for whatever is wrong with it.

    ``journal``: WAL lets others read meanwhile; DELETE has no second file in which something could stay.
    """

    def __init__(self, path: Path, *schema: str, journal: Literal["WAL", "DELETE"] = "WAL") -> None:
        """Open the file, or make it."""
        self._path = path
        with self._told():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._rows = sqlite3.connect(path, timeout=PATIENCE)
            # Zeros over whatever is removed; EXTRA: what is done outlives a power cut, and no journal comes back.
            settings = (f"journal_mode={journal}", "synchronous=EXTRA", "secure_delete=ON", "temp_store=MEMORY")
            try:
                for it in (*(f"PRAGMA {it}" for it in settings), *schema):
                    self._rows.execute(it).fetchall()
            except sqlite3.Error:
                self._rows.close()
                raise

    def ask(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a question."""
        with self._told():
            return self._rows.execute(sql, values).fetchall()

    def each(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a question."""
        with self._told():
            yield from self._rows.execute(sql)

    def change(self, sql: str, rows: Iterable[Sequence[object]]) -> int:
        """Do the same for several rows, all or none, and return how many were changed."""
        with self._told(), self._rows:
            return self._rows.executemany(sql, rows).rowcount

    def settle(self) -> None:
        """Have nothing in the file beside it; External while another program keeps it from that."""
        with self._told():
            busy = self._rows.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise External(f"{self._path} is in use by another program", hint="do it again")

    def close(self) -> None:
        """Let go of the file."""
        self._rows.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise External(f"{self._path}: {error}", hint="is the disk full, or the file damaged?") from None
        except OSError as error:
            raise External(f"{self._path} cannot be opened: {error.strerror}") from None


class Held:
    """What has a table: a `with` lets go of the file. Python's garbage collector would, but later."""

    _table: Table

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()
