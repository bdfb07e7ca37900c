"""Continuous batching through the whole path: eight streams at once beside the same eight one by one.

On the local track of the lab (`make up`), by the gateway, and for comparison at the engine itself, on its host. Tokens
that were written, a second; medians of interleaved rounds. The gateway sends an engine one request less than it works
on at once, so that its probe is answered: with four slots, three of eight are worked on, and five wait.
    bench_batching.py [rounds]
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

import streams

from dualtrack.core.proc import run
from dualtrack.lab import control
from dualtrack.serving import tenants
from dualtrack.tracks import serving

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
NAME = "bench-batching"
STREAMS, TOKENS = 8, 48


def rounds(host: str, port: int, model: str, site: serving.Site, key: str) -> dict[str, list[float]]:
    """Return tokens a second of each way to ask, one of each in every round."""
    program = Path(streams.__file__).read_text()
    found: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        for at_once in (STREAMS, 1) if number % 2 else (1, STREAMS):
            given = {
                "url": site.endpoint.url, "ca": str(serving.ca_file(site)), "key": key, "model": model,
                "streams": STREAMS, "at_once": at_once, "tokens": TOKENS,
            }  # fmt: skip
            found.setdefault(f"gateway {at_once}", []).append(streams.rate(given))
            inside = {**given, "url": f"http://127.0.0.1:{port}", "ca": "", "key": ""}
            words = ["python3", "-c", program, "/etc/dualtrack/serving/api-key"]
            said = run(control.exec_command(host, words), stdin=json.dumps(inside)).stdout
            found.setdefault(f"engine {at_once}", []).append(float(said))
        print({name: round(values[-1], 1) for name, values in found.items()}, flush=True)
    return found


def main() -> None:
    """Measure, and leave no tenant."""
    sites = serving.sites()
    inventory = serving.read_inventory(serving.deployment.inventories())
    known = serving.engines(inventory, "local").items()
    model, facts = next((name, it) for name, it in known if it.api == "completions")
    where = next(iter(facts.engines.values()))
    path = serving.tenants_file(sites)
    key, _ = tenants.add(path, NAME, tenants.Changes(residency="local"))
    try:
        serving.tell(sites, "bench batching")
        found = {
            name: statistics.median(values)
            for name, values in rounds(where.host, where.port, model, sites[0], key).items()
        }
    finally:
        tenants.remove(path, NAME)
        serving.tell(sites, "bench batching")
    for way in ("gateway", "engine"):
        many, one = found[f"{way} {STREAMS}"], found[f"{way} 1"]
        rates = f"{many:.1f} and {one:.1f} tokens a second"
        print(f"{way}: {STREAMS} streams at once / one by one: {many / one:.2f} ({rates})")
    print(f"one by one, gateway / engine: {found['gateway 1'] / found['engine 1']:.2f}")


if __name__ == "__main__":
    main()
