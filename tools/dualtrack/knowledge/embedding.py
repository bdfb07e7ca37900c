"""Vectors of texts by a model in ONNX, on processors; the same text has the same vector, in every run and company.

A model that was made smaller to 8 bits (q8) scales by what it is given together: a text's vector would depend on the
others. It gets one text at a time, which is also faster. Vectors are kept by the text's digest.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must be known of a model: how many numbers a vector has, how many tokens it reads, and what it is told.

    ``query`` and ``passage`` are written before what is asked and what is searched.
    """

    name: str
    dimension: int
    tokens: int
    query: str = ""
    passage: str = ""


#: BAAI/bge-small-zh-v1.5 (MIT), 8 bits: the vector is that of the first token.
BGE_SMALL_ZH = Card(
    name="bge-small-zh-v1.5-q", dimension=512, tokens=512, query="为这个句子生成表示以用于检索相关文章："
)


class Model:
    """A model: model.onnx and tokenizer.json in a directory."""

    def __init__(self, folder: Path, card: Card, threads: int = 1) -> None:
        """Load it. One thread: sums in another order would be other numbers."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        self.card = card
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        self._inputs = {it.name for it in self._session.get_inputs()}
        self._tokenizer, self._counter = (self._loaded(folder / "tokenizer.json") for _ in range(2))
        self._tokenizer.enable_truncation(card.tokens)
        digest = hashlib.sha256()
        for name in ("model.onnx", "tokenizer.json"):
            digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
        self.digest = digest.hexdigest()

    @staticmethod
    def _loaded(path: Path) -> Any:
        from tokenizers import Tokenizer

        found = Tokenizer.from_file(str(path))
        found.no_padding()
        found.no_truncation()
        return found

    def count(self, text: str) -> int:
        """Return how many tokens a text has, also one that is longer than the model reads."""
        return len(self._counter.encode(text, add_special_tokens=False).ids)

    def vector(self, text: str) -> Vectors:
        """Return the vector of a text, of length 1."""
        encoded = self._tokenizer.encode(text)
        given = {
            "input_ids": encoded.ids, "attention_mask": encoded.attention_mask, "token_type_ids": encoded.type_ids,
        }  # fmt: skip
        feed = {name: np.array([values], np.int64) for name, values in given.items() if name in self._inputs}
        first = np.asarray(self._session.run(None, feed)[0], np.float32)[0, 0]
        found: Vectors = first / np.linalg.norm(first)
        return found


class Kept:
    """Vectors that were made before, in a file that kills and power cuts leave whole (SQLite)."""

    def __init__(self, path: Path, model: Model) -> None:
        """Open the file, or make it."""
        self._model = model
        self._rows = sqlite3.connect(path, timeout=60)
        self._rows.execute("PRAGMA journal_mode=WAL")
        self._rows.execute(
            "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"
        )

    def vectors(self, texts: Sequence[str], say: Callable[[str], None] = lambda _: None) -> Vectors:
        """Return the vectors of passages, a row each; every hundred that had to be made are said."""
        found = np.empty((len(texts), self._model.card.dimension), np.float32)
        made = 0
        for row, text in enumerate(texts):
            key = hashlib.sha256(f"{self._model.digest}\0{text}".encode()).digest()
            kept = self._rows.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
            if kept is not None and len(kept[0]) == 4 * self._model.card.dimension:
                found[row] = np.frombuffer(kept[0], np.float32)
                continue
            found[row] = self._model.vector(self._model.card.passage + text)
            with self._rows:
                self._rows.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?)", (key, found[row].tobytes()))
            made += 1
            if made % 100 == 0:
                say(f"{row + 1:,} of {len(texts):,} chunks have a vector")
        return found
