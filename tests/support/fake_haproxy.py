"""A simulator of HAProxy that speaks its runtime API as 2.6.12 was recorded to speak it."""

from __future__ import annotations

import contextlib
import re
import socketserver
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from dualtrack.hosts.agents import gateway

HEAD = """\
#<PID>          <type>          <reloads>       <uptime>        <version>
823             master          3 [failed: 0]   0d00h00m25s     2.6.12
"""
WORKER = "worker          1               0d00h00m13s     2.6.12\n"


class Haproxy:
    """HAProxy's maps and socket. ``says`` answers instead of it, where it returns anything."""

    def __init__(self, folder: Path, names: Sequence[str] = gateway.NAMES, socket: str = "admin.sock") -> None:
        self.folder, self.path = folder, folder / socket
        self.told: list[str] = []
        self.says: Callable[[str], str | None] = lambda _: None
        self.names = tuple(names)
        self.force: dict[str, list[str]] = {str(folder / f"{name}.map"): [] for name in names}
        self.next = dict.fromkeys(self.force, 0)
        self.begun: dict[tuple[str, int], list[str]] = {}
        haproxy = self

        class Asked(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                lines = [self.rfile.readline()]
                if lines[0].endswith(b"<<\n"):
                    while lines[-1] != b"\n":
                        lines.append(self.rfile.readline())
                with contextlib.suppress(BrokenPipeError):  # who asked has not waited
                    self.wfile.write(haproxy.answer(b"".join(lines).decode()).encode())

        self.server = socketserver.ThreadingUnixStreamServer(str(self.path), Asked)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, text: str) -> str:
        self.told.append(text)
        said = self.says(text)
        return said if said is not None else "".join(self.one(it.strip()) for it in text.split("; "))

    def first(self, replaced: dict[int, Haproxy]) -> None:
        """Be the first process, which passes commands on to processes that were replaced, by their numbers."""

        def says(text: str) -> str:
            if text == "show proc\n":
                old = ["# old workers\n", *(f"{pid:<15} {WORKER}" for pid in replaced)] if replaced else []
                return "".join([HEAD, f"# workers\n959             {WORKER}", *old, "# programs\n\n"])
            return "".join(self._passed(it, replaced) for it in text.split("; "))

        self.says = says

    @staticmethod
    def _passed(text: str, replaced: dict[int, Haproxy]) -> str:
        prefix, _, command = text.partition(" ")
        if (process := replaced.get(int(prefix.removeprefix("@!")))) is None:
            return f"Can't find the target PID matching the prefix '{prefix}'\n"
        return process.answer(command)

    def one(self, text: str) -> str:
        if text == "show map":
            return "".join(f"{number} ({path}) pattern loaded from file\n" for number, path in enumerate(self.force))
        head, *lines = text.split("\n")
        verb, at, path = re.fullmatch(r"(\w+) map(?: @(\d+))? (\S+)(?: <<)?", head).groups()  # type: ignore[union-attr]
        if path not in self.force:
            return "Unknown map identifier. Please use #<id> or <file>.\n\n"
        version = (path, int(at or 0))
        if verb == "show":
            return "".join(f"0x55d8ae045a40 {line}\n" for line in self.force[path]) + "\n"
        if verb == "prepare":
            self.next[path] += 1
            self.begun[path, self.next[path]] = []
            return f"New version created: {self.next[path]}\n\n"
        if version not in self.begun:
            return "Version number out of range.\n\n"
        if verb == "add":
            self.begun[version] += lines
        elif verb == "clear":
            self.begun[version] = []
        else:
            self.force[path] = self.begun.pop(version)
        return "\n"

    def maps(self) -> dict[str, dict[str, str]]:
        """What is in force."""
        return {
            name: dict(line.split(" ", 1) for line in self.force[str(self.folder / f"{name}.map")])
            for name in self.names
        }
