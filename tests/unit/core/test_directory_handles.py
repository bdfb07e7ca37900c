"""Root in a directory of another account, who puts links there between any two steps: nothing elsewhere changes."""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dualtrack.core import append_log, directory_handles, files
from dualtrack.core.errors import DualtrackError, Refused
from dualtrack.security.seal import atomic_output
from dualtrack.security.seal import tar as tree
from tests.support.tars import tar

#: What changes a file system, or tells what is in it: the other account acts before each of these calls.
CALLS = ("open", "stat", "lstat", "mkdir", "chmod", "fchmod", "fsync", "rename", "replace", "unlink", "rmdir", "write")
#: An archive that whoever has the public key can seal.
ARCHIVE = tar(("new", b"ours", {}), ("sub", b"", {"type": tarfile.DIRTYPE, "mode": 0o777}), ("sub/out", b"ours", {}))
NAMES = ("out", "fresh", ".out.lock", "new")


def made_whole(path: Path) -> None:
    with files.made_whole(path.with_name("new") / "er") as fresh:
        (fresh / "out").write_text("ours")


def locked(path: Path) -> None:
    with files.locked(path):
        pass


def target(path: Path) -> None:
    with atomic_output.target(str(path), force=True, mode=0o644) as write:
        write(memoryview(b"ours"))


def directory_of_files(path: Path) -> None:
    with atomic_output.folder(str(path.with_name("fresh"))) as made:
        (made / "out").write_text("ours")
        (made / "below").mkdir()
        (made / "below/out").write_text("ours")


def restored(path: Path) -> None:
    with atomic_output.folder(str(path.with_name("fresh"))) as made:
        tree.restore(iter([memoryview(ARCHIVE)]), made)


def below_new_directories(work: Callable[[Path], object]) -> Callable[[Path], object]:
    """Do a work whose output has directories above it that are missing."""
    return lambda path: work(path.with_name("new") / "er" / "out")


WORK: dict[str, Callable[[Path], object]] = {
    "write_atomically": lambda path: files.write_atomically(path, b"ours", 0o666),
    "write_output": lambda path: files.write_output(path, b"ours"),
    "made_whole": made_whole,
    "destroy": files.destroy,
    "locked": locked,
    "hold": lambda path: os.close(files.hold(path, "taken", mode=0o666)),
    "append": lambda path: append_log.append(path, [b"ours\n"], 0o666),
    "target": target,
    "a directory": directory_of_files,
    "restore": restored,
    "write_atomically, new directories": below_new_directories(lambda path: files.write_atomically(path, b"ours")),
    "target, new directories": below_new_directories(target),
    "a directory, new directories": below_new_directories(directory_of_files),
    "restore, new directories": below_new_directories(restored),
}


def links(inner: Path, victim: Path) -> None:
    """Put links to the victim's file, or directory, in the place of all that is there and of all that may come."""
    for name in {*NAMES, *os.listdir(inner)}:  # noqa: PTH208
        there = inner / name
        is_directory = there.is_dir() and not there.is_symlink()
        if os.path.lexists(there):
            there.rename(inner.parent / f"moved-{name}")
        there.symlink_to(victim if is_directory else victim / "out")


def directory(inner: Path, victim: Path) -> None:
    """Put a link to the victim's directory in the place of the one that is written."""
    inner.rename(inner.with_name("moved"))
    inner.symlink_to(victim)


SWAPS = {"links": links, "directory": directory}


def seen(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        info = path.lstat()
        data = path.read_bytes() if stat.S_ISREG(info.st_mode) else b""
        found[str(path)] = (info.st_mode, info.st_uid, info.st_ino, data)
    return found


@contextlib.contextmanager
def acting(step: int, act: Callable[[], None], *, opened: bool) -> Iterator[list[str]]:
    """Call ``act`` before this call, counted with ``opened`` from when a directory is open; yield what was called."""
    called: list[str] = []
    begun = not opened
    with pytest.MonkeyPatch.context() as patch:

        def wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **more: Any) -> Any:
                nonlocal begun
                if begun:
                    called.append(name)
                    if len(called) == step + 1:
                        patch.undo()
                        act()
                found = function(*args, **more)
                begun = begun or (name == "open" and bool(args[1] & os.O_DIRECTORY))
                return found

            return call

        for name in CALLS:
            patch.setattr(os, name, wrapped(name, getattr(os, name)))
        yield called


def layout(base: Path) -> tuple[Path, Path]:
    victim, inner = base / "victim", base / "foreign/inner"
    for folder in (victim, inner):
        folder.mkdir(parents=True)
        (folder / "out").write_text("kept")
        (folder / "out").chmod(0o600)
    (victim / "below").mkdir()
    if os.geteuid() == 0:
        for it in (inner.parent, inner, inner / "out"):
            os.chown(it, 65534, 65534)
    return inner, victim


@pytest.mark.attack(
    "another account", "puts links where root writes, between any two steps", "prevented", "nothing elsewhere changes"
)
@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("name", WORK)
def test_what_somebody_puts_in_the_place_is_not_followed(tmp_path: Path, name: str, swap: str) -> None:
    """A directory that is a link from the beginning is the one that the user has named."""
    for step in range(100):
        inner, victim = layout(tmp_path / str(step))
        before = seen(victim)
        with (
            acting(step, partial(SWAPS[swap], inner, victim), opened=swap == "directory") as called,
            contextlib.suppress(DualtrackError, OSError),
        ):
            WORK[name](inner / "out")
        assert seen(victim) == before, f"before step {step}: {called}"
        if len(called) <= step:
            assert step > 0
            return
    pytest.fail("it does not end")


@pytest.mark.parametrize("name", ["write_atomically", "write_output", "target"])
def test_nothing_half_stays_and_the_mode_is_right(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").write_text("before")
    WORK[name](tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"ours"
    assert (tmp_path / "out").stat().st_mode & 0o777 == (0o666 if name == "write_atomically" else 0o644)
    assert [it.name for it in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("call", ["fchmod", "fsync", "rename"])
def test_what_failed_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").write_text("before")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(DualtrackError, match="No space left"):
            files.write_atomically(tmp_path / "out", b"ours")
    assert (tmp_path / "out").read_text() == "before"
    assert [it.name for it in tmp_path.iterdir()] == ["out"]


def test_a_state_file_that_is_a_link_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "link").symlink_to("kept")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("link", "dangling"):
        files.write_atomically(tmp_path / name, b"ours")
        assert (tmp_path / name).read_bytes() == b"ours"
        assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "kept").read_text() == "kept"
    assert not (tmp_path / "nowhere").exists()


def test_state_in_a_directory_that_is_a_link_stays_there(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").symlink_to("elsewhere")
    files.write_atomically(tmp_path / "state/tracks.json", b"ours")
    with files.locked(tmp_path / "state/tracks.json"):
        pass
    assert (tmp_path / "elsewhere/tracks.json").read_bytes() == b"ours"
    assert (tmp_path / "state").is_symlink()


def way(base: Path, mode: int, owner: int) -> Path:
    above = base / "above"
    above.mkdir()
    above.chmod(mode)
    os.chown(above, owner, owner)
    return above / "missing/new"


@pytest.mark.skipif(os.geteuid() != 0, reason="directories of other accounts take root")
@pytest.mark.parametrize(
    ("mode", "owner", "safe"),
    [
        (0o755, 0, True),
        (0o775, 0, True),
        (0o1777, 0, True),
        (0o777, 0, False),
        (0o755, 1234, False),
        (0o1777, 1234, False),
    ],
)
def test_a_path_that_another_account_can_change_is_refused(tmp_path: Path, mode: int, owner: int, safe: bool) -> None:
    path = way(tmp_path, mode, owner)
    if safe:
        directory_handles.check_way(path)
        return
    with pytest.raises(Refused, match=f"another account can write {path.parent.parent}"):
        directory_handles.check_way(path)
    (tmp_path / "link").symlink_to(path.parent.parent)
    with pytest.raises(Refused, match="another account can write"):
        directory_handles.check_way(tmp_path / "link/new")


@pytest.mark.skipif(os.geteuid() != 0, reason="directories of other accounts take root")
def test_the_account_that_became_root_by_sudo_is_no_other_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = way(tmp_path, 0o755, 1234)
    monkeypatch.setenv("SUDO_UID", "1234")
    directory_handles.check_way(path)
    monkeypatch.setenv("SUDO_UID", "1235")
    with pytest.raises(Refused):
        directory_handles.check_way(path)


def test_only_a_directory_of_ours_is_closed_to_others(tmp_path: Path) -> None:
    for name in ("ours", "kept"):
        (tmp_path / name).mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("kept")
    for name in ("ours", "link"):
        directory_handles.close_to_others(tmp_path / name)
    assert [stat.S_IMODE((tmp_path / it).stat().st_mode) for it in ("ours", "kept")] == [0o700, 0o755]
