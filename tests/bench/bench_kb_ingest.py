"""What taking documents in costs beside the embedding model alone: the same chunks, processor time, in turns.

The documents are pages of Debian's manual in Chinese (package manpages-zh). Taking them in is to read, clean, cut,
embed, seal and write them, with the processes that parse; the model alone makes the vectors of the same chunks. Prints
the medians and their ratio, and what taking in the same again costs.
    bench_kb_ingest.py [documents] [rounds]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench_kb import documents

from dualtrack.core.paths import ROOT
from dualtrack.data.mirror import artifacts
from dualtrack.tracks import knowledge

DOCUMENTS, ROUNDS = (int(it) for it in (*sys.argv[1:], *("60", "3")[len(sys.argv) - 1 :]))
#: Takes documents in, and again, and makes the vectors of their chunks; prints seconds of each, and what there was.
PROGRAM = """
import json, resource, sys
from pathlib import Path
from dualtrack.knowledge import ingest, versions
from dualtrack.knowledge import models
from dualtrack.knowledge.chunks import Chunk
from dualtrack.knowledge.parsing import child

def used():
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(it.ru_utime + it.ru_stime for it in both)

base, place, model = Path(sys.argv[1]), Path(sys.argv[2]), models.load(Path(sys.argv[3]))
marks = [used()]
for _ in range(2):
    report = ingest.ingest(base, place, "man", ["everyone"], model, say=lambda _: None)
    child.end()  # what its processes have used is known when it has ended
    marks.append(used())
version = versions.load(base)
texts = [Chunk(it.headings, it.text, it.place).embedded for it in version.entries]
begun = used()
for it in texts:
    model.passages([it])
print(json.dumps({"chunks": report.chunks, "documents": report.documents, "ingest": marks[1] - marks[0],
                  "again": marks[2] - marks[1], "model": used() - begun}))
"""


def main() -> None:
    """Take in, embed, and print."""
    with tempfile.TemporaryDirectory() as held:
        place = Path(held, "documents")
        place.mkdir()
        for name, _, text in documents("man")[:DOCUMENTS]:
            (place / f"{name}.txt").write_text(text)
        rounds = []
        for number in range(ROUNDS):
            words = [
                artifacts.environment("knowledge"),
                "-P",
                "-c",
                PROGRAM,
                f"{held}/kb{number}",
                place,
                knowledge.model(),
            ]
            done = subprocess.run(
                words, capture_output=True, text=True, check=True,
                env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
            )  # fmt: skip
            rounds.append(json.loads(done.stdout))
    found = {name: median(it[name] for it in rounds) for name in rounds[0]}
    print(f"{found['documents']:.0f} documents, {found['chunks']:.0f} chunks; {ROUNDS} rounds")
    for what in ("ingest", "model", "again"):
        print(f"{what:8} {found[what]:8.2f} s of processor time")
    print(f"taking in costs {found['ingest'] / found['model']:.3f} times what the model costs alone")


if __name__ == "__main__":
    main()
