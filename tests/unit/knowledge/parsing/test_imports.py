"""Reading a document imports nothing: a parser that is closed in could not."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.unit.knowledge.parsing import test_columns, test_wiki
from tests.unit.knowledge.parsing.test_tables import LAYOUTS

#: Reads documents in a process of its own in which a module that is not there already cannot be imported.
READER = """
import builtins, json, sys
from dualtrack.knowledge.parsing import child
documents = json.load(sys.stdin)
imported = builtins.__import__
def refuse(name, globals=None, locals=None, fromlist=(), level=0):
    if not level and name not in sys.modules:
        raise ImportError(f"{name} is imported")
    return imported(name, globals, locals, fromlist, level)
builtins.__import__ = refuse
for form, said in documents:
    assert child.PARSERS[form](said.encode()).blocks
"""


def test_tables_are_read_without_an_import() -> None:
    grids = [grid for grid in LAYOUTS.values() if len(grid) > 1]
    writers = [*test_columns.WRITERS, *test_wiki.WRITERS]
    documents = [(form, write(it)) for form in ("txt", "md", "csv") for write in writers for it in grids]
    assert len(documents) > 100
    done = subprocess.run(
        [sys.executable, "-c", READER], input=json.dumps(documents), text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr.rpartition("\n")[0].rpartition("\n")[2]) == (0, "")
