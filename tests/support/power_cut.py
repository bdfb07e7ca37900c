"""What a power cut may leave of the files that a program writes.

Only this is certain to be on the disk: the data of a file at its last `fsync`, and the names in a directory at its last
`fsync`. Of what came later, each file and each directory may show any state that it has had since, whatever the others
show, and what was added to a file last may be there in part. File systems promise more than that.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Node:
    """A file or a directory: what it may be after a power cut, the oldest first."""

    def __init__(self, *versions: Any) -> None:
        self.versions: tuple[Any, ...] = versions


class Killed(BaseException):
    """The process is killed: what it wrote is seen by the next one, and not on the disk."""


class Moment:
    """A moment at which the power may go: every node's versions, and how much was acknowledged by then."""

    def __init__(self, top: Node, versions: dict[Node, tuple[Any, ...]], acknowledged: int) -> None:
        self.top, self.versions, self.acknowledged = top, versions, acknowledged

    def leave(self, folder: Path, choose: random.Random | None, *, latest: bool = False) -> Path:
        """Write what the cut leaves to a new directory: at random, or the oldest of everything, or the latest."""

        def put(node: Node, path: Path) -> None:
            versions = self.versions[node]
            at = choose.randrange(len(versions)) if choose else -latest
            found = versions[at]
            if isinstance(found, dict):
                path.mkdir(mode=0o700)
                for name, below in found.items():
                    put(below, path / name)
                return
            following = versions[at + 1] if choose and at + 1 < len(versions) else found
            if choose and following.startswith(found):  # it was being added to
                found = following[: choose.randint(len(found), len(following))]
            path.touch(0o600)  # the model knows no modes: all is its owner's alone, as keys are from their first byte
            path.write_bytes(found)

        put(self.top, folder)
        return folder


class Recorder:
    """Follows what this process does below ``top``. `moments` has a moment for each step; `acknowledge` counts.

    ``kill`` is the number of the sync that raises `Killed` instead, ``lose`` of one that does nothing, as if it were
    not in the program; ``syncs`` counts them.
    """

    def __init__(self, top: Path, patch: pytest.MonkeyPatch, kill: int = 0, lose: int = 0) -> None:
        self.top, self.kill, self.lose, self.syncs, self.acknowledged = top, kill, lose, 0, 0
        self.moments = list[Moment]()
        self._nodes: dict[tuple[int, int], Node] = {}
        self._recording = False
        self._observe(at_rest=True)
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, self._syncing(getattr(os, name)))
        sys.addaudithook(self._hook)

    def __enter__(self) -> Recorder:
        self._recording = True
        return self

    def __exit__(self, *_: object) -> None:
        self._observe()
        self._recording = False

    def acknowledge(self, count: int = 0) -> None:
        """Note that somebody was told that another piece of work is safe, or that ``count`` are."""
        self._observe()
        self.acknowledged = count or self.acknowledged + 1
        self._keep()

    def _hook(self, event: str, _: object) -> None:
        # Before each call that changes names, or opens a file: what was done until then may be all that the disk sees.
        if self._recording and (event == "open" or event in ("os.rename", "os.remove", "os.mkdir", "os.truncate")):
            self._observe()

    def _syncing(self, real: Any) -> Any:
        def sync(handle: int) -> None:
            if not self._recording:
                return  # what continues after a cut is not cut again, and a disk takes its time
            self._observe()
            self.syncs += 1
            if self.syncs == self.kill:
                raise Killed
            if self.syncs == self.lose:
                return
            real(handle)
            facts = os.fstat(handle)
            node = self._nodes.get((facts.st_dev, facts.st_ino))
            if node is not None:
                node.versions = node.versions[-1:]
                self._keep()

        return sync

    def _observe(self, *, at_rest: bool = False) -> None:
        """Look at everything below the top, and note what has changed; ``at_rest``: it has long been on the disk."""
        recording, self._recording = self._recording, False  # what is opened to look is not the program's work
        nodes: dict[tuple[int, int], Node] = {}

        def look(path: Path) -> Node:
            facts = path.lstat()
            inode = facts.st_dev, facts.st_ino
            content = {it.name: look(it) for it in path.iterdir()} if path.is_dir() else path.read_bytes()
            node = self._nodes.get(inode) or Node(*([] if at_rest else [type(content)()]))
            if not node.versions or node.versions[-1] != content:
                node.versions += (content,)
            nodes[inode] = node
            return node

        self._top = look(self.top)
        self._nodes = nodes
        self._keep()
        self._recording = recording

    def _keep(self) -> None:
        versions: dict[Node, tuple[Any, ...]] = {}

        def walk(node: Node) -> None:
            versions[node] = node.versions
            for version in node.versions:
                for below in version.values() if isinstance(version, dict) else ():
                    walk(below)

        walk(self._top)
        if not self.moments or (self.moments[-1].versions, self.moments[-1].acknowledged) != (
            versions,
            self.acknowledged,
        ):
            self.moments.append(Moment(self._top, versions, self.acknowledged))


def cuts(recorder: Recorder, scratch: Path, chance: random.Random, each: int = 4) -> Iterator[tuple[Moment, Path]]:
    """Yield what cuts at every moment leave: the least, the most, and ``each`` others at random."""
    for number, moment in enumerate(recorder.moments):
        for kind in range(each + 2):
            choose = chance if kind > 1 else None
            yield moment, moment.leave(scratch / f"{number}-{kind}", choose, latest=kind == 1)
