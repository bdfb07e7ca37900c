"""Where a copy comes from: a directory of this machine, or a host that lets this one read by ssh."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualtrack.core.errors import BadInput, External, Missing
from dualtrack.core.proc import tracked
from dualtrack.knowledge import versions
from dualtrack.knowledge.sync import offer

Say = Callable[[str], None]
#: A user, a host by its name or IPv4 address, and a colon.
HOST = re.compile(r"(?:[a-z_][a-z0-9_-]{0,31}@)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?:")
#: Seconds until a host that says nothing is given up.
PATIENCE_S = 60
#: Bytes of a block in which rsync looks for what is there already. Its own choice for 10 GB is 128 KiB, and each
#: document that changed costs a block at least; digests of these cost 0.25 % of the file.
BLOCK = 4096
MOST_OFFER = 1 << 30
#: Seconds in which the source must say what it offers: it reads how each document begins.
OFFER_S = 1800
_COUNTED = re.compile(rb"^Total bytes (?:sent|received): ([0-9,]+)", re.MULTILINE)
_PROGRESS = re.compile(rb"^\s*[0-9,]+\s+([0-9]{1,3})%")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A knowledge base that is copied: ``place`` is a directory, or ``[USER@]HOST:``.

    ``identity`` is the private key for the host, and ``known_hosts`` has the host's; ssh's own without them.
    """

    place: str
    identity: Path | None = None
    known_hosts: Path | None = None
    port: int = 22

    @property
    def _remote(self) -> bool:
        return HOST.fullmatch(self.place) is not None

    @property
    def _ssh(self) -> list[str]:
        options = ["BatchMode=yes", "ConnectTimeout=10", f"ServerAliveInterval={PATIENCE_S // 3}"]
        if self.known_hosts:
            options += ["StrictHostKeyChecking=yes", f"UserKnownHostsFile={self.known_hosts}"]
        if self.identity:
            options += ["IdentitiesOnly=yes", f"IdentityFile={self.identity}"]
        return ["ssh", "-T", "-p", str(self.port), *(word for it in options for word in ("-o", it))]

    def is_at(self, base: Path) -> bool:
        """Tell whether it is a directory of this machine."""
        return not self._remote and Path(self.place).resolve() == base

    def offer(self, key_file: Path | None) -> bytes:
        """Return what the source offers; External where it cannot be asked."""
        if not self._remote:
            if not self.place or not Path(self.place).is_dir():
                raise BadInput(f"there is no directory {self.place} to copy from", hint="DIRECTORY, or [USER@]HOST:")
            return offer.make(Path(self.place), key_file)
        done = _run([*self._ssh, self.place.rstrip(":"), "offer"], None)
        if len(done) > MOST_OFFER:
            raise External(f"{self.place} offers more than {MOST_OFFER >> 20} MiB")
        return done

    def fetch(self, version: str, directory: Path, beside: Path | None, lock: int, say: Say) -> int:
        """Bring the file of a version into a directory and return the bytes that were moved, in both directions.

        What there is in ``beside``, another version, is not moved. rsync gets the handle of a lock: where this process
        is killed, it may still write. External for whatever keeps rsync from it.
        """
        at = f"{self.place}{version}" if self._remote else f"{Path(self.place).absolute()}/versions/{version}"
        words = [
            "rsync", "--ignore-times", "--inplace", "--no-whole-file", f"--block-size={BLOCK}",
            f"--timeout={PATIENCE_S}", "--stats", "--info=progress2", "--outbuf=Line",
            *([f"--copy-dest={beside.absolute()}"] if beside else []),
            *([f"--rsh={shlex.join(self._ssh)}"] if self._remote else []),
            "--", f"{at}/{versions.SEALED}", f"{directory}/",
        ]  # fmt: skip

        def progress(line: bytes) -> None:
            if found := _PROGRESS.match(line):
                say(f"{found[1].decode()} % of {versions.SEALED}")

        return sum(int(it.replace(b",", b"")) for it in _COUNTED.findall(_run(words, progress, lock)))


def _run(words: Sequence[str], line: Callable[[bytes], None] | None, *handles: int) -> bytes:
    """Run a program and return what it prints; each line of progress is told. External where it fails."""
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=handles,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except FileNotFoundError:
        raise Missing(f"{words[0]} is not installed", hint=f"apt-get install {words[0]}") from None
    with process, tracked(process):
        out, said = _read(process, line)
    if process.returncode:
        lines = [it.strip() for it in said.decode(errors="replace").splitlines() if it.strip()]
        reason = next((it for it in lines if not it.startswith(("rsync error", "rsync: connection"))), "")
        raise External(f"{words[0]} failed with exit code {process.returncode}: {reason or ''.join(lines[-1:])}")
    return out


def _read(process: subprocess.Popen[bytes], line: Callable[[bytes], None] | None) -> tuple[bytes, bytes]:
    if line is None:
        try:
            return process.communicate(timeout=OFFER_S)
        except subprocess.TimeoutExpired:
            raise External(f"the source has offered nothing for {OFFER_S} s") from None
    from concurrent.futures import ThreadPoolExecutor

    assert process.stdout is not None  # noqa: S101
    assert process.stderr is not None  # noqa: S101
    out = b""
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(process.stderr.read)
        while data := process.stdout.read1(1 << 16):  # type: ignore[attr-defined]
            out += data
            line(data.rpartition(b"\r")[2])
        return out, said.result()
