"""Serves one model with vLLM or SGLang on this host's GPUs: checked before it starts, ready when it answers correctly.

A service on hosts (role serving), with nothing but Python, `engine`, `engine_probes` and `model_memory`; the engine is
a program in a Python environment of its own, which this one starts and ends:

    engine       vllm or sglang
    environment  the directory of its Python environment
    name, port, context, slots, probe, drain_s    as of `llamacpp_engine`; slots are the most requests at once
    gpus         over how many GPUs the model is shared out (tensor parallel)
    devices      which ones, by nvidia-smi's index or UUID; the first ones where none is named
    options      more words for the engine's command line

The weights are the directory $DUALTRACK_CHECKPOINT: config.json and safetensors. Refused with the reason, before
gigabytes are loaded: a driver that is too old for the engine's CUDA, fewer GPUs than named, a model for which these
GPUs have no kernels, and one that does not fit.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import urllib.error
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtrack.hosts.agents import engine, engine_probes, model_memory
from dualtrack.hosts.agents.engine import Hopeless, Later

#: The oldest driver for the CUDA of both engines' wheels: vLLM 0.33 and SGLang 0.5.23 take torch 2.14, built with CUDA
#: 13.0, which needs branch 580 (https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/, table 3).
DRIVER = 580
#: The compute capability from which on a GPU has numbers of 8 bits (FP8): Ada and Hopper. A100 and A800 have 8.0.
FP8 = 8.9
HOPPER = 9.0
#: DeepSeek's models whose attention or weights have kernels for Hopper and later only (vLLM issues 40851, 50576, 57144)
HOPPER_ONLY = {"deepseek_v3", "deepseek_v32", "deepseek_v4"}
INSTEAD = "DeepSeek-R1-Distill-Llama-70B is what these GPUs can run; H200 run this one"
#: Words of command lines that are ours to say.
OURS = frozenset({
    "--api-key", "--host", "--port", "--served-model-name", "--tensor-parallel-size", "--tp-size", "--tp",
    "--max-model-len", "--context-length", "--max-num-seqs", "--max-running-requests", "--config", "--model",
    "--model-path", "--middleware", "--disable-radix-cache", "--enable-cache-report", "--enable-prompt-tokens-details",
    "--enable-force-include-usage", "--no-enable-force-include-usage", "--stream-response-default-include-usage",
})  # fmt: skip
QUERY = (
    "nvidia-smi",
    "--query-gpu=index,memory.total,compute_cap,driver_version,uuid",
    "--format=csv,noheader,nounits",
)
BUSY = {
    "vllm": ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    "sglang": ("sglang:num_running_reqs", "sglang:num_queue_reqs"),
}
#: The metric that grows with each step of an engine, by which a full engine is told from one that is stuck: probes wait
#: in its queue behind all other requests (`engine_probes`). SGLang's are not known to grow while it reads long prompts.
STEPS = {"vllm": "vllm:iteration_tokens_total_count"}
#: What keeps tenants' prompts apart in vLLM, and where it is imported from.
SALT = "dualtrack.hosts.agents.cache_salt.Salt"
PROGRAMS = Path(__file__).resolve().parents[3]
#: Seconds between two looks at an engine that is being loaded.
LOOK_S = 1.0
#: The environment of every engine. Nothing is asked of the network, and no use is reported to anybody.
QUIET = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
}  # fmt: skip
#: Where the CUDA compiler of an engine's own packages is, in its environment (nvidia-cuda-nvcc and what it needs).
TOOLKIT = "lib/python3*/site-packages/nvidia/cu13"
#: Memory of one compiler of kernels: FlashInfer's and FlashAttention's take 3 to 8 GB each (flashinfer#3634).
COMPILER_BYTES = 8 << 30
#: GPUs of one host meet on the loopback interface. NCCL and Gloo would choose the first other one, whose address the
#: unit denies (IPAddressAllow=localhost): Gloo then waits without a message.
LOOPBACK = {"NCCL_SOCKET_IFNAME": "lo", "GLOO_SOCKET_IFNAME": "lo", "VLLM_HOST_IP": "127.0.0.1"}


@dataclass(frozen=True)
class Settings:
    """What the unit's file says; see above."""

    engine: str
    environment: str
    name: str
    port: int
    context: int
    slots: int
    gpus: int
    devices: list[str]
    options: list[str]
    probe: dict[str, str]
    drain_s: int


@dataclass(frozen=True)
class Gpu:
    """A GPU: MiB of memory, compute capability (8.0 for A100), the driver's branch, and nvidia-smi's names for it."""

    memory_mib: int
    capability: float
    driver: int
    index: str = "0"
    uuid: str = ""


def parse_gpus(text: str) -> list[Gpu]:
    """Return the GPUs of nvidia-smi's rows; one that is lost has no row of numbers."""
    found = []
    for line in text.splitlines():
        words = [word.strip() for word in line.split(",")]
        try:
            driver = int(words[3].partition(".")[0])
            found.append(Gpu(int(words[1]), float(words[2]), driver, index=words[0], uuid=words[4]))
        except (IndexError, ValueError):
            continue
    return found


def see() -> list[Gpu]:
    """Return this host's GPUs; Hopeless where the driver does not answer."""
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Hopeless(f"nvidia-smi does not answer: {error}") from None
    return parse_gpus(done.stdout)


def placed(settings: Settings, gpus: Sequence[Gpu]) -> list[Gpu]:
    """Return the GPUs that a model uses: those named, or the first ones; Hopeless where one of them does not answer."""
    if not settings.devices:
        return list(gpus[: settings.gpus])
    known = {name: it for it in gpus for name in (it.index, it.uuid)}
    if missing := [it for it in settings.devices if it not in known]:
        raise Hopeless(f"{', '.join(missing)} of the named GPUs do not answer; {len(gpus)} do (nvidia-smi -L)")
    found = [known[it] for it in settings.devices]
    if len(found) != settings.gpus:
        raise Hopeless(f"gpus is {settings.gpus}, and {len(found)} devices are named: leave gpus out")
    if len(set(found)) < len(found):
        raise Hopeless(f"devices name a GPU twice: {', '.join(settings.devices)}")
    return found


def problems(settings: Settings, config: Mapping[str, Any], gpus: Sequence[Gpu]) -> list[str]:
    """Return why a model cannot run on the GPUs that it uses, whatever its size is; nothing where it can."""
    if len(gpus) < settings.gpus:
        return [f"{settings.gpus} GPUs are named, and {len(gpus)} answer"]
    driver, capability = min(it.driver for it in gpus), min(it.capability for it in gpus)
    kind, quantized = str(config.get("model_type", "")), config.get("quantization_config") or {}
    heads = config.get("num_attention_heads")
    found = []
    if driver < DRIVER:
        found.append(f"the driver is of branch {driver}, and the engine's CUDA needs {DRIVER} or later")
    # Of V3 and R1 there are copies in other numbers than FP8, which run on A100; of the later ones there are none.
    plain = kind == "deepseek_v3" and quantized.get("quant_method") not in (None, "fp8")
    if kind in HOPPER_ONLY and not plain and capability < HOPPER:
        found.append(f"{kind} has no kernels for GPUs of compute capability {capability}; {INSTEAD}")
    if capability < FP8 and any("fp8" in it for it in _values(settings.options, "--kv-cache-dtype")):
        found.append(
            f"a KV cache in FP8 needs compute capability {FP8}, these GPUs have {capability}: leave it at auto"
        )
    if isinstance(heads, int) and heads % settings.gpus:
        found.append(f"{heads} attention heads cannot be shared out evenly over {settings.gpus} GPUs")
    if own := sorted({it.partition("=")[0] for it in settings.options} & OURS):
        found.append(f"{', '.join(own)} is said by this program, not by options")
    return found


def _values(options: Sequence[str], name: str) -> list[str]:
    """Return what a command line says of an option, as `--name value` or `--name=value`."""
    pairs = zip(options, [*options[1:], ""], strict=False)
    return [
        after if word == name else word.partition("=")[2] for word, after in pairs if word.partition("=")[0] == name
    ]


def check(settings: Settings, directory: Path, gpus: Sequence[Gpu]) -> None:
    """Hopeless with all reasons where a model cannot run here; what it needs of memory is printed."""
    try:
        config = json.loads((directory / "config.json").read_bytes())
        model = model_memory.read(directory)
    except (OSError, ValueError) as error:  # BadModel is one
        raise Hopeless(f"{directory.name}: {error}") from None
    if found := problems(settings, config, gpus):
        raise Hopeless("; ".join(found))
    free = min(it.memory_mib for it in gpus) * 2**20 * model_memory.SHARE
    # Both engines page their KV cache: requests wait where it is full, but one of full length must fit.
    fits, text = model_memory.report(model, settings.context, 1, free, settings.gpus)
    print(text, flush=True)
    if not fits:
        raise Hopeless(f"{settings.name} does not fit on {settings.gpus} GPUs; see above")


def compilers() -> int:
    """Return how many compilers of kernels may run side by side: one for each processor that memory allows."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(os.cpu_count() or 1, memory // COMPILER_BYTES))


def command(
    settings: Settings, directory: Path, key: str, runtime: Path, gpus: Sequence[Gpu]
) -> tuple[list[str], dict[str, str]]:
    """Return an engine's command line, and what is added to its environment; it sees the GPUs of its model alone.

    The programs of the engine's Python environment come first in PATH: ninja compiles kernels while the engine runs, by
    the CUDA compiler among the engine's packages, where it is there.

    The key is in no command line: vLLM takes it from the environment, SGLang from a file in ``runtime``. vLLM remembers
    the prompts of each tenant apart (`cache_salt`), SGLang none: it takes a salt in the body of a request alone.
    """
    programs = f"{settings.environment}/bin"
    added = {
        **QUIET, **LOOPBACK, "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}", "MAX_JOBS": str(compilers()),
        # By indices in nvidia-smi's order: vLLM reads them as numbers.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(it.index for it in gpus),
    }  # fmt: skip
    for toolkit in Path(settings.environment).glob(TOOLKIT):
        added["CUDA_HOME"] = str(toolkit)
    place, tokens, most = str(directory), str(settings.context), str(settings.slots)
    if settings.engine == "vllm":
        words = [
            f"{programs}/vllm", "serve", place, "--served-model-name", settings.name,
            "--host", "127.0.0.1", "--port", str(settings.port), "--tensor-parallel-size", str(settings.gpus),
            "--max-model-len", tokens, "--max-num-seqs", most, "--gpu-memory-utilization", str(model_memory.SHARE),
            "--max-num-batched-tokens", str(model_memory.CHUNK_GPU), "--shutdown-timeout", str(settings.drain_s),
            "--enable-request-id-headers", "--enable-force-include-usage",
            "--disable-access-log-for-endpoints", "/health,/metrics", "--middleware", SALT,
        ]  # fmt: skip
        return [*words, *settings.options], {**added, "VLLM_API_KEY": key, "PYTHONPATH": str(PROGRAMS)}
    file = runtime / f"{settings.name}.json"  # JSON is YAML
    file.touch(0o600)
    file.write_text(json.dumps({"api-key": key}))
    words = [
        f"{programs}/python", "-m", "sglang.launch_server", "--config", str(file),
        "--model-path", place, "--served-model-name", settings.name,
        "--host", "127.0.0.1", "--port", str(settings.port), "--tp-size", str(settings.gpus),
        "--context-length", tokens, "--max-running-requests", most,
        # SGLang itself calculates how much of the memory is for weights and the KV cache: what attention that is shared
        # out by requests (--enable-dp-attention) needs beside them depends on the model.
        "--enable-metrics", "--disable-radix-cache",
        # Without it a stream says nothing of its tokens, unless the client asks.
        "--stream-response-default-include-usage",
    ]  # fmt: skip
    return [*words, *settings.options], added


def await_answer(api: engine.Api, alive: Callable[[], bool], ended: threading.Event) -> bool:
    """Wait until the engine answers its probe rightly; return whether it does. Hopeless where it answers wrongly."""
    while alive() and not ended.is_set():
        try:
            api.prove()
        except urllib.error.HTTPError as error:
            if error.code not in (502, 503, 504):
                raise Hopeless(f"the engine answers {error.code} to its probe: {error.read()[:200]!r}") from None
        except (OSError, ValueError, KeyError):  # it does not listen yet
            pass
        else:
            return True
        ended.wait(LOOK_S)
    return False


def serve(settings: Settings, key: str, directory: Path, gpus: Sequence[Gpu], ended: threading.Event) -> int:
    """Run the engine on some GPUs until SIGTERM or its own end; return the exit code."""
    words, more = command(settings, directory, key, Path(os.environ.get("RUNTIME_DIRECTORY", "/run")), gpus)
    api = engine.Api(settings.port, settings.name, settings.probe, key, BUSY[settings.engine])
    try:
        child = subprocess.Popen(words, env={**os.environ, **more})
    except OSError as error:
        raise Hopeless(f"{words[0]} cannot be started: {error}") from None
    left = 0

    def watch() -> None:
        child.wait()
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    try:
        if await_answer(api, lambda: child.poll() is None, ended):
            print(f"{settings.name} answers on port {settings.port}", flush=True)
            if settings.engine in STEPS:
                engine_probes.serve(api, STEPS[settings.engine])
            engine.notify("READY=1")
            ended.wait()
            engine.notify("STOPPING=1")
            if child.poll() is None:
                left = api.drain(settings.drain_s)
        if child.poll() is not None:
            raise Later(f"the engine has ended unexpectedly ({child.returncode}); its own words are above")
    finally:
        if child.poll() is None:
            child.terminate()
            _reap(child, settings.drain_s)
    print(f"ended; {left} requests were not" if left else "ended; nobody waited for an answer", flush=True)
    return 1 if left else 0


def _reap(child: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for the engine's end, and kill it where it does not come."""
    try:
        child.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def main(words: Sequence[str]) -> int:
    """Serve until SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        settings = engine.read(Path(words[0]), Settings)
        directory = Path(os.environ.get("DUALTRACK_CHECKPOINT", "/"))
        gpus = placed(settings, see())
        check(settings, directory, gpus)
        return serve(settings, engine.key(), directory, gpus, ended)
    except (Hopeless, Later) as error:
        print(error, flush=True)
        return engine.HOPELESS if isinstance(error, Hopeless) else engine.LATER
