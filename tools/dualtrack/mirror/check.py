"""Is a mirror what it was when it was signed: by a key that came another way than the mirror itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from dualtrack.errors import BadInput, External
from dualtrack.mirror import signing
from dualtrack.mirror.repository import KEY_NAME

#: Files that the signature does not speak of: itself, the text it signs, the key (not trusted), and what build leaves.
BESIDE = {"InRelease", "Release", KEY_NAME, ".built-from"}
#: Bytes that are hashed at once.
BLOCK = 1 << 20


class Checked(msgspec.Struct, frozen=True):
    """What a check found: ``problems`` is empty when every file is as it was signed."""

    files: int
    bytes: int
    problems: tuple[str, ...]


def check(folder: Path, key: Path) -> Checked:
    """Return what is not as it was signed in a repository's folder. BadInput for a folder or key that is none."""
    signed = folder / "InRelease"
    if not signed.is_file():
        raise BadInput(f"{folder} holds no mirror", hint="the folder that `dualtrack mirror build` made: …/mirror/apt")
    if not key.is_file():
        raise BadInput(f"there is no key {key}", hint="it must come another way than the mirror: --key")
    try:
        text = signing.verified(key, signed)
    except External:
        return Checked(0, 0, ("InRelease is not signed by this key: nothing in the mirror can be trusted",))
    problems: list[str] = []
    files = size = 0
    seen = set(BESIDE)
    for name, digest, length in listed(text):
        problems += _wrong(folder, name, digest, length)
        seen.add(name)
        files, size = files + 1, size + length
    index = folder / "Packages"
    if not problems and index.is_file():
        for name, digest, length in packages(index.read_text(encoding="utf-8", errors="replace")):
            problems += _wrong(folder, name, digest, length)
            seen.add(name)
            files, size = files + 1, size + length
    stray = sorted({str(it.relative_to(folder)) for it in folder.rglob("*") if it.is_file()} - seen)
    problems += [f"{name} was not signed: it does not belong here" for name in stray]
    return Checked(files, size, tuple(problems))


def listed(release: str) -> Iterator[tuple[str, str, int]]:
    """Yield name, SHA-256 and size of each index that a Release text names."""
    below = False
    for line in release.splitlines():
        words = line.split()
        if not line.startswith(" "):
            below = line.strip() == "SHA256:"
        elif below and len(words) == 3 and words[1].isdecimal():
            yield words[2], words[0], int(words[1])


def packages(index: str) -> Iterator[tuple[str, str, int]]:
    """Yield name, SHA-256 and size of each package file that a Packages text names."""
    for stanza in index.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line.startswith(" "))
        if {"Filename", "SHA256", "Size"} <= fields.keys() and fields["Size"].isdecimal():
            yield fields["Filename"], fields["SHA256"], int(fields["Size"])


def _wrong(folder: Path, name: str, digest: str, size: int) -> Iterator[str]:
    path = folder / name
    if ".." in Path(name).parts or Path(name).is_absolute():
        yield f"{name} lies outside of the mirror"
    elif not path.is_file():
        yield f"{name} is missing"
    elif path.stat().st_size != size:
        yield f"{name} has {path.stat().st_size} bytes instead of {size}"
    elif _sha256(path) != digest:
        yield f"{name} has other content than was signed"


def _sha256(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            total.update(block)
    return total.hexdigest()
