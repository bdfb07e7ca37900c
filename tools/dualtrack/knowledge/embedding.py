"""Vectors of texts by a model in ONNX, on processors; the same text has the same vector, in every run and company.

A model that was made smaller to 8 bits (q8) scales by what it is given together: a text's vector would depend on the
others. It gets one text at a time, which is also faster. Vectors are kept by a keyed digest of the text, each under
the key of the document that it was made for.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from dualtrack.errors import BadInput, External
from dualtrack.files import read_whole
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.tables import Held, Table

Vectors = npt.NDArray[np.float32]
#: In a model's directory.
ONNX, TOKENIZER, CARD = "model.onnx", "tokenizer.json", "card.json"
MOST_CARD_BYTES = 64 << 10
#: Tokens that a model puts around a text.
MARKS = 2
LEAST_ROOM = 32


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must be known of a model: how many numbers a vector has, how many tokens it reads, and what it is told.

    ``query`` and ``passage`` are written before what is asked and what is searched. ``pooling``: a text's vector is
    that of its first token, or the mean of all.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    dimension: Annotated[int, msgspec.Meta(ge=1, le=8192)]
    tokens: Annotated[int, msgspec.Meta(ge=MARKS + 1, le=1 << 20)]
    query: str = ""
    passage: str = ""
    pooling: Literal["first", "mean"] = "first"


#: BAAI/bge-small-zh-v1.5 (MIT), 8 bits: the vector is that of the first token.
BGE_SMALL_ZH = Card(
    name="bge-small-zh-v1.5-q", dimension=512, tokens=512, query="为这个句子生成表示以用于检索相关文章："
)
#: Of its files (`Model.digest`): any other model says itself what it is.
BGE_DIGEST = "c448131ffd296185c0ccf79e4319300d33a9e431a563b60f1bd9348b846b7dd6"


class Model:
    """A model: model.onnx and tokenizer.json in a directory, and card.json for any but the default one."""

    def __init__(self, directory: Path, threads: int = 1) -> None:
        """Load it. One thread: sums in another order would be other numbers. BadInput for what is no such model."""
        import onnxruntime

        #: Tokens of a passage that are read; and how many texts were longer.
        self.room, self.shortened = 0, 0
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        self.directory, self.card, written = directory, *_card(directory)
        try:
            network, words = ((directory / name).read_bytes() for name in (ONNX, TOKENIZER))
        except OSError as error:
            raise BadInput(f"{directory} has no model: {error.filename}: {error.strerror}") from None
        digest = hashlib.sha256(hashlib.sha256(network).digest() + hashlib.sha256(words).digest())
        if not written and digest.hexdigest() != BGE_DIGEST:
            raise BadInput(f"{directory} has no {CARD}, which says what its model is")
        self.digest = hashlib.sha256(digest.digest() + written).hexdigest() if written else digest.hexdigest()
        try:
            # From what the digest is of: weights in files beside it would not be in it, and are not found.
            self._session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
            self._inputs = {it.name for it in self._session.get_inputs()}
            self._tokenizer, self._counter = (self._loaded(words) for _ in range(2))
            self._tokenizer.enable_truncation(self.card.tokens)
            self.room = self.card.tokens - MARKS - self.count(self.card.passage)
            found = self._run("x " * self.card.tokens if written else "x")  # as long as its card says that it reads
        except Exception as error:  # both libraries raise what they like
            raise BadInput(f"the model in {directory} cannot be loaded: {_said(error)}") from None
        if found.shape != (self.card.dimension,):
            raise BadInput(
                f"the model in {directory} makes {found.shape}, and its card says {self.card.dimension} numbers",
                hint=f"{CARD} beside it says what it is",
            )
        if self.room < LEAST_ROOM:
            raise BadInput(f"the model in {directory} reads {self.room} tokens of a passage, too few")

    @staticmethod
    def _loaded(data: bytes) -> Any:
        from tokenizers import Tokenizer

        found = Tokenizer.from_buffer(data)
        found.no_padding()
        found.no_truncation()
        return found

    def count(self, text: str) -> int:
        """Return how many tokens a text has, also one that is longer than the model reads."""
        return len(self._counter.encode(text, add_special_tokens=False).ids)

    def vector(self, text: str) -> Vectors:
        """Return the vector of a text, of length 1; External where the model gives none."""
        try:
            found = self._run(text)
        except Exception as error:
            raise External(f"the model in {self.directory} failed: {_said(error)}") from None
        length = np.linalg.norm(found)
        if not np.isfinite(length) or length == 0:
            raise External(f"the model in {self.directory} gives no vector for a text")
        vector: Vectors = found / length
        return vector

    def _run(self, text: str) -> Vectors:
        encoded = self._tokenizer.encode(text)
        self.shortened += bool(encoded.overflowing)
        given = {
            "input_ids": encoded.ids, "attention_mask": encoded.attention_mask, "token_type_ids": encoded.type_ids,
        }  # fmt: skip
        feed = {name: np.array([values], np.int64) for name, values in given.items() if name in self._inputs}
        tokens = np.asarray(self._session.run(None, feed)[0], np.float32)[0]
        # One text alone: none of its tokens is there to fill a row.
        found: Vectors = tokens[0] if self.card.pooling == "first" else tokens.mean(axis=0)
        return found


def _said(error: Exception) -> str:
    """Return what a library says, in a line that people read."""
    return " ".join(str(error).split())[:200]


def _card(directory: Path) -> tuple[Card, bytes]:
    """Return a model's card, and how it is spelled; nothing for the default model, which has none in its package."""
    if not os.path.lexists(directory / CARD):
        return BGE_SMALL_ZH, b""
    try:
        card = msgspec.json.decode(read_whole(directory / CARD, MOST_CARD_BYTES), type=Card)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadInput(f"{directory / CARD} is no card of a model: {error}") from None
    return card, msgspec.json.encode(card, order="sorted")


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
