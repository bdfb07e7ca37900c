"""Waits until the end of the flood is in the recorder's trail; prints what is there as JSON."""

import contextlib
import json
import sys
import time
from pathlib import Path

from dualtrack.security.audit import record

#: Looks in a row at which nothing was done by anybody.
PATIENCE = 15
base, process = Path(sys.argv[1]), Path("/proc", sys.argv[2], "stat")


def fields(path):
    """Return what the kernel says of a process behind its name; nothing once it has ended."""
    with contextlib.suppress(OSError):
        return path.read_text().rpartition(")")[2].split()
    return []


def spent():
    """Return the processor time that the recorder and its journalctl have used."""
    children = [it[11:13] for it in map(fields, Path("/proc").glob("[0-9]*/stat")) if it[1:2] == [sys.argv[2]]]
    return [fields(process)[11:13], *children]


def look():
    """Return what is in the trail."""
    found = {"end": 0, "marks": 0, "gaps": 0, "lost": 0, "floods": 0, "messages": 0, "noise": 0, "bytes": 0}
    for segment in sorted((base / "trail/segments").glob("*.log")):
        for line in segment.read_bytes().splitlines(keepends=True):
            it = record.parse(line)[0]
            found["bytes"] += len(line)
            found["marks"] += it.source == "root-mark"
            found["end"] += it.source == "root-end"
            found["noise"] += it.kind == "journal" and it.source == "noise" and not it.more
            if it.kind == "gap":
                found["gaps"] += 1
                found["lost"] += json.loads(it.body)["missing"]
            if it.kind == "flood":
                found["floods"] += 1
                found["messages"] += json.loads(it.body)["messages"]
    return found


seen, still, before = look(), 0, []
while not seen["end"] and still < PATIENCE:
    time.sleep(2)
    still = still + 1 if before == spent() else 0
    seen, before = look(), spent()
print(json.dumps(seen))
