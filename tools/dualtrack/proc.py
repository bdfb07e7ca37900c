"""Running other programs: one function, so that every failure reads the same."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from dualtrack.errors import External, Missing


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
    words = [str(word) for word in command]
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
            raise External(
                f"{words[0]} did not finish within {timeout:.0f} s", hint=f"command: {' '.join(words)}"
            ) from None
    done = subprocess.CompletedProcess(words, process.returncode, out or "", err or "")
    if check and done.returncode != 0:
        said = last_line(log.read_text(errors="replace") if log else done.stderr or done.stdout)
        where = f"; all of it: {log}" if log else ""
        raise External(f"{Path(words[0]).name} failed with exit code {done.returncode}: {said}{where}")
    return done


_children: set[subprocess.Popen[Any]] = set()


@contextlib.contextmanager
def tracked(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Count a process among those that Ctrl-C is passed on to, and end it when the block is left by an exception."""
    _children.add(process)
    try:
        yield
    except BaseException:
        if process.poll() is None:
            process.terminate()
        raise
    finally:
        _children.discard(process)


def interrupt_children() -> None:
    """Send SIGINT to every program that this process runs now, so that it can end in order."""
    for process in list(_children):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)


def last_line(text: str) -> str:
    """Return the last line of ``text`` that is not blank, or a word that says there was none."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else "(it printed nothing)"
