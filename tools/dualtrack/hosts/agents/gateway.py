"""Tells a gateway's HAProxy which API keys are good for what, and says how the engines behind it are.

A program on hosts with the role gateway, called over ssh by `dualtrack serving`:

    dualtrack-gateway apply    reads the maps as JSON on stdin: {"keys": {SHA-256: tenant}, "limits": {tenant: requests
                               per minute}, "allowed": {"tenant/model": "1"}, "routes": {tenant: "local",
                               "prefer-local", "any" or "cloud"}, "sensitive": {tenant: "1"}, "screened": {tenant:
                               "1"}, "budgets": {tenant: "tokens of a minute:of a month", 0 for any number}}; writes
                               their files, replaces them in the running HAProxy, prints {"changed": …, "running": …}
    dualtrack-gateway status   prints {"engines": [{"model", "track", "engine", "state", "requests", "active",
                               "last_check"}], "since_s": seconds since HAProxy has started}
    dualtrack-gateway save     keeps which engines are drained, switched off or failed for HAProxy's next start

The files come first, because HAProxy reads them when it starts. Whatever fails after that is repaired by the next
`apply`, which compares files and running maps with what is wanted, each on its own. Exit codes: 0; 1 HAProxy or the
system refused; 2 the input is wrong, and nothing was touched.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAPS = Path("/etc/dualtrack/gateway/maps")
SOCKET = Path("/run/haproxy/admin.sock")
#: Of HAProxy's first process, which passes commands on to the others.
MASTER = Path("/run/haproxy-master.sock")
STATE = Path("/var/lib/dualtrack/gateway/servers.state")
#: The order in which maps take effect: a key is known only when its limit and its models are, and a tenant that is
#: removed has no model any more before its limit is gone.
NAMES = ("allowed", "limits", "routes", "sensitive", "screened", "keys")
#: What is written, too, and is not HAProxy's: `gateway_tokens` reads it.
BESIDE = ("budgets",)
#: Of a map's keys and values: nothing that separates words, lines or commands for HAProxy, or begins a comment.
WORD = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._:/*-]{0,255}")
INPUT_BYTES = 64 << 20
#: One command with its lines must fit into HAProxy's buffer (tune.bufsize, 16 KiB where nobody has set it).
COMMAND_BYTES = 15 << 10
#: `show map` says more than the files hold: an address for each entry.
ANSWER_BYTES = 256 << 20
#: Seconds until an answer; one that has been replaced is not waited for so long: others may, too.
ANSWER_S, REPLACED_S = 30.0, 2.0
#: Seconds between two looks at a socket on which nobody listens.
LOOK_S = 0.05
PROXY = "model-"

Maps = Mapping[str, Mapping[str, str]]


#: Of srv_admin_state: forced maintenance, forced drain (HAProxy's management guide, 9.3, `show servers state`).
TAKEN_OUT = 0x01 | 0x08


class BadInput(Exception):
    """What should be applied, or the command line, is wrong."""


class Refused(Exception):
    """HAProxy does not do what it is told, or not as its documentation says."""


class NotRunning(Exception):
    """Nobody listens on HAProxy's socket."""


def parse_wanted(data: bytes) -> dict[str, dict[str, str]]:
    """Return the maps of the input; BadInput when any part of it is not as described above."""
    if len(data) > INPUT_BYTES:
        raise BadInput(f"the input is longer than {INPUT_BYTES >> 20} MiB")
    try:
        found = json.loads(data, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the input is not JSON: {error}") from None
    if not isinstance(found, dict) or set(found) != {*NAMES, *BESIDE}:
        raise BadInput(f"the input must be an object with exactly {', '.join(sorted((*NAMES, *BESIDE)))}")
    for name, entries in found.items():
        if not isinstance(entries, dict):
            raise BadInput(f"{name} is not an object")
        for word in (it for pair in entries.items() for it in pair):
            if not isinstance(word, str) or not WORD.fullmatch(word):
                raise BadInput(f"{name}: {ascii(word)[:80]} is not a word of letters, digits and ._:/*-")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadInput("a name is twice in one object")
    return found


def parse_map(text: str) -> list[tuple[str, str]]:
    """Return the entries that `show map` prints (`ADDRESS KEY VALUE`), in order; Refused for other lines."""
    found = []
    for line in filter(None, text.split("\n")):
        words = line.split(" ", 2)
        if len(words) != 3 or not words[0].startswith("0x"):
            raise Refused(f"HAProxy says: {line}")
        found.append((words[1], words[2]))
    return sorted(found)


def parse_stat(text: str) -> list[dict[str, Any]]:
    """Return the engines that `show stat` prints (CSV with its names in the first line); Refused for other text."""
    try:
        rows = list(csv.DictReader(io.StringIO(text.removeprefix("# "), newline="")))
    except csv.Error as error:
        raise Refused(f"what HAProxy says is not CSV: {error}") from None
    if not text.startswith("# pxname,svname,"):
        raise Refused(f"HAProxy says: {text}")
    return [
        _engine({key: it or "" for key, it in row.items() if isinstance(it, str | None)})
        for row in rows
        if (row["pxname"] or "").startswith(PROXY) and row["svname"] not in ("FRONTEND", "BACKEND")
    ]


def _engine(row: Mapping[str, str]) -> dict[str, Any]:
    status = row.get("status", "")
    # "UP 1/3", "DOWN (agent)" and "MAINT (via …)" are UP, DOWN and MAINT; "no check" is two words.
    state = status if status == "no check" else status.partition(" ")[0]
    model, _, track = row["pxname"].removeprefix(PROXY).rpartition(".")
    code, last = row.get("check_code", ""), row.get("last_chk", "")
    said = row.get("check_desc", "") + (f" ({code})" if code else "") + (f": {last}" if last not in ("", "OK") else "")
    return {
        "model": model, "track": track, "engine": row.get("svname", ""), "state": state,
        "requests": _number(row.get("stot", "")), "active": _number(row.get("scur", "")), "last_check": said,
    }  # fmt: skip


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def parse_uptime(text: str) -> int:
    """Return Uptime_sec of `show info`, in seconds; Refused where it is not there."""
    found = re.search(r"^Uptime_sec: ([0-9]{1,18})$", text, re.MULTILINE)
    if not found:
        raise Refused("HAProxy does not say since when it runs")
    return int(found[1])


def commands(path: Path, version: int, entries: Mapping[str, str]) -> Iterator[str]:
    """Yield the commands that add entries to a prepared version of a map, each short enough for HAProxy's buffer."""
    head = f"add map @{version} {path} <<\n"
    lines: list[str] = []
    size = len(head)
    for key, value in sorted(entries.items()):
        line = f"{key} {value}\n"
        if size + len(line) >= COMMAND_BYTES:
            yield head + "".join(lines) + "\n"
            lines, size = [], len(head)
        lines.append(line)
        size += len(line)
    if lines:
        yield head + "".join(lines) + "\n"


@dataclass(frozen=True)
class Haproxy:
    """The running HAProxy, by its runtime API: one connection for each command, as it expects of programs.

    ``prefix`` is before each command where the first process passes it on: `@!PID `. ``patience_s`` is in seconds.
    https://docs.haproxy.org/2.6/management.html#9.3
    """

    path: Path
    prefix: str = ""
    patience_s: float = ANSWER_S

    def ask(self, command: str) -> str:
        """Return the answer to a command; NotRunning where nobody listens, Refused where no answer comes."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(self.patience_s)
            try:
                link.connect(str(self.path))
                link.sendall((self.prefix + command).encode())
                link.shutdown(socket.SHUT_WR)  # the first process waits for more otherwise
                answer = bytearray()
                while part := link.recv(1 << 16):
                    answer += part
                    if len(answer) > ANSWER_BYTES:
                        raise Refused(f"HAProxy's answer is longer than {ANSWER_BYTES >> 20} MiB")
            except (FileNotFoundError, ConnectionRefusedError):
                raise NotRunning(f"HAProxy does not run: nobody listens on {self.path}") from None
            except OSError as error:
                raise Refused(f"HAProxy does not answer on {self.path}: {error}") from None
        if not answer:  # it ends every answer with a newline
            raise Refused("HAProxy has closed the connection without an answer")
        return answer.decode(errors="replace")

    def tell(self, command: str) -> None:
        """Give a command whose success is silent; Refused with HAProxy's word otherwise."""
        if said := self.ask(command).strip():
            raise Refused(f"HAProxy says: {said}")

    def entries(self, path: Path) -> list[tuple[str, str]]:
        """Return the entries of the map that is in force; NotRunning where HAProxy runs with other settings."""
        said = self.ask(f"show map {path}\n")
        if said.startswith(("Unknown map identifier", "Can't find the target PID")):
            raise NotRunning(f"HAProxy runs without {path}")
        return parse_map(said)

    def prepare(self, path: Path) -> int:
        """Begin a new version of a map, which is empty and not in force, and return its number."""
        said = self.ask(f"prepare map {path}\n")
        found = re.fullmatch(r"New version created: ([0-9]+)", said.strip())
        if not found:
            raise Refused(f"HAProxy says: {said}")
        return int(found[1])

    def commit(self, versions: Mapping[Path, int]) -> None:
        """Put prepared versions of maps into force, together but for microseconds: they are on one line."""
        self.tell(f"; {self.prefix}".join(f"commit map @{it} {path}" for path, it in versions.items()) + "\n")


def replaced() -> list[Haproxy]:
    """Return the processes that a reload has replaced and that still answer on connections of before.

    Nobody listens on the first process's socket while it starts itself anew in a reload: that is waited for, so that
    the new process has its socket when this returns. Where there is no such socket, no process was replaced.
    """
    until = time.monotonic() + ANSWER_S
    while MASTER.exists():
        try:
            _, _, old = Haproxy(MASTER).ask("show proc\n").partition("\n# old workers\n")
        except (NotRunning, Refused):
            if time.monotonic() >= until:
                raise
            time.sleep(LOOK_S)
            continue
        return [Haproxy(MASTER, f"@!{it} ", REPLACED_S) for it in re.findall(r"^([0-9]+) +worker ", old, re.MULTILINE)]
    return []


def replace(haproxy: Haproxy, folder: Path, wanted: Maps, names: Sequence[str] = NAMES) -> bool:
    """Make the maps of a process the wanted ones, and return whether any was not. Refused leaves all as they were.

    (Unless HAProxy refuses to commit what it has just taken, which the next time repairs.)
    """
    paths = {name: folder / f"{name}.map" for name in names}
    right = {name: sorted(wanted[name].items()) for name in names}
    stale = [name for name in names if haproxy.entries(paths[name]) != right[name]]
    if not stale:
        return False
    versions: dict[Path, int] = {}
    try:
        for name in stale:
            path = paths[name]
            versions[path] = haproxy.prepare(path)
            for command in commands(path, versions[path], wanted[name]):
                haproxy.tell(command)
        haproxy.commit(versions)
    except Refused:
        with contextlib.suppress(Refused, NotRunning):
            for path, version in versions.items():
                haproxy.ask(f"clear map @{version} {path}\n")
        raise
    # By then another process may answer on the socket, one that has read the files before they were written.
    if any(haproxy.entries(paths[name]) != right[name] for name in names):
        raise Refused("HAProxy's maps are not what it was told: was it reloaded meanwhile? Try again")
    return True


def replace_everywhere(haproxy: Haproxy, folder: Path, wanted: Maps, names: Sequence[str] = NAMES) -> bool:
    """Do the same (`replace`) in processes that a reload has replaced: a revoked key is good in none of them.

    Refused where one does not do it, once all have been told; one that has ended meanwhile needs nothing.

    The current process is compared again at the end: a reload may have begun before, so that the new process has read
    the old files, and the socket was still the old process's at the first comparison. The master answers only once
    the socket is the new process's.
    """
    changed = replace(haproxy, folder, wanted, names)
    refused: dict[Haproxy, Refused] = {}
    for it in replaced():
        try:
            there = it.ask("show map\n")  # lists all that it has: those of a former release may be fewer
            changed |= replace(it, folder, wanted, [name for name in names if f"({folder / name}.map)" in there])
        except NotRunning:
            continue
        except Refused as error:
            refused[it] = error
    changed |= replace(haproxy, folder, wanted, names)
    for it in replaced() if refused else ():
        if it in refused:
            raise refused[it]
    return changed


def read_map(path: Path) -> dict[str, str]:
    """Return what a map's file says; nothing where there is none."""
    with contextlib.suppress(FileNotFoundError):
        return dict(line.split(" ", 1) for line in path.read_text().splitlines() if " " in line)
    return {}


def write(path: Path, text: str | bytes, mode: int = 0o600) -> bool:
    """Write a file that is not so yet, whole or not at all also in a power cut; return whether it was not.

    The caller holds the lock: the temporary file has a fixed name, so that none is left behind for good.
    """
    data = text.encode() if isinstance(text, str) else text
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == data:
            return False
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    new.replace(path)
    with opened(path.parent) as folder:
        os.fsync(folder)
    return True


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[int]:
    """Yield a file descriptor of a directory."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a directory, which the kernel frees."""
    with opened(folder) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def apply(data: bytes, folder: Path = MAPS, path: Path = SOCKET) -> dict[str, bool]:
    """Make files and running maps what the input says; return whether any was not, and whether HAProxy runs."""
    wanted = parse_wanted(data)
    with locked(folder):
        changed = False
        for name in (*BESIDE, *NAMES):
            lines = (f"{key} {value}\n" for key, value in sorted(wanted[name].items()))
            changed |= write(folder / f"{name}.map", "".join(lines))
        try:
            return {"changed": replace_everywhere(Haproxy(path), folder, wanted) or changed, "running": True}
        except NotRunning:
            return {"changed": changed, "running": False}


def status(path: Path = SOCKET) -> dict[str, Any]:
    """Return how the engines are; see above."""
    haproxy = Haproxy(path)
    return {
        "engines": parse_stat(haproxy.ask("show stat\n")), "since_s": parse_uptime(haproxy.ask("show info\n")),
    }  # fmt: skip


def parse_servers(text: str) -> list[dict[str, Any]]:
    """Return what `show servers state` prints: backend, engine, and whether an operator has taken it out.

    Its state alone does not say that: an engine that is drained and away is shown as one that is away. Refused for
    other text.
    """
    _is_state(text)
    names = text.splitlines()[1].split()[1:]
    rows = [dict(zip(names, line.split(), strict=False)) for line in text.splitlines()[2:] if line]
    return [
        {"backend": it["be_name"], "engine": it["srv_name"], "out": bool(int(it["srv_admin_state"]) & TAKEN_OUT)}
        for it in rows
    ]


def _is_state(text: str) -> None:
    if not re.match(r"1\n# be_id ", text):
        raise Refused(f"HAProxy says: {text}")


def save(state: Path = STATE, path: Path = SOCKET) -> dict[str, bool]:
    """Keep the servers' state as HAProxy tells it; return whether it is different from before."""
    said = Haproxy(path).ask("show servers state\n")
    _is_state(said)
    with locked(state.parent):
        return {"changed": write(state, said)}
