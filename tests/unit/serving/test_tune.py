"""Which measurement of batching is the best, and that all of them are drawn."""

from __future__ import annotations

import re
from pathlib import Path

from dualtrack.serving.tune import Tuning, TuningRow, best, draw


def row(batch: int, delay_ms: float, texts_per_s: float, steady_p95_ms: float) -> TuningRow:
    return TuningRow(
        batch=batch, delay_ms=delay_ms, texts_per_s=texts_per_s, full_p95_ms=100, steady_p95_ms=steady_p95_ms,
        mean_batch=4,
    )  # fmt: skip


ALONE, SLOW, GOOD, LONGER = row(0, 0, 90, 9), row(64, 20, 800, 130), row(16, 0, 700, 20), row(16, 5, 720, 30)


def test_best_keeps_the_time_and_waits_no_longer_than_it_pays() -> None:
    assert best([ALONE, SLOW, GOOD, LONGER], 120) == GOOD
    assert best([ALONE, SLOW, GOOD, LONGER], 200) == SLOW
    assert best([row(4, 0, 500, 20), LONGER], 120) == LONGER


def test_no_batching_is_best_where_nothing_else_keeps_the_time() -> None:
    assert best([ALONE, SLOW], 120) == ALONE


def test_none_is_best_where_none_keeps_the_time() -> None:
    assert best([row(0, 0, 90, 121), SLOW], 120) is None
    assert best([], 120) is None


def test_picture_is_whole(tmp_path: Path) -> None:
    rows = (ALONE, GOOD, LONGER)
    found = Tuning(model="m", host="h", latency_ms=120, rate=50, clients=64, rows=rows, best=GOOD)
    draw(found, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert [re.sub(r"\..*", "", it.name) for it in tmp_path.iterdir()] == ["a"]
