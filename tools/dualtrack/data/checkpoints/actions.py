"""The rest of `dualtrack store`: list, check, make room, remove, and hold while a program runs."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from dualtrack.core.errors import BadInput, Missing, Refused
from dualtrack.core.progress import size
from dualtrack.data.checkpoints.address import DIGEST_MARK, Address
from dualtrack.data.checkpoints.cache import Cache, Held, begun, check

#: The fewest characters of a key that name a version: what is removed is not named by accident.
SHORTEST = 8


class CachedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the cache; times in seconds since 1970.

    ``state``: complete, pulling, unfinished, torn, damaged.
    """

    key: str
    address: str
    state: str
    size: int
    used: float | None
    in_use: bool
    path: str
    digest: str = ""

    @property
    def source(self) -> str:
        """Return where it is from, with the digest where it is known: what a host's list of versions may name."""
        return f"{self.address}{DIGEST_MARK}{self.digest}" if self.digest else self.address


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What `gc` removed, or would."""

    evicted: tuple[str, ...]
    unfinished: tuple[str, ...]
    freed: int
    kept: int
    free: int


def directory(option: Path | None) -> Path:
    """Return the cache's directory: the option, the setting DUALTRACK_STORE, or the user's own cache."""
    from dualtrack.core import paths

    return option or Path(os.environ.get("DUALTRACK_STORE") or paths.cache_dir() / "store")


def bytes_of(text: str) -> int:
    """Return the bytes in "140 GB", "64MiB" or "1000"; BadInput for what is not a size."""
    units = {"": 1, "B": 1, **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
             **{f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", 1)}}  # fmt: skip
    number = text.strip().rstrip("abikgmtABIKGMT")
    unit = text.strip()[len(number) :].upper()
    try:
        value = float(number) * units[unit]
        if not 0 <= value < 1e18:
            raise ValueError
    except (ValueError, KeyError):
        raise BadInput(f"{text!r} is not a size", hint="140GB, 64MiB, or a number of bytes") from None
    return int(value)


def rows(cache: Cache) -> list[CachedVersion]:
    """Return what is in a cache: complete versions, the last used first, then damaged ones, then unfinished ones."""
    found = [
        CachedVersion(
            key=it.key,
            address=it.entry.address if it.entry else "",
            state="damaged" if it.entry is None else "complete" if cache.sound(it.key, it.entry) else "torn",
            size=it.size,
            used=it.used if it.entry else None,
            in_use=it.in_use,
            path=str(it.path),
            digest=it.entry.digest if it.entry else "",
        )
        for it in reversed(cache.held())
    ]
    for key in cache.unfinished():
        with cache.pulling(key, wait=False) as idle:
            state = "unfinished" if idle else "pulling"
        found.append(
            CachedVersion(
                key=key, address="", state=state, size=begun(cache.staging(key)), used=None, in_use=not idle, path=""
            )
        )
    return found


def damages(cache: Cache) -> list[str]:
    """Return a line for each version whose entry is damaged: it is of no use, and takes room."""
    hint = "dualtrack store verify takes it out of the cache"
    return [f"{key} is damaged: {wrong} ({hint})" for key, wrong in cache.damaged().items()]


def gc(
    cache: Cache, *, budget: int | None, free: int, stale_days: float, dry_run: bool, keep: Sequence[Address] = ()
) -> Collected:
    """Remove old unfinished versions, then damaged and the least recently used ones.

    The latter until the budget holds and ``free`` are free. What ``keep`` names stays, in every form that is here.
    """
    kept_keys = _kept(cache, keep)
    if not dry_run:
        cache.sweep()
    stale, freed = [], 0
    for key in cache.unfinished():
        last = max((it.stat().st_mtime for it in cache.staging(key).rglob("*")), default=0.0)
        if time.time() - last > stale_days * 86400:
            bytes_there = begun(cache.staging(key))
            if dry_run or cache.drop_unfinished(key):
                stale.append(key)
                freed += bytes_there
    held = cache.held()
    kept, room = sum(it.size for it in held), cache.free() + (freed if dry_run else 0)
    gone = []
    for it in held:
        if room >= free and (budget is None or kept <= budget):
            break
        if it.key not in kept_keys and not it.in_use and (dry_run or cache.evict(it.key)):
            gone.append(it.key)
            freed, kept, room = freed + it.size, kept - it.size, room + it.size
    return Collected(evicted=tuple(gone), unfinished=tuple(stale), freed=freed, kept=kept, free=room)


def _kept(cache: Cache, keep: Sequence[Address]) -> set[str]:
    """Return the versions that addresses stand for: by their references, and by what each version says of itself.

    A reference may be damaged or gone. What a version says is enough where its address has a version, whose content is
    one; of plain objects there may be older content, so without a reference all of it stays, and else what is as new.
    """
    found = set[str]()
    held = [(it.key, it.entry) for it in cache.held() if it.entry and cache.sound(it.key, it.entry)]
    for address in keep:
        known = dict(cache.known_forms(address))
        since = 0.0 if address.version else min((it.pulled for it in known.values()), default=0.0)
        found |= known.keys() | {
            key for key, entry in held
            if entry.address == str(address.bare) and entry.pulled >= since
            and (not address.digest or entry.digest == address.digest)
        }  # fmt: skip
    return found


def chosen(cache: Cache, names: Sequence[str]) -> list[Held]:
    """Return the versions that are named by key, by the beginning of one, or by address; all without names.

    One whose entry is damaged has no address.
    BadInput where a name is not that of one version, also where it is shorter than `SHORTEST` and not all of a key.
    """
    held = cache.held()
    if not names:
        return held
    found = []
    for name in names:
        address, mark, digest = name.rpartition(DIGEST_MARK) if DIGEST_MARK in name else (name, "", "")
        matching = [
            it
            for it in held
            if it.entry and it.entry.address == address and (not mark or digest == it.entry.digest != "")
        ]
        if not mark:
            matching = matching or [it for it in held if it.key == name]
            if len(name) >= SHORTEST:
                matching = matching or [it for it in held if it.key.startswith(name)]
        if len(matching) != 1:
            known = ", ".join(it.key for it in (matching or held)) or "nothing"
            what = f"{len(matching)} versions are" if matching else "no version is"
            short = f"at least {SHORTEST} characters of a name; " if not matching and len(name) < SHORTEST else ""
            raise BadInput(f"{what} named {name or repr(name)}", hint=f"{short}the cache holds {known}")
        found.append(matching[0])
    return found


def verify(cache: Cache, names: Sequence[str], say: Callable[[str], None]) -> dict[str, list[str]]:
    """Read versions whole; return what is wrong with each that is, after taking it out of sight."""
    wrong = {}
    for it in chosen(cache, names):
        if it.entry is None:
            found = [it.wrong]
        else:
            say(f"{it.key}: reading {size(it.size)}")
            found = check(it.path, it.entry.manifest)
        if found:
            wrong[it.key] = found
            cache.discard(cache.version(it.key))
    return wrong


def hold(cache: Cache, name: str, command: Sequence[str]) -> NoReturn:
    """Become a command that holds a version as long as it runs, and finds its directory in DUALTRACK_CHECKPOINT."""
    [it] = chosen(cache, [name])
    if it.wrong:
        raise Refused(f"{it.key} is damaged: {it.wrong}", hint="pull it again")
    program = shutil.which(command[0])
    if program is None:
        raise Missing(f"there is no program {command[0]}")
    path = cache.use(it.key)
    os.execve(program, list(command), {**os.environ, "DUALTRACK_CHECKPOINT": str(path)})  # noqa: S606 - the words as given
