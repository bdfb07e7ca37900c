"""Serves one model with llama.cpp: ready when it answers correctly, ended when nobody waits for an answer any more.

A service on hosts (role serving), with nothing but Python, `abandoned`, `engine`, `engine_probes`, `model_memory`, and
the engine's own module:

    library   directory with the module xllamacpp, unpacked from its wheel
    name      what clients call the model
    file      the GGUF file, below $DUALTRACK_CHECKPOINT (set by `dualtrack-store hold`)
    port      on loopback; the API is OpenAI's, its key is the credential `api-key` of the unit
    context   tokens of one request, prompt and answer; slots: requests that are worked on at once
    threads   of the processor
    probe     {"prompt": …, "expected": …}: the answer to the prompt must have this in it before anybody is served
    drain_s   seconds that requests have to end after SIGTERM
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import urllib.error
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtrack.hosts.agents import abandoned, engine, engine_probes, model_memory
from dualtrack.hosts.agents.engine import Hopeless, Later

#: Tokens of questions that a thread reads between two tokens of every answer. By 2048, which is usual, streams stand
#: still for 15 seconds while another's question is read; 64 cost 4 percent of the reading (143, 138 tokens a second).
#: Questions are read one after the other all the same: the caller, also a gateway's probe, waits for those before it
#: (`engine_probes`).
READ_AT_ONCE = 64
#: Seconds without a word of the engine until it is stuck, and between two looks. It says its counts between two steps,
#: and the longest one, of prompts in all slots on a busy machine, takes some 15 s.
STUCK_S, LOOK_S = 120, 10
BUSY, STEPS = ("llamacpp:requests_processing", "llamacpp:requests_deferred"), "llamacpp:n_decode_total"


@dataclass(frozen=True)
class Settings:
    """What the unit's file says; see above."""

    library: str
    name: str
    file: str
    port: int
    context: int
    slots: int
    threads: int
    probe: dict[str, str]
    drain_s: int


def start(settings: Settings, api_key: str, checkpoint: Path) -> engine.Api:
    """Load the model and return its API; Hopeless or Later with the reason where it cannot be."""
    file = checkpoint / settings.file
    if not file.is_file():
        raise Hopeless(f"{file} is not there")
    fits(file, settings.context, settings.slots)
    sys.path.insert(0, settings.library)
    try:
        import xllamacpp
    except ImportError as error:
        raise Hopeless(f"the engine in {settings.library} cannot be loaded: {error}") from None
    wanted = xllamacpp.CommonParams()
    wanted.model.path, wanted.model_alias = str(file), {settings.name}
    wanted.hostnames, wanted.port, wanted.api_keys = ["127.0.0.1"], settings.port, [api_key]
    wanted.n_ctx, wanted.n_parallel = settings.context * settings.slots, settings.slots
    for of in (wanted.cpuparams, wanted.cpuparams_batch):
        # Threads that wait for each other spin: beside other load that costs most of the speed.
        of.n_threads, of.poll = settings.threads, 0
    wanted.n_batch = wanted.n_ubatch = READ_AT_ONCE * settings.threads
    wanted.endpoint_metrics, wanted.ui, wanted.offline = True, False, True
    forget(wanted)
    try:
        SERVERS.append(xllamacpp.Server(wanted))
    except Exception as error:
        raise Hopeless(f"{file} cannot be loaded: {error}") from None
    return engine.Api(settings.port, settings.name, settings.probe, api_key, BUSY)


def forget(wanted: Any) -> None:
    """Have nothing kept of a prompt for another request: neither in its slot nor beside it, in this host's memory.

    All tenants share the slots, and llama.cpp knows no salt: an answer said how much of a prompt had been asked before,
    by whomever. What it keeps besides (8 GiB by default, of slots that are idle) was in no arithmetic, and has put one
    conversation into another (https://github.com/ggml-org/llama.cpp/issues/27148).
    """
    wanted.cache_prompt, wanted.cache_ram_mib, wanted.cache_idle_slots = False, 0, False
    wanted.n_cache_reuse, wanted.slot_prompt_similarity = 0, 0.0


#: What answers, for as long as this process runs.
SERVERS: list[object] = []


def fits(file: Path, context: int, slots: int) -> None:
    """Print what the model needs of memory; Hopeless where it is more than the host has, Later where others have it."""
    try:
        model = model_memory.read(file)
    except model_memory.BadModel as error:
        raise Hopeless(str(error)) from None
    total, free = model_memory.host_memory()
    enough, text = model_memory.report(model, context, slots, free)
    print(text, flush=True)
    if not model_memory.report(model, context, slots, total)[0]:
        raise Hopeless(f"{file.name} does not fit into this host's memory; see above")
    if not enough:
        raise Later(f"{file.name} does not fit beside what runs here; see above")


def stuck(api: engine.Api) -> bool:
    """Return whether the engine's only loop hangs in one request: it has no word for the time of several steps.

    It is asked a second time: this process may have been stopped meanwhile, with the engine.
    """
    for seconds in (STUCK_S, LOOK_S):
        try:
            api.ask("/metrics", timeout_s=seconds)
        except urllib.error.HTTPError:
            return False
        except OSError:
            continue
        return False
    return True


def restart_where_stuck(api: engine.Api) -> None:
    """Look after the engine from now on; end the process where it is stuck, so that systemd starts another one."""

    def run() -> None:
        while not stuck(api):
            time.sleep(LOOK_S)
        print(f"{api.name} has said nothing for {STUCK_S} s: ended, to be started again", flush=True)
        os._exit(1)

    threading.Thread(target=run, daemon=True).start()


def main(words: Sequence[str]) -> None:
    """Serve until SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        settings = engine.read(Path(words[0]), Settings)
        api = start(settings, engine.key(), Path(os.environ.get("DUALTRACK_CHECKPOINT", "/")))
        api.prove()
        engine_probes.serve(api, STEPS)
        abandoned.watch(settings.port, os.getpid())
        restart_where_stuck(api)
    except (Hopeless, Later) as error:
        print(error, flush=True)
        os._exit(engine.HOPELESS if isinstance(error, Hopeless) else engine.LATER)
    print(f"{settings.name} answers on port {settings.port}", flush=True)
    engine.notify("READY=1")
    ended.wait()
    engine.notify("STOPPING=1")
    left = api.drain(settings.drain_s)
    print(f"ended; {left} requests were not" if left else "ended; nobody waited for an answer", flush=True)
    os._exit(1 if left else 0)  # the engine's threads have nothing to tidy up
