"""Running other programs: one function, so that every failure reads the same."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from dualtrack.core.errors import External, Interrupted, Missing

_LOG = logging.getLogger(__name__)


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` without a shell and return it finished, its output as text.

    ``env`` is added to this process's environment. With ``log``, stdout and stderr are appended to that file instead
    of being captured. ``timeout`` is in seconds. Raises Missing when the program is not installed and External when
    it fails (with ``check``) or takes too long; the message holds the last line that it printed.
    """
    words, begin = [str(word) for word in command], time.monotonic()
    sink: IO[str] | int = subprocess.PIPE
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        sink = log.open("a", encoding="utf-8")
    try:
        process = subprocess.Popen(
            words, cwd=cwd, env={**os.environ, **env} if env else None, text=True, errors="replace",
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=sink, stderr=subprocess.STDOUT if log else subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError:
        raise Missing(f"{words[0]} is not installed", hint="make setup installs what is needed") from None
    finally:
        if not isinstance(sink, int):
            sink.close()
    with tracked(process):
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            _LOG.debug("%s: ended after %.2f s, its time limit", shlex.join(words), time.monotonic() - begin)
            raise External(
                f"{words[0]} did not finish within {timeout:.0f} s", hint=f"command: {' '.join(words)}"
            ) from None
    _LOG.debug("%s: exit code %d after %.2f s", shlex.join(words), process.returncode, time.monotonic() - begin)
    done = subprocess.CompletedProcess(words, process.returncode, out or "", err or "")
    if check and done.returncode != 0:
        said = last_line(log.read_text(errors="replace") if log else done.stderr or done.stdout)
        where = f"; all of it: {log}" if log else ""
        raise External(f"{Path(words[0]).name} failed with exit code {done.returncode}: {said}{where}")
    return done


#: Programs that `stop` reaches, and for how many seconds each may run on after that; None for as long as it likes.
_children: dict[subprocess.Popen[Any], float | None] = {}
_stopping = threading.Event()
_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def tracked(process: subprocess.Popen[Any], patience: float | None = 10.0) -> Iterator[None]:
    """Count a process among those that `stop` reaches, and end it when the block is left by an exception.

    One that runs on ``patience`` seconds after `stop` is made to end: a program may lose a signal. (Python throws away
    what a handler raises while a lock is released after a fork, and Ansible forks for every task.)
    """
    _children[process] = patience
    try:
        if _stopping.is_set():
            raise Interrupted("interrupted")
        yield
    except BaseException:
        end(process)
        raise
    finally:
        _children.pop(process, None)


def end(process: subprocess.Popen[Any], patience: float = 5.0) -> None:
    """End a process, and all it started where it leads a group: asked first, then made to (``patience`` s each)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        signal_group(process, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if process.pid != os.getpgid(0) and process.poll() is not None:
            os.killpg(process.pid, signal.SIGKILL)  # what a group's leader left behind


def signal_group(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    """Send a signal to a process, or to its whole group where it leads one of its own."""
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


def stop() -> None:
    """Stop all work of this process: programs get SIGINT, and whoever waits in `pause` raises Interrupted."""
    _stopping.set()
    for process, patience in list(_children.items()):
        signal_group(process, signal.SIGINT)
        if patience is not None:
            threading.Thread(target=_insist, args=(process, patience), daemon=True).start()


def _insist(process: subprocess.Popen[Any], patience: float) -> None:
    try:
        process.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        end(process)


def pause(seconds: float) -> None:
    """Sleep, for loops that wait for something; raises Interrupted as soon as `stop` is called."""
    if _stopping.wait(seconds):
        raise Interrupted("interrupted")


def signal_at_parents_end(number: signal.Signals) -> None:
    """Have this process get a signal when the one that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def end_with_parent(number: signal.Signals) -> bool:
    """Have this process get a signal when the one that started it has ended; return whether it is there still.

    One that had ended before is told by the pipe that nobody reads: stdout.
    """
    signal_at_parents_end(number)
    output = select.poll()
    output.register(1, 0)
    return not output.poll(0)


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process and its descendants: it rises as long as they work. 0 for none."""
    children: dict[int, list[int]] = {}
    used: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended while we look
            fields = path.read_text(errors="replace").rpartition(") ")[2].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
            used[int(path.parent.name)] = sum(int(it) for it in fields[11:15])  # its own, and its ended children's
    total, look = 0, [pid]
    while look:
        total += used.get(look[-1], 0)
        look += children.get(look.pop(), [])
    return total / os.sysconf("SC_CLK_TCK")


def last_line(text: str) -> str:
    """Return the last line of ``text`` that is not blank, or a word that says there was none."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else "(it printed nothing)"
