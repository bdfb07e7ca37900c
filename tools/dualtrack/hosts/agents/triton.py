"""Runs NVIDIA Triton for one sentence encoder: how it batches, its process, and how it is asked.

A part of the services on hosts with the role serving (`triton_engine`, `triton_tune`), with nothing but Python. Triton
listens on a Unix socket in a directory of the service's user alone: its API knows no key, and can load programs.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dualtrack.hosts.agents.engine import Hopeless, Later

#: Texts that may be run at once; up to which each is timed in any case, and how often.
BATCHES, LEAST, TIMES = (1, 2, 4, 8, 16, 32, 64), 8, 5
#: Of the time, an instance shall be idle as much as this is missing from 1, or requests queue up.
BUSY = 0.7
#: Requests that may wait; one more is refused. Gateways send fewer than this.
QUEUE = 1024
#: Seconds until a request is given up; one for a model to be loaded.
ASK_S, LOAD_S = 60.0, 300.0
#: An English word that is one token, for texts of a known length; a text has two more, its ends.
WORD, ENDS = "the ", 2


class Wrong(Exception):
    """What Triton refuses because of the request."""


@dataclass(frozen=True)
class Batching:
    """How requests are batched: at most ``batch`` texts at once, ``delay_us`` that the first may wait for others."""

    batch: int
    delay_us: int
    instances: int


def plan(curve: Mapping[int, float], budget_s: float, rate: float, most: int) -> tuple[Batching, str]:
    """Return how a model must batch to answer within ``budget_s``, at ``rate`` texts a second, and a sentence on it.

    ``curve`` has the seconds that an instance takes for each batch, ``most`` is how many instances there may be. Who
    comes just after a batch has begun waits for it, and then for its own: twice a batch's time must be within the
    budget, so this limits the batch; where one text alone is too slow, it is the one with the most texts a second.
    Instances and the delay are the least with which the load leaves some of the time idle; a busy instance gathers
    requests without any delay.
    """
    batch = max((it for it, seconds in curve.items() if 2 * seconds <= budget_s), default=0)
    late = not batch
    batch = batch or max(curve, key=lambda it: it / curve[it])
    room_s = max(0.0, budget_s - 2 * curve[batch])
    for instances in range(1, most + 1) if not late else ():
        for size in sorted(it for it in curve if it <= batch):
            delay_s = (size - 1) / rate
            if delay_s <= room_s and rate * curve[size] / (size * instances) <= BUSY:
                found = Batching(batch, int(delay_s * 1e6), instances)
                return found, f"answers within {budget_s * 1000:.0f} ms at {rate:g}/s"
    carried = most * batch / curve[batch] * BUSY
    alone = f"; one text alone takes {curve[min(curve)] * 1000:.0f} ms" if late else ""
    return Batching(batch, 0, most), (
        f"does not answer {rate:g}/s within {budget_s * 1000:.0f} ms here: {carried:.0f}/s are possible{alone}"
    )


def parts(texts: Sequence[str], batch: int) -> list[Sequence[str]]:
    """Return texts in parts of at most ``batch``."""
    return [texts[begin : begin + batch] for begin in range(0, len(texts), batch)]


def encode(texts: Sequence[str]) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a request (KServe's protocol, version 2, with binary tensors)."""
    raw = b"".join(struct.pack("<I", len(it)) + it for it in (text.encode() for text in texts))
    head = json.dumps({
        "inputs": [{
            "name": "TEXT", "shape": [len(texts), 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)},
        }],
        "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in ("EMBEDDING", "TOKENS")],
    }).encode()  # fmt: skip
    return head + raw, {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}


def decode(head_bytes: int, data: bytes) -> tuple[list[array[float]], int]:
    """Return the vectors of an answer, in the order of the texts, and the tokens of all texts together."""
    count, width = json.loads(data[:head_bytes])["outputs"][0]["shape"]
    numbers, tokens = array("f"), array("i")
    numbers.frombytes(data[head_bytes : head_bytes + 4 * count * width])
    tokens.frombytes(data[head_bytes + 4 * count * width :])
    return [numbers[it * width : (it + 1) * width] for it in range(count)], sum(tokens)


def refusal(status: int, data: bytes) -> Exception:
    """Return what an answer that is none means: Wrong where another request would be answered."""
    try:
        reason = str(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError):
        reason = f"Triton answers {status}"
    return Wrong(reason) if status == 400 else Later(reason)


class _Link(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("triton", timeout=timeout_s)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Triton:
    """A running Triton with one model, ``name``; requests that wait for their answer block their thread."""

    def __init__(
        self, name: str, socket_path: Path, child: subprocess.Popen[bytes], parameters: Mapping[str, str]
    ) -> None:
        self.name, self.socket, self.child, self.parameters = name, socket_path, child, dict(parameters)
        self.batch, self.instances = BATCHES[-1], 1

    def ask(
        self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, timeout_s: float = ASK_S
    ) -> Any:
        """Return the header and the data of an answer; Wrong or Later where it is none."""
        with contextlib.closing(self.link(timeout_s)) as link:
            return exchange(link, path, body, headers)

    def link(self, timeout_s: float = ASK_S) -> http.client.HTTPConnection:
        """Return a connection of its own."""
        return _Link(self.socket, timeout_s)

    def load(self, wanted: Batching | None) -> None:
        """Have the model as wanted, or without batching; requests that run are answered first."""
        self.batch, self.instances = (wanted.batch, wanted.instances) if wanted else (BATCHES[-1], 1)
        self.ask(
            f"/v2/repository/models/{self.name}/load",
            json.dumps({"parameters": {"config": json.dumps(config(self.name, wanted, self.parameters))}}).encode(),
            timeout_s=LOAD_S,
        )

    def infer(self, texts: Sequence[str]) -> tuple[list[array[float]], int]:
        """Return the vectors of texts, and their tokens; what does not run at once is asked in parts."""
        found: list[array[float]] = []
        tokens = 0
        for part in parts(texts, self.batch):
            body, headers = encode(part)
            vectors, count = decode(*self.ask(f"/v2/models/{self.name}/infer", body, headers))
            found, tokens = found + vectors, tokens + count
        return found, tokens

    def curve(self, tokens: int, within_s: float) -> dict[int, float]:
        """Return the seconds for each size of a batch, up to the first that takes longer than ``within_s``.

        The least of several times: what else runs on the host only adds to them.
        """
        text = WORD * max(1, tokens - ENDS)
        found: dict[int, float] = {}
        for batch in BATCHES:
            self.infer([text] * batch)
            found[batch] = min(_seconds(self, [text] * batch) for _ in range(TIMES))
            if batch >= LEAST and found[batch] > within_s:
                break
        return found

    def statistics(self) -> dict[str, int]:
        """Return how many texts were answered, and in how many runs, since the model was loaded."""
        _, data = self.ask(f"/v2/models/{self.name}/stats")
        found = json.loads(data)["model_stats"][0]
        return {name: int(found[name]) for name in ("inference_count", "execution_count")}


def exchange(
    link: http.client.HTTPConnection, path: str, body: bytes, headers: Mapping[str, str] | None
) -> tuple[int, bytes]:
    """Ask on a connection; return how long the answer's head is, and the answer. Wrong or Later where it is none."""
    try:
        link.request("POST" if body or path.endswith("/load") else "GET", path, body, dict(headers or {}))
        answer = link.getresponse()
        data = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Later(f"Triton does not answer: {error}") from None
    if answer.status != 200:
        raise refusal(answer.status, data)
    return int(answer.headers.get("Inference-Header-Content-Length", len(data))), data


def _seconds(it: Triton, texts: Sequence[str]) -> float:
    begin = time.perf_counter()
    it.infer(texts)
    return time.perf_counter() - begin


def config(name: str, wanted: Batching | None, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return Triton's settings of a model (ModelConfig, as JSON); without a plan it takes requests one at a time."""
    found: dict[str, Any] = {
        "name": name, "backend": "python", "max_batch_size": wanted.batch if wanted else BATCHES[-1],
        "input": [{"name": "TEXT", "data_type": "TYPE_STRING", "dims": [1]}],
        "output": [
            {"name": "EMBEDDING", "data_type": "TYPE_FP32", "dims": [-1]},
            {"name": "TOKENS", "data_type": "TYPE_INT32", "dims": [1]},
        ],
        "instance_group": [{"count": wanted.instances if wanted else 1, "kind": "KIND_CPU"}],
        "parameters": {key: {"string_value": value} for key, value in parameters.items()},
    }  # fmt: skip
    if wanted:
        found["dynamic_batching"] = {
            "max_queue_delay_microseconds": wanted.delay_us, "default_queue_policy": {"max_queue_size": QUEUE},
        }  # fmt: skip
    return found


@contextlib.contextmanager
def running(name: str, library: Path, runtime: Path, parameters: Mapping[str, str]) -> Iterator[Triton]:
    """Have a Triton of this process' own until the block ends; Hopeless where it cannot be started.

    ``library`` is where the engine's wheels are unpacked, ``runtime`` a directory of this user alone.
    """
    home = library / "pytriton" / "tritonserver"
    repository = runtime / "models"
    version = repository / name / "1"
    shutil.rmtree(repository, ignore_errors=True)
    version.mkdir(parents=True)
    backend = runtime / "backends" / "python"
    shutil.rmtree(backend, ignore_errors=True)
    backend.mkdir(parents=True)
    # Where Triton looks for its backends there must be the one for this Python, beside the rest.
    stub = home / "python_backend_stubs" / f"{sys.version_info[0]}.{sys.version_info[1]}" / "triton_python_backend_stub"
    for it in (stub, *(home / "backends" / "python").iterdir()):
        if not (backend / it.name).exists():
            (backend / it.name).symlink_to(it)
    program = Path(__file__).resolve().parents[3]
    (version / "model.py").write_text(
        f"import sys\nsys.path[:0] = {[str(library), str(program)]!r}\n"
        "from dualtrack.hosts.agents.triton_model import TritonPythonModel\n"
    )
    path = runtime / "triton.sock"
    path.unlink(missing_ok=True)
    words = [
        str(home / "bin" / "tritonserver"),
        f"--model-repository={repository}", f"--backend-directory={runtime / 'backends'}",
        # A Unix socket has no port, but Triton does not start with port 0.
        f"--http-address=unix:{path}", "--http-port=1", "--allow-grpc=false", "--allow-metrics=false",
        "--model-control-mode=explicit", "--disable-auto-complete-config", "--log-info=false", "--exit-timeout-secs=10",
    ]  # fmt: skip
    try:
        # Its own words are not an answer of the program that runs it.
        child = subprocess.Popen(words, stdout=2, env={**os.environ, "TOKENIZERS_PARALLELISM": "false"})
    except OSError as error:
        raise Hopeless(f"{words[0]} cannot be started: {error}") from None
    try:
        while not path.is_socket():
            if child.poll() is not None:
                raise Hopeless(f"Triton has ended unexpectedly ({child.returncode}); its own words are above")
            time.sleep(0.05)
        yield Triton(name, path, child, parameters)
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(timeout=20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def describe(wanted: Batching) -> str:
    """Return a plan in words, for logs."""
    return ", ".join(f"{name} {value}" for name, value in asdict(wanted).items())
