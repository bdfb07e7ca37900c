"""The mirror that was carried in: how this machine and its lab use it alone, where `DUALTRACK_MIRROR` names it.

Nothing is trusted for lying there: the signature is checked with the key in `DUALTRACK_MIRROR_KEY`, which came another
way, and so is until when it is valid; apt checks each package by the same key, pip by the locks, Go by go.sum.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from datetime import date
from functools import lru_cache
from pathlib import Path

from dualtrack.core.errors import BadInput
from dualtrack.core.paths import pins
from dualtrack.data.mirror import check, signed


def folder() -> Path | None:
    """Return the mirror's directory, None where there is a way out. BadInput when it is not a mirror, or not that
    key's.

    Refused when it has expired, unless `DUALTRACK_MIRROR_EXPIRED` accepts that.
    """
    path = _named()
    if path is not None:
        _checked(path, key(), accepted())
    return path


def _named() -> Path | None:
    named = os.environ.get("DUALTRACK_MIRROR")
    return Path(named).resolve() if named else None


@lru_cache
def _checked(path: Path, public: Path, expired: date | None) -> None:
    check.listed(path, public, expired)  # raises


def accepted(word: str | None = None) -> date | None:
    """Return the day until which an expired mirror that is to be taken was valid: ``word``, else the environment's."""
    return signed.day(word or os.environ.get("DUALTRACK_MIRROR_EXPIRED"))


def key() -> Path:
    """Return the public key's file. BadInput where none is named."""
    named = os.environ.get("DUALTRACK_MIRROR_KEY")
    if not named:
        raise BadInput(
            "DUALTRACK_MIRROR is set, and no key", hint="DUALTRACK_MIRROR_KEY names the file; it came another way"
        )
    return Path(named).resolve()


def settle(environment: MutableMapping[str, str]) -> None:
    """Point pip, uv and Go at the mirror, for this process and all that it starts."""
    if (mirror := _named()) is not None:
        index = f"file://{mirror}/wheels/simple/"
        environment.update({
            "PIP_INDEX_URL": index, "UV_DEFAULT_INDEX": index,
            "GOPROXY": f"file://{mirror / 'go'}", "GOSUMDB": "off", "GOFLAGS": "-mod=readonly",
        })  # fmt: skip


def sources(base: str, public_key: str) -> str:
    """Return apt's sources for a mirror at the address ``base``, with the key in them."""
    armour = "\n".join(f" {line or '.'}" for line in public_key.strip().splitlines())
    return (
        f"Types: deb\nURIs: {base}/debian\nSuites: {pins()['debian_suite']}\nComponents: main\nSigned-By:\n{armour}\n"
    )
