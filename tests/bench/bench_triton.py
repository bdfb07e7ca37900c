"""What dynamic batching gives a sentence encoder: 64 clients with it and without it, and at 50 texts a second.

On the local track of the lab (`make up`), at Triton itself, in turns; medians of the rounds. Aims: six times the texts
a second, and 95 of 100 answered within 120 ms at 50 a second. The limit of the first is the model's own: as many texts
in one run of ONNX Runtime as one by one, on one core, without Triton.
    bench_triton.py [rounds]
"""

from __future__ import annotations

import json
import statistics
import sys

from dualtrack.core.proc import run
from dualtrack.inventory import deployment
from dualtrack.inventory.read import read_inventory
from dualtrack.lab import control
from dualtrack.serving.tune import TuningRow
from dualtrack.tracks import tune

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
CLIENTS, RATE, SECONDS, BATCH = 64, 50, 5, 64
#: Tokens of a text: a query of a few words, and a sentence.
LENGTHS = (6, 16)
#: Prints how many times as long BATCH texts take one by one as in one run: DIRECTORY OF WHEELS, TOKENS, BATCH.
ALONE = """\
import os, sys, time
sys.path.insert(0, sys.argv[1])
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["DUALTRACK_CHECKPOINT"] + "/model.onnx", options)
def took(rows, times):
    ids = numpy.full((rows, int(sys.argv[2])), 2000, dtype=numpy.int64)
    given = {it.name: ids if it.name == "input_ids" else numpy.ones_like(ids) for it in session.get_inputs()}
    session.run(None, given)
    begin = time.process_time()
    for _ in range(times):
        session.run(None, given)
    return (time.process_time() - begin) / times
many = int(sys.argv[3])
print(many * took(1, 30) / took(many, 5))
"""


def alone(host: str, source: str, library: str, tokens: int) -> float:
    """Return what running texts together gives the model without Triton."""
    words = [*tune.HOLD, source, "--", "python3", "-c", ALONE, library, str(tokens), str(BATCH)]
    return float(run(control.exec_command(host, words), timeout=300).stdout)


def main() -> None:
    """Measure each length of texts in turns, and print the ratios."""
    inventory = read_inventory(deployment.inventories())
    host, _, served = tune.place(inventory, "", "")
    settings = json.loads(run(control.exec_command(host, ["cat", f"/etc/dualtrack/serving/{served.name}.json"])).stdout)
    for tokens in LENGTHS:
        ratios: list[float] = []
        times: list[float] = []
        limits: list[float] = []
        for number in range(ROUNDS):
            given = {
                "batches": [BATCH], "delays_ms": [0], "rate": RATE, "clients": CLIENTS, "seconds": SECONDS,
                "tokens": tokens,
            }  # fmt: skip
            rows: list[TuningRow] = []
            tune.measure(inventory, served.name, host, given, rows.append)
            one, many = rows
            limits.append(alone(host, served.source, settings["library"], tokens))
            ratios.append(many.texts_per_s / one.texts_per_s)
            times.append(many.steady_p95_ms)
            print(
                f"round {number + 1}, {tokens} tokens: {many.texts_per_s:g} / {one.texts_per_s:g} texts a second,"
                f" {many.mean_batch:g} at once; p95 {many.steady_p95_ms:g} ms at {RATE}/s; model {limits[-1]:.2f}",
                flush=True,
            )
        print(
            f"{tokens} tokens: batched / one by one {statistics.median(ratios):.2f}, of the model alone"
            f" {statistics.median(limits):.2f}; p95 at {RATE}/s {statistics.median(times):.1f} ms"
        )


if __name__ == "__main__":
    main()
