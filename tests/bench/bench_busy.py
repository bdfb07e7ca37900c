"""What a trail costs a busy host: processor time of the recorder and of the shipper, at a steady rate of events.

The issue's limit: 3 % of a core for each 1,000 events a second, both together. The recorder takes lines from a pipe, as
`audit collect` takes the journal's; what journald and the store take themselves is not counted.
    bench_busy.py [events a second] [seconds]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support import opensearch_testbed as opensearch_bed

RATE = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
SECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 30
CLI = Path(sys.executable).parent / "dualtrack"
#: Lines come in ten groups a second, as a journal that is read does.
GROUPS = 10


def taken(pid: int) -> float:
    """Return a process's own seconds of processor time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Write for some time, and count what both took after their start."""
    with tempfile.TemporaryDirectory(prefix="dtb-", dir="/var/tmp") as name, opensearch_bed.running() as bed:
        place, found = Path(name, "trail"), bed.certificate("busy")
        subprocess.run([CLI, "audit", "init", place, "--host", "busy"], check=True, capture_output=True)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        record = subprocess.Popen([CLI, "audit", "record", place], stdin=subprocess.PIPE, **quiet)  # type: ignore[call-overload]
        ship = subprocess.Popen(
            [CLI, "audit", "ship", place, "--store", bed.url, "--ca", found.authority, "--cert", found.certificate,
             "--cert-key", found.key], **quiet,
        )  # type: ignore[call-overload]  # fmt: skip
        try:
            time.sleep(5)  # their start is once, and not counted
            before = {"recorder": taken(record.pid), "shipper": taken(ship.pid)}
            line = json.dumps({"unit": "sudo", "user": "ops", "tty": "pts/0", "cwd": "/home/ops/" + "d" * 150}) + "\n"
            begin = time.monotonic()
            for number in range(SECONDS * GROUPS):
                time.sleep(max(0.0, begin + number / GROUPS - time.monotonic()))
                assert record.stdin is not None
                record.stdin.write(line.encode() * (RATE // GROUPS))
                record.stdin.flush()
            time.sleep(3)
            for name, process in (("recorder", record), ("shipper", ship)):
                if process.poll() is not None:
                    raise SystemExit(f"the {name} ended with {process.returncode}: nothing was measured")
            after = {"recorder": taken(record.pid), "shipper": taken(ship.pid)}
            state = json.loads((place / "shipped.json").read_text())
        finally:
            for process in (record, ship):
                process.kill()
                process.wait()
        events = RATE * SECONDS
        for who, seconds in after.items():
            share = (seconds - before[who]) / events * 1000
            print(f"{who}: {share:.2%} of a core for each 1,000 events a second")
        together = sum(after.values()) - sum(before.values())
        print(f"together {together:.2f} s of a core for {events} events in {SECONDS} s; shipped: {state['n']}")


if __name__ == "__main__":
    main()
