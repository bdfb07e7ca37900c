"""The cache on the disk: complete versions only, one puller for each, the least recently used goes first.

    versions/KEY/files/…      a complete version; it appears by one rename
    versions/KEY/entry.json   what it is (see `Entry`); versions/KEY/used: its time is that of the last use
    staging/KEY/…             the same in the making, with its journal
    locks/KEY.pull            held by who pulls; locks/KEY.use by who uses (shared) or evicts (alone)
    trash/…                   on its way out
    refs/…                    which version an address stands for, so that a warm pull asks nobody

Locks are the kernel's (flock): they end with their holder, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.core.files import lock, read, sync_path, write_atomically
from dualtrack.data.checkpoints import manifest as manifests
from dualtrack.data.checkpoints.address import Address
from dualtrack.data.checkpoints.manifest import Manifest

#: Bytes that are left free on the file system, for the journals of all others.
RESERVE = 64 << 20
#: The form of a version whose sealed files were opened; '' is that of one that lies here as it is in the bucket.
UNSEALED = "unsealed"
FORMS = ("", UNSEALED)
#: A time that is not before 1970 and has four digits for its year.
LAST_TIME = 253402300799


#: What `Cache.key` returns: the name of a directory in the one of the versions.
KEY = re.compile(r"[A-Za-z0-9._-]{1,80}-[0-9a-f]{16}")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One complete version: where it is from, what belongs to it, and since when it is here (seconds since 1970).

    ``digest`` is the SHA-256 of the manifest in the bucket; '' for plain objects, and for what an older program pulled.
    """

    address: str
    manifest: Manifest
    pulled: float
    digest: str = ""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A version as it lies in the cache; ``used`` in seconds since 1970.

    Where its entry is damaged, or is not there, ``wrong`` says so: nobody is given such a version, and it is the first
    to go. ``size`` is what it takes on the disk then, and where a file is not there or has another size.
    """

    key: str
    entry: Entry | None
    path: Path
    size: int
    used: float
    in_use: bool
    wrong: str = ""


class Cache:
    """A cache in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # --- names

    def key(self, address: Address, of: Manifest) -> str:
        """Return the name of a version in the cache: readable, and one for each content."""
        word = re.sub(r"[^A-Za-z0-9._-]", "-", f"{address.name}@{address.version or 'plain'}".replace("@", "-"))[:80]
        return f"{word}-{of.digest[:16]}"

    def version(self, key: str) -> Path:
        """Return the directory of a complete version."""
        return self.root / "versions" / key

    def staging(self, key: str) -> Path:
        """Return the directory in which a version is made."""
        return self.root / "staging" / key

    def _ref(self, address: Address, form: str) -> Path:
        return self.root / "refs" / hashlib.sha256(f"{address} {form}".strip().encode()).hexdigest()[:32]

    # --- what is there

    def entry(self, key: str) -> Entry | None:
        """Return a complete version, None where it is not, or where its entry is damaged."""
        return self._entry(key)[0]

    def _entry(self, key: str) -> tuple[Entry | None, str]:
        """Return the entry of a version, or what is wrong with it."""
        path = self.version(key) / "entry.json"
        try:
            found = read(path, Entry, hint="")
        except BadInput as error:
            return None, str(error)
        except PermissionError:
            raise  # it may be in order: others may read it
        except OSError as error:
            return None, f"{path} cannot be read: {error.strerror}"
        if found is None:
            return None, f"there is no {path}"
        wrong = manifests.problem(found.manifest)
        if not wrong and not 0 <= found.pulled <= LAST_TIME:
            wrong = f"it was pulled {found.pulled} seconds after 1970"
        return (None, f"{path} is damaged: {wrong}") if wrong else (found, "")

    def damaged(self) -> dict[str, str]:
        """Return what is wrong with each version whose entry is damaged, or is not there."""
        found = {}
        for directory in self._folders("versions"):
            with contextlib.suppress(PermissionError):  # somebody else's: it may be in order
                if (wrong := self._entry(directory.name)[1]) and directory.exists():
                    found[directory.name] = wrong
        return found

    def known(self, address: Address, form: str = "") -> tuple[str, Entry] | None:
        """Return the complete version that an address stands for in a form, as far as it was pulled before."""
        try:
            key = self._ref(address, form).read_text()
        except PermissionError:
            raise
        except (OSError, UnicodeDecodeError):  # not there, or damaged: a pull asks the bucket
            return None
        entry = self.entry(key) if KEY.fullmatch(key) else None
        return (key, entry) if entry is not None and self.sound(key, entry) else None

    def known_forms(self, address: Address) -> list[tuple[str, Entry]]:
        """Return the complete versions that an address stands for: as it is in the bucket first, then opened."""
        return [known for form in FORMS if (known := self.known(address, form))]

    def remember(self, address: Address, key: str, form: str = "") -> None:
        """Keep which version an address stands for in a form (as it is in the bucket, or another).

        A pull compared the manifest's digest, so what the name with the digest stands for, the one without does, too.
        """
        for name in dict.fromkeys((address, address.bare)):
            write_atomically(self._ref(name, form), key.encode())

    def sound(self, key: str, entry: Entry) -> bool:
        """Return whether all files of a version are there in their sizes: a look, not a check of their content."""
        files = self.version(key) / "files"
        try:
            return all((files / it.path).stat().st_size == it.size for it in entry.manifest.files)
        except OSError:
            return False

    def held(self) -> list[Held]:
        """Return the versions: those that are damaged, then the complete ones, not used for longest first."""
        found = []
        for directory in self._folders("versions"):
            entry, wrong = self._entry(directory.name)
            mark = directory / "used"
            try:
                if entry is not None and self.sound(directory.name, entry):
                    bytes_there = entry.manifest.size
                else:
                    bytes_there = begun(directory)
                used = 0.0 if entry is None else mark.stat().st_mtime if mark.exists() else entry.pulled
            except FileNotFoundError:  # it was removed since
                continue
            if wrong and not directory.exists():
                continue
            found.append(
                Held(
                    key=directory.name, entry=entry, path=directory / "files", size=bytes_there, used=used,
                    in_use=self.in_use(directory.name), wrong=wrong,
                )
            )  # fmt: skip
        return sorted(found, key=lambda it: (not it.wrong, it.used))

    def unfinished(self) -> list[str]:
        """Return the versions that are in the making, or were left so."""
        return [folder.name for folder in self._folders("staging")]

    def _folders(self, kind: str) -> list[Path]:
        try:
            return sorted(it for it in (self.root / kind).iterdir() if it.is_dir())
        except FileNotFoundError:
            return []

    # --- use

    def touch(self, key: str) -> None:
        """Take note that a version is used now; file systems are often told not to keep the time of reading."""
        with contextlib.suppress(OSError):
            (self.version(key) / "used").touch()

    def in_use(self, key: str) -> bool:
        """Return whether somebody holds a version, or has one of its files open."""
        with self._lock(key, "use", wait=False) as mine:
            pass
        return not mine or opened(self.version(key))

    def use(self, key: str) -> Path:
        """Hold a version until this process ends, and those that it starts or becomes. Refused where it is gone."""
        handle = self._open(key, "use")
        lock(handle, shared=True)  # waits for who only looks, too: that takes no time
        if self.entry(key) is None:
            what = "is damaged" if self.version(key).exists() else "was removed"
            raise Refused(f"{key} {what}", hint="pull it again")
        os.set_inheritable(handle, True)
        self.touch(key)
        return self.version(key) / "files"

    @contextlib.contextmanager
    def pulling(self, key: str, *, wait: bool = True) -> Iterator[bool]:
        """Be the one who pulls a version; yields False where another one does and ``wait`` is not wanted."""
        with self._lock(key, "pull", wait=wait) as mine:
            yield mine

    def _open(self, key: str, kind: str) -> int:
        path = self.root / "locks" / f"{key}.{kind}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except PermissionError:
            # Who may only read the cache may hold what is in it: that needs no right to write.
            with contextlib.suppress(OSError):
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            raise External(f"cannot lock {path}: Permission denied", hint="--cache names a directory") from None
        except OSError as error:
            raise External(f"cannot lock {path}: {error.strerror}", hint="--cache names a directory") from None

    @contextlib.contextmanager
    def _lock(self, key: str, kind: str, *, wait: bool) -> Iterator[bool]:
        handle = self._open(key, kind)
        try:
            yield lock(handle, wait=wait)
        finally:
            os.close(handle)

    # --- in and out

    def publish(self, key: str, address: Address, of: Manifest, form: str = "") -> Path:
        """Make a version that is complete in its staging directory appear, after all of it is safely on the disk.

        Nobody changes it from then on, by mistake neither; what was unsealed is not for everybody to read.
        """
        staging, target = self.staging(key), self.version(key)
        entry = Entry(address=str(address.bare), manifest=of, pulled=time.time(), digest=address.digest)
        write_atomically(staging / "entry.json", msgspec.json.encode(entry))
        for folder, _, names in os.walk(staging / "files"):
            for name in names:
                Path(folder, name).chmod(0o440 if form else 0o444)
            sync_path(Path(folder))
        sync_path(staging)
        (staging / "journal").unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():  # unsound: found so by a pull
            self.discard(target)
        staging.rename(target)
        sync_path(target.parent)
        os.close(self._open(key, "use"))  # for who may read the cache and make no file in it
        self.remember(address, key, form)
        return target / "files"

    def note(self, key: str, entry: Entry, address: Address) -> None:
        """Add its digest to an entry that an older program made."""
        if address.digest and not entry.digest:
            noted = msgspec.structs.replace(entry, digest=address.digest)
            write_atomically(self.version(key) / "entry.json", msgspec.json.encode(noted))

    def discard(self, folder: Path) -> None:
        """Make a directory of the cache disappear at once, and delete it then."""
        trash = self.root / "trash" / uuid.uuid4().hex
        trash.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder.rename(trash)
        self.sweep()

    def sweep(self) -> None:
        """Delete what is in the trash, also what a killed one left there."""
        for folder in self._folders("trash"):
            shutil.rmtree(folder, ignore_errors=True)

    def evict(self, key: str) -> bool:
        """Remove a version unless it is in use; return whether it went."""
        with self._lock(key, "use", wait=False) as mine:
            if not mine or opened(self.version(key)):
                return False
            self.discard(self.version(key))
            return True

    def drop_unfinished(self, key: str) -> bool:
        """Remove what an ended pull left, unless somebody is at it; return whether it went."""
        with self.pulling(key, wait=False) as mine:
            if mine:
                self.discard(self.staging(key))
            return mine

    def free(self) -> int:
        """Return the bytes that are free for this cache."""
        self.root.mkdir(parents=True, exist_ok=True)
        found = os.statvfs(self.root)
        return max(0, found.f_bavail * found.f_frsize - RESERVE)


def begun(folder: Path) -> int:
    """Return the bytes that an unfinished version already has on the disk."""
    return sum(it.stat().st_blocks * 512 for it in (folder / "files").rglob("*") if it.is_file())


def opened(folder: Path) -> bool:
    """Return whether a process has a file below ``folder`` open, or mapped into its memory.

    The kernel tells the files' owner of every process, also in a container: it gives no lease on such a file. Where it
    gives none at all (not our files, a network file system), what /proc shows us must do.
    """
    try:
        return any(_leased_by_nobody_else(it) is False for it in folder.rglob("*") if it.is_file())
    except OSError:
        return _seen_open(folder)


def _leased_by_nobody_else(path: Path) -> bool:
    """Return whether nobody has a file open; OSError where the kernel gives no leases on it."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Who opens the file in this moment waits for it to pass, and we are told so by a signal: one that ends nobody.
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _seen_open(folder: Path) -> bool:
    """Return whether a process that we may look at has a file below ``folder`` open, or mapped."""
    start = f"{folder.resolve()}/"
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            for link in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(link.readlink()).startswith(start):
                        return True
        with contextlib.suppress(OSError):
            if start in (process / "maps").read_text(errors="replace"):
                return True
    return False


def check(folder: Path, of: Manifest) -> list[str]:
    """Return what of a version is not as its manifest says, file by file, read whole."""
    wrong = []
    for file in of.files:
        path = folder / file.path
        try:
            if path.stat().st_size != file.size:
                wrong.append(f"{file.path} has {path.stat().st_size} bytes instead of {file.size}")
            elif file.parts and _digests(path, of.part) != file.parts:
                wrong.append(f"{file.path} has other content than was pushed")
        except OSError as error:
            wrong.append(f"{file.path}: {error.strerror}")
    return wrong


def _digests(path: Path, part: int) -> tuple[str, ...]:
    with path.open("rb") as file:
        return tuple(manifests.hash_parts(file, path.stat().st_size, part))
