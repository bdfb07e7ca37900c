"""Vectors of texts by a model in ONNX, on processors; the same text has the same vector, in every run and company.

A model that was made smaller to 8 bits (q8) scales by what it is given together: a text's vector would depend on the
others. It gets one text at a time, which is also faster. Vectors are kept by a keyed digest of the text, each under
the key of the document that it was made for.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.tables import Held, Table

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


class Kept(Held):
    """Vectors that were made before."""

    def __init__(self, base: Path, model: Model, keys: Keys) -> None:
        """Open the file, or make it."""
        self._model, self._keys, self._table = model, keys, _kept(base)

    def vectors(self, texts: Sequence[tuple[bytes, str]], say: Callable[[str], None] = lambda _: None) -> Vectors:
        """Return the vectors of passages, a row each, with the numbers of their documents.

        Every hundred that had to be made are said.
        """
        found = np.empty((len(texts), self._model.card.dimension), np.float32)
        made = 0
        for row, (document, text) in enumerate(texts):
            key = self._keys.mac("vector", f"{self._model.digest}\0{text}".encode())
            if (own := self._look(key, "AND document = ?", document)) is not None:
                found[row] = own
                continue
            if (others := self._look(key, "LIMIT 4")) is not None:
                found[row] = others
            else:
                found[row] = self._model.vector(self._model.card.passage + text)
                made += 1
                if made % 100 == 0:
                    say(f"{row + 1:,} of {len(texts):,} chunks have a vector")
            # Each document has its own: another one's go with it.
            sealed = self._keys.seal(document, "vector", key + found[row].tobytes())
            self._table.change("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", [(key, document, sealed)])
        return found

    def _look(self, key: bytes, which: str, *values: bytes) -> Vectors | None:
        """Return the vector of a text that some document has."""
        rows = self._table.ask(f"SELECT document, sealed FROM vectors WHERE text = ? {which}", (key, *values))  # noqa: S608
        return next((it for row in rows if (it := self._opened(row[0], key, row[1])) is not None), None)

    def _opened(self, document: bytes, key: bytes, sealed: bytes) -> Vectors | None:
        """Return a vector; None where its document is gone, or it is not what was written for this text."""
        data = self._keys.open(document, "vector", sealed)
        if data is None or data[: len(key)] != key or len(data) != len(key) + 4 * self._model.card.dimension:
            return None
        return np.frombuffer(data, np.float32, offset=len(key))


def forget(base: Path, documents: Iterable[bytes], *, settle: bool = True) -> None:
    """Remove the vectors that were made for documents; with ``settle`` nothing of them stays beside the file."""
    with contextlib.closing(_kept(base)) as table:
        table.change("DELETE FROM vectors WHERE document = ?", [(it,) for it in documents])
        if settle:
            table.settle()


def _kept(base: Path) -> Table:
    return Table(
        base / "vectors.sqlite",
        "CREATE TABLE IF NOT EXISTS vectors"
        " (text BLOB, document BLOB, sealed BLOB NOT NULL, PRIMARY KEY (text, document)) WITHOUT ROWID",
        "CREATE INDEX IF NOT EXISTS documents ON vectors (document)",
    )
