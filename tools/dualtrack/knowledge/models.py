"""Models that make vectors: in ONNX on this machine's processors, or behind OpenAI's `/v1/embeddings`.

The same text has the same vector, in every run and company, by a model on this machine. One that was made smaller to
8 bits (q8) scales by what it is given together: a text's vector would depend on the others. So it gets one text at a
time, which is also faster.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from dualtrack.core import https
from dualtrack.core.errors import BadInput, DualtrackError, External, Refused
from dualtrack.core.files import check_new, made_whole, read_small, read_whole, write_atomically
from dualtrack.core.retries import retried
from dualtrack.knowledge.embedding import LEAST_ROOM, MARKS, Card, Endpoint, Model, Vectors
from dualtrack.serving.client import VARIABLE, Busy, Client, checked_key, read_key

#: In a model's directory. The last is the authority that an endpoint is known by.
ONNX, TOKENIZER, CARD, AUTHORITY = "model.onnx", "tokenizer.json", "card.json", "ca.pem"
FILES = (ONNX, TOKENIZER, CARD, AUTHORITY)
#: Bytes of a card, of a tokenizer, and of a model, which is one message of Protocol Buffers.
MOST_CARD_BYTES, MOST_FILE, MOST_NETWORK = 64 << 10, 64 << 20, (2 << 30) - 1
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
PROBE, PROBED, PROBE_DIGITS, ALIKE = "dualtrack 知识库 2026", 32, 4, 0.98
#: A text that few models have words for: a tokenizer without a token for such fails, and shall do so at once.
UNKNOWN = "\U0001f43e \U000103a0"
#: Texts in one request; numbers in one answer (twenty bytes each, of 4 MiB); and how often it is tried.
TOGETHER, NUMBERS, TRIES = 32, 100_000, 3
#: Seconds that a server with too much to do is left alone between tries, at most; and where somebody waits for it.
PATIENCE_S, QUESTION_S = 60.0, 3.0
#: What to do where a server has another model.
ANOTHER = "dualtrack kb endpoint writes another card; take the documents in again with that"
#: Where there is no tokenizer: bytes of UTF-8 that are a token at least. Chinese has three in a character.
TOKEN_BYTES = 3


def load(directory: Path) -> Model:
    """Return the model in a directory; BadInput for what is not a model."""
    card, written = read_card(directory)
    if card.endpoint:
        return RemoteModel(directory, card, card.endpoint)
    return OnnxModel(directory, card, written)


def read_card(directory: Path) -> tuple[Card, bytes]:
    """Return a model's card, and how it is spelled; nothing for the default model, which has none in its package.

    BadInput where it is not a card.
    """
    if not os.path.lexists(directory / CARD):
        return BGE_SMALL_ZH, b""
    card = read_small(directory / CARD, Card, MOST_CARD_BYTES, "card of a model")
    # As it was spelled before there were endpoints: versions are known by it.
    fields = {name: value for name, value in msgspec.structs.asdict(card).items() if name != "endpoint"}
    return card, msgspec.json.encode(fields, order="sorted")


def _tokenizer(data: bytes) -> Any:
    from tokenizers import Tokenizer

    found = Tokenizer.from_buffer(data)
    found.no_padding()
    found.no_truncation()
    return found


def _tried(data: bytes, file: Path, *texts: str) -> Any:
    """Return the tokenizer that a file has, once it has taken texts apart; BadInput where it cannot be used."""
    with _silent():
        with _reported(BadInput, f"{file} cannot be loaded"):
            found = _tokenizer(data)
        with _reported(BadInput, f"{file} cannot be used"):
            for it in (UNKNOWN, *texts):
                found.encode(it, add_special_tokens=False)
    return found


@contextlib.contextmanager
def _reported(kind: type[DualtrackError], what: str) -> Iterator[None]:
    """Raise ``kind`` for whatever a library raises: panics of those in Rust are not an Exception."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise kind(f"{what}: {' '.join(str(error).split())[:200]}") from None


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Have what libraries write to stderr nowhere: a panic says there where it was, before it is raised."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class OnnxModel(Model):
    """A model on this machine: model.onnx and tokenizer.json in a directory, and card.json for any but the default."""

    def __init__(self, directory: Path, card: Card, written: bytes) -> None:
        """Load it. One thread: sums in another order would be other numbers. BadInput for anything else."""
        import onnxruntime

        self.room = 0
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.directory, self.card = directory, card
        try:
            network = read_whole(directory / ONNX, MOST_NETWORK, regular=True)
            words = read_whole(directory / TOKENIZER, MOST_FILE, regular=True)
        except BadInput as error:
            raise BadInput(f"{directory} has no model: {error}") from None
        digest = hashlib.sha256(hashlib.sha256(network).digest() + hashlib.sha256(words).digest())
        if not written and digest.hexdigest() != BGE_DIGEST:
            raise BadInput(f"{directory} has no {CARD}, which says what its model is")
        self.digest = hashlib.sha256(digest.digest() + written).hexdigest() if written else digest.hexdigest()
        with _silent(), _reported(BadInput, f"the model in {directory} cannot be loaded"):
            # From what the digest is of: weights in files beside it would not be in it, and are not found.
            self._session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
            self._inputs = {it.name for it in self._session.get_inputs()}
            self._tokenizer, self._counter = (_tokenizer(words) for _ in range(2))
            self._tokenizer.enable_truncation(card.tokens)
            self.room = card.tokens - MARKS - self.count(card.passage)
            found = self._run("x " * card.tokens if written else "x")  # as long as its card says that it reads
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
        with _reported(External, f"the model in {self.directory} failed"):
            found = self._run(text)
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
        # Where it answers is not part of what it is.
        digest = hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(
            card, endpoint=msgspec.structs.replace(endpoint, url="")
        ), order="sorted"))  # fmt: skip
        self._words: Any = None
        if os.path.lexists(directory / TOKENIZER):
            words = read_whole(directory / TOKENIZER, MOST_FILE, regular=True)
            self._words = _tried(words, directory / TOKENIZER)
            digest.update(hashlib.sha256(words).digest())
        self.digest = digest.hexdigest()
        self.room = card.tokens - MARKS - self.count(card.passage)
        for what, before in (("passage", card.passage), ("question", card.query)):
            if (room := card.tokens - MARKS - self.count(before)) < LEAST_ROOM:
                raise BadInput(
                    f"the model in {directory} reads {room} tokens of a {what}, fewer than {LEAST_ROOM}",
                    hint=f"it reads {card.tokens}, with {MARKS} of its own and what is written before each {what}",
                )

    def count(self, text: str) -> int:
        """Return how many tokens a text has; without a tokenizer, one for each `TOKEN_BYTES`."""
        if self._words is None:
            return -(-len(text.encode()) // TOKEN_BYTES)
        return len(self._encoded(text).ids)

    def _encoded(self, text: str) -> Any:
        with _reported(BadInput, f"{self.directory / TOKENIZER} cannot be used"):
            return self._words.encode(text, add_special_tokens=False)

    def passages(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length 1 for each text that is searched; External where there is none."""
        return self._asked(self._endpoint.model, [self._cut(self.card.passage, it) for it in texts])

    def question(self, text: str) -> Vectors:
        """Return the vector of length 1 of what is asked; External where there is none."""
        found: Vectors = self._asked(
            self._endpoint.query_model or self._endpoint.model, [self._cut(self.card.query, text)], QUESTION_S
        )[0]
        return found

    def _cut(self, before: str, text: str) -> str:
        """Return what is read of a text, with what is written before it: servers refuse what is longer."""
        whole, most = before + text, self.card.tokens - MARKS
        if self.count(whole) <= most:
            return whole
        self.shortened += 1
        if self._words is None:
            return whole.encode()[: most * TOKEN_BYTES].decode(errors="ignore")
        ends = self._encoded(whole).offsets
        # What is cut may be other tokens at its end than it was in the whole text, and more of them.
        cuts = (whole[: ends[it - 1][1]] for it in range(most, 0, -1))
        return next(it for it in cuts if self.count(it) <= most)

    def _asked(self, model: str, texts: Sequence[str], patience_s: float = PATIENCE_S) -> Vectors:
        """Return the vectors of texts; External where what answers is another model, or nothing does."""
        found = asked(self._client, model, [PROBE, *texts], patience_s)
        if found.shape[1] != self.card.dimension:
            raise External(
                f"the model at {self._endpoint.url} makes {found.shape[1]} numbers, and its card says"
                f" {self.card.dimension}",
                hint=ANOTHER,
            )
        # A model that is told questions from passages has a probe for each: only that of passages is known.
        if model == self._endpoint.model and not is_alike(found[0], self._endpoint.probe):
            raise External(
                f"the model at {self._endpoint.url} is not the one that its card was written for", hint=ANOTHER
            )
        rest: Vectors = found[1:]
        return rest


def asked(client: Client, model: str, texts: Sequence[str], patience_s: float = PATIENCE_S) -> Vectors:
    """Return the vectors of length 1 that an endpoint has for texts; External where it never answers with them.

    It is asked again as late as it wants, unless that is later than ``patience_s``.
    """

    def wait(tries: int, error: External) -> float:
        seconds = max(tries, (error.after_s or 0) if isinstance(error, Busy) else 0)
        if tries == TRIES or seconds > patience_s:
            raise error
        return seconds

    return retried(lambda: _once(client, model, texts), External, wait)


def _once(client: Client, model: str, texts: Sequence[str]) -> Vectors:
    body = {"model": model, "input": list(texts), "encoding_format": "float"}
    try:
        answer = client.post("/v1/embeddings", body, _Answer)
    except BadInput as error:
        raise BadInput(str(error), hint=f"does it know {model}, and read as many tokens as --tokens said?") from None
    rows = sorted(answer.data, key=lambda it: it.index)
    if [it.index for it in rows] != list(range(len(texts))) or len({len(it.embedding) for it in rows}) != 1:
        raise External(
            "the model does not answer with a vector for each text", hint=f"is {model} a model for embeddings?"
        )
    with np.errstate(over="ignore"):  # what is too large is not a number then
        found = np.array([it.embedding for it in rows], np.float32)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise External(
            "the model gives no vector for a text", hint="its numbers are all 0, or too large: look at its server's log"
        )
    vectors: Vectors = found / lengths
    return vectors


def is_alike(vector: Vectors, probe: Sequence[float]) -> bool:
    """Return whether a vector begins as another one does; not where there is nothing that can be compared."""
    known, here = np.array(probe, np.float64), vector[: len(probe)].astype(np.float64)
    lengths = float(np.linalg.norm(known) * np.linalg.norm(here))
    return len(here) == len(known) and lengths > 0 and float(known @ here) / lengths >= ALIKE


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
    """Write what there is to know of a model behind an endpoint into a directory, once it has answered and is loaded.

    Refused where something is there already; BadInput for what no other command would load; the errors of the client.
    """
    check_new(directory)
    files = {AUTHORITY: _read_authority(authority)}
    if tokenizer:
        files[TOKENIZER] = read_whole(tokenizer, MOST_FILE, regular=True)
        # Before anything is made: the library ends the process for some, and nobody would remove it.
        _tried(files[TOKENIZER], tokenizer, passage, query)
    client = _client(url, authority, "--url, --name")
    vectors = [asked(client, it, [PROBE])[0] for it in dict.fromkeys((model, query_model or model))]
    if len({len(it) for it in vectors}) != 1:
        raise BadInput(
            f"{model} and {query_model} make vectors of different length",
            hint="--name, --query-name: they are not of one model",
        )
    probe = tuple(round(float(it), PROBE_DIGITS) for it in vectors[0][:PROBED])
    if not is_alike(vectors[0], probe):
        raise BadInput(
            f"the vectors of {model} begin with {len(probe)} numbers that are nearly 0: another model could not be told"
            " from it",
            hint="another model has to be served",
        )
    endpoint = Endpoint(url=url, model=model, query_model=query_model, probe=probe)
    card = Card(
        name=model, dimension=len(vectors[0]), tokens=tokens, query=query, passage=passage, endpoint=endpoint
    )  # fmt: skip
    files[CARD] = msgspec.json.format(msgspec.json.encode(card), indent=1)
    with made_whole(directory) as fresh:
        for name, data in files.items():
            write_atomically(fresh / name, data, 0o644)
        try:
            load(fresh)
        except BadInput as error:
            raise BadInput(f"the model cannot be used: {str(error).replace(str(fresh), str(directory))}") from None
    return card


def _read_authority(path: Path) -> bytes:
    """Return a file of certificates, which others will be able to read; Refused where it has a private key as well."""
    data = read_whole(path, https.MOST_PEM, regular=True)
    if b"PRIVATE KEY" in data:
        raise Refused(f"{path} has a private key in it", hint="name a file with the authority's certificate alone")
    return data
