"""The service over HTTP: search, answers in OpenAI's form, and Dify's external knowledge; all by the same rights.

    POST /v1/search             {"question": …, "count": 5}: hits with scores, sources and text
    POST /v1/chat/completions   OpenAI's, streamed or not; `citations` beside the last message name the sources
    POST /retrieval             Dify's, https://docs.dify.ai/guides/knowledge-base/external-knowledge-api
    GET  /v1/me                 whose token it is, and the version that answers
    GET  /health                200 where questions can be answered, without a token
    GET  /metrics               Prometheus; the host's HAProxy lets only those pass that may read it
    GET  /                      the page

Who asks is known by a token (`dualtrack access token NAME --for knowledge`). Errors have OpenAI's form, or Dify's.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from dualtrack.errors import BadInput, DualtrackError
from dualtrack.knowledge.answering import Answered, Message
from dualtrack.knowledge.service.desk import Busy, Desk
from dualtrack.knowledge.service.limits import Limit
from dualtrack.knowledge.service.people import People, Person, Unknown
from dualtrack.knowledge.service.settings import Settings
from dualtrack.output import echo

T = TypeVar("T", bound=msgspec.Struct)
MODEL = "knowledge"
BODY_BYTES = 256 << 10
PAGE = Path(__file__).with_name("page")
PAGES = {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css"}
KINDS = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
    "Strict-Transport-Security": "max-age=31536000",
}  # fmt: skip


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


class Chat(msgspec.Struct, frozen=True):
    """OpenAI's request; fields that are not here are passed over, as OpenAI's clients send many."""

    messages: list[Said]
    model: str = MODEL
    stream: bool = False


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


class Api:
    """The routes, and what they share."""

    def __init__(self, settings: Settings, desk: Desk, people: People) -> None:
        self.settings, self.desk, self.people = settings, desk, people
        self.limit = Limit(settings.per_minute)
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "dualtrack_knowledge_requests", "Requests by way and status.", ["way", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "dualtrack_knowledge_seconds", "Seconds until the first byte of an answer, by way.", ["way"],
            registry=self.registry, buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )  # fmt: skip
        Gauge("dualtrack_knowledge_chunks", "Chunks of the version that answers.", registry=self.registry).set_function(
            lambda: len(desk.version().entries)
        )

    def app(self) -> Starlette:
        """Return the application."""
        way = self._way
        pages = [Route(path, self._page(name), methods=["GET"]) for path, name in PAGES.items()]
        routes = [
            Route("/v1/search", way("search", self._search), methods=["POST"]),
            Route("/v1/chat/completions", way("chat", self._chat), methods=["POST"]),
            Route("/v1/models", way("models", self._models), methods=["GET"]),
            Route("/v1/me", way("me", self._me), methods=["GET"]),
            Route("/retrieval", way("dify", self._retrieval), methods=["POST"]),
            Route("/health", self._health, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
            *pages,
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: self._unknown, Exception: self._defect})

    def _way(
        self, name: str, answer: Callable[[Request, Person], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return a route that knows who asks, counts, and has errors in the form that the way's clients know."""

        async def route(request: Request) -> Response:
            began = time.monotonic()
            try:
                found = await answer(request, await self._person(request))
            except ClientDisconnect:
                found = Response(status_code=499)
            except (Refusal, DualtrackError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                found = _refused(error, dify=name == "dify")
                if found.status_code == 503:
                    echo(f"{name}: {error}", err=True)  # clients are not told what of the host does not work
            self.requests.labels(name, str(found.status_code)).inc()
            self.seconds.labels(name).observe(time.monotonic() - began)
            return _dressed(found)

        return route

    async def _person(self, request: Request) -> Person:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refusal(401, "invalid_api_key", "a token is needed: Authorization: Bearer TOKEN")
        try:
            known: Person = await run_in_threadpool(self.people.known, token.strip())
        except Unknown:
            raise Refusal(401, "invalid_api_key", "this token is not known, or has ended") from None
        return known

    async def _given(self, request: Request, person: Person, kind: type[T]) -> T:
        """Return what is asked; Refusal for somebody who asks too often, and for too much."""
        if after := self.limit.take(person.name):
            raise Refusal(429, "rate_limit_exceeded", f"more than {self.settings.per_minute} questions a minute", after)
        data = b""
        async for part in request.stream():
            data += part
            if len(data) > BODY_BYTES:
                raise Refusal(413, "request_too_large", f"a request has {BODY_BYTES >> 10} KiB at most")
        return msgspec.json.decode(data, type=kind)

    async def _search(self, request: Request, person: Person) -> Response:
        asked = await self._given(request, person, Ask)
        if not 1 <= asked.count <= 50:
            raise BadInput("count is 1 to 50")
        return _json(await run_in_threadpool(self.desk.search, person, asked.question, asked.count, "search"))

    async def _retrieval(self, request: Request, person: Person) -> Response:
        asked = await self._given(request, person, Retrieval)
        if asked.knowledge_id != MODEL:
            raise Refusal(404, "2001", f"the only knowledge is called {MODEL}")
        wanted = asked.retrieval_setting
        if not 1 <= wanted.top_k <= 50:
            raise BadInput("top_k is 1 to 50")
        found = await run_in_threadpool(self.desk.search, person, asked.query, wanted.top_k, "dify")
        least = wanted.score_threshold if wanted.score_threshold is not None else -1.0
        return _json({
            "records": [
                {"content": it.text, "score": it.score, "title": it.source,
                 "metadata": {"collection": it.collection, "headings": it.headings, "place": it.place}}
                for it in found.hits if it.score >= least
            ]
        })  # fmt: skip

    async def _models(self, _: Request, __: Person) -> Response:
        return _json({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "dualtrack"}]})

    async def _me(self, _: Request, person: Person) -> Response:
        version = await run_in_threadpool(self.desk.version)
        return _json({"name": person.name, "version": version.id, "answers": self.settings.gateway is not None})

    async def _chat(self, request: Request, person: Person) -> Response:
        asked = await self._given(request, person, Chat)
        if asked.model != MODEL:
            raise Refusal(404, "model_not_found", f"the only model is called {MODEL}")
        *before, last = [Message(it.role, _text(it)) for it in asked.messages] or [Message("", "")]
        if last.role != "user" or any(it.role not in ("user", "assistant") for it in before):
            raise BadInput("messages are of user and assistant, the last one of user")
        version, answer = await run_in_threadpool(self.desk.ask, person, last.content, before, "chat")
        first = await run_in_threadpool(next, answer)  # what is refused is refused before anything is sent
        head = {
            "id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": MODEL, "version": version,
        }  # fmt: skip
        if asked.stream:
            return StreamingResponse(_events(head, chain([first], answer)), media_type="text/event-stream")
        return _json(await run_in_threadpool(_whole, head, [first, *answer]))

    async def _health(self, _: Request) -> Response:
        try:
            version = await run_in_threadpool(self.desk.version)
        except DualtrackError:
            return _json({"ready": False}, 503)
        return _json({"ready": bool(version.id)})

    async def _metrics(self, _: Request) -> Response:
        data = await run_in_threadpool(generate_latest, self.registry)
        return Response(data, media_type="text/plain; version=0.0.4; charset=utf-8")

    @staticmethod
    def _page(name: str) -> Callable[[Request], Awaitable[Response]]:
        async def page(_: Request) -> Response:
            return _dressed(FileResponse(PAGE / name, media_type=KINDS[name.rpartition(".")[2]]))

        return page

    @staticmethod
    async def _unknown(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return _dressed(_refused(Refusal(status, "not_found", "there is nothing here")))

    @staticmethod
    async def _defect(_: Request, __: Exception) -> Response:
        return _refused(Refusal(500, "server_error", "the knowledge base has failed; its journal says where"))


def _text(it: Said) -> str:
    if isinstance(it.content, str):
        return it.content
    parts = it.content or []
    if any(part.type != "text" for part in parts):
        raise BadInput("messages are texts")
    return "\n".join(part.text for part in parts)


def _json(found: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(found), status, media_type="application/json")


def _dressed(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


def _refused(error: Exception, *, dify: bool = False) -> Response:
    """Return an error in the form that clients know, without anything that is not theirs to know."""
    status, code, message, headers = 503, "unavailable", "", {}
    if isinstance(error, Refusal):
        status, code, message = error.status, error.code, error.message
        if error.after_s:
            headers["Retry-After"] = str(int(error.after_s) + 1)
    elif isinstance(error, Busy):
        message, headers = str(error), {"Retry-After": "5"}
    elif isinstance(error, BadInput | msgspec.MsgspecError | UnicodeError | RecursionError):
        status, code = 400, "invalid_request"
        message = (
            str(error) if isinstance(error, BadInput | msgspec.MsgspecError) else "what is asked is not UTF-8 JSON"
        )
    else:
        message = "the knowledge base cannot answer now"
    if dify:
        number = {401: 1002, 404: 2001}.get(status, status)
        return Response(msgspec.json.encode({"error_code": number, "error_msg": message}), status, headers)
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": message, "type": kind, "code": code, "param": None}}
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def _events(head: dict[str, Any], answer: Iterator[str | Answered]) -> Iterator[bytes]:
    """Yield an answer as server-sent events, in OpenAI's form; `citations` come with the last one that has a choice."""

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
    except DualtrackError as error:
        said = str(error) if isinstance(error, Busy) else "the answer broke off"
        yield _event({**head, "object": "chat.completion.chunk", "choices": [], "error": {"message": said}})
        return
    yield b"data: [DONE]\n\n"


def _event(found: object) -> bytes:
    return b"data: " + msgspec.json.encode(found) + b"\n\n"


def _whole(head: dict[str, Any], parts: Sequence[str | Answered]) -> dict[str, Any]:
    """Return an answer in one piece, in OpenAI's form."""
    text = "".join(it for it in parts if isinstance(it, str))
    [answered] = [it for it in parts if isinstance(it, Answered)]
    end = answered.end
    read, written = (end.prompt_tokens, end.completion_tokens) if end else (0, 0)
    finish = (end and end.finish) or "stop"
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return {
        **head, "object": "chat.completion", "choices": [choice], "usage": usage, "citations": answered.citations,
        "track": end.track if end else "",
    }  # fmt: skip
