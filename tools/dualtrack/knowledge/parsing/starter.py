"""Starts the processes that read documents: forked from one that has loaded the parsers, and has read no document.

To start Python and load a parser takes 0.1 to 0.3 s of processor time, longer than most documents take to be read. The
server gets a document's file descriptors and never looks into them: it forks, and the new process reads, is closed in,
and answers. What one process has read is in no other one's memory; where libraries lie in memory is the same in all of
them, for as long as the server lives.

The server is a program of its own and has no keys: it is executed, not forked, from the process that has some. Where
``DUALTRACK_KB_PARSER`` names a socket, the servers are processes of another user, which systemd starts for each
connection (role knowledge_base).
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from dualtrack.core import proc
from dualtrack.core.errors import External

#: Bytes of what a process says beside its answer.
MOST_SAID = 64 << 10
#: numpy, which openpyxl loads, has 40 MB of addresses for each thread that there could be.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_CODE = struct.Struct(">i")
#: Names the socket of whoever starts servers as another user.
SOCKET = "DUALTRACK_KB_PARSER"
#: What a server says when it is ready, and when it is not; then the words about it. Bytes of them at most.
READY, REFUSED, MOST_WORDS = b"+", b"-", 1000
#: Seconds until a server has loaded what it needs.
PATIENCE_S = 120


class Gone(External):
    """There is nothing that starts processes: no matter of the document."""


class Starter:
    """Starts processes of a module's server, one at a time. ``module`` calls `serve` when it is told a descriptor.

    ``missing`` is what the system does not do of the server's protection, known once it runs.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._server: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self.missing: list[str] = []

    def run(self, word: str, data: bytes, *, seconds: float, most: int) -> tuple[int, bytes, bytes]:
        """Have data read by a process that is told a word; return its exit code, its answer, and what it says.

        TimeoutError when that takes longer by the clock, or the answer has more than ``most`` bytes; Gone when there is
        no server.
        """
        link = self.connected(word)
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

    def connected(self, word: str) -> socket.socket:
        """Return the connection to a server that is ready for a word; Gone with the reason where there is none."""
        if self._link is not None and (self._server is None or self._server.poll() is None):
            return self._link
        self.end()
        try:
            self._link = self._elsewhere(path) if (path := os.environ.get(SOCKET)) else self._started()
            self._link.settimeout(PATIENCE_S)
            self._link.send(word.encode())
            said = self._link.recv(MOST_WORDS)
            self._link.settimeout(None)
        except OSError as error:
            self.end()
            raise Gone(f"what starts parsers does not answer: {error.strerror or error}") from None
        if said[:1] != READY:
            self.end()
            raise Gone(said[1:].decode(errors="replace") or "what starts parsers has ended")
        self.missing = [it for it in said[1:].decode(errors="replace").split("; ") if it]
        return self._link

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # What is found here is found there; on a host packages lie in several places.
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LC_ALL": "C.UTF-8", **ONE_THREAD}
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module, "--serve", str(theirs.fileno())], cwd="/", env=environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )  # fmt: skip
        return ours

    @staticmethod
    def _elsewhere(path: str) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            link.connect(path)
        except OSError as error:
            link.close()
            raise Gone(f"parsers of another user cannot be reached at {path}: {error.strerror or error}") from None
        return link


def serve(descriptor: int, prepare: Callable[[str], Sequence[str]], read: Callable[[str], int]) -> None:
    """Fork for each word and its three descriptors, and say how that process ended; until nobody asks any more.

    ``prepare`` runs here with the first word, before any descriptor comes; it returns what is missing, or raises the
    reason why nothing can be read. ``read`` runs in the forked process, and returns the exit code.
    """
    link = socket.socket(fileno=descriptor)
    try:
        said = READY + "; ".join(prepare(link.recv(64).decode())).encode()
    except Exception as error:  # whatever it is, nothing is read
        said = REFUSED + (str(error) or type(error).__name__).encode()
    with contextlib.suppress(BrokenPipeError):
        link.send(said[:MOST_WORDS])
    while said.startswith(READY):
        word, descriptors, _, _ = socket.recv_fds(link, 64, 3)
        if not word:
            return
        if (child := os.fork()) == 0:
            _become(descriptors, word.decode(), read)
        for it in descriptors:
            os.close(it)
        if not _ends(child, link):
            return
        _, status = os.waitpid(child, 0)
        link.send(_CODE.pack(os.waitstatus_to_exitcode(status)))


def _ends(child: int, link: socket.socket) -> bool:
    """Wait until a process ends; where nobody waits for its answer any more, end it, and return False."""
    with os.fdopen(os.pidfd_open(child)) as ended:
        waiting = select.poll()
        waiting.register(ended, select.POLLIN)
        waiting.register(link, 0)  # told of the other end, whatever is asked for
        if any(descriptor == ended.fileno() for descriptor, _ in waiting.poll()):
            return True
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


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
