"""What the service of the knowledge base adds to finding: the same questions over HTTP and in a process, in turns.

Over HTTP a question has its token checked, its words cleaned of personal data, and a record given to a journal, before
the same search as in the process. Prints the medians and their difference, how long the service takes until its first
answer, and its memory. Both are on this machine; HAProxy and TLS, which stand before it on a host, are not in between.
    bench_kb_service.py [documents] [rounds]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from tests.conftest import ROOT
from tests.support.knowledge_service import Service, asked

from dualtrack.data.mirror import artifacts
from dualtrack.tracks import knowledge

DOCUMENTS, ROUNDS = (int(it) for it in (*sys.argv[1:], *("500", "300")[len(sys.argv) - 1 :]))
TOPICS = ("请假", "报销", "出差", "加班", "培训", "体检", "门禁", "采购", "合同", "发票")
#: Searches for each line of stdin, and prints the seconds that it took.
PROGRAM = """
import sys, time
from pathlib import Path
from dualtrack.knowledge import versions
from dualtrack.knowledge import models
from dualtrack.knowledge.search import Searcher
searcher = Searcher(versions.load(Path(sys.argv[1])), models.load(Path(sys.argv[2])))
for line in sys.stdin:
    begin = time.perf_counter()
    searcher.search(line.strip(), frozenset({"everyone"}), 5)
    print(time.perf_counter() - begin, flush=True)
"""


def main() -> None:
    """Ask in turns, and print."""
    with tempfile.TemporaryDirectory() as held:
        place, base = Path(held, "documents"), Path(held, "kb")
        place.mkdir()
        for number in range(DOCUMENTS):
            topic = TOPICS[number % len(TOPICS)]
            (place / f"{number}.md").write_text(
                f"# {topic} {number}\n\n关于{topic}的第{number}条规定，费用由公司承担。\n"
            )
        asked({"type": "ingest", "base": str(base), "source": str(place), "collection": "all", "labels": ["everyone"]})
        begin = time.perf_counter()
        with Service(Path(held, "service"), base, {"bo": ["everyone"]}) as service:
            token = service.token("bo")
            service.ask("/v1/search", {"question": "请假"}, token=token)
            print(f"{DOCUMENTS} chunks; from the start to the first answer {time.perf_counter() - begin:.2f} s")
            alone = subprocess.Popen(
                [artifacts.environment("knowledge"), "-P", "-c", PROGRAM, base, knowledge.model()], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
            )  # fmt: skip
            took: dict[str, list[float]] = {"service": [], "process": []}
            for number in range(ROUNDS + 10):
                question = f"{TOPICS[number % len(TOPICS)]}第{number}条怎么规定"
                begin = time.perf_counter()
                status, text, _ = service.ask("/v1/search", {"question": question}, token=token)
                over = time.perf_counter() - begin
                assert status == 200, text
                assert len(json.loads(text)["hits"]) == 5
                assert alone.stdin is not None
                assert alone.stdout is not None
                alone.stdin.write(f"{question}\n")
                alone.stdin.flush()
                inside = float(alone.stdout.readline())
                if number >= 10:
                    took["service"].append(over * 1000)
                    took["process"].append(inside * 1000)
                service.records()
            alone.stdin.close()
            alone.wait()
            for name, values in took.items():
                print(f"{name:8} p50 {median(values):6.2f} ms  p99 {quantiles(values, n=100)[98]:6.2f} ms")
            print(f"the service adds {median(took['service']) - median(took['process']):.2f} ms at p50")
            used = Path(f"/proc/{service.process.pid}/status").read_text()
            print(next(line for line in used.splitlines() if line.startswith("VmRSS")))


if __name__ == "__main__":
    main()
