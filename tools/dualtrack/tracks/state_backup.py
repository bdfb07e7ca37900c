"""The state of a deployment in one sealed file, and back: all that another controller needs.

That is the state directory (OpenTofu's files, host keys, the certificate authority, audit keys, inventories), the facts
file, the settings of a real account's stack, and whatever else is named: keys that a site keeps elsewhere. What a
controller makes again (providers, logs) is left out.

In the sealed directory:

    manifest.json    when and from what it was taken, and where each part belongs
    parts/N          a file or a directory
"""

from __future__ import annotations

import filecmp
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

import msgspec

from dualtrack.core import paths
from dualtrack.core.errors import BadInput, Refused
from dualtrack.core.files import read, write_atomically
from dualtrack.inventory import deployment
from dualtrack.security.seal import actions, removal
from dualtrack.security.seal.slots import Identity, Recipient

Tick = Callable[[int], None]
MANIFEST, PARTS = "manifest.json", "parts"
STATE_PART, CHECKOUT, ELSEWHERE = "state", "checkout", "elsewhere"
#: Made again by the next `up`, or of no use elsewhere.
LEFT_OUT = ("logs", "providers", "plan.tfplan", ".terraform", "*.lock")
#: What a stack of a real account is set by, beside the tree.
SETTINGS = ("terraform/stacks/aws/terraform.tfvars", "terraform/stacks/aws/backend.hcl")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file or directory: where it belongs, by the state directory, the checkout, or a path of the machine."""

    number: int
    place: str
    path: str = ""
    files: int
    size: int

    def target(self) -> Path:
        """Return where it belongs on this machine; BadInput where it says so in a way that we never do."""
        path = Path(self.path)
        if self.place == STATE_PART and not self.path:
            return paths.STATE
        if ".." not in path.parts and (self.place, path.is_absolute()) in {(CHECKOUT, False), (ELSEWHERE, True)}:
            return paths.ROOT / path
        raise BadInput(f"the backup has a part for {self.place} {self.path!r}, where none belongs")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds: since when (UTC), the directories that it was taken from, and its parts; sizes in bytes."""

    taken: str
    state: str
    checkout: str
    parts: tuple[Part, ...]


def backup(target: Path, recipients: Sequence[Recipient], include: Sequence[Path], tick: Tick) -> Manifest:
    """Seal the state into a file that does not exist yet; BadInput without a state, or for a path that is not there."""
    if not recipients:
        raise BadInput("nobody could open it", hint="--recipient or --passphrase-file")
    if not paths.STATE.is_dir():
        raise BadInput(f"there is no state in {paths.STATE}", hint="dualtrack up makes one")
    sources = list(_sources(include))
    with _scratch() as scratch:
        parts = []
        for number, (place, path, source) in enumerate(sources):
            copy = scratch / PARTS / str(number)
            copy.parent.mkdir(exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, symlinks=True, ignore=_ignored)
            else:
                shutil.copy2(source, copy)
            found = [it for it in ([copy] if copy.is_file() else copy.rglob("*")) if it.is_file()]
            size = sum(it.lstat().st_size for it in found)
            parts.append(Part(number=number, place=place, path=path, files=len(found), size=size))
        made = Manifest(
            taken=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            state=str(paths.STATE.absolute()),
            checkout=str(paths.ROOT),
            parts=tuple(parts),
        )
        (scratch / MANIFEST).write_bytes(msgspec.json.encode(made))
        actions.seal(str(scratch), str(target), recipients, force=False, tick=tick)
    return made


def show(source: Path, identities: Sequence[Identity], tick: Tick) -> Manifest:
    """Return what a backup holds, every byte of it verified."""
    with _opened(source, identities, tick) as (_, manifest):
        return manifest


def restore(source: Path, identities: Sequence[Identity], tick: Tick, *, dry_run: bool = False) -> Manifest:
    """Put all parts where they belong, or none; Refused where another one is there. A file that is the same stays.

    Paths of the machine that it was taken from are those of this one afterwards, in the record of what is up and in the
    generated inventories.
    """
    with _opened(source, identities, tick) as (folder, manifest):
        wanted = [it for it in manifest.parts if not _same(folder / PARTS / str(it.number), it.target())]
        for part in wanted:
            if (there := part.target()).exists() and not (there.is_dir() and not any(there.iterdir())):
                raise Refused(
                    f"{there} is there already, and is another one: nothing was restored", hint="move it away"
                )
        if dry_run:
            return manifest
        placed: list[Path] = []
        try:
            # The state last: with it, commands find a deployment.
            for part in sorted(wanted, key=lambda it: it.place == STATE_PART):
                copy, target = folder / PARTS / str(part.number), part.target()
                if part.place == STATE_PART:
                    _relocate(copy, manifest)
                _put(copy, target)
                placed.append(target)
        except BaseException:
            for target in placed:
                removal.remove(target)
            raise
        return manifest


def _sources(include: Sequence[Path]) -> Iterator[tuple[str, str, Path]]:
    """Yield where each part belongs, its path there, and the file or directory itself."""
    yield STATE_PART, "", paths.STATE
    facts = deployment.current().facts
    seen: set[Path] = set()
    optional = [*([Path(facts)] if facts else []), *(paths.ROOT / it for it in SETTINGS)]
    for path, named in [*((it, False) for it in optional), *((it, True) for it in include)]:
        absolute = path.expanduser().absolute()
        if not absolute.exists():
            if named:
                raise BadInput(f"there is no {path} to include")
            continue
        if absolute in seen or absolute.is_relative_to(paths.STATE.absolute()):
            continue
        seen.add(absolute)
        if absolute.is_relative_to(paths.ROOT):
            yield CHECKOUT, str(absolute.relative_to(paths.ROOT)), absolute
        else:
            yield ELSEWHERE, str(absolute), absolute


def _ignored(folder: str, names: list[str]) -> set[str]:
    """Return what is not copied: what is made again, and sockets, pipes and devices."""
    kinds = {it: Path(folder, it).lstat().st_mode for it in names}
    special = {it for it, mode in kinds.items() if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))}
    return special | {it for it in names if any(fnmatch(it, left) for left in LEFT_OUT)}


def _same(copy: Path, there: Path) -> bool:
    """Tell whether a file is there already as it is in the backup."""
    return copy.is_file() and there.is_file() and filecmp.cmp(copy, there, shallow=False)


def _put(copy: Path, target: Path) -> None:
    """Put a file or directory where there is none, or an empty directory, by one rename on its file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.restored")
    try:
        if copy.is_dir():
            shutil.copytree(copy, fresh, symlinks=True)
        else:
            shutil.copy2(copy, fresh)
        fresh.rename(target)
    finally:
        if fresh.exists():
            removal.remove(fresh)


@contextmanager
def _scratch() -> Iterator[Path]:
    """Yield a new directory for this account alone, beside the state, on the same file system."""
    paths.STATE.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".state-backup-", dir=paths.STATE.absolute().parent) as name:
        yield Path(name)


@contextmanager
def _opened(source: Path, identities: Sequence[Identity], tick: Tick) -> Iterator[tuple[Path, Manifest]]:
    with _scratch() as scratch:
        folder = scratch / "opened"
        actions.unseal(str(source), str(folder), identities, force=False, tick=tick)
        manifest = read(folder / MANIFEST, Manifest)
        if manifest is None:
            raise BadInput(f"{source} is not a backup of a deployment", hint="dualtrack unseal opens other files")
        yield folder, manifest


def _relocate(state: Path, manifest: Manifest) -> None:
    """Name this machine's directories in what names those of the other one."""
    here = {manifest.state: str(paths.STATE.absolute()), manifest.checkout: str(paths.ROOT)}
    for path in [state / "tracks.json", *state.glob("inventories/*/hosts-*.json")]:
        if path.is_file():
            text = path.read_text()
            for old, new in here.items():
                text = text.replace(f"{old}/", f"{new}/")
            write_atomically(path, text.encode(), path.stat().st_mode & 0o777)
