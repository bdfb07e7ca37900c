"""Waits as long as the recorder works; prints what is in its trail as JSON."""

import json
import sys
import time
from pathlib import Path

from dualtrack.security.audit import record

base, process = Path(sys.argv[1]), Path("/proc", sys.argv[2], "stat")


def spent():
    """Return the processor time that the recorder has used; None once it has ended."""
    return process.read_text().split()[13:15] if process.exists() else None


def look():
    """Return what is in the trail."""
    found = {"marks": 0, "gaps": 0, "lost": 0, "floods": 0, "messages": 0, "noise": 0, "bytes": 0}
    for segment in sorted((base / "trail/segments").glob("*.log")):
        for line in segment.read_bytes().splitlines(keepends=True):
            it = record.parse(line)[0]
            found["bytes"] += len(line)
            found["marks"] += "root-said" in it.body
            found["noise"] += it.kind == "journal" and it.source == "noise" and not it.more
            if it.kind == "gap":
                found["gaps"] += 1
                found["lost"] += json.loads(it.body)["missing"]
            if it.kind == "flood":
                found["floods"] += 1
                found["messages"] += json.loads(it.body)["messages"]
    return found


before = []
while before != (before := spent()):
    time.sleep(2)
print(json.dumps(look()))
