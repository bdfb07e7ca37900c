"""What was verified when: `verified.json` in the state directory, read by `dualtrack status`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from dualtrack.core.files import locked, write_atomically
from dualtrack.verify.model import CheckReport


class Verified(msgspec.Struct, frozen=True):
    """The last full verification of one host; ``identity`` says which host it was (`verify.identity`)."""

    verified_at: str
    ok: bool
    identity: str = ""


def merged(before: Mapping[str, Verified], report: CheckReport) -> dict[str, Verified]:
    """Return the record after ``report``: its hosts anew, the others as they were."""
    fresh = {host.name: Verified(report.verified_at, host.state == "passed", host.identity) for host in report.hosts}
    return {**before, **fresh}


def load(path: Path) -> dict[str, Verified]:
    """Return the record; empty when there is none, or when it cannot be read: then nothing counts as verified."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Verified])
    except (OSError, msgspec.DecodeError):
        return {}


def save(path: Path, report: CheckReport) -> None:
    """Put ``report`` into the record, whole or not at all, also when both tracks are verified at the same time."""
    with locked(path):
        content = msgspec.json.format(msgspec.json.encode(merged(load(path), report)), indent=1)
        write_atomically(path, content + b"\n")
