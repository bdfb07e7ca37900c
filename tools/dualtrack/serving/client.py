"""A client of a gateway's API, which is OpenAI's: which models there are, and an answer piece by piece.

Everything that comes back is external text; whoever prints it escapes it (`dualtrack.core.output`).
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from dualtrack.core import https
from dualtrack.core.errors import BadInput, DualtrackError, External, Refused
from dualtrack.core.files import read_secret
from dualtrack.serving import sse

#: Seconds without a byte: the first token of a long prompt takes longest, and more while others are served.
SILENCE_S = 300.0
#: Of an answer that is not a stream.
ANSWER_BYTES = 4 << 20
PROMPT_BYTES = 4 << 20
KEY = re.compile(r"[!-~]{1,512}")
T = TypeVar("T")
VARIABLE = "DUALTRACK_API_KEY"
TRACK, ENGINE = "x-dualtrack-track", "x-dualtrack-engine"


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when an answer is complete: where it came from, and its length in tokens.

    ``finish`` is why it ended (`stop`, or `length` where it met the limit). '' and 0 for what the gateway did not say.
    ``citations`` are the sources that a knowledge base names, as JSON has them; not set by others.
    """

    track: str
    engine: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    citations: list[Any] | msgspec.UnsetType = msgspec.UNSET

    @property
    def line(self) -> str:
        """All of it in one line for people."""
        cut = ", cut off at the limit" if self.finish == "length" else ""
        where = f"{self.engine or 'an engine'} on the {self.track or 'unknown'} track"
        return f"{where}: {self.prompt_tokens} tokens read, {self.completion_tokens} written{cut}"


class Busy(External):
    """The gateway has too much to do; ``after_s`` is in how many seconds to ask again, None where it does not say."""

    def __init__(self, message: str, after_s: float | None) -> None:
        self.after_s = after_s
        super().__init__(message, hint="" if after_s is None else f"again in {after_s:.0f} s")


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Delta = _Delta()
    finish_reason: str | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Error(msgspec.Struct, frozen=True):
    message: str = ""


class _Chunk(msgspec.Struct, frozen=True, kw_only=True):
    choices: tuple[_Choice, ...] = ()
    usage: _Usage | None = None
    error: _Error | str | None = None
    citations: list[Any] | msgspec.UnsetType = msgspec.UNSET
    track: str = ""


class _Model(msgspec.Struct, frozen=True):
    id: str


class _Models(msgspec.Struct, frozen=True):
    data: tuple[_Model, ...]


def checked_key(text: str, where: str) -> str:
    """Return an API key without the blanks around it; BadInput where it cannot be one."""
    if not KEY.fullmatch(key := text.strip()):
        raise BadInput(f"{where} holds no API key", hint="dualtrack serving key add TENANT")
    return key


def read_key(path: Path, *, given: bool = True) -> str:
    """Return the API key in a file that only its owner may read; BadInput or Refused otherwise."""
    return checked_key(read_secret(path, 4096, given=given).decode(errors="replace"), str(path))


def find_key(file: Path | None, environment: Mapping[str, str], beside: Path | None) -> str:
    """Return the API key of a file, of DUALTRACK_API_KEY in the environment, or of the file ``beside`` the tenants'.

    The first of them that is given counts; BadInput where none is, Refused for a file that others may read.
    """
    if file is not None:
        return read_key(file)
    if text := environment.get(VARIABLE):
        return checked_key(text, VARIABLE)
    if beside is None or not beside.exists():
        raise BadInput(
            "no API key is given", hint=f"--key-file FILE, or {VARIABLE}" + (f", or {beside}" if beside else "")
        )
    return read_key(beside, given=False)


def read_prompt(text: str, stdin: BinaryIO) -> str:
    """Return a prompt, for `-` what is on stdin; BadInput where it is empty, too long, or no UTF-8."""
    if text == "-":
        data = stdin.read(PROMPT_BYTES + 1)
        if len(data) > PROMPT_BYTES:
            raise BadInput(f"the prompt is longer than {PROMPT_BYTES >> 20} MiB")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise BadInput("the prompt on stdin is not UTF-8") from None
    if not text.strip():
        raise BadInput("the prompt is empty")
    return text


def chosen(model: str, known: Sequence[str]) -> str:
    """Return the model to ask: the one that is named, or the only one; BadInput where there is another choice."""
    if model or len(known) == 1:
        return model or known[0]
    raise BadInput("name a model with --model", hint=f"there are {', '.join(known)}" if known else "there is none")


class Client:
    """The API at a URL (`https://HOST:PORT`), believed by the authority in ``ca_file``, asked with an API key.

    ``called`` is what answers there, and ``look`` the command that shows how it is: for errors.
    """

    def __init__(
        self, url: str, ca_file: Path, key: str, *, silence_s: float = SILENCE_S, called: str = "the gateway",
        look: str = "dualtrack serving status",
    ) -> None:  # fmt: skip
        try:
            self._at = https.address(url, 443, path=True)
        except ValueError as error:
            raise BadInput(f"this is not an address of {called}: {error}", hint=f"https://HOST:PORT; {look}") from None
        self._tls, self._silence_s = https.trusted(ca_file), silence_s
        self._called, self._look, self._key = called, look, key
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def models(self) -> tuple[str, ...]:
        """Return the names of the models behind the gateway."""
        with self._asked("GET", "/v1/models", None) as answer:
            return tuple(it.id for it in _decoded(_whole(answer), _Models).data)

    def post(self, path: str, body: Any, kind: type[T]) -> T:
        """Return the answer to a request that has no stream."""
        with self._asked("POST", path, body) as answer:
            return _decoded(_whole(answer), kind)

    def chat(
        self, model: str, prompt: str | Sequence[msgspec.Struct], max_tokens: int | None = None
    ) -> Iterator[str | End]:
        """Ask a model, by a prompt or by messages (`role`, `content`); yield its answer as it comes, then its End.

        External where the answer ends early: what was yielded is then a part. ``max_tokens`` bounds the answer.
        """
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        body: dict[str, Any] = {
            "model": model, "messages": messages, "stream": True, "stream_options": {"include_usage": True},
        }  # fmt: skip
        if max_tokens is not None:
            body["max_tokens"] = max_tokens
        with self._asked("POST", "/v1/chat/completions", body) as answer:
            if answer.headers.get_content_type() != "text/event-stream":
                raise External(f"{self._at.name} does not stream its answer: is it a gateway of dualtrack?")
            usage, finish, done, track = _Usage(), "", False, answer.headers.get(TRACK, "")
            citations: list[Any] | msgspec.UnsetType = msgspec.UNSET
            for data in sse.events(_chunks(answer)):
                if data == b"[DONE]":
                    done = True
                    break
                chunk = _decoded(data, _Chunk)
                if chunk.error is not None:
                    raise External(f"the answer broke off: {self._line(_message(chunk.error))}")
                usage, track, citations = chunk.usage or usage, chunk.track or track, chunk.citations or citations
                for choice in chunk.choices:
                    finish = choice.finish_reason or finish
                    if choice.delta.content:
                        yield choice.delta.content
            if not done:
                raise External("the answer broke off", hint="ask again; dualtrack serving status shows the engines")
            yield End(
                track=track, engine=answer.headers.get(ENGINE, ""), finish=finish, citations=citations,
                prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens,
            )  # fmt: skip

    @contextmanager
    def _asked(self, method: str, path: str, body: Any) -> Iterator[http.client.HTTPResponse]:
        """Send a request and yield the answer if it is a good one; a DualtrackError with the gateway's word else."""
        link = http.client.HTTPSConnection(self._at.host, self._at.port, timeout=self._silence_s, context=self._tls)
        try:
            data = None if body is None else msgspec.json.encode(body)
            link.request(method, self._at.path + path, data, self._headers)
            answer = link.getresponse()
            if answer.status != 200:
                raise self._refusal(answer.status, _whole(answer), answer.headers.get("Retry-After", ""))
            yield answer
        except ssl.SSLCertVerificationError as error:
            raise External(f"{self._at.at} shows another certificate than it should: {error.verify_message}") from None
        except UnicodeEncodeError:
            raise BadInput("what is asked is not UTF-8") from None
        except (OSError, http.client.HTTPException, ValueError) as error:  # the last for the size of a chunk
            said = self._line(str(error)) or type(error).__name__
            raise External(f"{self._called} at {self._at.at} does not answer: {said}", hint=self._look) from None
        finally:
            link.close()

    def _refusal(self, status: int, body: bytes, retry: str) -> DualtrackError:
        """Return the error for an answer that is none, by HTTP's number and the words in its body."""
        try:
            error = msgspec.json.decode(body, type=_Chunk).error
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            error = None
        said = f"{self._at.name} answers {status}" + (f": {self._line(_message(error))}" if error else "")
        if status in (401, 403):
            return Refused(said, hint="dualtrack serving key list shows the keys and what they are good for")
        if status in (400, 404, 413, 422):
            return BadInput(said)
        if status in (429, 503):
            return Busy(said, https.retry_after(retry))
        return External(said)

    def _line(self, text: str) -> str:
        """Return what a server says in a line, without the API key: some say it back, and logs keep it."""
        return " ".join(text.replace(self._key, "…").split())[:300]


def _chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while part := answer.read1(1 << 16):
        yield part


def _whole(answer: http.client.HTTPResponse) -> bytes:
    data = answer.read(ANSWER_BYTES + 1)
    if len(data) > ANSWER_BYTES:
        raise External(f"the gateway's answer is longer than {ANSWER_BYTES >> 20} MiB")
    return data


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise External(f"what the gateway answers is not OpenAI's API: {error}") from None


def _message(error: _Error | str | None) -> str:
    return error.message if isinstance(error, _Error) else error or ""
