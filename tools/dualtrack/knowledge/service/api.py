"""The service over HTTP: search, answers in OpenAI's form, and Dify's external knowledge; all by the same rights.

    POST /v1/search             {"question": …, "count": 5}: hits with scores, sources and text
    POST /v1/chat/completions   OpenAI's, streamed or not; `citations` beside the last message name the sources
    POST /mcp                   the Model Context Protocol: a tool `search` for agents
    POST /retrieval             Dify's, https://docs.dify.ai/guides/knowledge-base/external-knowledge-api
    GET  /v1/me                 whose token it is, and whether answers in sentences are made
    GET  /health                200 where questions can be answered, without a token
    GET  /metrics               Prometheus; the host's HAProxy lets only those pass that may read it
    GET  /                      the page

The caller is known by a token (`dualtrack access token NAME --for knowledge`). Errors have OpenAI's form, or Dify's.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from functools import partial
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

from dualtrack.core.errors import BadInput, DualtrackError
from dualtrack.core.output import echo
from dualtrack.knowledge.answering import Answered, Message
from dualtrack.knowledge.messages import Hit
from dualtrack.knowledge.service import forms
from dualtrack.knowledge.service.desk import Busy, Desk
from dualtrack.knowledge.service.forms import MODEL, Refusal
from dualtrack.knowledge.service.limits import Limit, Places
from dualtrack.knowledge.service.people import People, Person, Unknown
from dualtrack.knowledge.service.settings import Settings
from dualtrack.knowledge.service.tools import Tools

T = TypeVar("T", bound=msgspec.Struct)
BODY_BYTES = 256 << 10
#: Seconds that a request may take to come, and to wait for others.
BODY_S, PATIENCE_S = 10.0, 10.0
#: Answers that one person may have made at once.
ANSWERS_EACH = 2
PAGE = Path(__file__).with_name("page")
PAGES = {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css"}
KINDS = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
}  # fmt: skip


class Api:
    """The routes, and what they share."""

    def __init__(self, settings: Settings, desk: Desk, people: People) -> None:
        self.settings, self.desk, self.people = settings, desk, people
        self.limit = Limit(settings.per_minute)
        self.searching = asyncio.Semaphore(settings.searches)
        self.answering = Places(settings.answers, ANSWERS_EACH)
        self.tools = Tools(partial(self._hits, way="mcp"), partial(_noted, "mcp"))
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "dualtrack_knowledge_requests", "Requests by way and status.", ["way", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "dualtrack_knowledge_seconds", "Seconds until the first byte of an answer, by way.", ["way"],
            registry=self.registry, buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )  # fmt: skip
        Gauge("dualtrack_knowledge_chunks", "Chunks of the version that answers.", registry=self.registry).set_function(
            desk.chunks
        )
        Gauge(
            "dualtrack_knowledge_sync_checked_seconds", "When a copy asked its source last, as seconds since 1970.",
            registry=self.registry,
        ).set_function(lambda: desk.copied()[0])  # fmt: skip
        Gauge(
            "dualtrack_knowledge_sync_lag_seconds", "How long after its source a copy had the version that answers.",
            registry=self.registry,
        ).set_function(lambda: desk.copied()[1])  # fmt: skip

    def app(self) -> Starlette:
        """Return the application."""
        way = self._way
        pages = [Route(path, self._page(name), methods=["GET"]) for path, name in PAGES.items()]
        routes = [
            Route("/v1/search", way("search", self._search), methods=["POST"]),
            Route("/v1/chat/completions", way("chat", self._chat), methods=["POST"]),
            Route("/v1/models", way("models", self._models), methods=["GET"]),
            Route("/v1/me", way("me", self._me), methods=["GET"]),
            Route("/mcp", way("mcp", self._mcp), methods=["POST"]),
            Route("/retrieval", way("dify", self._retrieval), methods=["POST"]),
            Route("/health", self._health, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
            *pages,
        ]
        handlers = {HTTPException: self._unknown, Exception: self._defect}
        return Starlette(routes=routes, exception_handlers=handlers, lifespan=self._beside)

    @asynccontextmanager
    async def _beside(self, _: Starlette) -> AsyncIterator[None]:
        """Run what agents ask beside the rest."""
        running = asyncio.create_task(self.tools.run())
        running.add_done_callback(lambda it: None if it.cancelled() else _noted("mcp", it.exception()))
        try:
            yield
        finally:
            running.cancel()

    def _way(
        self, name: str, answer: Callable[[Request, Person], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return a route that knows the caller, counts, and has errors in the form that the way's clients know."""

        async def route(request: Request) -> Response:
            began = time.monotonic()
            try:
                found = await answer(request, await self._person(request))
            except ClientDisconnect:
                found = Response(status_code=499)
            except (Refusal, DualtrackError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                found = _refused(error, dify=name == "dify")
                _noted(name, error)
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
        """Return what is asked; the errors of `_body`, and of any other request."""
        return msgspec.json.decode(await self._body(request, person), type=kind)

    async def _body(self, request: Request, person: Person) -> bytes:
        """Return what is sent; Refusal for a caller that asks too often, and for too much."""
        if after := self.limit.take(person.name):
            raise Refusal(429, "rate_limit_exceeded", f"more than {self.settings.per_minute} questions a minute", after)
        data, size = b"", 0
        try:
            async with asyncio.timeout(BODY_S):
                async for part in request.stream():
                    size += len(part)
                    if size <= BODY_BYTES:
                        data += part
                    elif size > 16 * BODY_BYTES:  # whoever sent less gets to read why it is too much
                        break
        except TimeoutError:
            raise Refusal(408, "request_timeout", f"the request did not come in {BODY_S:.0f} s") from None
        if size > BODY_BYTES:
            raise Refusal(413, "request_too_large", f"a request has {BODY_BYTES >> 10} KiB at most")
        return data

    @asynccontextmanager
    async def _room(self) -> AsyncIterator[None]:
        """Wait, in no thread, until few enough look for something; Busy where that takes too long."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.searching.acquire()
        except TimeoutError:
            raise Busy("too many questions are worked on now") from None
        try:
            yield
        finally:
            self.searching.release()

    async def _search(self, request: Request, person: Person) -> Response:
        return _json({"hits": await self._hits(person, await self._given(request, person, forms.Ask), "search")})

    async def _hits(self, person: Person, asked: forms.Ask, way: str) -> list[Hit]:
        if not 1 <= asked.count <= forms.MOST_HITS:
            raise BadInput(f"count is 1 to {forms.MOST_HITS}")
        async with self._room():
            found: list[Hit] = await run_in_threadpool(self.desk.search, person, asked.question, asked.count, way)
        return found

    async def _mcp(self, request: Request, person: Person) -> Response:
        body = await self._body(request, person)
        origin = request.headers.get("origin")
        if origin and origin.partition("://")[2] != request.headers.get("host"):
            raise Refusal(403, "origin", "pages of other sites get no answers")
        return await self.tools.answer(request, body, person)

    async def _retrieval(self, request: Request, person: Person) -> Response:
        asked = await self._given(request, person, forms.Retrieval)
        if asked.knowledge_id != MODEL:
            raise Refusal(404, "2001", f"the only knowledge is called {MODEL}")
        wanted = asked.retrieval_setting
        hits = await self._hits(person, forms.Ask(asked.query, wanted.top_k), "dify")
        least = wanted.score_threshold if wanted.score_threshold is not None else -1.0
        return _json({
            "records": [
                {"content": it.text, "score": it.score, "title": it.source,
                 "metadata": {"collection": it.collection, "headings": it.headings, "place": it.place}}
                for it in hits if it.score >= least
            ]
        })  # fmt: skip

    async def _models(self, _: Request, __: Person) -> Response:
        return _json({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "dualtrack"}]})

    async def _me(self, _: Request, person: Person) -> Response:
        return _json({"name": person.name, "answers": self.settings.gateway is not None})

    async def _chat(self, request: Request, person: Person) -> Response:
        asked = await self._given(request, person, forms.Chat)
        if asked.model != MODEL:
            raise Refusal(404, "model_not_found", f"the only model is called {MODEL}")
        *before, last = [Message(it.role, forms.text(it)) for it in asked.messages] or [Message("", "")]
        if last.role != "user" or any(it.role not in ("user", "assistant") for it in before):
            raise BadInput("messages are of user and assistant, the last one of user")
        if full := self.answering.take(person.name):
            if full == "most":
                raise Busy("too many answers are made now")
            raise Refusal(429, "rate_limit_exceeded", f"more than {ANSWERS_EACH} answers at once", PATIENCE_S)
        answer: Iterator[str | Answered] = iter(())

        def end() -> None:
            self.answering.free(person.name)
            if isinstance(answer, Generator):
                answer.close()

        streams = False
        try:
            async with self._room():
                answer = await run_in_threadpool(self.desk.ask, person, last.content, before, "chat")
            first = await run_in_threadpool(next, answer)  # what is refused is refused before anything is sent
            head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": MODEL}
            if streams := asked.stream:
                return _Streamed(forms.events(head, chain([first], answer), counts=asked.counts), end)
            return _json(await run_in_threadpool(forms.whole, head, chain([first], answer)))
        finally:
            if not streams:
                end()

    async def _health(self, _: Request) -> Response:
        try:
            await run_in_threadpool(self.desk.version)
        except DualtrackError:
            return _json({"ready": False}, 503)
        return _json({"ready": True})

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


class _Streamed(StreamingResponse):  # type: ignore[misc]
    """An answer that is sent as it is made; what makes it ends with it, also when the client leaves."""

    def __init__(self, events: Iterator[bytes], end: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._end = end

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()


def _json(found: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(found), status, media_type="application/json")


def _dressed(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


def _noted(way: str, error: BaseException | None) -> None:
    """Say on the journal what clients are not told: what of the host does not work."""
    if not isinstance(error, Exception) or forms.refused(error)[0] == 503:
        echo(f"{way}: {error}", err=True)


def _refused(error: Exception, *, dify: bool = False) -> Response:
    """Return an error; the connection ends with it, as whoever was refused may still be sending."""
    status, body, headers = forms.refused(error, dify=dify)
    found = _json(body, status)
    found.headers.update({**headers, "Connection": "close"})
    return found
