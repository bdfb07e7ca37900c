"""What batching gives a sentence encoder, as measured on its host: which batch and delay are best, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dualtrack.core.files import write_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What is tried without other wishes: texts at once, and milliseconds that the first of them may wait.
BATCHES, DELAYS_MS = (4, 16, 64), (0.0, 5.0, 20.0)


class TuningRow(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement with at most ``batch`` texts at once (0: no batching), of which one waits ``delay_ms`` at most.

    ``texts_per_s`` are answered to clients that ask one after another, ``mean_batch`` at once, 95 of 100 within
    ``full_p95_ms``; within ``steady_p95_ms`` at a steady rate.
    """

    batch: int
    delay_ms: float
    texts_per_s: float
    full_p95_ms: float
    steady_p95_ms: float
    mean_batch: float


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """All measurements of a model on a host; ``best`` keeps ``latency_ms`` at ``rate`` a second (None: none does)."""

    model: str
    host: str
    latency_ms: int
    rate: float
    clients: int
    rows: tuple[TuningRow, ...]
    best: TuningRow | None


def best(rows: Sequence[TuningRow], latency_ms: float) -> TuningRow | None:
    """Return the row with the most texts a second among those that keep the time; of like ones the shortest delay."""
    kept = [it for it in rows if it.steady_p95_ms <= latency_ms]
    most = max((it.texts_per_s for it in kept), default=0.0)
    # A few per cent are the machine's own.
    alike = [it for it in kept if it.texts_per_s >= 0.95 * most]
    return min(alike, key=lambda it: (it.delay_ms, it.batch), default=None)


def draw(found: Tuning, path: Path) -> None:
    """Draw to a PNG file, which appears whole or not at all."""
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, values, title in (
        (left, "texts_per_s", f"Texts a second, {found.clients} clients"),
        (right, "steady_p95_ms", f"Milliseconds for 95 of 100, {found.rate:g} a second"),
    ):
        _lines(axes, found.rows, values)
        axes.set(title=title, xlabel="texts at once, at most (0: no batching)")
    right.axhline(found.latency_ms, color="grey", linestyle=":", label=f"{found.latency_ms} ms")
    if found.best:
        place = f"batch {found.best.batch}, {found.best.delay_ms:g} ms" if found.best.batch else "no batching"
        left.annotate(
            place, (found.best.batch, found.best.texts_per_s), textcoords="offset points", xytext=(-8, -14), ha="right"
        )
        left.plot(found.best.batch, found.best.texts_per_s, "o", color="black")
    right.legend()
    for axes in (left, right):
        axes.set_ylim(bottom=0)
    figure.suptitle(f"{found.model} on {found.host}")
    data = io.BytesIO()
    figure.savefig(data, format="png")
    write_output(path, data.getvalue())


def _lines(axes: Axes, rows: Sequence[TuningRow], values: str) -> None:
    alone = [it for it in rows if not it.batch]
    for delay in sorted({it.delay_ms for it in rows if it.batch}):
        line = [*alone, *(it for it in rows if it.batch and it.delay_ms == delay)]
        axes.plot(
            [it.batch for it in line], [getattr(it, values) for it in line], marker=".", label=f"waits {delay:g} ms"
        )  # fmt: skip
