"""Child processes that tell what they do on a pipe, and that end with us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

#: Seconds that a child gets to end by itself before it is made to.
PATIENCE = 5.0


def events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in ``lines``, one a line; a torn last line (the child was killed) is left out."""
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):
            yield msgspec.json.decode(line, type=dict[str, Any])


def end(child: subprocess.Popen[Any]) -> None:
    """End a child and what it started: asked first, then made to. It must lead a session of its own."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=PATIENCE)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
