"""The versions that a host must have: what may be named, and the file that names them, one address a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dualtrack.core.errors import BadInput
from dualtrack.data.checkpoints.address import LATEST, Address, parse


def exact(text: str) -> Address:
    """Return the address in ``text``; BadInput where it does not name one version for good."""
    found = parse(text)
    if found.version == LATEST:
        raise BadInput(
            f"{text}: @{LATEST} is another version on another day, and hosts would differ",
            hint="write the version; `dualtrack store pull` says which one it is now",
        )
    if not found.version:
        raise BadInput(f"{text} names no version", hint=f"{text}@VERSION, as `dualtrack store push` made it")
    return found


def problems(texts: Sequence[str]) -> list[str]:
    """Return what is wrong with a list of addresses, a sentence for each."""
    found = []
    for text in texts:
        try:
            exact(text)
        except BadInput as error:
            found.append(str(error))
    doubled = sorted({text for text in texts if texts.count(text) > 1})
    return found + [f"{text} is named twice: once is enough" for text in doubled]


def addresses(lines: Iterable[str]) -> list[Address]:
    """Return the addresses of a file's lines; blank lines, and those that begin with #, say nothing."""
    words = [line.strip() for line in lines]
    return list(dict.fromkeys(exact(word) for word in words if word and not word.startswith("#")))


def read(path: Path) -> list[Address]:
    """Return the addresses that a file names; BadInput where it cannot be read, or names one that is not exact."""
    try:
        return addresses(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not text'}") from None
