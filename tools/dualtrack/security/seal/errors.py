"""Why a sealed file does not open: a word that scripts and the test vectors can rely on, and one line for people."""

from __future__ import annotations

from enum import StrEnum

from dualtrack.core.errors import BadInput, DualtrackError, Findings


class Reason(StrEnum):
    """What is wrong with a sealed file; the words never change."""

    NOT_SEALED = "not-sealed"  # no header of this format
    VERSION = "version"  # a format that this release does not know
    PARAMETERS = "parameters"  # out of the format's bounds, hostile ones among them
    KEY = "key"  # none of the keys given opens it
    HEADER = "header"  # a key fits, but the header is not what was written
    CHUNK = "chunk"  # a chunk is damaged, moved or from another file
    TRUNCATED = "truncated"  # the end is missing
    TRAILING = "trailing"  # something follows the end
    ARCHIVE = "archive"  # authentic, but not a directory as `seal` writes it


class SealError(DualtrackError):
    """Base of what is wrong with a sealed file."""

    def __init__(self, reason: Reason, message: str, *, hint: str = "", chunk: int | None = None) -> None:
        self.reason = reason
        self.chunk = chunk
        super().__init__(message, hint=hint)


class NotOpened(SealError, BadInput):
    """Not a sealed file, or not for these keys: exit code 2."""


class Damaged(SealError, Findings):
    """A key fits, and what it shows is not what was sealed: exit code 1."""
