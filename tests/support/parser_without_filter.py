"""The same as `parser_attacks` where the list of system calls is missing: what remains is the second line."""

from __future__ import annotations

import sys

from dualtrack.knowledge.parsing import child, sandbox
from tests.support import parser_attacks

assert child.PARSERS["txt"] is parser_attacks.taken_over
vars(sandbox)["close_in"] = lambda *_, **__: None
vars(sandbox)["probe"] = lambda: None

if __name__ == "__main__":
    sys.exit(child.main())
