"""A simulated fabric for tests: ibsim with the real opensm, in a directory and under a socket name of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conftest import CLI, ROOT, wait

FIXTURES = ROOT / "tests/fixtures/fabric"
PRELOAD = Path("/usr/lib/x86_64-linux-gnu/umad2sim/libumad2sim.so")
#: Nothing that is started here lives longer, whatever becomes of the test.
LIFE_S = "240"
SWITCHES = ("leaf1", "leaf2", "spine1")


def lacking() -> str:
    """Return why no fabric can be simulated here, '' when it can."""
    programs = [name for name in ("ibsim", "opensm", "ibnetdiscover") if not shutil.which(name)]
    lost = programs or ([] if PRELOAD.exists() else [str(PRELOAD)])
    return f"{', '.join(lost)} is not here: apt-get install ibsim-utils opensm infiniband-diags" if lost else ""


#: Two leaves, a spine, six hosts, as tests/fixtures/fabric/fabric.yml declares them; QDR is the fastest ibsim knows.
CABLES = {
    **{f"leaf{1 + i // 3}/{1 + i % 3} -- node{i + 1}/1": "4xQDR" for i in range(6)},
    **{f"leaf{1 + i // 2}/{7 + i % 2} -- spine1/{i + 1}": "4xQDR" for i in range(4)},
}


def net(cables: Mapping[str, str] = CABLES) -> str:
    """Return the file from which ibsim makes a fabric: cables as in a fabric file, each with its rate (`1xQDR`)."""
    nodes: dict[str, list[str]] = {}
    for cable, rate in cables.items():
        left, right = ((name, int(port)) for name, _, port in (end.partition("/") for end in cable.split(" -- ")))
        for (name, port), (far, far_port) in ((left, right), (right, left)):
            about = f'# "{far}" lid 0 {rate}' if name in SWITCHES else f'# lid 0 lmc 0 "{far}" lid 0 {rate}'
            nodes.setdefault(name, []).append(f'[{port}]\t"{ident(far)}"[{far_port}]\t\t{about}')
    heads = {
        name: f'Switch\t8 "{ident(name)}"\t\t# "{name}" enhanced port 0 lid 0 lmc 0'
        if name in SWITCHES
        else f'Hca\t1 "{ident(name)}"\t\t# "{name} mlx5_0"'
        for name in nodes
    }
    return "\n\n".join("\n".join([heads[name], *lines]) for name, lines in nodes.items()) + "\n"


def ident(name: str) -> str:
    """Return what ibsim calls a node."""
    return f"{'S' if name in SWITCHES else 'H'}-{name}"


class Bed:
    """One simulated fabric. Its nodes are called `H-node1`, `S-leaf1`; a program sits on one of them."""

    def __init__(self, folder: Path, net: str) -> None:
        self.folder = folder
        self.children: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "net").write_text(net)
        self.env = {**os.environ, "IBSIM_SOCKNAME": f"dualtrack-{uuid.uuid4().hex[:12]}"}
        read, write = os.pipe()  # an open console: ibsim ends when it is closed
        with (folder / "ibsim.log").open("wb") as log:
            self._start(["ibsim", "-s", str(folder / "net")], stdin=read, stdout=log)
        os.close(read)
        self.pipe = os.fdopen(write, "w", buffering=1)
        self.until("Network simulator ready", folder / "ibsim.log")

    def _start(self, words: list[str], env: dict[str, str] | None = None, **more: Any) -> subprocess.Popen[bytes]:
        command = ["timeout", "-k", "5", LIFE_S, *words]
        self.children.append(
            subprocess.Popen(
                command,
                env=env or self.env,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
                **more,
            )
        )
        return self.children[-1]

    def at(self, node: str) -> dict[str, str]:
        """Return the environment in which a program sits on ``node``."""
        return {**self.env, "LD_PRELOAD": str(PRELOAD), "SIM_HOST": node}

    def until(self, text: str, path: Path, seconds: float = 20) -> None:
        """Wait until a log holds ``text``."""
        wait(lambda: path.exists() and text in path.read_text(errors="replace"), seconds, f"{text!r} in {path}")

    def console(self, *commands: str) -> None:
        """Give ibsim commands; back when it has taken them (its log then shows the mark that comes last)."""
        log = self.folder / "ibsim.log"
        before = log.stat().st_size
        for command in commands:
            self.pipe.write(f"{command}\n")
        self.pipe.write("Verbose 0\n")
        wait(lambda: "verbose level" in log.read_text(errors="replace")[before:], 10, "ibsim's answer")

    def manager(self, node: str, priority: int, *words: str, state: str = "MASTER") -> subprocess.Popen[bytes]:
        """Start the real opensm on ``node``; back when it has come to ``state``."""
        own = self.folder / f"opensm-{node}-{len(self.children)}"
        own.mkdir()
        env = {**self.at(node), "OSM_CACHE_DIR": str(own), "OSM_TMP_DIR": str(own)}
        with (own / "out").open("wb") as log:
            child = self._start(
                ["opensm", "-p", str(priority), "-f", str(own / "log"), *words],
                env,
                stdin=subprocess.DEVNULL,
                stdout=log,
            )
        self.until(f"Entering {state} state", own / "out")
        wait(self.settled, 20, "an active fabric")
        return child

    def settled(self) -> bool:
        """Tell whether a manager has made every link active that is up (opensm holds its log back at first)."""
        seen = self.tool("iblinkinfo", "-l")
        return 0 < seen.count("LinkUp)") == seen.count("Active/")

    def tool(self, *words: str) -> str:
        """Run one of the diagnostics and return what it printed."""
        command = ["timeout", "10", *words]
        return subprocess.run(command, env=self.at("H-node6"), capture_output=True, text=True, check=False).stdout

    def stop(self, child: subprocess.Popen[bytes]) -> None:
        """End a program and what it started, by their ids."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(timeout=8)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def close(self) -> None:
        """End everything."""
        for child in reversed(self.children):
            self.stop(child)
        with contextlib.suppress(BrokenPipeError):
            self.pipe.close()

    def run(self, *words: str, node: str = "H-node6") -> subprocess.CompletedProcess[str]:
        """Run `dualtrack fabric …` on ``node``."""
        return subprocess.run(
            [CLI, "fabric", *words], env=self.at(node), capture_output=True, text=True, check=False, timeout=60
        )

    def check(self, *words: str, file: Path = FIXTURES / "fabric.yml") -> tuple[int, list[dict[str, Any]]]:
        """Check the fabric; return the exit code and the findings."""
        done = self.run("check", str(file), "--json", *words)
        assert done.returncode in {0, 1}, done.stderr
        findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
        return done.returncode, findings


def ends(finding: dict[str, Any]) -> str:
    """Return a finding's two ends as people read them."""
    return " -- ".join(f"{end['node']}/{end['port']}" for end in finding["ends"])
