"""Child processes that a test waits for: a test ends when its child does, or says nothing more."""

from __future__ import annotations

import os
import select
import subprocess
from typing import IO, Any

import pytest

from dualtrack.core import proc, waiting


def read_until(process: subprocess.Popen[Any], stream: IO[Any] | None, *texts: str, stall: float = 60) -> str:
    """Return what a child has printed as soon as it has said all of ``texts``: its first line without any.

    Fails when the child ends before, or neither prints nor works for ``stall`` seconds. Reads past the buffer of
    ``stream``, so nothing must have been read from it, and the rest is to be had by `communicate` or another call.
    """
    assert stream is not None
    number, said = stream.fileno(), b""

    def there() -> bool:
        nonlocal said
        while select.select([number], [], [], 0)[0]:
            # A byte at a time: what comes after belongs to whoever reads next.
            if not (byte := os.read(number, 1)):
                process.wait(timeout=60)
                pytest.fail(f"{process.args!r} ended with {process.returncode} after it had said {said.decode()!r}")
            said += byte
            if byte == b"\n" and all(text.encode() in said for text in texts):
                return True
        return False

    try:
        waiting.until(
            there, f"{process.args!r} to say {', '.join(texts) or 'a line'}", stall=stall, interval=0.01,
            progress=lambda: (len(said), proc.processor_seconds(process.pid)), last=lambda: said.decode(),
        )  # fmt: skip
    except waiting.GaveUp as error:
        pytest.fail(str(error))
    return said.decode()
