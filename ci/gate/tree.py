"""The checkout as the result cache sees it: the digest of each file and of each directory's list of names."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath


class Tree:
    """What lay in the checkout at ``root`` when this was made.

    ``tracked`` and ``untracked`` are paths relative to it; files that git ignores do not exist here.
    """

    def __init__(self, root: Path, started: Callable[[int], None] = lambda _: None) -> None:
        """Look at the checkout; ``started`` is told the id of each process that this takes."""
        self.root = root
        self.tracked = frozenset(_git(root, started, "ls-files", "-z"))
        self.untracked = frozenset(_git(root, started, "ls-files", "--others", "--exclude-standard", "-z"))
        self._names: dict[str, set[str]] = {"": set()}
        for path in self.tracked | self.untracked:
            for parent, name in _levels(path):
                self._names.setdefault(parent, set()).add(name)
        self._digests: dict[str, str] = {}

    @property
    def directories(self) -> list[str]:
        """Every directory that holds files, relative to the root; `''` is the root itself."""
        return sorted(self._names)

    def digest(self, path: str) -> str:
        """Return the digest of a file (its content, and whether it may be executed), or of a directory's names.

        `''` for what is not there, or is ignored by git.
        """
        if path not in self._digests:
            self._digests[path] = self._directory(path) if path.endswith("/") or not path else self._file(path)
        return self._digests[path]

    def inputs(self, opened: Iterable[str]) -> dict[str, str]:
        """Return what a run that opened these paths depends on: path to digest.

        Beside each file the names in all directories above it: a file that appears next to one that was read may be
        looked up by name (a role's `vars/main.yml`, a module that hides another), and no program opens what is not
        there. The tree's symbolic links count always: the kernel names the file that a link leads to, not the link.
        """
        files = self.tracked | self.untracked
        known = {f"{path}/" if path in self._names else path for path in opened if path in self._names or path in files}
        above = {f"{parent}/" if parent else "" for path in known for parent, _ in _levels(path)}
        wanted = known | above | {path for path in self.tracked if (self.root / path).is_symlink()}
        return {path: self.digest(path) for path in sorted(wanted)}

    def everything(self) -> dict[str, str]:
        """Return the digests of all files."""
        return {path: self.digest(path) for path in sorted(self.tracked | self.untracked)}

    def _directory(self, path: str) -> str:
        names = self._names.get(path.rstrip("/"))
        return "" if names is None else _short("\0".join(sorted(names)).encode())

    def _file(self, path: str) -> str:
        place = self.root / path
        if path not in self.tracked and path not in self.untracked:
            return ""
        try:
            status = place.lstat()
            if stat.S_ISLNK(status.st_mode):
                return _short(b"link\0" + os.fsencode(place.readlink()))
            kind = b"program\0" if status.st_mode & 0o100 else b"file\0"
            return _short(kind + place.read_bytes())
        except OSError:  # deleted and not yet committed, or a submodule
            return ""


def _levels(path: str) -> list[tuple[str, str]]:
    """Return each directory above ``path`` with the name below it that leads there."""
    parts = PurePosixPath(path).parts
    return [("/".join(parts[:depth]), parts[depth]) for depth in range(len(parts))]


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:24]


def _git(root: Path, started: Callable[[int], None], *words: str) -> list[str]:
    with subprocess.Popen(["git", *words], cwd=root, stdout=subprocess.PIPE) as process:
        started(process.pid)
        out, _ = process.communicate()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return [os.fsdecode(name) for name in out.split(b"\0") if name]
