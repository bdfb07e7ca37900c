"""vLLM and SGLang: what is refused before they start, how they are started, and how they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from dualtrack.core.paths import ROOT
from dualtrack.hosts.agents import engine
from dualtrack.hosts.agents.engine import Hopeless
from dualtrack.hosts.agents.gpu_engine import DRIVER, Gpu, Settings, check, command, parse_gpus, placed, problems
from dualtrack.lab import gpu

A100, H200 = Gpu(81920, 8.0, DRIVER), Gpu(144384, 9.0, DRIVER)
EIGHT = [replace(A100, index=str(it), uuid=f"GPU-{it}") for it in range(8)]
SETTINGS = Settings(
    engine="vllm", environment="/opt/vllm", name="r1", port=8001, context=32768, slots=128, gpus=4, devices=[],
    options=[],
    probe={"prompt": "The capital of France is", "expected": "Paris"}, drain_s=5,
)  # fmt: skip
LLAMA = {
    "model_type": "llama", "hidden_size": 8192, "num_attention_heads": 64, "num_key_value_heads": 8,
    "num_hidden_layers": 80, "vocab_size": 128256,
}  # fmt: skip


def said(config: dict[str, object], gpu: Gpu, **changes: object) -> str:
    return "; ".join(problems(replace(SETTINGS, **changes), {**LLAMA, **config}, [gpu] * 8))  # type: ignore[arg-type]


def test_what_can_run() -> None:
    assert not said({}, A100)
    assert not said({"model_type": "deepseek_v4"}, H200)
    assert not said({"model_type": "deepseek_v3", "quantization_config": {"quant_method": "awq"}}, A100)
    assert not said({}, H200, options=["--kv-cache-dtype", "fp8"])
    assert not said({}, A100, options=["--kv-cache-dtype=auto", "--reasoning-parser", "deepseek_r1"])


@pytest.mark.parametrize("kind", ["deepseek_v3", "deepseek_v32", "deepseek_v4"])
def test_new_deepseek_on_a100_is_refused_with_what_to_use_instead(kind: str) -> None:
    found = said({"model_type": kind, "quantization_config": {"quant_method": "fp8"}}, A100)
    assert f"{kind} has no kernels for GPUs of compute capability 8.0" in found
    assert "DeepSeek-R1-Distill-Llama-70B" in found


@pytest.mark.parametrize(
    ("gpu", "changes", "reason"),
    [
        (replace(A100, driver=550), {}, "branch 550, and the engine's CUDA needs 580"),
        (A100, {"gpus": 9}, "9 GPUs are named, and 8 answer"),
        (A100, {"gpus": 3}, "64 attention heads cannot be shared out evenly over 3"),
        (A100, {"options": ["--kv-cache-dtype", "fp8_e4m3"]}, "KV cache in FP8"),
        (A100, {"options": ["--kv-cache-dtype=fp8"]}, "KV cache in FP8"),
        (H200, {"options": ["--port", "80", "--api-key=x"]}, "--api-key, --port is said by this program"),
    ],
)
def test_what_cannot_work_is_refused(gpu: Gpu, changes: dict[str, object], reason: str) -> None:
    assert reason in said({}, gpu, **changes)


def test_rows_of_nvidia_smi() -> None:
    row = "81920, 8.0, 580.65.06"
    text = f"0, {row}, GPU-a\n1, {row}, GPU-b\nUnable to determine the device handle: GPU is lost\n2, [N/A], x, y, z\n"
    assert parse_gpus(text) == [replace(A100, index="0", uuid="GPU-a"), replace(A100, index="1", uuid="GPU-b")]


@pytest.mark.parametrize(
    ("devices", "used"),
    [([], "0123"), (["4", "5", "6", "7"], "4567"), (["GPU-7", "0", "GPU-3", "2"], "7032")],
)
def test_model_uses_the_gpus_that_are_named_and_its_engine_sees_no_others(
    devices: list[str], used: str, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, devices=devices)
    gpus = placed(settings, EIGHT)
    assert [it.index for it in gpus] == list(used)
    for name in ("vllm", "sglang"):
        _, more = command(replace(settings, engine=name), tmp_path, "secret", tmp_path, gpus)
        assert (more["CUDA_DEVICE_ORDER"], more["CUDA_VISIBLE_DEVICES"]) == ("PCI_BUS_ID", ",".join(used))


@pytest.mark.parametrize(
    ("devices", "reason"),
    [
        (["0", "8"], "8 of the named GPUs do not answer; 8 do"),
        (["GPU-9", "GPU-x"], "GPU-9, GPU-x of the named GPUs do not answer"),
        (["1", "GPU-1"], "devices name a GPU twice: 1, GPU-1"),
        (["1", "2", "3"], "gpus is 2, and 3 devices are named"),
    ],
)
def test_devices_that_cannot_be_used_are_refused(devices: list[str], reason: str) -> None:
    with pytest.raises(Hopeless, match=reason):
        placed(replace(SETTINGS, devices=devices, gpus=2), EIGHT)


@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_the_key_is_in_no_command_line(tmp_path: Path, name: str) -> None:
    words, more = command(replace(SETTINGS, engine=name, options=["--x"]), Path("/m"), "secret", tmp_path, EIGHT[:4])
    assert "secret" not in " ".join(words)
    assert words[-1] == "--x"
    if name == "vllm":
        assert more["VLLM_API_KEY"] == "secret"
    else:
        file = Path(words[words.index("--config") + 1])
        assert (json.loads(file.read_text()), file.stat().st_mode & 0o777) == ({"api-key": "secret"}, 0o600)


def test_tokens_are_counted_and_prompts_of_tenants_kept_apart(tmp_path: Path) -> None:
    words, more = command(SETTINGS, Path("/m"), "secret", tmp_path, EIGHT[:4])
    assert "--enable-force-include-usage" in words
    module, name = words[words.index("--middleware") + 1].rsplit(".", 1)
    program = f"import sys; sys.path = [{more['PYTHONPATH']!r}, *sys.path]; from {module} import {name}"
    subprocess.run([sys.executable, "-I", "-c", program], check=True)
    words, _ = command(replace(SETTINGS, engine="sglang"), Path("/m"), "secret", tmp_path, EIGHT[:4])
    assert {"--stream-response-default-include-usage", "--disable-radix-cache"} <= set(words)
    for option in ("--enable-cache-report", "--enable-prompt-tokens-details", "--middleware=x"):
        assert problems(replace(SETTINGS, options=[option]), LLAMA, [A100] * 4)


@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_engine_finds_its_own_programs_first_and_its_ranks_meet_on_loopback(tmp_path: Path, name: str) -> None:
    words, more = command(replace(SETTINGS, engine=name), Path("/m"), "secret", tmp_path, EIGHT[:4])
    assert more["PATH"].split(":") == [str(Path(words[0]).parent), *os.environ["PATH"].split(":")]
    assert {more["NCCL_SOCKET_IFNAME"], more["GLOO_SOCKET_IFNAME"]} == {"lo"}


def test_every_role_asks_for_the_same_driver() -> None:
    defaults = yaml.safe_load((ROOT / "roles/gpu_runtime/defaults/main.yml").read_text())
    assert defaults["gpu_runtime_driver_minimum"] == str(DRIVER)
    assert int(gpu.default(1).driver.split(".")[0]) >= DRIVER


def directory(at: Path, gigabytes: float, **config: object) -> Path:
    at.mkdir()
    (at / "config.json").write_text(json.dumps({**LLAMA, **config}))
    with (at / "model.safetensors").open("wb") as file:
        file.truncate(int(gigabytes * 2**30))  # sparse
    return at


def test_what_does_not_fit_is_refused_with_the_sum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(SETTINGS, directory(tmp_path / "m", 131.5), [A100] * 4)
    assert "fits: room for" in capsys.readouterr().out
    with pytest.raises(Hopeless, match="does not fit on 1 GPUs"):
        check(replace(SETTINGS, gpus=1), tmp_path / "m", [A100] * 4)
    with pytest.raises(Hopeless, match="deepseek_v4 has no kernels"):
        check(SETTINGS, directory(tmp_path / "v4", 1, model_type="deepseek_v4"), [A100] * 4)
    with pytest.raises(Hopeless, match=r"config\.json"):
        check(SETTINGS, tmp_path, [A100] * 4)


FAKE = ROOT / "tests/support/fake_vllm.py"


class Host:
    """A host with such an engine, two GPUs, a small model, and the program that runs it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "vllm/bin").mkdir(parents=True)
        self.program(place / "vllm/bin/vllm", f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
        self.program(
            place / "nvidia-smi", "#!/bin/sh\nprintf '0, 81920, 8.0, 580.1, GPU-0\\n1, 81920, 8.0, 580.1, GPU-1\\n'\n"
        )
        (place / "api-key").write_text("secret\n")
        directory(place / "m", 1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(place / "notify"))
        self.notified.settimeout(60)
        self.process: subprocess.Popen[str] | None = None

    @staticmethod
    def program(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def start(self, **environment: str) -> subprocess.Popen[str]:
        settings = replace(SETTINGS, environment=str(self.place / "vllm"), port=self.port, gpus=2, context=1024)
        (self.place / "s.json").write_text(json.dumps(asdict(settings)))
        start = (
            "import sys\nfrom functools import partial\nfrom pathlib import Path\n"
            "from dualtrack.hosts.agents import engine_probes, gpu_engine\n"
            f"engine_probes.serve = partial(engine_probes.serve, directory=Path({str(self.place)!r}))\n"
            "sys.exit(gpu_engine.main(sys.argv[1:]))"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", start, str(self.place / "s.json")],
            text=True, stdout=subprocess.PIPE, cwd=ROOT / "tools",
            env={
                **os.environ, "PATH": f"{self.place}:{os.environ['PATH']}", "CREDENTIALS_DIRECTORY": str(self.place),
                "DUALTRACK_CHECKPOINT": str(self.place / "m"), "NOTIFY_SOCKET": str(self.place / "notify"),
                "RUNTIME_DIRECTORY": str(self.place), **environment,
            },
        )  # fmt: skip
        return self.process

    def probe(self, wait_s: int) -> int:
        """Return the status of the answer to a gateway's probe."""
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self.place / f"{self.port}.sock"))
            body = json.dumps({"prompt": SETTINGS.probe["prompt"]})
            link.sendall(
                f"POST /v1/completions HTTP/1.0\r\nAuthorization: Bearer secret\r\nPrefer: wait={wait_s}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            return int(link.makefile().readline().split()[1])

    def ask(self, seconds: float) -> socket.socket:
        """Send a request that takes so long; return its connection."""
        link = socket.create_connection(("127.0.0.1", self.port))
        body = json.dumps({"prompt": "x", "seconds": seconds})
        head = f"POST /v1/completions HTTP/1.0\r\nAuthorization: Bearer secret\r\nContent-Length: {len(body)}"
        link.sendall(f"{head}\r\n\r\n{body}".encode())
        return link

    def ended(self) -> tuple[int, str]:
        assert self.process is not None
        text, _ = self.process.communicate(timeout=60)
        return self.process.returncode, text

    def children(self) -> list[str]:
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    it = Host(tmp_path)
    yield it
    it.notified.close()
    if it.process is not None and it.process.poll() is None:
        engines = it.children()
        it.process.kill()
        it.process.wait()
        for engine_id in engines:
            os.kill(int(engine_id), signal.SIGKILL)


def test_ready_is_a_right_answer_and_the_end_waits_for_who_waits(host: Host) -> None:
    process = host.start()
    assert host.notified.recv(100) == b"READY=1"
    [child] = host.children()
    assert b"secret" not in Path(f"/proc/{child}/cmdline").read_bytes()
    body = json.dumps({"prompt": "x", "seconds": 2}).encode()
    with socket.create_connection(("127.0.0.1", host.port)) as link:
        head = f"POST /v1/completions HTTP/1.1\r\nAuthorization: Bearer secret\r\nContent-Length: {len(body)}\r\n\r\n"
        link.sendall(head.encode() + body)
        metrics = f"http://127.0.0.1:{host.port}/metrics"
        while engine.parse_busy(urllib.request.urlopen(metrics).read().decode(), ("vllm:num_requests_running",)) != 1:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert b"Paris" in link.recv(65536) + link.recv(65536)
    code, text = host.ended()
    assert code == 0
    assert "engine: SIGTERM 0" in text, "the engine was ended while it answered"
    assert text.endswith("ended; nobody waited for an answer\n")


def test_a_wrong_answer_is_hopeless_and_ends_the_engine(host: Host) -> None:
    host.start(ANSWER=" Rome")
    code, text = host.ended()
    assert (code, "answers ' Rome' to" in text, "engine: SIGTERM" in text) == (78, True, True)


def test_an_engine_that_dies_is_tried_again_later(host: Host) -> None:
    host.start(DIES="1")
    code, text = host.ended()
    assert (code, "has ended unexpectedly (3)" in text) == (75, True)


def test_an_engine_that_dies_while_it_serves_is_tried_again(host: Host) -> None:
    host.start()
    assert host.notified.recv(100) == b"READY=1"
    os.kill(int(host.children()[0]), signal.SIGKILL)
    code, text = host.ended()
    assert (code, "has ended unexpectedly (-9)" in text) == (75, True)


def test_a_stop_while_the_model_is_loaded_ends_both(host: Host) -> None:
    process = host.start(LOAD_S="30")
    while not host.children():
        time.sleep(0.05)
    child = int(host.children()[0])
    process.send_signal(signal.SIGTERM)
    code, _ = host.ended()
    assert code == 0
    assert not Path(f"/proc/{child}").exists()


def test_full_engine_is_told_from_one_that_is_stuck(host: Host) -> None:
    """Probes wait in vLLM's queue: while it works, its last answer is repeated; while it does no step, none."""
    frozen = host.place / "frozen"
    host.start(SLOTS="1", FROZEN=str(frozen))
    assert host.notified.recv(100) == b"READY=1"
    assert host.probe(10) == 200
    with host.ask(600):
        for _ in range(3):
            assert host.probe(3) == 200
        frozen.touch()
        statuses = [host.probe(1) for _ in range(3)]
        assert statuses[-2:] == [504, 504], statuses
        frozen.unlink()
        assert [host.probe(3) for _ in range(2)][-1] == 200
