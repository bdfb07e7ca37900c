"""Measures how a sentence encoder on this host answers for each batch and delay, by a second Triton beside the one that
serves.

Run on hosts (role serving) by `dualtrack serving tune`, with nothing but Python and `triton`:

    triton-tune SETTINGS    reads {"batches": […], "delays_ms": […], "rate": …, "clients": …, "seconds": …,
                            "tokens": of each text, as in the settings without it} on stdin, prints a line of JSON for
                            each measurement, as it comes

For each pair: how many texts a second ``clients`` get that ask one after another, and in which time 95 of 100 are
answered at ``rate`` requests a second. First comes a line without batching. Batches of 0 in the input are such.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dualtrack.hosts.agents import engine, triton, triton_engine
from dualtrack.hosts.agents.engine import Hopeless, Later

#: Clients that share a steady rate out; as many as it takes for none to be late.
STEADY = 32


@dataclass(frozen=True)
class Measurement:
    """One measurement: texts a second at full load, and the milliseconds within which 95 of 100 answers came."""

    batch: int
    delay_ms: float
    texts_per_s: float
    full_p95_ms: float
    steady_p95_ms: float
    mean_batch: float


def measure(it: triton.Triton, text: str, given: dict[str, Any], batch: int, delay_ms: float) -> Measurement:
    """Return what a batch and a delay give."""
    it.load(triton.Batching(batch, int(delay_ms * 1000), 1) if batch else None)
    seconds = float(given["seconds"])
    ask(it, text, 4, seconds / 4, None)  # it warms up
    before = it.statistics()
    full = ask(it, text, int(given["clients"]), seconds, None)
    after = it.statistics()
    runs = after["execution_count"] - before["execution_count"]
    steady = ask(it, text, STEADY, seconds, float(given["rate"]))
    return Measurement(
        batch, delay_ms, round(len(full) / seconds, 1), _p95_ms(full), _p95_ms(steady),
        round((after["inference_count"] - before["inference_count"]) / max(1, runs), 1),
    )  # fmt: skip


def _p95_ms(times_s: Sequence[float]) -> float:
    return round(sorted(times_s)[int(len(times_s) * 0.95)] * 1000, 1) if times_s else 0.0


def ask(it: triton.Triton, text: str, clients: int, seconds: float, rate: float | None) -> list[float]:
    """Return the seconds that each answer took: of clients that ask one after another, or at a rate in all."""
    body, headers = triton.encode([text])
    took: list[float] = []
    wrong: list[Exception] = []
    begin = time.monotonic()

    def client(number: int) -> None:
        link: http.client.HTTPConnection = it.link()
        due = begin + number / rate if rate else begin
        try:
            while (now := time.monotonic()) < begin + seconds:
                if due > now:
                    time.sleep(due - now)
                asked = due if rate else now
                triton.exchange(link, f"/v2/models/{it.name}/infer", body, headers)
                took.append(time.monotonic() - asked)
                due = due + clients / rate if rate else 0
        except (triton.Wrong, Later) as error:
            wrong.append(error)
        finally:
            link.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise Later(f"{len(wrong)} clients were not answered: {wrong[0]}")
    return took


def rows(settings: triton_engine.Settings, given: dict[str, Any]) -> Iterator[Measurement]:
    """Measure one after the other."""
    place = triton_engine.checkpoint()
    tokens = min(int(given.get("tokens", settings.tokens)), settings.context)
    text = triton.WORD * max(1, tokens - triton.ENDS)
    with (
        tempfile.TemporaryDirectory(prefix="dualtrack-tune-") as runtime,
        triton.running("model", Path(settings.library), Path(runtime), triton_engine.parameters(settings, place)) as it,
    ):
        yield measure(it, text, given, 0, 0.0)
        for batch in given["batches"]:
            for delay_ms in given["delays_ms"]:
                yield measure(it, text, given, int(batch), float(delay_ms))


def main(words: Sequence[str]) -> int:
    """Print one line for each measurement."""
    try:
        for row in rows(engine.read(Path(words[0]), triton_engine.Settings), json.loads(sys.stdin.read())):
            print(json.dumps(asdict(row)), flush=True)
    except (Hopeless, Later, triton.Wrong) as error:
        print(error, file=sys.stderr)
        return os.EX_CONFIG if isinstance(error, Hopeless) else os.EX_TEMPFAIL
    return 0
