"""Directories that somebody made to break us: depth, times, modes, names. One clear line, and nothing is left."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualtrack import cli
from dualtrack.core.errors import BadInput, DualtrackError, External
from dualtrack.crypto import libcrypto
from dualtrack.security.seal import actions, atomic_output, blob, keyfiles, removal, stream
from dualtrack.security.seal.blob import reading
from dualtrack.security.seal.errors import Damaged
from dualtrack.security.seal.header import Content
from dualtrack.security.seal.slots import Sm2Identity, Sm2Recipient
from dualtrack.security.seal.unwrap import closed, new
from tests.support.tars import field, nested, tar

ALICE = libcrypto.generate()
DEEP = 1400


def sealed(archive: bytes, path: Path) -> Path:
    """Seal a tar stream as a directory, as anybody can who has the public key."""
    made = new([Sm2Recipient(ALICE)], Content.FOLDER, 16)
    out = bytearray(closed(made) * 2)
    stream.seal(reading(archive), out.extend, made.payload, 1 << 16, threads=1)
    path.write_bytes(out)
    return path


def unseal(archive: bytes, folder: Path) -> Path:
    source = sealed(archive, folder / "in.sealed")
    actions.unseal(str(source), str(folder / "out"), [Sm2Identity(ALICE)], force=False, tick=lambda _: None)
    return folder / "out"


@pytest.fixture
def here(tmp_path: Path) -> Any:
    yield tmp_path
    for name in os.listdir(tmp_path):  # pytest removes by rmtree, too  # noqa: PTH208
        removal.remove(tmp_path / name)


F = ("f", b"PLAINTEXT", {})
BROKEN: dict[str, bytes] = {
    "deep-then-broken": tar(*nested(DEEP), end=b"broken" * 200),
    "deeper-than-a-name": tar(*nested(2049)),
    "time-of-20-digits": tar(F, ("g", b"", {"pax_headers": {"mtime": "9" * 20}})),
    "time-of-12-digits": tar(F, ("g", b"", {"pax_headers": {"mtime": "1" + "0" * 11}})),
    "time-of-400-digits": tar(F, ("g", b"", {"pax_headers": {"mtime": "-" + "9" * 400}})),
    "time-with-a-fraction": tar(F, ("g", b"", {"pax_headers": {"mtime": "1.5"}})),
    "time-in-base-256": tar(F) [:-1024] + field(tar(("g", b"", {})), 136, b"\x80" + b"\x7f" * 11),
    "time-in-negative-base-256": tar(F)[:-1024] + field(tar(("g", b"", {})), 136, b"\xff" * 12),
    "mode-of-ten-bits": tar(F)[:-1024] + field(tar(("g", b"", {})), 100, b"0001777\0"),
    "name-of-256-bytes": tar(F, ("g" * 256, b"", {})),
    "name-of-300-bytes": tar(F, ("g" * 300, b"", {})),
    "name-with-a-zero-byte": tar(F, ("g", b"", {"pax_headers": {"path": "g\0h"}})),
    "link-of-4096-bytes": tar(F, ("l", b"", {"type": tarfile.SYMTYPE, "linkname": "l/" * 2048})),
    "links-through-links": tar(
        ("esc", b"", {"type": tarfile.SYMTYPE, "linkname": "x/y/up/../../etc/hostname"}), F,
        ("x", b"", {"type": tarfile.DIRTYPE}), ("x/y", b"", {"type": tarfile.DIRTYPE}),
        ("x/y/up", b"", {"type": tarfile.SYMTYPE, "linkname": "../.."}),
    ),
    "link-to-itself": tar(F, ("l", b"", {"type": tarfile.SYMTYPE, "linkname": "l"})),
}  # fmt: skip


@pytest.mark.attack(
    "who seals a directory", "breaks it in depth, times or modes", "prevented", "unseal: one line, nothing left"
)
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_directory_is_one_line_and_leaves_nothing(
    here: Path, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "alice.key").touch(0o600)
    (here / "alice.key").write_bytes(ALICE.private_pem(b""))
    source = sealed(BROKEN[name], here / "in.sealed")
    before = set(os.listdir(here))  # noqa: PTH208
    words = ["dualtrack", "unseal", str(source), "-o", str(here / "out"), "-i", str(here / "alice.key")]
    monkeypatch.setattr(sys, "argv", words)
    for _ in range(2):  # also when it is tried again
        with pytest.raises(SystemExit) as caught:
            cli.main()
        said = capfd.readouterr()
        assert (caught.value.code, said.out, said.err.count("\n")) == (1, "", 1), said.err
        assert set(os.listdir(here)) == before  # noqa: PTH208
    assert keyfiles.private(here / "alice.key").id == ALICE.id


def test_an_error_that_somebody_keeps_holds_no_threads(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector would end them in any thread and under any lock, and would wait for them there."""
    me, target, before = [Sm2Identity(ALICE)], str(here / "out"), threading.active_count()
    folder = sealed(BROKEN["deep-then-broken"], here / "folder")
    file = here / "file"
    file.write_bytes(blob.seal(bytes(1 << 18), [Sm2Recipient(ALICE)], exponent=12))

    def full(_: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, f"no room for {len(data)} bytes")

    works: list[Callable[[], object]] = [
        lambda: actions.unseal(str(folder), target, me, force=False, tick=lambda _: None),
        lambda: actions.unseal(str(file), target, me, force=False, tick=lambda _: None),
        lambda: actions.unseal_range(str(file), target, me, 0, None, force=False),
    ]
    kept = []
    for work in works:
        with monkeypatch.context() as patch, pytest.raises(DualtrackError) as caught:  # noqa: PT012
            if work is not works[0]:
                patch.setattr(os, "write", full)
            work()
        kept.append(caught.value)
        assert threading.active_count() == before, kept


def dig(root: Path, depth: int) -> int:
    """Make directories deeper than any path reaches; return the lowest, open."""
    root.mkdir()
    inside = os.open(root, os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=inside)
        below = os.open("d", os.O_DIRECTORY, dir_fd=inside)
        os.close(inside)
        inside = below
    return inside


def test_deep_directories_are_sealed_and_come_back(here: Path) -> None:
    root = here / "root"
    inside = dig(root, DEEP)
    with os.fdopen(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=inside), "w") as file:
        file.write("far down")
    os.close(inside)
    actions.seal(str(root), str(here / "sealed"), [Sm2Recipient(ALICE)], force=False, tick=lambda _: None)
    assert actions.length(str(root)) > DEEP * 512
    actions.unseal(str(here / "sealed"), str(here / "out"), [Sm2Identity(ALICE)], force=False, tick=lambda _: None)
    assert (here / "out" / "/".join(["d"] * DEEP) / "f").read_text() == "far down"


def test_what_is_deeper_than_the_format_reaches_is_not_sealed(here: Path) -> None:
    os.close(dig(here / "root", 3000))
    with pytest.raises(BadInput, match="deeper down than 4095 bytes"):
        actions.seal(str(here / "root"), str(here / "sealed"), [Sm2Recipient(ALICE)], force=False, tick=lambda _: None)
    assert [path.name for path in here.iterdir()] == ["root"]


def test_leftovers_of_any_depth_are_swept(here: Path) -> None:
    os.close(dig(here / ".out.partial-old", 5000))
    os.mkfifo(here / ".out.partial-pipe")  # must not hold us up
    with atomic_output.target(str(here / "out"), force=False, mode=0o600) as write:
        write(memoryview(b"content"))
    assert [path.name for path in here.iterdir()] == ["out"]


def ordinary(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python as somebody whom modes stop."""
    words = [sys.executable, "-c", code]
    if os.geteuid() == 0:
        words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", *words]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_a_directory_that_its_owner_may_not_list_is_removed_like_any_other(here: Path) -> None:
    closed_directory = {"type": tarfile.DIRTYPE, "mode": 0}
    (here / "alice.key").touch(0o600)
    (here / "alice.key").write_bytes(ALICE.private_pem(b""))
    sealed(tar(("a", b"", closed_directory), ("a/f", b"PLAINTEXT", {})), here / "good.sealed")
    code = (
        "import os\n"
        "from pathlib import Path\n"
        "from dualtrack.security.seal import atomic_output\n"
        "from dualtrack.core.errors import External\n"
        "try:\n"
        "    with atomic_output.folder('out') as made:\n"
        "        for name in ('a', 'a/b', 'r', 'r/c'):\n"
        "            (made / name).mkdir()\n"
        "            (made / name / 'f').write_text('PLAINTEXT')\n"
        "        for name, mode in (('a/b', 0), ('a', 0), ('r/c', 0o500), ('r', 0o400)):\n"
        "            (made / name).chmod(mode)\n"
        "        raise OSError(28, 'No space left on device')\n"
        "except External as error:\n"
        "    print(error)\n"
    )
    done = ordinary(here, code)
    assert (done.returncode, "No space left" in done.stdout) == (0, True), done.stderr
    assert sorted(path.name for path in here.iterdir()) == ["alice.key", "good.sealed"]
    unsealed = ordinary(
        here,
        "import sys; from dualtrack import cli; sys.argv = 'dualtrack unseal good.sealed -o out -i alice.key'.split();"
        " cli.main()",
    )
    assert (unsealed.returncode, (here / "out/a").stat().st_mode & 0o777) == (0, 0), unsealed.stderr


def test_what_could_not_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(_: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(removal, "remove", stuck)
    with pytest.raises(Damaged, match=r"could not be removed .*\.out\.partial-") as caught:
        unseal(tar(F, end=b"broken" * 200), tmp_path)
    assert "\n" not in str(caught.value)
    assert caught.value.code == 1


def test_removing_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/f").write_text("mine")
    (tmp_path / "gone/d").mkdir(parents=True)
    for name in ("gone/l", "gone/d/l"):
        (tmp_path / name).symlink_to(tmp_path / "kept")
    removal.remove(tmp_path / "gone")
    (tmp_path / "alias").symlink_to("kept")
    removal.remove(tmp_path / "alias")
    assert (tmp_path / "kept/f").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_directory_that_is_moved_while_it_is_removed_is_not_left_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone/d/e").mkdir(parents=True)
    (tmp_path / "other/e").mkdir(parents=True)
    clear: Callable[[int], list[str]] = removal._clear

    def moved(directory: int) -> list[str]:
        if (tmp_path / "gone/d/e").exists() and os.path.samestat(os.fstat(directory), (tmp_path / "gone/d/e").stat()):
            shutil.move(tmp_path / "gone/d/e", tmp_path / "other/x")
        return clear(directory)

    monkeypatch.setattr(removal, "_clear", moved)
    with pytest.raises(OSError, match="somebody moves"):
        removal.remove(tmp_path / "gone")
    assert (tmp_path / "other/e").is_dir()


@pytest.mark.parametrize("seconds", [-1, -1000, 0, 1 << 33, 99_999_999_999])
def test_times_around_every_border_come_back(tmp_path: Path, seconds: int) -> None:
    out = unseal(tar(("f", b"", {"mtime": seconds})), tmp_path)
    (tmp_path / "same").touch()
    os.utime(tmp_path / "same", (seconds, seconds))  # a file system has bounds of its own
    assert int((out / "f").stat().st_mtime) == int((tmp_path / "same").stat().st_mtime)


def test_other_tools_take_what_we_take() -> None:
    archive = tar(("d", b"", {"type": tarfile.DIRTYPE}), ("d/f", b"x", {}))
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        assert opened.getnames() == ["d", "d/f"]


def test_a_name_that_a_file_system_does_not_take_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(External, match="shorter name") as caught:
        actions.unseal(
            str(sealed(tar(F), tmp_path / "in")), str(tmp_path / ("o" * 250)), [Sm2Identity(ALICE)], force=False,
            tick=lambda _: None,
        )  # fmt: skip
    assert "disk" not in str(caught.value)
