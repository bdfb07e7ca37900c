"""Measures how a model of embeddings batches, on a host that serves it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from dualtrack.core import proc
from dualtrack.core.errors import BadInput, External
from dualtrack.inventory.model import Host, Track
from dualtrack.remote import host_keys
from dualtrack.serving.tune import Tuning, TuningRow, best
from dualtrack.tracks import host_boot

#: As which user, and from which version, the engine itself runs (role serving).
PROGRAM = "/usr/local/lib/dualtrack/serving/triton-tune"
HOLD = (
    "sudo",
    "-n",
    "runuser",
    "-u",
    "dualtrack-serve",
    "-g",
    "models",
    "--",
    "/usr/local/bin/dualtrack-store",
    "hold",
)


class _Served(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    source: str
    engine: str
    latency_ms: int = 120
    requests_per_s: float = 50


def place(inventory: Mapping[str, Any], model: str, host: str) -> tuple[str, Mapping[str, Any], _Served]:
    """Return the host of a model that Triton serves, its variables, and what is declared; BadInput where none is."""
    found = []
    for name in sorted(inventory.get("role_serving", {}).get("hosts", ())):
        facts: Mapping[str, Any] = inventory["_meta"]["hostvars"].get(name, {})
        try:
            served = msgspec.convert(facts.get("serving_models") or (), type=tuple[_Served, ...], strict=False)
        except msgspec.ValidationError as error:
            raise BadInput(f"{name}: serving_models is not as it must be: {error}") from None
        found += [(name, facts, it) for it in served if it.engine == "triton" and host in ("", name)]
    named = [it for it in found if model in ("", it[2].name)]
    if not named:
        others = ", ".join(sorted({it[2].name for it in found}))
        raise BadInput(
            f"{model or 'a model'}: none is served with the engine triton on {host or 'any host'}",
            hint=f"there is: {others}" if others else "declare one: docs/how-to/add-a-model.md",
        )  # fmt: skip
    return named[0]


def measure(
    inventory: Mapping[str, Any], model: str, host: str, given: Mapping[str, Any], say: Callable[[TuningRow], None]
) -> Tuning:
    """Measure on the host, row by row; ``given`` is what its program takes (`dualtrack.hosts.agents.triton_tune`)."""
    name, facts, served = place(inventory, model, host)
    track: Track = "cloud" if facts.get("dualtrack_track") == "cloud" else "local"
    where = Host(
        name=name,
        address=str(facts.get("ansible_host", name)),
        user=str(facts.get("ansible_user", "root")),
        track=track,
        pool="",
        lifecycle="owned",
        port=int(str(facts.get("ansible_port", 22))),
    )
    asked = {"rate": served.requests_per_s, **given}
    words = [*HOLD, served.source, "--", PROGRAM, f"/etc/dualtrack/serving/{served.name}.json"]
    rows = []
    for line in _lines([*host_boot.ssh_words(where, lambda _: facts), *words], name, msgspec.json.encode(asked)):
        try:
            rows.append(msgspec.json.decode(line, type=TuningRow))
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise External(f"{name}: its program printed a line that is not a measurement: {error}") from None
        say(rows[-1])
    return Tuning(
        model=served.name, host=name, latency_ms=served.latency_ms, rate=float(asked["rate"]),
        clients=int(asked["clients"]), rows=tuple(rows), best=best(rows, served.latency_ms),
    )  # fmt: skip


def _lines(words: Sequence[str], name: str, given: bytes) -> Iterator[bytes]:
    """Yield what a program on a host prints, as it comes; External with its last word where it fails."""
    with tempfile.TemporaryFile() as given_file, tempfile.TemporaryFile() as errors:
        given_file.write(given)
        given_file.seek(0)
        process = subprocess.Popen(words, stdin=given_file, stdout=subprocess.PIPE, stderr=errors)
        with process, proc.tracked(process):
            yield from process.stdout or ()
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    if process.returncode == host_keys.FAILED:
        raise External(f"{name} cannot be reached: {proc.last_line(said)}")
    if process.returncode != 0:
        raise External(f"{name}: {proc.last_line(said)}")
