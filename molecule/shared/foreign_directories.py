"""Prints which of the paths on standard input lie in a directory that an account other than root can write.

Runs on a host, with nothing but the standard library. Input: JSON objects, one a line, as `observed_paths` writes them.
Whoever can write a directory can put a link, a pipe or a device in the place of what root opens in it.
"""

import json
import stat
import sys
from pathlib import Path


def foreign(path):
    """Return the nearest directory above ``path`` that another account can write; None where there is none."""
    for above in Path(path).parents:
        try:
            info = above.stat()  # whoever opens what is below a link follows it
        except OSError:
            continue
        if info.st_uid != 0 or info.st_mode & stat.S_IWOTH or (info.st_mode & stat.S_IWGRP and info.st_gid != 0):
            return above
    return None


found = set()
for line in sys.stdin:
    entry = json.loads(line)
    for path in entry["paths"]:
        if above := foreign(path):
            found.add(f"{entry['task']}: {path}, in {above}")
print("\n".join(sorted(found)))
