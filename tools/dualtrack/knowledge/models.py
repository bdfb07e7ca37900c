"""Models that make vectors: in ONNX on this machine's processors, or behind OpenAI's `/v1/embeddings`.

The same text has the same vector, in every run and company, by a model on this machine. One that was made smaller to
8 bits (q8) scales by what it is given together: a text's vector would depend on the others. So it gets one text at a
time, which is also faster.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from dualtrack import proc
from dualtrack.errors import BadInput, External, Refused
from dualtrack.files import read_whole, write_atomically
from dualtrack.knowledge.embedding import LEAST_ROOM, MARKS, Card, Endpoint, Model, Vectors
from dualtrack.serving.client import VARIABLE, Client, checked_key, read_key

#: In a model's directory. The last is the authority that an endpoint is known by.
ONNX, TOKENIZER, CARD, AUTHORITY = "model.onnx", "tokenizer.json", "card.json", "ca.pem"
FILES = (ONNX, TOKENIZER, CARD, AUTHORITY)
MOST_CARD_BYTES, MOST_FILE = 64 << 10, 64 << 20
#: Names a file with the API key for an endpoint; `DUALTRACK_API_KEY` has the key itself.
KEY_FILE = "DUALTRACK_API_KEY_FILE"
#: BAAI/bge-small-zh-v1.5 (MIT), 8 bits: the vector is that of the first token.
BGE_SMALL_ZH = Card(
    name="bge-small-zh-v1.5-q", dimension=512, tokens=512, query="为这个句子生成表示以用于检索相关文章："
)
#: Of its files (`OnnxModel.digest`): any other model says itself what it is.
BGE_DIGEST = "c448131ffd296185c0ccf79e4319300d33a9e431a563b60f1bd9348b846b7dd6"
#: A text whose vector says which model an endpoint has, how many of its numbers are noted, and how alike they must be:
#: processors and company change the last digits, other models all of them.
PROBE, PROBED, ALIKE = "dualtrack 知识库 2026", 32, 0.98
#: Texts in one request; numbers in one answer (twenty bytes each, of 4 MiB); and how often it is tried.
TOGETHER, NUMBERS, TRIES = 32, 100_000, 3
#: Where there is no tokenizer: bytes of UTF-8 that are a token at least. Chinese has three in a character.
TOKEN_BYTES = 3


def load(directory: Path) -> Model:
    """Return the model in a directory; BadInput for what is no model."""
    card, written = read_card(directory)
    if card.endpoint:
        return RemoteModel(directory, card, card.endpoint)
    return OnnxModel(directory, card, written)


def read_card(directory: Path) -> tuple[Card, bytes]:
    """Return a model's card, and how it is spelled; nothing for the default model, which has none in its package.

    BadInput where it is no card.
    """
    if not os.path.lexists(directory / CARD):
        return BGE_SMALL_ZH, b""
    try:
        card = msgspec.json.decode(read_whole(directory / CARD, MOST_CARD_BYTES), type=Card)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadInput(f"{directory / CARD} is no card of a model: {error}") from None
    # As it was spelled before there were endpoints: versions are known by it.
    fields = {name: value for name, value in msgspec.structs.asdict(card).items() if name != "endpoint"}
    return card, msgspec.json.encode(fields, order="sorted")


def _tokenizer(data: bytes) -> Any:
    from tokenizers import Tokenizer

    found = Tokenizer.from_buffer(data)
    found.no_padding()
    found.no_truncation()
    return found


def _said(error: Exception) -> str:
    """Return what a library says, in a line that people read."""
    return " ".join(str(error).split())[:200]


class OnnxModel(Model):
    """A model on this machine: model.onnx and tokenizer.json in a directory, and card.json for any but the default."""

    def __init__(self, directory: Path, card: Card, written: bytes) -> None:
        """Load it. One thread: sums in another order would be other numbers. BadInput for what is no such model."""
        import onnxruntime

        self.room = 0
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.directory, self.card = directory, card
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
            self._tokenizer, self._counter = (_tokenizer(words) for _ in range(2))
            self._tokenizer.enable_truncation(card.tokens)
            self.room = card.tokens - MARKS - self.count(card.passage)
            found = self._run("x " * card.tokens if written else "x")  # as long as its card says that it reads
        except Exception as error:  # both libraries raise what they like
            raise BadInput(f"the model in {directory} cannot be loaded: {_said(error)}") from None
        if found.shape != (card.dimension,):
            raise BadInput(
                f"the model in {directory} makes {found.shape}, and its card says {card.dimension} numbers",
                hint=f"{CARD} beside it says what it is",
            )
        if self.room < LEAST_ROOM:
            raise BadInput(f"the model in {directory} reads {self.room} tokens of a passage, too few")

    def count(self, text: str) -> int:
        """Return how many tokens a text has."""
        return len(self._counter.encode(text, add_special_tokens=False).ids)

    def passages(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length 1 for each text that is searched; External where there is none."""
        return np.stack([self._vector(self.card.passage + it) for it in texts])

    def question(self, text: str) -> Vectors:
        """Return the vector of length 1 of what is asked; External where there is none."""
        return self._vector(self.card.query + text)

    def _vector(self, text: str) -> Vectors:
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


class _Row(msgspec.Struct, frozen=True):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct, frozen=True):
    data: tuple[_Row, ...]


class RemoteModel(Model):
    """A model behind an endpoint; in the directory are its card, the authority, and its tokenizer where it is known.

    Every request asks for the vector of `PROBE` as well: a model that was exchanged there would answer, and wrongly.
    """

    def __init__(self, directory: Path, card: Card, endpoint: Endpoint) -> None:
        """Read what there is; nobody is asked yet. BadInput for what is none, or without an API key."""
        self.directory, self.card, self._endpoint = directory, card, endpoint
        self.together = max(1, min(TOGETHER, NUMBERS // card.dimension))
        self._client = _client(endpoint.url, directory / AUTHORITY, f"{directory / CARD} names it")
        # Where it answers is no part of what it is.
        digest = hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(
            card, endpoint=msgspec.structs.replace(endpoint, url="")
        ), order="sorted"))  # fmt: skip
        self._words: Any = None
        if os.path.lexists(directory / TOKENIZER):
            try:
                words = (directory / TOKENIZER).read_bytes()
                self._words = _tokenizer(words)
            except Exception as error:  # the library raises what it likes
                raise BadInput(f"{directory / TOKENIZER} cannot be loaded: {_said(error)}") from None
            digest.update(hashlib.sha256(words).digest())
        self.digest = digest.hexdigest()
        self.room = card.tokens - MARKS - self.count(card.passage)
        if self.room < LEAST_ROOM:
            raise BadInput(f"the model in {directory} reads {self.room} tokens of a passage, too few")

    def count(self, text: str) -> int:
        """Return how many tokens a text has; without a tokenizer, one for each `TOKEN_BYTES`."""
        if self._words is None:
            return -(-len(text.encode()) // TOKEN_BYTES)
        return len(self._words.encode(text, add_special_tokens=False).ids)

    def passages(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length 1 for each text that is searched; External where there is none."""
        return self._asked(self._endpoint.model, [self.card.passage + self._cut(it) for it in texts])

    def question(self, text: str) -> Vectors:
        """Return the vector of length 1 of what is asked; External where there is none."""
        found: Vectors = self._asked(
            self._endpoint.query_model or self._endpoint.model, [self.card.query + self._cut(text)]
        )[0]
        return found

    def _cut(self, text: str) -> str:
        """Return what is read of a text: servers refuse what is longer."""
        if self.count(text) <= self.room:
            return text
        self.shortened += 1
        if self._words is None:
            return text.encode()[: self.room * TOKEN_BYTES].decode(errors="ignore")
        return text[: self._words.encode(text, add_special_tokens=False).offsets[self.room - 1][1]]

    def _asked(self, model: str, texts: Sequence[str]) -> Vectors:
        """Return the vectors of texts; External where what answers is another model, or nothing does."""
        for left in reversed(range(TRIES)):
            try:
                found = asked(self._client, model, [PROBE, *texts])
                break
            except External:
                if not left:
                    raise
                proc.pause(TRIES - left)
        if found.shape[1] != self.card.dimension:
            raise External(f"the model at {self._endpoint.url} makes {found.shape[1]} numbers, not those of its card")
        # A model that is told questions from passages has a probe for each: only that of passages is known.
        if model == self._endpoint.model and alike(found[0], self._endpoint.probe) < ALIKE:
            raise External(
                f"the model at {self._endpoint.url} is not the one that its card was written for",
                hint="dualtrack kb endpoint writes another card; take the documents in again with that",
            )
        rest: Vectors = found[1:]
        return rest


def asked(client: Client, model: str, texts: Sequence[str]) -> Vectors:
    """Return the vectors of length 1 that an endpoint has for texts; External for an answer that has none."""
    answer = client.post("/v1/embeddings", {"model": model, "input": list(texts), "encoding_format": "float"}, _Answer)
    rows = sorted(answer.data, key=lambda it: it.index)
    if [it.index for it in rows] != list(range(len(texts))) or len({len(it.embedding) for it in rows}) != 1:
        raise External("the model does not answer with a vector for each text")
    with np.errstate(over="ignore"):  # what is too large is no number then
        found = np.array([it.embedding for it in rows], np.float32)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise External("the model gives no vector for a text")
    vectors: Vectors = found / lengths
    return vectors


def alike(vector: Vectors, probe: Sequence[float]) -> float:
    """Return how alike the beginning of a vector is to another one (cosine); 0 where there is nothing to compare."""
    known, here = np.array(probe, np.float32), vector[: len(probe)]
    lengths = float(np.linalg.norm(known) * np.linalg.norm(here))
    return float(known @ here) / lengths if len(here) == len(known) and lengths else 0.0


def _client(url: str, authority: Path, look: str) -> Client:
    if file := os.environ.get(KEY_FILE):
        key = read_key(Path(file))
    elif text := os.environ.get(VARIABLE):
        key = checked_key(text, VARIABLE)
    else:
        raise BadInput("the model asks for an API key", hint=f"{VARIABLE}, or {KEY_FILE}, which names its file")
    return Client(url, authority, key, called="the model", look=look)


def describe(
    directory: Path, url: str, authority: Path, model: str, *, query_model: str = "", tokens: int, query: str = "",
    passage: str = "", tokenizer: Path | None = None,
) -> Card:  # fmt: skip
    """Write what there is to know of a model behind an endpoint into a directory, once it has answered.

    Refused where a model is there already; the errors of the client.
    """
    if any(os.path.lexists(directory / it) for it in FILES):
        raise Refused(f"{directory} has a model already", hint="name another directory")
    client = _client(url, authority, "--url, --model")
    vectors = [asked(client, it, [PROBE])[0] for it in dict.fromkeys((model, query_model or model))]
    if len({len(it) for it in vectors}) != 1:
        raise BadInput(f"{model} and {query_model} make vectors of different length")
    endpoint = Endpoint(
        url=url, model=model, query_model=query_model, probe=tuple(round(float(it), 4) for it in vectors[0][:PROBED])
    )  # fmt: skip
    card = Card(
        name=model, dimension=len(vectors[0]), tokens=tokens, query=query, passage=passage, endpoint=endpoint
    )  # fmt: skip
    text = msgspec.json.format(msgspec.json.encode(card), indent=1)
    try:
        msgspec.json.decode(text, type=Card)
    except msgspec.ValidationError as error:
        raise BadInput(f"the model cannot be used: {error}") from None
    directory.mkdir(parents=True, exist_ok=True)
    for name, file in ((AUTHORITY, authority), *([(TOKENIZER, tokenizer)] if tokenizer else [])):
        write_atomically(directory / name, read_whole(file, MOST_FILE), 0o644)
    write_atomically(directory / CARD, text, 0o644)
    return card
