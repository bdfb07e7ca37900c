"""What was verified when: `.lab/verified.json`, read by `dualtrack status`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from dualtrack.verify.model import Report


class Verified(msgspec.Struct, frozen=True):
    """The last full verification of one host. ``instance_id`` tells a host from a successor with the same name."""

    verified_at: str
    ok: bool
    instance_id: str = ""


def merged(before: Mapping[str, Verified], report: Report, identities: Mapping[str, str]) -> dict[str, Verified]:
    """Return the record after ``report``: its hosts anew, the others as they were."""
    fresh = {
        host.name: Verified(report.verified_at, host.state == "passed", identities.get(host.name, ""))
        for host in report.hosts
    }
    return {**before, **fresh}


def load(path: Path) -> dict[str, Verified]:
    """Return the record; empty when there is none, or when it cannot be read: then nothing counts as verified."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Verified])
    except (OSError, msgspec.DecodeError):
        return {}


def save(path: Path, report: Report, identities: Mapping[str, str]) -> None:
    """Put ``report`` into the record, whole or not at all, also when both tracks are verified at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        content = msgspec.json.format(msgspec.json.encode(merged(load(path), report, identities)), indent=1)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".verified-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content + b"\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
