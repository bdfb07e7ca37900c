"""The same as `parser_attacks` on a system that lets nobody make namespaces."""

from __future__ import annotations

import sys

from dualtrack.knowledge.parsing import child, sandbox
from tests.support import parser_attacks

assert child.PARSERS["txt"] is parser_attacks.taken_over
vars(sandbox)["NAMESPACES"] = 1  # no flag of unshare

if __name__ == "__main__":
    sys.exit(child.main())
