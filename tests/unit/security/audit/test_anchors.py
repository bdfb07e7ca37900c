"""Anchors in a file: one that was kept is read again, wherever the line before it was torn."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
from pathlib import Path

import msgspec
import pytest

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.security.audit import anchors
from dualtrack.security.audit.verify import Anchor
from tests.support.power_cut import Recorder, cuts


def anchor(number: int) -> Anchor:
    return Anchor(host="vault-1", segment=number, digest=f"{number:064x}", last=number * 10, ended=number * 10**9)


def line(number: int) -> bytes:
    return msgspec.json.encode(anchor(number)) + b"\n"


def kept(path: Path) -> list[int]:
    return [it.segment for it in anchors.read([str(path)])]


@pytest.mark.parametrize("before", [b"", line(1), line(1) + line(2)], ids=["none", "one", "two"])
def test_an_anchor_after_a_torn_line_is_kept(tmp_path: Path, before: bytes) -> None:
    """What a full disk or a power cut left of a line is taken off; a line that only lacks its newline is whole."""
    path, torn = tmp_path / "anchors", line(3)
    there = list(range(1, before.count(b"\n") + 1))
    for cut in range(len(torn) + 1):
        path.write_bytes(before + torn[:cut])
        assert anchors.keep(anchor(4), str(path), days=1)
        whole = [3] if cut >= len(torn) - 1 else []
        assert kept(path) == [*there, *whole, 4], cut
        assert path.read_bytes().endswith(line(4))


def test_a_full_disk_keeps_no_part_of_an_anchor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "anchors", os.write
    anchors.keep(anchor(1), str(path), days=1)
    for room in range(len(line(2))):
        left = [room]

        def write(handle: int, data: bytes, left: list[int] = left) -> int:
            if not left[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            count = real(handle, data[: left[0]])
            left[0] -= count
            return count

        with monkeypatch.context() as full:
            full.setattr(os, "write", write)
            with pytest.raises(External, match="No space left"):
                anchors.keep(anchor(2), str(path), days=1)
        assert kept(path) == [1], room
    anchors.keep(anchor(3), str(path), days=1)
    assert kept(path) == [1, 3]


def test_a_power_cut_leaves_the_anchors_that_were_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with Recorder(disk, monkeypatch) as recorder:
        for number in range(1, 5):
            anchors.keep(anchor(number), str(disk / "anchors"), days=1)
            recorder.acknowledge()
    looked = 0
    for moment, left in cuts(recorder, tmp_path, chance):
        if moment.acknowledged:
            anchors.keep(anchor(9), str(left / "anchors"), days=1)
            found = kept(left / "anchors")
            assert found == [*range(1, len(found)), 9]
            assert len(found) > moment.acknowledged
            looked += 1
    assert looked, "no moment at which an anchor had been kept"


def _keep_some(path: str, first: int) -> None:
    for number in range(first, first + 25):
        anchors.keep(anchor(number), path, days=1)


def test_hosts_that_keep_anchors_in_one_file_at_once_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "anchors"
    workers = [multiprocessing.Process(target=_keep_some, args=(str(path), 1 + 25 * it)) for it in range(4)]
    for it in workers:
        it.start()
    for it in workers:
        it.join()
    assert sorted(kept(path)) == list(range(1, 101))


@pytest.mark.parametrize(
    "end", [b"a note", b"1", b"{}", b'{"name": "other"', line(1)[:-1] + b"x", b"\xff\xfe", line(1)[:-1] + line(2)[:-9]]
)
def test_the_end_of_another_file_is_neither_cut_nor_continued(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(line(1) + end)
    with pytest.raises(BadInput, match="notes does not end with an anchor"):
        anchors.keep(anchor(2), str(path), days=1)
    assert path.read_bytes() == line(1) + end


def test_an_anchor_is_not_kept_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="is not a regular file"):
        anchors.keep(anchor(1), str(tmp_path / "link"), days=1)
    assert not (tmp_path / "elsewhere").exists()


def test_an_auditor_may_read_the_file(tmp_path: Path) -> None:
    """An anchor is not a secret: who verifies is often somebody else than who keeps it."""
    old = os.umask(0o022)
    try:
        anchors.keep(anchor(1), str(tmp_path / "anchors"), days=1)
    finally:
        os.umask(old)
    assert (tmp_path / "anchors").stat().st_mode & 0o777 == 0o644
