"""Locks: who waits is told, and who need not wait is not."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dualtrack.core import files
from dualtrack.core.errors import BadInput, DualtrackError, External, Refused
from dualtrack.core.files import locked, made_whole, read_small, read_whole, write_atomically


def test_who_waits_for_a_lock_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SILENT_S", 0.01)
    said: list[str] = []
    with locked(tmp_path / "it", said.append):
        waits = threading.Event()

        def wait() -> None:
            with locked(tmp_path / "it", lambda text: (said.append(text), waits.set())[0]):
                said.append("had")

        thread = threading.Thread(target=wait)
        thread.start()
        assert waits.wait(10)
        assert said == [f"waiting for another run on {tmp_path}"]
    thread.join(10)
    assert said[1:] == ["had"]


def test_a_lock_that_is_free_soon_is_not_worth_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    first = locked(tmp_path / "it")
    first.__enter__()
    monkeypatch.setattr("dualtrack.core.files.time.sleep", lambda _: first.__exit__(None, None, None))
    with locked(tmp_path / "it", said.append):
        assert said == []


def test_nothing_but_a_regular_file_is_read(tmp_path: Path) -> None:
    """And nobody waits: a pipe has no other end here, and a device has none at all."""
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        assert read_whole(tmp_path / name, 5, regular=True) == b"12345"
        with pytest.raises(BadInput, match="too long"):
            read_whole(tmp_path / name, 4, regular=True)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "to-pipe").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
    for other in (
        "pipe", "to-pipe", "directory", "loop", "socket", "none", "file/x", "x" * 300, "a\0b", "\ud800", "/dev/zero",
        "/dev/tty", "/dev/null",
    ):  # fmt: skip
        with pytest.raises(BadInput) as error:
            read_whole(tmp_path / other, 5, regular=True)
        assert "\n" not in str(error.value)


def test_small_files_of_json(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text('{"a": 1}')
    assert read_small(file, dict[str, int], 100, "price file") == {"a": 1}
    deep = 100_000
    for text in (
        "", "{", "[1]", '{"a": "x"}', '{"a": 1e400}', "\0", '{"a": 1}\0', "[" * deep, '{"a":' * deep,
        "[" * deep + "]" * deep, '"\\ud800"',
    ):  # fmt: skip
        file.write_bytes(text.encode())
        for kind in (dict[str, int], Any):
            if kind is Any and text in ("[1]", '{"a": "x"}'):
                continue
            with pytest.raises(BadInput, match="is not a price file"):
                read_small(file, kind, 1 << 20, "price file")
    file.write_bytes(b'{"\xff": 1}')
    with pytest.raises(BadInput, match="is not a price file"):
        read_small(file, dict[str, int], 1 << 20, "price file")


def test_a_directory_in_one_that_we_may_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync_path = files.sync_path

    def sync(path: Path) -> None:
        if path == tmp_path:  # the superuser may read all of them
            raise PermissionError(13, "Permission denied")
        sync_path(path)

    monkeypatch.setattr(files, "sync_path", sync)
    with made_whole(tmp_path / "new"):
        pass
    assert [it.name for it in tmp_path.iterdir()] == ["new"]


def test_a_directory_is_whole_or_nothing_of_it_stays(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    for target in ("new", "a/b/c", "n" * 255):
        with made_whole(tmp_path / target) as fresh:
            (fresh / "x").write_text(target)
            assert not (tmp_path / target / "x").exists()
        assert (tmp_path / target / "x").read_text() == target
        assert (tmp_path / target).stat().st_mode == (tmp_path / "usual").stat().st_mode
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))

    def fail(target: Path, wrong: type[BaseException]) -> None:
        with made_whole(target) as fresh:
            (fresh / "x").touch()
            raise wrong("no")

    for wrong in (KeyboardInterrupt, OSError, ValueError, Refused):
        for target in ("other", "d/e/f"):
            with pytest.raises(External if wrong is OSError else wrong, match=r"other|d/e/f|no"):
                fail(tmp_path / target, wrong)
    for taken in ("new", "usual", "a", "file", "link", ".", "..", "/"):
        with pytest.raises(Refused, match=r"is there already.*name another directory"), made_whole(tmp_path / taken):
            raise AssertionError
    for taken in ("file", "link"):
        with pytest.raises(Refused, match=f"{taken} is not a directory"), made_whole(tmp_path / taken / "x"):
            raise AssertionError
    with pytest.raises(Refused, match="is there already"), made_whole(tmp_path / "since") as fresh:
        (tmp_path / "since/x").mkdir(parents=True)
    (tmp_path / "since/x").rmdir()
    (tmp_path / "since").rmdir()
    with pytest.raises(DualtrackError), made_whole(tmp_path / ("x" * 300)):
        pass
    assert sorted(tmp_path.rglob("*")) == before


#: Locks a file and says so, until its stdin ends.
HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, {how})
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_another(path: Path, how: str = "fcntl.LOCK_EX") -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", HOLDER.format(how=how), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.stdin.close()


def test_who_has_a_lock_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as process:
        named = re.escape(f"the trail is being written: process {process.pid} (end it)")
        with pytest.raises(Refused, match=named), files.alone(path, "the trail is being written", hint="end it"):
            pass
    with files.alone(path, "the trail is being written"), pytest.raises(Refused, match=f"process {os.getpid()}$"):
        files.hold(path, "again")
    os.close(files.hold(path, "it is free by now"))


def test_a_lock_is_refused_without_a_name_where_the_kernel_says_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "holder", lambda _: "")
    with files.alone(tmp_path / "lock", "taken"), pytest.raises(Refused, match=r"^taken$"):
        files.hold(tmp_path / "lock", "taken")


def test_a_shared_lock_goes_with_others_and_not_with_one_that_is_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path, "fcntl.LOCK_SH"), path.open() as file:
        assert not files.lock(file.fileno(), wait=False)
        assert files.lock(file.fileno(), shared=True, wait=False)
    with held_by_another(path), path.open() as file:
        assert not files.lock(file.fileno(), shared=True, wait=False)


def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="is not a regular file"):
        files.hold(tmp_path / "lock", "taken")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("kind", ["device", "pipe", "directory", "link"])
def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path, kind: str) -> None:
    """As root, `--output /dev/null` made the device a file, for everybody on the machine."""
    place = tmp_path / "there"
    if kind == "device":
        os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    else:
        place.symlink_to("/dev/null")
    before = place.lstat()
    with pytest.raises(External, match="is not a file"):
        write_atomically(place, b"x")
    assert place.lstat() == before
    assert [it.name for it in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("follow", [True, False])
def test_a_directory_in_the_place_of_a_file_is_named(tmp_path: Path, follow: bool) -> None:
    with pytest.raises(DualtrackError, match=re.escape(str(tmp_path))):
        files.read(tmp_path, dict, follow=follow)
