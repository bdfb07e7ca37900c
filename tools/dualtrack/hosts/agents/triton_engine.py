"""Serves one sentence encoder with NVIDIA Triton: batches by a latency budget, answers embeddings as OpenAI does.

A service on hosts (role serving), with Python, aiohttp, `engine`, `embeddings`, `triton` and `turns`:

    library   the directory with the engine's wheels, unpacked: nvidia-pytriton, numpy<2, onnxruntime, tokenizers
    name, port, probe, drain_s    as of `llamacpp_engine`; the probe's answer is the nearest of a few words
    context   tokens of one text at most
    pooling   how a text's tokens become one vector: `mean` of all, or `cls`, the first one's
    latency_ms, rate, tokens, threads    how it batches: texts of so many tokens, so many a second, are answered within
              that time, on so many processors at most. Measured when it starts
    batch, delay_ms, instances    instead of that, when batch is not 0

The model is $DUALTRACK_CHECKPOINT: model.onnx with tokenizer.json. POST /v1/embeddings and /v1/rerank, GET /v1/models
and /metrics on 127.0.0.1, by the key.

No request keeps others waiting for long: texts are run in pieces of a batch at most, callers take turns (the gateway's
header X-Dualtrack-Caller, a digest), and what nobody waits for any more is not begun. The probe is asked at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import signal
import sys
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualtrack.hosts.agents import embeddings, engine, triton, turns
from dualtrack.hosts.agents.engine import Hopeless, Later

#: The largest body: as many texts as a request may have, of some 2,000 characters.
BODY_BYTES = 4 << 20
#: Tokens of all texts of a request (`turns.tokens`): seconds of work for a model on one processor.
REQUEST_TOKENS = 32_768
#: Requests that are worked on or wait. Gateways send fewer.
MOST_ACTIVE = 512
#: Batches that are with the model at once, for each instance: one runs, and another one is gathered.
BATCHES_AHEAD = 2
#: Seconds between two looks at whether Triton still runs.
LOOK_S = 0.5
#: Words among which the probe's answer must be the nearest; gateways have the same (`gateway_engines`).
OTHERS = ("Tuesday", "bread", "seven")


@dataclass(frozen=True)
class Settings:
    """What the unit's file says; see above."""

    library: str
    name: str
    port: int
    context: int
    pooling: str
    latency_ms: int
    rate: float
    tokens: int
    threads: int
    batch: int
    delay_ms: float
    instances: int
    probe: dict[str, str]
    drain_s: int


def checkpoint() -> Path:
    """Return the directory of the model; Hopeless where a file of it is missing."""
    place = Path(os.environ.get("DUALTRACK_CHECKPOINT", "/"))
    for name in ("model.onnx", "tokenizer.json"):
        if not (place / name).is_file():
            raise Hopeless(f"{name} is not in the version")
    return place


def parameters(settings: Settings, place: Path) -> dict[str, str]:
    """Return what `triton_model` is told."""
    return {"checkpoint": str(place), "context": str(settings.context), "pooling": settings.pooling}


def chosen(settings: Settings, it: triton.Triton) -> triton.Batching:
    """Return how to batch: as the settings say, or as the model's speed on this host allows."""
    if settings.batch:
        return triton.Batching(settings.batch, int(settings.delay_ms * 1000), settings.instances)
    budget_s = settings.latency_ms / 1000
    curve = it.curve(min(settings.tokens, settings.context), budget_s / 2)
    print("; ".join(f"{batch} at once {seconds * 1000:.1f} ms" for batch, seconds in curve.items()), flush=True)
    found, why = triton.plan(curve, budget_s, settings.rate, settings.threads)
    print(f"{triton.describe(found)}: {why}", flush=True)
    return found


def prove(settings: Settings, it: triton.Triton) -> None:
    """Ask what is known; Hopeless where another word is nearest. A model may load and answer nonsense."""
    words = [*OTHERS, settings.probe["expected"]]
    vectors, tokens = it.infer([settings.probe["prompt"], *words])
    asked = embeddings.Ranking(settings.probe["prompt"], words, 1)
    [best] = json.loads(embeddings.ranking(asked, settings.name, vectors, tokens))["results"]
    if best["index"] != len(OTHERS):
        raise Hopeless(f"nearest to {settings.probe['prompt']!r} is {words[best['index']]!r}, not {words[-1]!r}")


class Front:
    """The API: each request is answered by Triton's, which runs those together that are there at the same time."""

    def __init__(self, settings: Settings, key: str, it: triton.Triton) -> None:
        self.settings, self.key, self.triton, self.active = settings, key.encode(), it, 0
        #: Units of a batch: as many texts as run at once, of the usual length.
        self.batch_units = it.batch * min(settings.tokens, settings.context)
        self.turns = turns.Turns(BATCHES_AHEAD * it.instances * self.batch_units)

    async def serve(self) -> int:
        """Answer until SIGTERM, and until nobody waits for an answer then; return how many still do at the end."""
        from aiohttp import ClientSession, ClientTimeout, UnixConnector, web

        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        app = web.Application(client_max_size=BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self.answer)
        timeout = ClientTimeout(total=triton.ASK_S)
        connector = UnixConnector(path=str(self.triton.socket), limit=0)
        async with ClientSession("http://triton", connector=connector, timeout=timeout) as self.session:
            runner = web.AppRunner(app, access_log=None, handle_signals=False)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.settings.port, backlog=1024).start()
            print(f"{self.settings.name} answers on port {self.settings.port}", flush=True)
            engine.notify("READY=1")
            while not ended.is_set() and (code := self.triton.child.poll()) is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), LOOK_S)
            if not ended.is_set():
                raise Later(f"Triton has ended unexpectedly ({code}); its own words are above")
            engine.notify("STOPPING=1")
            until = asyncio.get_running_loop().time() + self.settings.drain_s
            while self.active and asyncio.get_running_loop().time() < until:
                await asyncio.sleep(0.2)
            left = self.active
            await runner.cleanup()
        return left

    async def answer(self, request: "web.Request") -> "web.Response":  # type: ignore[name-defined]  # noqa: F821, UP037
        """Answer one request, whatever it is."""
        from aiohttp import ClientError, web

        param = code = None
        try:
            return web.Response(body=await self.answered(request), content_type="application/json")
        except embeddings.Refused as error:
            status, reason, param, code = error.status, str(error), error.param, error.code
        except web.HTTPRequestEntityTooLarge:
            status, reason = 413, f"the body is longer than {BODY_BYTES >> 20} MiB"
        except triton.Wrong as error:
            # The model refuses nothing but a text that is too long.
            status, reason, param, code = 400, str(error), "input", "context_length_exceeded"
        except turns.Gone:
            status, reason = 499, "nobody waits for this answer"
        except (Later, ClientError, OSError, TimeoutError) as error:
            status, reason = 503, f"the model does not answer: {error}"
        said = embeddings.error(status, reason, param, code)
        more = {"Retry-After": "1"} if status == 503 else {}
        return web.Response(status=status, body=said, headers=more, content_type="application/json")

    async def answered(self, request: "web.Request") -> bytes:  # type: ignore[name-defined]  # noqa: F821, UP037
        """Return the answer to one request; Refused, Wrong or Later where it gets none."""
        given = request.headers.get("Authorization", "").encode(errors="replace")
        if not hmac.compare_digest(given, b"Bearer " + self.key):
            raise embeddings.Refused(401, "the key is wrong")
        known: dict[tuple[str, str], Callable[[bytes, str, Callable[[], bool]], Awaitable[bytes]]] = {
            ("POST", "/v1/embeddings"): self.embeddings, ("POST", "/v1/rerank"): self.rerank,
            ("GET", "/v1/models"): self.models, ("GET", "/metrics"): self.metrics,
        }  # fmt: skip
        if not (found := known.get((request.method, request.path))):
            if request.path in {path for _, path in known}:
                raise embeddings.Refused(405, f"{request.path} takes another method")
            raise embeddings.Refused(404, f"{self.settings.name} makes embeddings alone")
        body = await request.read()
        if self.active >= MOST_ACTIVE:
            raise Later(f"{MOST_ACTIVE} requests wait already")
        self.active += 1
        caller = request.headers.get("X-Dualtrack-Caller", "")
        try:
            return await found(body, caller, lambda: request.transport is None or request.transport.is_closing())
        finally:
            self.active -= 1

    async def embeddings(self, body: bytes, caller: str, gone: Callable[[], bool]) -> bytes:
        """POST /v1/embeddings."""
        asked = embeddings.parse_embeddings(body, self.settings.name)
        parts = self.parts(asked.texts, "input")

        async def do(part: slice) -> tuple[bytes, int]:
            vectors, tokens = await self.part(asked.texts[part])
            return embeddings.entries(asked, part.start, vectors), tokens

        found = await turns.shared(self.turns, caller, parts, do, gone)
        return embeddings.embeddings(self.settings.name, [it for it, _ in found], sum(tokens for _, tokens in found))

    async def rerank(self, body: bytes, caller: str, gone: Callable[[], bool]) -> bytes:
        """POST /v1/rerank; a gateway's probe, which is asked at once, or the texts in turns."""
        asked = embeddings.parse_ranking(body, self.settings.name)
        texts = [asked.query, *asked.documents]
        if asked.query == self.settings.probe["prompt"] and set(asked.documents) <= self.words:
            found = [await self.part(it) for it in triton.parts(texts, self.triton.batch)]
        else:
            parts = self.parts(texts, "documents")
            found = await turns.shared(self.turns, caller, parts, lambda part: self.part(texts[part]), gone)
        vectors, tokens = [it for some, _ in found for it in some], sum(it for _, it in found)
        return embeddings.ranking(asked, self.settings.name, vectors, tokens)

    @property
    def words(self) -> set[str]:
        """The words of the probe."""
        return {*OTHERS, self.settings.probe["expected"]}

    def parts(self, texts: Sequence[str], param: str) -> list[tuple[int, slice]]:
        """Return the pieces in which texts are run, with the units of each; Refused for more than a request may be."""
        sizes = [turns.tokens(it, self.settings.context) for it in texts]
        if sum(sizes) > REQUEST_TOKENS:
            reason = f"{param}: all texts together have about {sum(sizes)} tokens, a request at most {REQUEST_TOKENS}"
            raise embeddings.Refused(400, reason, param, "max_tokens_per_request")
        found = turns.pieces(sizes, self.triton.batch, self.batch_units)
        return [(sum(sizes[it]), it) for it in found]

    async def models(self, *_: object) -> bytes:
        """GET /v1/models."""
        one = {"id": self.settings.name, "object": "model", "created": 0, "owned_by": "dualtrack"}
        return json.dumps({"object": "list", "data": [one]}).encode()

    async def metrics(self, *_: object) -> bytes:
        """GET /metrics: requests that are worked on, texts that were answered, and the runs that it took."""
        found = await asyncio.to_thread(self.triton.statistics)
        return "".join(
            f"dualtrack_triton_{name} {value}\n"
            for name, value in {"requests_active": self.active - 1, **found}.items()
        ).encode()

    async def part(self, texts: Sequence[str]) -> tuple[list[array[float]], int]:
        """Return the vectors of as many texts as run at once, and their tokens."""
        body, headers = triton.encode(texts)
        path = f"/v2/models/{self.triton.name}/infer"
        async with self.session.post(path, data=body, headers=headers) as answer:
            data = await answer.read()
            if answer.status != 200:
                raise triton.refusal(answer.status, data)
            return triton.decode(int(answer.headers["Inference-Header-Content-Length"]), data)


def serve(settings: Settings, key: str) -> int:
    """Run the engine until SIGTERM; return the exit code."""
    runtime = Path(os.environ.get("RUNTIME_DIRECTORY", "/run"))
    with triton.running("model", Path(settings.library), runtime, parameters(settings, checkpoint())) as it:
        try:
            it.load(None)
            it.load(chosen(settings, it))
            prove(settings, it)
        except triton.Wrong as error:
            raise Hopeless(f"the model cannot be loaded: {error}") from None
        left = asyncio.run(Front(settings, key, it).serve())
    print(f"ended; {left} requests were not" if left else "ended; nobody waited for an answer", flush=True)
    return 1 if left else 0


def main(words: Sequence[str]) -> int:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the API listens; Triton is ended on the way out
    try:
        return serve(engine.read(Path(words[0]), Settings), engine.key())
    except (Hopeless, Later) as error:
        print(error, flush=True)
        return engine.HOPELESS if isinstance(error, Hopeless) else engine.LATER
