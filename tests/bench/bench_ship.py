"""Shipping a trail into the search store, beside curl that sends the same documents, made in advance, over TLS, too.

Each run has a host and indices of its own. The store runs on this machine and shares its processors.
    bench_ship.py [events]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from measure import Case, alternate, show
from tests.support import opensearch_testbed as opensearch_bed

from dualtrack.security.audit import index_documents, record, ship

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
RUNS = 3
CLI = Path(sys.executable).parent / "dualtrack"


def trail(folder: Path, host: str) -> Path:
    """Make a host's trail."""
    place = folder / host
    subprocess.run([CLI, "audit", "init", place, "--host", host], check=True, capture_output=True)
    fields = {"unit": "sudo", "user": "ops", "tty": "pts/0", "cwd": "/home/ops/" + "d" * 150}
    events = "".join(json.dumps(fields | {"n": number}) + "\n" for number in range(COUNT))
    subprocess.run([CLI, "audit", "record", place], input=events, text=True, check=True, capture_output=True)
    return place


def bulk(folder: Path, host: str, made: Path, login: list[str], url: str) -> Path:
    """Write a host's documents as bulk requests of the shipper's size, and curl's list of them."""
    lines = [
        line
        for path in sorted((made / "segments").glob("*.log"))
        for line in path.read_bytes().splitlines(keepends=True)
    ]
    words = []
    for begin in range(0, len(lines), ship.RECORDS):
        body = folder / f"{host}-{begin}"
        body.write_bytes(
            b"".join(index_documents.of_record(host, line) for line in lines[begin : begin + ship.RECORDS])
        )
        words += [
            *login, f'url = "{url}/_bulk?filter_path=errors"', 'header = "content-type: application/x-ndjson"',
            f'data-binary = "@{body}"', "silent", "next",
        ]  # fmt: skip
    assert record.parse(lines[0])[0].n == 1
    script = folder / f"{host}.curl"
    script.write_text("\n".join(words[:-1]) + "\n")
    return script


def main() -> None:
    """Ship in turns with curl, each time a host that the store has not seen."""
    with tempfile.TemporaryDirectory(prefix="dtb-", dir="/var/tmp") as name, opensearch_bed.running(heap="1g") as bed:
        folder = Path(name)
        for number in range(RUNS + 1):
            for kind in ("ours", "curl"):
                host = f"{kind}-{number}"
                made, found = trail(folder, host), bed.certificate(host)
                if kind == "ours":
                    options = f"--cert {found.certificate} --cert-key {found.key} --ca {found.authority}"
                    (folder / f"{host}.words").write_text(f"{made} --store {bed.url} --once {options}")
                else:
                    login = [f"cacert = {found.authority}", f"cert = {found.certificate}", f"key = {found.key}"]
                    bulk(folder, host, made, login, bed.url)
                    bed.make(f"audit-{host}-{datetime.now(UTC):%Y.%m.%d}")  # `audit ship` asks for its own
        turn = 'n=$(cat "$0-$1" 2>/dev/null || echo 0); echo $((n + 1)) > "$0-$1"; cd "$0"; '
        ours = f'{turn} exec "{CLI}" audit ship $(cat "ours-$n.words")'
        # Each request without an error.
        curl = f'{turn} test "$(curl -K "curl-$n.curl" | grep -o false | wc -l)" = "$(grep -c ^url "curl-$n.curl")"'
        found = alternate([
            Case("audit ship", ["sh", "-c", ours, str(folder), "ours"]),
            Case("curl, documents made in advance", ["sh", "-c", curl, str(folder), "curl"]),
        ], runs=RUNS)  # fmt: skip
        show(f"{COUNT} events into the store", found[0], found[1:])
        for it in found:
            print(f"{COUNT / it.seconds:,.0f} a second: {it.name}")


if __name__ == "__main__":
    main()
