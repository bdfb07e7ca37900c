"""Append-only logs: what was acknowledged stays through kills, and a failed write leaves nothing half written."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.cloud.pools.state import Entry, Store
from dualtrack.core.append_log import AppendLog, append, recovered
from dualtrack.core.errors import DualtrackError, External, Refused
from dualtrack.data.checkpoints import journal
from dualtrack.data.checkpoints.manifest import Part
from tests.support.killing import killed
from tests.support.power_cut import Recorder, cuts

#: Kills at least, and at most until some of them have torn a line.
KILLS, MOST_KILLS = 25, 300


def opened(path: Path) -> AppendLog:
    return AppendLog(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND))


def line(number: int) -> bytes:
    """Return a line that its number determines: of a few bytes, or of several writes."""
    return b"%d %b\n" % (number, bytes([97 + number % 26]) * (number % 5 * 2000))


def disk_with(room: int) -> Callable[[int, bytes], int]:
    """Return an `os.write` for a disk that has room for so many bytes: the last write on it is a short one."""
    real, left = os.write, [room]

    def write(handle: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = real(handle, data[: left[0]])
        left[0] -= count
        return count

    return write


def test_a_writer_that_is_killed_at_any_moment_loses_nothing_that_was_acknowledged(
    tmp_path: Path, chance: random.Random
) -> None:
    path, kills, torn = tmp_path / "log", 0, 0
    told = os.open(tmp_path / "told", os.O_RDWR | os.O_CREAT)

    def work() -> None:  # in a process of its own
        real = os.write
        os.write = lambda handle, data: real(handle, data[:100])  # else most kills find a whole line
        os.fdatasync = lambda _: None  # and most of the time is spent here
        with opened(path) as log:
            log.cut_tail()
            number = path.read_bytes().count(b"\n")
            while True:
                log.append([line(number), line(number + 1)])
                number += 2
                os.pwrite(told, b"%12d" % number, 0)

    known = 0
    while kills < KILLS or (torn < 3 and kills < MOST_KILLS):
        assert killed(work, chance.uniform(0.005, 0.03))
        kills += 1
        known = int(os.pread(told, 12, 0) or b"0")
        data = path.read_bytes() if path.exists() else b""
        whole = data.splitlines(keepends=True)
        if whole and not whole[-1].endswith(b"\n"):
            assert line(len(whole) - 1).startswith(whole.pop())
            torn += 1
        assert whole == [line(number) for number in range(len(whole))]
        assert len(whole) >= known
    os.close(told)
    assert known and torn, "nothing was acknowledged, or nothing torn: nothing is proved"  # noqa: PT018
    print(f"{kills} kills: {known} lines acknowledged, {torn} lines torn")


def test_a_power_cut_at_any_moment_leaves_what_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with Recorder(disk, monkeypatch) as recorder:
        for number in range(6):
            append(disk / "log", [b"%d\n" % number])
            recorder.acknowledge()
    for moment, left in cuts(recorder, tmp_path, chance):
        if moment.acknowledged:
            found = list(recovered(os.open(left / "log", os.O_RDWR)))
            assert found == [b"%d\n" % number for number in range(len(found))]
            assert len(found) >= moment.acknowledged


@pytest.mark.parametrize("room", [0, 1, 4, 5, 11])
def test_a_full_disk_leaves_nothing_half_and_the_same_lines_can_be_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    path = tmp_path / "log"
    with opened(path) as log:
        log.append([b"first\n"])
        with monkeypatch.context() as full:
            full.setattr(os, "write", disk_with(room))
            with pytest.raises(OSError, match="No space left"):
                log.append([b"one\n", b"two and more\n"])
        assert path.read_bytes() == b"first\n"
        log.append([b"one\n"])
    assert path.read_bytes() == b"first\none\n"


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:3]))
    with opened(tmp_path / "log") as log:
        log.append([b"one line\n", b"another line\n"])
        assert log.size == 22
    assert (tmp_path / "log").read_bytes() == b"one line\nanother line\n"


def test_what_could_not_be_taken_off_is_taken_off_before_the_next_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(path) as log:
        with monkeypatch.context() as broken:
            broken.setattr(os, "ftruncate", fails)
            broken.setattr(os, "write", disk_with(2))
            with pytest.raises(OSError, match="No space left"):
                log.append([b"one\n"])
        assert path.read_bytes() == b"on"
        log.append([b"two\n"])
    assert path.read_bytes() == b"two\n"


def test_the_limit_of_a_files_size_is_an_error_like_a_full_disk(tmp_path: Path) -> None:
    """The kernel itself writes a part here."""
    path = tmp_path / "log"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with opened(path) as log:
            log.append([b"first\n"])
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
            with pytest.raises(OSError, match="too large"):
                log.append([b"x" * 2000 + b"\n"])
            assert path.read_bytes() == b"first\n"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("block", [1, 3, 1 << 16])
def test_a_torn_line_is_cut_wherever_it_is_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("dualtrack.core.append_log._BLOCK", block)
    path, whole = tmp_path / "log", b"one\ntwo and\nthree\n"
    for cut in range(len(whole) + 1):
        left = whole[:cut]
        path.write_bytes(left)
        lines = left[: left.rfind(b"\n") + 1]
        with opened(path) as log:
            assert log.is_torn() == (lines != left)
            log.cut_tail()
            assert path.read_bytes() == lines
            log.append([b"next\n"])
        path.write_bytes(left)
        assert b"".join(recovered(os.open(path, os.O_RDWR))) == lines == path.read_bytes()


def test_a_reader_that_stops_before_the_end_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"wrong\nright\ntorn")
    lines = recovered(os.open(path, os.O_RDWR))
    assert next(lines) == b"wrong\n"
    del lines
    assert path.read_bytes() == b"wrong\nright\ntorn"


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="is not a regular file"):
        append(tmp_path / "log", [b"line\n"])
    assert not (tmp_path / "elsewhere").exists()


# --- those who keep one (the audit trail: tests/unit/security/audit)


def test_the_pools_journal_has_nothing_half_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.append(Entry(at=1.0, kind="note", reason="one"))
    whole = store.journal.read_bytes()
    with monkeypatch.context() as full:
        full.setattr(os, "write", disk_with(20))
        with pytest.raises(External, match="No space left"):
            store.append(Entry(at=2.0, kind="note", reason="two"), Entry(at=3.0, kind="note", reason="three"))
    assert store.journal.read_bytes() == whole
    store.append(Entry(at=4.0, kind="note", reason="four"))
    assert [it.reason for it in store.entries()[0]] == ["one", "four"]
    assert store.entries()[1] == 0


def test_a_pulls_journal_has_nothing_half_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    record = journal.Journal(path, lambda _: None)
    record.add(Part(file=0, index=1, begin=0, size=5, sha256=""), "a" * 64)
    record.flush()
    record.add(Part(file=0, index=2, begin=0, size=5, sha256=""), "b" * 64)
    with monkeypatch.context() as full:
        full.setattr(os, "write", disk_with(20))
        with pytest.raises((OSError, DualtrackError), match="No space left"):
            record.flush()
    record.add(Part(file=0, index=3, begin=0, size=5, sha256=""), "c" * 64)
    record.flush()
    assert path.read_text() == f"0 1 {'a' * 64}\n0 3 {'c' * 64}\n"
