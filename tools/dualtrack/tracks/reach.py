"""Hosts of the tracks that are up, from their generated inventories, and the ssh commands that reach them.

Nothing is asked over the network: a host that the cloud has started is known after `dualtrack cloud join`.
"""

from __future__ import annotations

import difflib
import json
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.core import proc
from dualtrack.core.errors import BadInput, External, Missing
from dualtrack.core.paths import STATE
from dualtrack.core.proc import last_line
from dualtrack.inventory import deployment
from dualtrack.inventory.model import NAME
from dualtrack.remote.host_keys import FAILED

#: Journal priorities by number, as syslog names them.
PRIORITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a host's journal; ``at`` is ISO 8601 in UTC, ``unit`` empty for what has none."""

    host: str
    at: str
    unit: str
    source: str
    priority: str
    message: str

    @property
    def line(self) -> str:
        """The entry for people."""
        return f"{self.at} {self.source or self.unit}: {self.message}"


def hosts(state: Path = STATE) -> dict[str, Mapping[str, Any]]:
    """Return the variables of every host of the tracks that are up, by name."""
    found: dict[str, Mapping[str, Any]] = {}
    for it in deployment.generated(state):
        found.update(it.hosts)
    return {name: facts for name, facts in found.items() if NAME.fullmatch(name)}


def find(word: str, state: Path = STATE) -> tuple[str, Mapping[str, Any]]:
    """Return a host by its name, instance id or address, and its variables; BadInput where there is none."""
    known = hosts(state)
    if not known:
        raise Missing("no track is up", hint="dualtrack up, local up or cloud up")
    if word in known:
        return word, known[word]
    for name, facts in known.items():
        if word and word in (facts.get("dualtrack_instance_id"), facts.get("ansible_host")):
            return name, facts
    close = difflib.get_close_matches(word, known, n=3)
    hint = f"did you mean {', '.join(close)}?" if close else f"there are: {', '.join(sorted(known))}"
    raise BadInput(f"there is no host {word}", hint=hint)


def ssh_words(name: str, facts: Mapping[str, Any], command: Sequence[str] = ()) -> list[str]:
    """Return the ssh command line for a shell or a command on a host, connected and verified as by Ansible.

    BadInput where the inventory's variables make none.
    """
    try:
        # No option can follow `--`, whatever the inventory calls the host.
        words = [*_options(facts), "--", str(facts.get("ansible_host", name)), *command]
    except (ValueError, RuntimeError) as error:
        raise BadInput(
            f"the inventory does not say how to reach {name}: {error}", hint="make up writes it again"
        ) from None
    if any("\0" in word for word in words):
        raise BadInput(f"the inventory does not say how to reach {name}: a zero byte", hint="make up writes it again")
    return words


def _options(facts: Mapping[str, Any]) -> list[str]:
    words = ["ssh", "-o", "ConnectTimeout=10"]
    for variable in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
        words += shlex.split(str(facts.get(variable, "")))
    if key := facts.get("ansible_ssh_private_key_file"):
        words += ["-i", str(Path(str(key)).expanduser()), "-o", "IdentitiesOnly=yes"]
    if facts.get("ansible_user"):
        words += ["-o", f"User={facts['ansible_user']}"]
    return [*words, "-p", str(facts.get("ansible_port", 22))]


def journal(
    name: str, facts: Mapping[str, Any], *, unit: str = "", since: float | None = None, lines: int | None = None,
    follow: bool = False,
) -> Iterator[LogEntry]:  # fmt: skip
    """Yield entries of a host's journal, with ``follow`` as they come; External where the host does not give them."""
    ask = ["sudo", "-n", "journalctl", "--output=json", "--no-pager", "--all"]
    ask += [f"--unit={unit}"] if unit else []
    ask += [f"--since=@{since:.0f}"] if since is not None else []
    ask += [f"--lines={lines}"] if lines is not None else []
    ask += ["--follow"] if follow else []
    words = ssh_words(name, facts, [shlex.join(ask)])
    words.insert(1, "-T")  # no terminal there: what it prints is read here
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        yield from _entries(name, process)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    if process.returncode:
        why = "ssh" if process.returncode == FAILED else "journalctl"
        raise External(f"{name}: {why}: {last_line(said)}", hint=f"dualtrack ssh {name}")


def _entries(name: str, process: subprocess.Popen[bytes]) -> Iterator[LogEntry]:
    with proc.tracked(process):
        for line in process.stdout or ():
            if entry := parsed(name, line):
                yield entry
        process.wait()


def parsed(host: str, line: bytes) -> LogEntry | None:
    """Return a line of `journalctl --output=json`; None for anything else."""
    try:
        found = json.loads(line)
        at = datetime.fromtimestamp(int(found["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    pid = _text(found.get("_PID"))
    source = _text(found.get("SYSLOG_IDENTIFIER")) or _text(found.get("_COMM"))
    priority = _text(found.get("PRIORITY"))
    return LogEntry(
        host=host, at=f"{at:%Y-%m-%dT%H:%M:%SZ}", unit=_text(found.get("_SYSTEMD_UNIT")),
        source=f"{source}[{pid}]" if pid and source else source,
        priority=PRIORITIES[int(priority)] if priority in set("01234567") else priority,
        message=_text(found.get("MESSAGE")),
    )  # fmt: skip


def _text(value: Any) -> str:
    """Return a field's text: the journal writes bytes as numbers, and several values as a list."""
    if isinstance(value, list):
        if all(isinstance(it, int) and 0 <= it < 256 for it in value):
            return bytes(value).decode(errors="replace")
        return ", ".join(map(_text, value))
    return "" if value is None else str(value)
