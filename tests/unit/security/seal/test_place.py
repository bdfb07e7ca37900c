"""Files and directories appear whole or not at all, and nothing of another's is lost or left."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import secrets
import socket
import weakref
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput, DualtrackError, External, Interrupted, Refused
from dualtrack.crypto import libcrypto
from dualtrack.security.seal import actions, atomic_output, removal
from dualtrack.security.seal import tar as tree
from dualtrack.security.seal.slots import Sm2Identity, Sm2Recipient

ALICE = libcrypto.generate()


def nothing(_: int) -> None:
    pass


def test_a_file_appears_at_the_end_and_not_before(tmp_path: Path) -> None:
    out = tmp_path / "deep/er/out"
    with atomic_output.target(str(out), force=False, mode=0o640) as write:
        write(memoryview(b"content"))
        assert not out.exists()
    assert (out.read_bytes(), out.stat().st_mode & 0o777) == (b"content", 0o640)
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError, SystemExit])
def test_a_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    for make in (
        lambda: atomic_output.target(str(tmp_path / "out"), force=False, mode=0o600),
        lambda: atomic_output.folder(str(tmp_path / "out")),
    ):
        with pytest.raises((ValueError, Interrupted, OSError, External, SystemExit)), make():
            raise error
        assert list(tmp_path.iterdir()) == []


class Big:
    """What fills the memory, in a circle that only the collector takes apart."""

    def __init__(self) -> None:
        self.circle = self


def fill_memory(known: list[weakref.ref[Big]]) -> None:
    it = Big()
    known.append(weakref.ref(it))
    raise MemoryError


@pytest.mark.attack("who seals a directory", "fills the memory", "prevented", "unseal: one line, nothing left")
def test_without_memory_it_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removing takes memory, too: there is some again when what failed has let go of its own."""
    remove, known = removal.remove, list[weakref.ref[Big]]()

    def needing(path: Path) -> None:
        if known[-1]() is not None:
            raise MemoryError
        remove(path)

    monkeypatch.setattr(removal, "remove", needing)
    for make in (
        lambda: atomic_output.target(str(tmp_path / "out"), force=False, mode=0o600),
        lambda: atomic_output.folder(str(tmp_path / "out")),
    ):
        with pytest.raises(External, match=r"out was not written: .* memory .*\(free some\)$"), make():
            fill_memory(known)
        assert list(tmp_path.iterdir()) == []


def test_without_memory_to_remove_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: Path) -> None:
        raise MemoryError

    monkeypatch.setattr(removal, "remove", none)
    with (
        pytest.raises(External, match=rf"{os.strerror(errno.ENOMEM)}\): remove .*\.out\.partial-"),
        atomic_output.folder(str(tmp_path / "out")),
    ):
        raise MemoryError


def test_what_exists_is_not_touched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    (tmp_path / "link").symlink_to("out")
    (tmp_path / "dir").mkdir()
    for name, force in (("out", False), ("link", False), ("link", True), ("dir", False), ("dir", True)):
        with pytest.raises(Refused), atomic_output.target(str(tmp_path / name), force=force, mode=0o600):
            pytest.fail("not reached")
    with pytest.raises(Refused), atomic_output.folder(str(out)):
        pytest.fail("not reached")
    with pytest.raises(Refused, match="not a regular file"), atomic_output.target("/dev/null", force=True, mode=0o600):
        pytest.fail("not reached")
    assert out.read_text() == "mine"
    with atomic_output.target(str(out), force=True, mode=0o600) as write:
        write(memoryview(b"new"))
    assert out.read_bytes() == b"new"


def test_what_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Refused), atomic_output.target(str(out), force=False, mode=0o600):
        out.write_text("another's")
    assert out.read_text() == "another's"
    assert list(tmp_path.iterdir()) == [out]


def test_leftovers_of_the_dead_are_swept_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    (tmp_path / ".out.partial-dead").write_text("half")
    (tmp_path / ".out.partial-deadfolder").mkdir()
    (tmp_path / ".out.partial-deadfolder/f").write_text("half")
    (tmp_path / ".other.partial-x").write_text("another's")
    living = tmp_path / ".out.partial-living"
    living.write_text("half")
    with living.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with atomic_output.target(str(tmp_path / "out"), force=False, mode=0o600):
            pass
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".other.partial-x", ".out.partial-living"}


def test_a_sweep_between_making_and_locking_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    make = atomic_output._new_file

    def swept_once(path: Path, at: int) -> tuple[Path, int]:
        temporary, file = make(path, at)
        if not made:
            temporary.unlink()
        made.append(temporary)
        return temporary, file

    monkeypatch.setattr(atomic_output, "_new_file", swept_once)
    with atomic_output.target(str(tmp_path / "out"), force=False, mode=0o600) as write:
        write(memoryview(b"content"))
    assert (len(made), (tmp_path / "out").read_bytes()) == (2, b"content")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(External, match="cannot write"),
        atomic_output.target(str(tmp_path / "file/out"), force=False, mode=0o600),
    ):
        pytest.fail("not reached")


def test_the_output_must_not_be_in_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/f").write_text("content")
    (tmp_path / "alias").symlink_to("in")
    for source, target in (("in", "in/out"), ("alias", "in/out"), ("in/f", "in/f")):
        with pytest.raises(BadInput, match="elsewhere"):
            actions.seal(
                str(tmp_path / source), str(tmp_path / target), [Sm2Recipient(ALICE)], force=True, tick=nothing
            )
    assert (tmp_path / "in/f").read_text() == "content"


# --- directories


def grow(root: Path, chance: random.Random) -> None:
    """Make a directory with what directories have."""
    root.mkdir()
    for number in range(20):
        (root / f"f{number}").write_bytes(chance.randbytes(chance.choice([0, 1, 511, 512, 513, 5000, 70000])))
    (root / "empty").mkdir()
    deep = root / ("long-" * 20) / ("name-" * 20) / ("x" * 200)
    deep.mkdir(parents=True)
    (deep / ("y" * 200)).write_text("far down")
    (root / "中文 名字\n").write_text("weights")
    os.mkdir(os.fsencode(root) + b"/not-utf8-\xff")  # noqa: PTH102
    (root / "a").mkdir()
    (root / "a/up").symlink_to("../f1")
    (root / "here").symlink_to("a")
    (root / "dangling").symlink_to("a/nothing")
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o755)
    (root / "read-only").mkdir()
    (root / "read-only/f").write_text("kept")
    (root / "read-only").chmod(0o555)
    os.utime(root / "f1", (1, 1_000_000_000))
    os.utime(root / "f2", (1, -1000))
    os.link(root / "f3", root / "f3-again")


def facts(root: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        if path.is_symlink():
            found[str(path.relative_to(root))] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[str(path.relative_to(root))] = ("folder", info.st_mode & 0o777)
        else:
            what = (path.read_bytes(), info.st_mode & 0o777, int(info.st_mtime))
            found[str(path.relative_to(root))] = ("file", *what)
    return found


def test_a_folder_comes_back_as_it_was(tmp_path: Path) -> None:
    root = tmp_path / "root"
    grow(root, random.Random(7))
    sealed, out = tmp_path / "sealed", tmp_path / "out"
    actions.seal(str(root), str(sealed), [Sm2Recipient(ALICE)], force=False, tick=nothing, exponent=12)
    actions.unseal(str(sealed), str(out), [Sm2Identity(ALICE)], force=False, tick=nothing)
    assert facts(out) == facts(root)
    assert tar_of(root) == tar_of(out)


def tar_of(root: Path) -> bytes:
    stream, out = tree.TarStream(root), bytearray()
    piece = bytearray(10000)
    while got := stream.read(memoryview(piece)):
        out += piece[:got]
    return bytes(out)


def test_other_tools_read_the_tar_stream(tmp_path: Path) -> None:
    import io
    import tarfile

    root = tmp_path / "root"
    grow(root, random.Random(8))
    with tarfile.open(fileobj=io.BytesIO(tar_of(root))) as tar:
        assert {name.rstrip("/") for name in tar.getnames()} == set(facts(root))


@pytest.mark.parametrize("kind", ["socket", "outside", "absolute", "fifo"])
def test_what_could_not_be_restored_is_not_sealed(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    root.mkdir()
    if kind == "socket":
        monkeypatch.chdir(root)
        socket.socket(socket.AF_UNIX).bind("s")
    elif kind == "fifo":
        os.mkfifo(root / "p")
    else:
        (root / "l").symlink_to("../x" if kind == "outside" else "/etc/passwd")
    with pytest.raises(BadInput):
        actions.seal(str(root), str(tmp_path / "out"), [Sm2Recipient(ALICE)], force=False, tick=nothing)
    assert not (tmp_path / "out").exists()


def test_a_file_that_shrinks_while_it_is_sealed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "f").write_bytes(secrets.token_bytes(1000))
    member = tree._member

    def shrinking(root: Path, top: int, name: str, info: os.stat_result) -> object:
        (root / name).write_bytes(b"short")
        return member(root, top, name, info)

    monkeypatch.setattr(tree, "_member", shrinking)
    with pytest.raises(DualtrackError, match="shorter"):
        actions.seal(str(root), str(tmp_path / "out"), [Sm2Recipient(ALICE)], force=False, tick=nothing)
    assert not (tmp_path / "out").exists()
