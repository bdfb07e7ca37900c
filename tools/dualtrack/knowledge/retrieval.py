"""How scores come together: `retrieval.json` beside the catalog, fitted on the operator's own questions.

Without that file vectors alone count, and something is always found. A file that was fitted for another model, or for
other terms, is not used: its numbers would mean nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from dualtrack.core.files import read, write_atomically
from dualtrack.knowledge.metrics import Quality
from dualtrack.knowledge.terms import RULES

NAME = "retrieval.json"
AGAIN = "dualtrack kb eval --fit makes it anew"
Part = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the questions got no answer: of those that have none (``rightly``), and of the others."""

    without_answer: int
    with_answer: int
    rightly: Part
    wrongly: Part


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured for a fit. ``fused`` and ``refusals`` are of questions that were not fitted on.

    ``gain`` is what fusion adds to vectors' nDCG@10, and ``error`` its standard error.
    """

    version: str
    vectors: Quality
    lexical: Quality
    fused: Quality
    gain: float
    error: float
    refusals: Refusals | None


class Fitted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file: what lexical scores weigh (vectors weigh the rest), and the best score that is still an answer.

    ``weight`` 0 is vectors alone; without ``least`` nothing is refused. ``model`` is the digest of the model, ``terms``
    how texts were taken apart.
    """

    model: str
    terms: str = RULES
    weight: Part
    least: Annotated[float, msgspec.Meta(ge=-1, le=1)] | None
    figures: Figures


def load(base: Path, model: str) -> tuple[Fitted | None, str]:
    """Return what was fitted for a model, or nothing and, where there is another model's, a word about it.

    BadInput where the file is damaged.
    """
    found = read(base / NAME, Fitted, AGAIN)
    if found is not None and (found.model, found.terms) != (model, RULES):
        what = "model" if found.model != model else "version of this program"
        return None, f"{NAME} was fitted for another {what} and is not used: {AGAIN}"
    return found, ""


def save(base: Path, fitted: Fitted) -> None:
    """Write the file, whole or not at all."""
    write_atomically(base / NAME, msgspec.json.format(msgspec.json.encode(fitted), indent=1) + b"\n", mode=0o600)
