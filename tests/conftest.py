"""What several tests share: a lab of their own, apart from the one that the operator may have running."""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from dualtrack.core import aws, waiting

ROOT = Path(__file__).resolve().parents[1]
CLI = Path(sys.executable).parent / "dualtrack"
#: Held while a module's variable is replaced: tests ask several hosts at once, from threads.
PATCHED = threading.Lock()


def pytest_configure() -> None:
    """Let SIGTERM end a run as Ctrl-C does: fixtures are finished, and the labs they started are taken down.

    And SIGINT itself: a shell starts what it puts into the background with SIGINT ignored, programs that the tests
    start would inherit that, and tests that send it would see nothing happen.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a failure that came by chance be repeated."""
    parser.addoption("--seed", type=int, help="the seed of random kills and choices; a failed test prints its own")


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random choices that can be repeated: the seed is printed, and taken from --seed."""
    given = request.config.getoption("--seed")
    seed = secrets.randbits(32) if given is None else given
    print(f"random choices: repeat them with --seed {seed}")
    return random.Random(seed)


class Cli:
    """The command line as a user calls it, on a lab and a state directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.env = {**os.environ, "DUALTRACK_LAB_DIR": str(folder), "DUALTRACK_STATE_DIR": str(self.state)}

    def __call__(self, *words: str, check: bool = True, timeout: float = 420) -> subprocess.CompletedProcess[str]:
        """Run a command; with ``check`` it must succeed."""
        done = subprocess.run([CLI, *words], env=self.env, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            pytest.fail(
                f"dualtrack {' '.join(words)} exited with {done.returncode}:\n"
                f"{done.stdout}\n{done.stderr}\n{self.logs()}"
            )
        return done

    def json(self, *words: str) -> dict[str, Any]:
        """Run a command with --json and return its document; of a status also where something is down (exit code 1)."""
        done = self(*words, "--json", check=words not in {("status",), ("serving", "status")})
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def inside(
        self, host: str, *command: str, check: bool = True, timeout: float = 420
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a lab host as `dualtrack lab exec` does, without another start of Python.

        For what is asked again and again while a test waits: that start takes longer than most questions.
        """
        from dualtrack.lab import control

        with PATCHED, mock.patch.object(control, "LAB", self.folder):
            words = control.exec_command(host, command)
        done = subprocess.run(words, env=self.env, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            pytest.fail(f"{host}: {' '.join(command)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def logs(self) -> str:
        """Return the ends of the lab's logs, for the report of a failed test."""
        return "\n".join(
            f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            for path in sorted(self.folder.glob("**/logs/**/*.log"))
        )

    def runbook(self, page: str) -> str:
        """Run the `sh` blocks of a page of docs/how-to, in order, in one shell; return what they printed."""
        blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/how-to" / page).read_text(), re.M | re.S)
        assert blocks, f"{page} has nothing to run"
        folder = self.folder / "runbook"
        folder.mkdir(parents=True, exist_ok=True)
        env = {**self.env, "PATH": f"{CLI.parent}:{self.env['PATH']}"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)], cwd=folder, env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1800, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            pytest.fail(f"{page} ended with {done.returncode}:\n{done.stdout}\n{self.logs()}")
        return done.stdout


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A running lab that belongs to one test module."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    cli = Cli(tmp_path_factory.mktemp("lab"))
    cli("lab", "up")
    try:
        yield cli
    finally:
        cli("lab", "down")


def api_of(lab: Cli, service: str, region: str = "us-east-1") -> Any:
    """Return a client of a running lab's emulated API, with the lab's own credentials."""
    status = lab.json("lab", "status")
    aws.sign_with(status["aws_endpoint"], Path(status["aws_credentials_file"]))
    return aws.client(service, region, status["aws_endpoint"])


#: A machine that is shared with others may take this many times as long as a quiet one.
PATIENCE = 3


def wait(
    condition: Callable[[], Any], seconds: float = 60, what: str = "it", progress: Callable[[], object] | None = None
) -> Any:
    """Wait until ``condition`` answers with something true, and return that.

    Fails when nothing of it comes for ``seconds`` of a quiet machine, times `PATIENCE` and this machine's load. That
    time begins anew whenever ``progress``, or an answer that is not true yet, changes.
    """
    seen: object = None

    def look() -> Any:
        nonlocal seen
        seen = condition()
        return seen

    try:
        return waiting.until(
            look, what, stall=PATIENCE * seconds, last=lambda: seen, interval=0.3,
            progress=lambda: (seen, progress() if progress else None),
        )  # fmt: skip
    except waiting.GaveUp as error:
        pytest.fail(str(error))


def living(mark: str) -> list[str]:
    """Return every living process whose control group's name holds ``mark``.

    Looked up without the lab's own code; a zombie is dead, and init's to bury.
    """
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "cgroup").read_text() and ") Z " not in (path / "stat").read_text():
                found.append(path.name)
        except OSError:
            continue
    return found
