"""The audit trail: events a second into a chain on the disk, and how fast a million are verified.

The peer is the same bytes written by dd with a sync at the end: what the disk itself takes.
    bench_audit.py [events]
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from measure import Case, alternate, show

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
RUNS = 3
CLI = Path(sys.executable).parent / "dualtrack"


def main() -> None:
    """Record once and verify, in turns with dd."""
    with tempfile.TemporaryDirectory(prefix="dtb-", dir="/var/tmp") as name:
        folder = Path(name)
        events, trail = folder / "events", folder / "trail"
        with events.open("w") as file:
            for number in range(COUNT):
                line = {
                    "n": number,
                    "unit": "sudo",
                    "user": "ops",
                    "tty": "pts/0",
                    "command": "/usr/bin/systemctl restart x",
                }
                file.write(json.dumps(line | {"cwd": "/home/ops/" + "d" * 150}) + "\n")
        begin = f'rm -rf "{trail}"; "{CLI}" audit init "{trail}" > "{folder}/key.pub"'
        record = f'{begin}; exec "{CLI}" audit record "{trail}" < "{events}"'
        found = alternate([
            Case("audit record", ["sh", "-c", record]),
            Case("dd, synced", ["dd", f"if={events}", f"of={folder}/copy", "bs=1M", "conv=fsync", "status=none"]),
        ], runs=RUNS)  # fmt: skip
        show(f"{COUNT} events of {events.stat().st_size // COUNT} bytes", found[0], found[1:])
        print(f"{COUNT / found[0].seconds:,.0f} events a second, the program's start with it")
        seal = [
            "sh",
            "-c",
            f'"{CLI}" audit sign "{trail}" >/dev/null; exec "{CLI}" audit verify "{trail}" --key "{folder}/key.pub"',
        ]
        [checked] = alternate([Case("audit verify", seal)], runs=RUNS)
        show("verifying them", checked, [])


if __name__ == "__main__":
    main()
