"""Building the mirror: the packages, their indices and the signature, whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import inspect
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from dualtrack.core.files import locked, write_atomically
from dualtrack.core.paths import LAB
from dualtrack.data.mirror import apt, offline, signing, toolkit
from dualtrack.data.mirror.check import KEY_NAME


class Mirror(msgspec.Struct, frozen=True):
    """A mirror that is there: its apt repository, the public key beside it, and whether this call built it."""

    apt: Path
    key: Path
    built: bool


def build(
    dest: Path,
    progress: Callable[[str], None] = lambda _: None,
    *,
    lab: Path | None = None,
    secret: Path | None = None,
) -> Mirror:
    """Build the mirror in ``dest`` unless it is there already from the same sources, or was carried in.

    `dest/apt` is the repository (apt's suite is `/`), `dest/apt/dualtrack-mirror.asc` the key that signs it; `dest` may
    be served as it is, the private key lies in the directory
    ``secret`` (one beside it, where none is named). A copy of the public key is put into
    ``lab``/mirror (`.lab` by default), where inventories/lab looks for it.
    """
    if (brought := offline.folder()) is not None:
        return Mirror(brought / "apt", _show(offline.key(), lab or LAB), built=False)
    dest.mkdir(parents=True, exist_ok=True)
    repository, secret = dest / "apt", secret or dest.with_name(dest.name + "-key")
    wanted = digest(sources())
    with locked(dest):  # two checkouts share the cache
        stamp = repository / ".built-from"
        built = not (stamp.is_file() and stamp.read_text() == wanted and (secret / "private.asc").is_file())
        if built:
            private = signing.ensure_key(secret)
            with tempfile.TemporaryDirectory(dir=dest.parent, prefix=".mirror-") as work:
                packages = [toolkit.build(Path(work), progress)]
                fresh = Path(work) / "apt"
                write(fresh, packages, lambda text: signing.clear_sign(private, text), signing.public_key(private))
                (fresh / stamp.name).write_text(wanted)
                if repository.exists():
                    repository.rename(Path(work) / "old")
                fresh.rename(repository)
            progress(f"{len(packages)} package, signed")
    _show(repository / KEY_NAME, lab or LAB)
    return Mirror(repository, repository / KEY_NAME, built)


def _show(key: Path, lab: Path) -> Path:
    """Copy the public key to where inventories/lab looks for it; return the key."""
    copy = lab / "mirror" / KEY_NAME
    if not copy.is_file() or copy.read_bytes() != key.read_bytes():
        write_atomically(copy, key.read_bytes())
    return key


def write(
    folder: Path,
    packages: Sequence[apt.Package],
    sign: Callable[[str], str],
    public_key: str,
    when: datetime | None = None,
) -> None:
    """Write a whole repository into the new ``folder``; ``sign`` turns `Release` into `InRelease`."""
    folder.mkdir()
    folder.chmod(0o755)
    for package in packages:
        (folder / package.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / package.path).write_bytes(package.content)
    index = apt.packages_index(packages).encode()
    indices = {"Packages": index, "Packages.gz": gzip.compress(index, mtime=0)}
    for name, content in indices.items():
        (folder / name).write_bytes(content)
    architectures = {
        line.split(": ")[1] for p in packages for line in p.control.splitlines() if line.startswith("Arch")
    }
    text = apt.release(indices, architecture=" ".join(sorted(architectures)), when=when or datetime.now(UTC))
    (folder / "Release").write_text(text)
    (folder / "InRelease").write_text(sign(text))
    (folder / KEY_NAME).write_text(public_key)


def sources() -> dict[str, bytes]:
    """Return all that decides what the mirror holds: the pins, and the code that packs and writes."""
    named = {path.name: path.read_bytes() for path in (toolkit.SOURCE / "go.mod", toolkit.SOURCE / "go.sum")}
    return named | {module.__name__: inspect.getsource(module).encode() for module in (apt, toolkit)}


def digest(parts: Mapping[str, bytes]) -> str:
    """Return one digest of named contents; the order in which they are given does not matter."""
    total = hashlib.sha256()
    for name, content in sorted(parts.items()):
        total.update(f"{name}:{len(content)}:".encode() + content)
    return total.hexdigest()
