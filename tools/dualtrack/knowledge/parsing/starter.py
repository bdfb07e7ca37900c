"""Starts the processes that read documents: forked from one that has loaded the parsers, and has read no document.

To start Python and load a parser takes 0.1 to 0.3 s of processor time, longer than most documents take to be read. The
server gets a document's file descriptors and never looks into them: it forks, and the new process reads, is closed in,
and answers. What one process has read is in no other one's memory; where libraries lie in memory is the same in all of
them, for as long as the server lives.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack

from dualtrack.core import proc
from dualtrack.core.errors import External

#: Bytes of what a process says beside its answer.
MOST_SAID = 64 << 10
#: numpy, which openpyxl loads, has 40 MB of addresses for each thread that there could be.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_CODE = struct.Struct(">i")


class Gone(External):
    """There is nothing that starts processes: no matter of the document."""


class Starter:
    """Starts processes of a module's server, one at a time. ``module`` calls `serve` when it is told a descriptor."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._server: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None

    def run(self, word: str, data: bytes, *, seconds: float, most: int) -> tuple[int, bytes, bytes]:
        """Have data read by a process that is told a word; return its exit code, its answer, and what it says.

        TimeoutError when that takes longer by the clock, or the answer has more than ``most`` bytes; Gone when there is
        no server.
        """
        link = self._connected()
        until = time.monotonic() + seconds
        try:
            with ExitStack() as held:
                given = held.enter_context(os.fdopen(os.memfd_create("document", os.MFD_CLOEXEC), "wb"))
                given.write(data)
                given.flush()  # all of it, or an error: half of a document would be read as a whole one
                given.seek(0)
                pipes = [os.pipe(), os.pipe()]
                reads = [held.enter_context(os.fdopen(read, "rb", buffering=0)) for read, _ in pipes]
                with ExitStack() as passed:
                    writes = [passed.enter_context(os.fdopen(write, "wb", buffering=0)) for _, write in pipes]
                    socket.send_fds(link, [word.encode()], [it.fileno() for it in (given, *writes)])
                answer, said = _drained(reads[0].fileno(), reads[1].fileno(), most, until)
            link.settimeout(max(until - time.monotonic(), 0.1))
            code = link.recv(_CODE.size)
        except BaseException as error:
            self.end()
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise Gone(f"what starts parsers does not answer: {error.strerror or error}") from None
            raise
        if len(code) != _CODE.size:
            self.end()
            raise Gone("what starts parsers has ended")
        return _CODE.unpack(code)[0], answer, said

    def end(self) -> None:
        """Kill the server and what it has started."""
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        if self._link is not None:
            self._link.close()
        self._server = self._link = None

    def _connected(self) -> socket.socket:
        if self._link is not None and self._server is not None and self._server.poll() is None:
            return self._link
        self.end()
        self._link, theirs = socket.socketpair()
        # What is found here is found there; on a host packages lie in several places.
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LC_ALL": "C.UTF-8", **ONE_THREAD}
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module, "--serve", str(theirs.fileno())], cwd="/", env=environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )  # fmt: skip
        return self._link


def serve(descriptor: int, prepare: Callable[[str], object], read: Callable[[str], int]) -> None:
    """Fork for each word and its three descriptors, and say how that process ended; until nobody asks any more.

    ``prepare`` runs here before the first process of a word, ``read`` there, and returns the exit code.
    """
    link = socket.socket(fileno=descriptor)
    while True:
        word, descriptors, _, _ = socket.recv_fds(link, 64, 3)
        if not word:
            return
        prepare(word.decode())
        if (child := os.fork()) == 0:
            _become(descriptors, word.decode(), read)
        for it in descriptors:
            os.close(it)
        _, status = os.waitpid(child, 0)
        link.sendall(_CODE.pack(os.waitstatus_to_exitcode(status)))


def _become(descriptors: list[int], word: str, read: Callable[[str], int]) -> None:
    """Be a process of its own: the descriptors are its input, output and errors, and it has no other ones."""
    code = 1
    try:
        proc.signal_at_parents_end(signal.SIGKILL)  # whoever ends the server ends this as well
        for number, it in enumerate(descriptors):
            os.dup2(it, number)
        os.closerange(3, 1 << 16)
        code = read(word)
        sys.stdout.flush()
    except BaseException:  # whatever a parser does ends here, and is said
        with contextlib.suppress(BaseException):
            traceback.print_exc()
            sys.stderr.flush()
    finally:
        os._exit(code)


def _drained(answer: int, said: int, most: int, until: float) -> tuple[bytes, bytes]:
    """Return what comes out of two pipes until both are closed; TimeoutError for too late, and too much of an answer.

    Of what is said beside it the rest is dropped.
    """
    found = [bytearray(), bytearray()]
    with selectors.DefaultSelector() as waiting:
        for number, end in enumerate((answer, said)):
            waiting.register(end, selectors.EVENT_READ, number)
        while waiting.get_map():
            ready = waiting.select(max(until - time.monotonic(), 0))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                data = os.read(key.fd, 1 << 20)
                found[key.data] += data
                if not data:
                    waiting.unregister(key.fd)
            if len(found[0]) > most:
                raise TimeoutError
            del found[1][MOST_SAID:]
    return bytes(found[0]), bytes(found[1])
