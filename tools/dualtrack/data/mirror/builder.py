"""The whole mirror, on a disk that is carried in: its parts fetched, laid out, deduplicated, signed; all or nothing.

What was fetched stays in `.NAME-parts` beside the mirror, so that a build that was ended continues there and the next
one fetches only what is new. The mirror itself is made of hard links to it, in a new directory that takes the old one's
place when it is complete and signed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from dualtrack.core import directory_handles
from dualtrack.core.errors import BadInput, External
from dualtrack.core.files import locked, read, write_atomically
from dualtrack.core.paths import cache_dir
from dualtrack.data.mirror import check, debian, fetchers, manifest, repository, signing
from dualtrack.data.mirror.manifest import Fetched, File
from dualtrack.data.mirror.signed import Dates

Say = Callable[[str], None]

#: The parts, in the order in which they are fetched.
PARTS = ("own", "debian", "wheels", "go", "maven", "models")


class Seen(msgspec.Struct, frozen=True):
    """A file's digest, and what the file looked like when it was calculated."""

    size: int
    mtime_ns: int
    sha256: str


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A mirror: where it lies, its public key, the day until which it is valid, how much is in it.

    That in bytes, and ``stored`` without what is there twice.
    """

    path: str
    key: str
    until: str
    files: int
    size: int
    stored: int
    changed: bool


def build(
    dest: Path, needs: Callable[[], debian.Needs], *, parts: Sequence[str] = PARTS, models: Sequence[str] = (),
    engines: Sequence[str] = (), days: int = manifest.DAYS, say: Say,
) -> Made:  # fmt: skip
    """Build the mirror ``dest``, or bring it up to date; what went before serves until the new one is whole.

    ``needs`` says what is asked of Debian; ``engines`` are engines for GPUs whose wheels are carried along. The mirror
    is valid for ``days``; one that is up to date is signed anew when half of that has passed.
    """
    if unknown := set(parts) - set(PARTS):
        raise BadInput(f"the mirror has no part {min(unknown)}", hint=f"its parts: {', '.join(PARTS)}")
    if dest.exists() and not (dest / manifest.NAME).is_file() and any(dest.iterdir()):
        raise BadInput(f"{dest} is not empty, and no mirror", hint="name a new directory, or one of `mirror build`")
    directory_handles.check_way(dest)
    work, secret = dest.with_name(f".{dest.name}-parts"), cache_dir() / "mirror-key"
    with locked(dest):
        private = signing.ensure_key(secret)
        write_atomically(secret / "public.asc", signing.public_key(private).encode())
        files: dict[str, Fetched] = {}
        for part in [it for it in PARTS if it in parts]:
            files |= _fetch(part, work / part, private, needs, models, engines, say)
        return lay_out(dest, files, work / "digests.json", private, say, valid=timedelta(days=days))


def _fetch(
    part: str, work: Path, private: Path, needs: Callable[[], debian.Needs], models: Sequence[str],
    engines: Sequence[str], say: Say,
) -> dict[str, Fetched]:  # fmt: skip
    work.mkdir(parents=True, exist_ok=True)
    if part == "own":
        own = repository.build(work / "mirror", say, secret=private.parent).apt
        return {
            f"apt/{it.relative_to(own)}": Fetched(it) for it in own.rglob("*") if it.is_file() and it.name[0] != "."
        }
    if part == "debian":
        return debian.fetch(work, private, needs(), say)
    if part == "models":
        return fetchers.models(work, models, say)
    if part == "wheels":
        return fetchers.wheels(work, say, engines)
    return {"go": fetchers.go, "maven": fetchers.maven}[part](work, say)


def digests(files: Mapping[str, Fetched], memory: Path) -> dict[str, File]:
    """Return size and SHA-256 of every file; what was not touched since the last time is not read again.

    Raises External for a file that is not what its index or lock says (somebody wrote into the mirror, where it is the
    same file), and removes it, so that the next run fetches it anew.
    """
    known = read(memory, dict[str, Seen]) or {}

    def one(path: Path) -> Seen:
        stat = path.stat()
        old = known.get(str(path))
        if old and (old.size, old.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            return old
        return Seen(stat.st_size, stat.st_mtime_ns, check.sha256(path))

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        seen = dict(zip(files, pool.map(lambda it: one(it.path), files.values()), strict=True))
    for name, it in seen.items():
        if files[name].allowed and it.sha256 not in files[name].allowed:
            files[name].path.unlink()
            raise External(f"{name} was changed since it was fetched", hint="it was removed: run again")
    write_atomically(memory, msgspec.json.encode({str(files[name].path): it for name, it in seen.items()}))
    return {name: File(it.size, it.sha256) for name, it in seen.items()}


def lay_out(
    dest: Path,
    files: Mapping[str, Fetched],
    memory: Path,
    private: Path,
    say: Say,
    *,
    valid: timedelta = timedelta(days=manifest.DAYS),
) -> Made:
    """Lay files out in a new directory, sign it, and put it in the old one's place; ``memory`` keeps known digests.

    `public.asc` beside the ``private`` key is its public half.
    """
    say(f"reading {len(files)} files")
    listed = digests(files, memory)
    stored = sum({it.sha256: it.size for it in listed.values()}.values())
    public = private.with_name("public.asc")
    now = datetime.now(UTC).replace(microsecond=0)
    there = _same(dest, listed, public, valid, now)
    known = there or Dates(now, now + valid)
    made = Made(
        path=str(dest), key=str(dest / check.KEY_NAME), until=f"{known.until:%Y-%m-%d}", files=len(files),
        size=sum(it.size for it in listed.values()), stored=stored, changed=there is None,
    )  # fmt: skip
    if there is not None:
        return made
    fresh, old = dest.with_name(f".{dest.name}-new"), dest.with_name(f".{dest.name}-old")
    for folder in (fresh, old):
        shutil.rmtree(folder, ignore_errors=True)
    first: dict[str, Path] = {}
    try:
        for name, it in listed.items():
            target = fresh / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(first.setdefault(it.sha256, files[name].path))
        fresh.chmod(0o755)
        shutil.copyfile(public, fresh / check.KEY_NAME)
        text = manifest.encode(listed, known)
        write_atomically(fresh / manifest.NAME, signing.clear_sign(private, text).encode())
    except OSError as error:
        raise External(f"{fresh} cannot be laid out: {error.strerror}", hint="a file system with hard links") from None
    if dest.exists():
        dest.rename(old)
    fresh.rename(dest)
    shutil.rmtree(old, ignore_errors=True)
    say(f"{len(files)} files, signed")
    return made


def _same(dest: Path, listed: Mapping[str, File], public: Path, valid: timedelta, now: datetime) -> Dates | None:
    """Return the dates of the mirror that is there if it lists exactly this, by its signed word and its files' sizes.

    None where it is another one, is not valid for as long as is asked for, or half of that has passed.
    """
    try:
        there = check.read(dest, public)
    except BadInput:
        return None
    made, until = there.dates.made, there.dates.until
    if there.files != dict(listed) or until - made != valid or not made <= now < made + valid / 2:
        return None
    paths = {name: dest / name for name in listed}
    whole = all(path.is_file() and path.stat().st_size == listed[name].size for name, path in paths.items())
    return there.dates if whole else None
