"""What is asked and answered over HTTP, in the forms that clients know: ours, OpenAI's and Dify's (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from dualtrack.core.errors import BadInput, DualtrackError
from dualtrack.knowledge.answering import Answered
from dualtrack.knowledge.service.desk import Busy

MODEL = "knowledge"
#: Hits of one search.
MOST_HITS = 50


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is looked for."""

    question: str
    count: int = 5


class Part(msgspec.Struct, frozen=True):
    """A part of a message."""

    type: str
    text: str = ""


class Said(msgspec.Struct, frozen=True):
    """A message of a chat."""

    role: str
    content: str | list[Part] | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream is to have beside the answer."""

    include_usage: bool = False


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's request; fields that are not here are passed over, as OpenAI's clients send many."""

    messages: list[Said]
    model: str = MODEL
    stream: bool = False
    stream_options: StreamOptions | None = None

    @property
    def counts(self) -> bool:
        """Whether the stream ends with the number of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage


class Setting(msgspec.Struct, frozen=True):
    """Dify's bounds."""

    top_k: int = 5
    score_threshold: float | None = None


class Retrieval(msgspec.Struct, frozen=True):
    """Dify's request."""

    query: str
    knowledge_id: str = MODEL
    retrieval_setting: Setting = Setting()


class Refusal(Exception):
    """An answer that is none: HTTP's number, OpenAI's code, and words."""

    def __init__(self, status: int, code: str, message: str, after_s: float = 0) -> None:
        self.status, self.code, self.message, self.after_s = status, code, message, after_s
        super().__init__(message)


def text(it: Said) -> str:
    """Return what a message says; BadInput for what is not text."""
    if isinstance(it.content, str):
        return it.content
    parts = it.content or []
    if any(part.type != "text" for part in parts):
        raise BadInput("messages are texts")
    return "\n".join(part.text for part in parts)


def refused(error: Exception, *, dify: bool = False) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return the status, the body and more headers of an error, without anything that is not the client's to know."""
    status, code, message, headers = 503, "unavailable", "the knowledge base cannot answer now", {}
    if isinstance(error, Refusal):
        status, code, message = error.status, error.code, error.message
        if error.after_s:
            headers["Retry-After"] = str(int(error.after_s) + 1)
    elif isinstance(error, Busy):
        message, headers = str(error), {"Retry-After": "5"}
    elif isinstance(error, BadInput | msgspec.MsgspecError):
        status, code, message = 400, "invalid_request", str(error)
    elif isinstance(error, UnicodeError | RecursionError):
        status, code, message = 400, "invalid_request", "what is asked is not UTF-8 JSON"
    if dify:
        number = {401: 1002, 404: 2001}.get(status, status)
        return status, {"error_code": number, "error_msg": message}, headers
    kind = "invalid_request_error" if status < 500 else "server_error"
    return status, {"error": {"message": message, "type": kind, "code": code, "param": None}}, headers


def usage_of(answered: Answered) -> dict[str, int]:
    """Return how many tokens the model read and wrote: none where no model was asked."""
    read, written = (answered.end.prompt_tokens, answered.end.completion_tokens) if answered.end else (0, 0)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def events(head: dict[str, Any], answer: Iterator[str | Answered], *, counts: bool = False) -> Iterator[bytes]:
    """Yield an answer as server-sent events, in OpenAI's form; `citations` come with the last one that has a choice.

    Where it ``counts``, an event without a choice follows, with the number of tokens.
    """

    def event(delta: dict[str, str], finish: str | None, **more: object) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _event({**head, "object": "chat.completion.chunk", "choices": [choice], **more})

    try:
        for it in answer:
            if isinstance(it, str):
                yield event({"role": "assistant", "content": it}, None)
            else:
                end = it.end
                yield event(
                    {}, (end and end.finish) or "stop", citations=it.citations, track=end.track if end else ""
                )  # fmt: skip
                if counts:
                    yield _event({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage_of(it)})
    except DualtrackError:
        said = {"message": "the answer broke off"}
        yield _event({**head, "object": "chat.completion.chunk", "choices": [], "error": said})
        return
    yield b"data: [DONE]\n\n"


def _event(found: object) -> bytes:
    return b"data: " + msgspec.json.encode(found) + b"\n\n"


def whole(head: dict[str, Any], answer: Iterable[str | Answered]) -> dict[str, Any]:
    """Return an answer in one piece, in OpenAI's form."""
    parts = list(answer)
    said = "".join(it for it in parts if isinstance(it, str))
    [answered] = [it for it in parts if isinstance(it, Answered)]
    end = answered.end
    finish = (end and end.finish) or "stop"
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": finish}
    return {
        **head, "object": "chat.completion", "choices": [choice], "usage": usage_of(answered),
        "citations": answered.citations, "track": end.track if end else "",
    }  # fmt: skip
