"""What can go wrong, and the exit code each kind has.

Every error that a user can meet is a :class:`DualtrackError`: one line that says what was wrong, where, and what to
do. The command line prints that line and exits with the error's code; a traceback is a defect.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every `dualtrack` command (documented in docs/reference/exit-codes.md)."""

    OK = 0
    FINDINGS = 1  # it ran to the end, and what it looked at is not as it should be
    BAD_INPUT = 2  # a file, an option or a value is wrong: nothing was touched
    MISSING = 3  # a prerequisite is missing: a program on this machine, or a track that is up
    EXTERNAL = 4  # a host, an API or a program that we call failed
    REFUSED = 5  # not confirmed, or not safe: nothing was touched
    INTERRUPTED = 130  # Ctrl-C


#: What each exit code means; docs/reference/exit-codes.md has the same words.
MEANING = {
    Exit.OK: "it did what was asked",
    Exit.FINDINGS: "it ran to the end, and what it looked at is not in order (a failed check, an unreachable host)",
    Exit.BAD_INPUT: "a file, an option or a value is wrong; nothing was touched",
    Exit.MISSING: "a prerequisite is missing (a program on this machine, a track that is up); the message names it",
    Exit.EXTERNAL: "a host, an API or a program outside failed; the message says which and what it said",
    Exit.REFUSED: "you said no, or it would not have been safe; nothing was touched",
    Exit.INTERRUPTED: "Ctrl-C; programs that ran were stopped in order, the next run continues from there",
}


class DualtrackError(Exception):
    """Base of all errors shown to users: one line, plus the exit code of its class."""

    code: Exit = Exit.EXTERNAL

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.hint = hint
        super().__init__(f"{message} ({hint})" if hint else message)


class BadInput(DualtrackError):
    """A file or value that a user gave is wrong."""

    code = Exit.BAD_INPUT


class Missing(DualtrackError):
    """A prerequisite of this machine is missing."""

    code = Exit.MISSING


class External(DualtrackError):
    """A program, a host or an API outside this process failed."""

    code = Exit.EXTERNAL


class Refused(DualtrackError):
    """Not confirmed by the user, or unsafe."""

    code = Exit.REFUSED


class Findings(DualtrackError):
    """The check itself worked; what it found is not in order."""

    code = Exit.FINDINGS


class Interrupted(DualtrackError):
    """Ctrl-C, met by a thread or a program that has stopped in order."""

    code = Exit.INTERRUPTED
