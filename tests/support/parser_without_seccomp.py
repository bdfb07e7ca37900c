"""What reads documents, on a system that accepts a filter of system calls and does not apply it."""

from __future__ import annotations

import sys

from dualtrack.knowledge.parsing import child, sandbox

vars(sandbox)["close_in"] = lambda *_, **__: None

if __name__ == "__main__":
    sys.exit(child.main())
