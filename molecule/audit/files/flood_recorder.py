"""Records the journal of the namespace `flood` in a new trail below the given directory, until SIGTERM."""

import signal
import sys
from pathlib import Path

from dualtrack.security.audit import journal, writer

base = Path(sys.argv[1])
writer.begin(base / "trail", "flood")
ends = []
signal.signal(signal.SIGTERM, lambda *_: ends.append(1))
with writer.Writer(base / "trail") as trail:
    (base / "ready").touch()
    journal.collect(trail, stopped=lambda: bool(ends), namespace="flood")
