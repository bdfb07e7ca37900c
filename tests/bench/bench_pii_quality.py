"""Personal data: recall and precision on the labelled sets, beside argus-redact and Presidio.

The sets are in tests/fixtures/pii; each was written before anything was measured on it. A value is found where
four fifths of its letters and digits are. Wrong is what touches no value. Names, addresses, dates, hosts and URLs count
for nobody.
    bench_pii_quality.py [--misses]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from pii_labelled import NEUTRAL, SETS, Labelled, Score, Span, add, labelled, places

from dualtrack.knowledge.pii.scan import scan

ROOT = Path(__file__).parents[2]
PEERS = ("argus", "presidio", "presidio-all")


def here(it: Labelled) -> list[Span]:
    """Return what is found in a text, by characters."""
    data = it.text.encode()
    found = [one for one in scan(data) if one.kind not in NEUTRAL]
    return [(len(data[: one.start].decode()), len(data[: one.end].decode())) for one in found]


def peer(which: str, them: list[Labelled]) -> list[list[Span]]:
    """Return what a peer finds in each text."""
    with tempfile.TemporaryDirectory() as place:
        task = Path(place, "task.json")
        task.write_text(json.dumps({"text": "", "records": [it.text for it in them]}))
        done = subprocess.run(
            [ROOT / "ci/tool.sh", "pii-bench:python", Path(__file__).with_name("pii_peers.py"), which, task],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    values = json.loads(done.stdout.splitlines()[-1])["values"]
    return [places(it.text, own) for it, own in zip(them, values, strict=True)]


def main() -> None:
    """Print the table of each set."""
    for name in SETS:
        table(name)


def table(name: str) -> None:
    """Print a table: an area in a row, and what was found and what was wrong of each."""
    them = labelled(name)
    found = {"here": [here(it) for it in them], **{which: peer(which, them) for which in PEERS}}
    print(f"| {name}: {len(them)} texts | " + " | ".join(found) + " |\n| --- |" + " --- |" * len(found))
    for area in (*dict.fromkeys(it.area for it in them), "all"):
        scores = {which: Score() for which in found}
        for which, of in found.items():
            for it, spans in zip(them, of, strict=True):
                if area in (it.area, "all"):
                    add(scores[which], it, spans)
        print(f"| {area} | " + " | ".join(map(str, scores.values())) + " |")
    if "--misses" in sys.argv:
        for it, spans in zip(them, found["here"], strict=True):
            score = Score()
            add(score, it, spans)
            if score.found < score.wanted or score.wrong:
                print(f"found {score.found} of {score.wanted}, {score.wrong} wrong: {it.text}")


main()
