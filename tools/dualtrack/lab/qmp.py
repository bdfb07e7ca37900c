"""QEMU's control protocol (QMP), as far as the lab needs it: one command at a time, and waiting for an event.

https://www.qemu.org/docs/master/interop/qmp-spec.html
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from dualtrack.core.errors import External


def connect(path: Path) -> socket.socket:
    """Return a connection to the socket at ``path``, however long that is: the kernel takes 107 characters only."""
    folder = os.open(path.parent, os.O_PATH)
    plug = socket.socket(socket.AF_UNIX)
    try:
        plug.connect(f"/proc/self/fd/{folder}/{path.name}")
    except OSError:
        plug.close()
        raise
    finally:
        os.close(folder)
    return plug


def listens(path: Path) -> bool:
    """Tell whether a QEMU answers at the socket ``path``."""
    try:
        connect(path).close()
    except OSError:
        return False
    return True


class Client:
    """A connection to one QEMU; a socket takes one at a time. ``timeout`` is in seconds, for every answer."""

    def __init__(self, path: Path, timeout: float | None = 60) -> None:
        self._socket = connect(path)
        self._socket.settimeout(timeout)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._events: list[dict[str, Any]] = []
        self._read()  # the greeting
        self.call("qmp_capabilities")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._socket.close()

    def call(self, command: str, arguments: dict[str, object] | None = None) -> Any:
        """Run one command and return its result; External with QEMU's words when it refuses."""
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = self._read()
            if "error" in answer:
                raise External(f"the virtual machine refuses {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self._events.append(answer)

    def wait(self, event: str, device: str = "") -> dict[str, Any]:
        """Return the data of the next event of this name (and of this device, if one is named)."""
        while True:
            found = self._events.pop(0) if self._events else self._read()
            if found.get("event") == event and device in ("", found.get("data", {}).get("device")):
                data: dict[str, Any] = found.get("data", {})
                return data

    def save(self, path: Path) -> None:
        """Write the state of a machine that stands still (memory and devices) to a file; External when it fails."""
        # The default is what a network of 1 GBit/s takes.
        self.call("migrate-set-parameters", {"max-bandwidth": 1 << 40})
        self.call("migrate", {"uri": f"exec:cat > {shlex.quote(str(path))}"})
        while (now := self.call("query-migrate"))["status"] not in ("completed", "failed", "cancelled"):
            time.sleep(0.05)
        if now["status"] != "completed":
            raise External(
                f"the state of the virtual machine is not saved: {now.get('error-desc', now['status'])}",
                hint=f"is the disk of {path.parent} full?",
            )

    def loaded(self) -> bool:
        """Tell whether a machine that was started with a saved state has it whole; External when that failed."""
        now = self.call("query-migrate").get("status", "")
        if now == "failed":
            raise External("the virtual machine does not take its saved state")
        return bool(now == "completed")

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise External("the virtual machine does not answer", hint="its console is in the lab's logs") from None
        if not line:
            raise External("the virtual machine is gone")
        answer: dict[str, Any] = json.loads(line)
        return answer
