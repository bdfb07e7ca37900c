"""Sealed files among real processes: pipes, kills, full disks, OpenSSL; and the runbooks about them."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from dualtrack.core.errors import Exit
from dualtrack.security.seal import blob, keyfiles
from dualtrack.security.seal.errors import SealError
from dualtrack.security.seal.slots import Sm2Identity, Sm2Recipient
from tests.conftest import CLI, ROOT, Cli, wait

MIB = 1 << 20


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name in ("alice", "bob"):
        (tmp_path / f"{name}.pub").write_bytes(keyfiles.new(tmp_path / f"{name}.key").pem())
    return tmp_path


def run(folder: Path, *words: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([CLI, *words], cwd=folder, input=stdin, capture_output=True, timeout=180, check=False)


def partial(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if ".partial-" in path.name]


@pytest.mark.parametrize("page", ["seal-and-unseal.md", "rotate-a-sealing-key.md", "recover-by-custodians.md"])
def test_runbook(tmp_path: Path, page: str) -> None:
    Cli(tmp_path).runbook(page)


def test_the_recipe_with_openssl_alone(keys: Path) -> None:
    content = os.urandom(3 * MIB)
    (keys / "in").write_bytes(content)
    run(keys, "seal", "in", "-o", "sealed", "-r", "bob.pub", "-r", "alice.pub")
    recipe = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/reference/seal.md").read_text(), re.M | re.S)
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(recipe)], cwd=keys, capture_output=True, text=True, check=False
    )
    assert (said.returncode, "as it was written" in said.stdout) == (0, True), said.stderr
    assert (keys / "chunk-1").read_bytes() == content[MIB : 2 * MIB]


def test_from_pipe_to_pipe(keys: Path) -> None:
    content = os.urandom(5 * MIB + 7)
    sealed = run(keys, "seal", "-", "-o", "-", "-r", "alice.pub", stdin=content).stdout
    done = run(keys, "unseal", "-", "-o", "-", "-i", "alice.key", stdin=sealed)
    assert (done.returncode, hashlib.sha256(done.stdout).digest()) == (0, hashlib.sha256(content).digest())


def test_a_pipe_whose_tail_is_missing_releases_what_is_verified_and_fails(keys: Path) -> None:
    content = os.urandom(5 * MIB)
    sealed = run(keys, "seal", "-", "-o", "-", "-r", "alice.pub", stdin=content).stdout
    for cut, released in ((len(sealed) - MIB - 16, 3), (8192 + 2 * (MIB + 16) + 500, 2)):
        done = run(keys, "unseal", "-", "-o", "-", "-i", "alice.key", stdin=sealed[:cut])
        assert done.returncode == Exit.FINDINGS
        assert done.stdout == content[: released * MIB]
        assert done.stderr.count(b"\n") == 1
        done = run(keys, "unseal", "-", "-o", "out", "-i", "alice.key", stdin=sealed[:cut])
        assert (done.returncode, (keys / "out").exists(), partial(keys)) == (Exit.FINDINGS, False, [])


def test_a_reader_that_goes_away_is_no_success(keys: Path) -> None:
    (keys / "in").write_bytes(bytes(20 * MIB))
    seal = subprocess.Popen(
        [CLI, "seal", "in", "-o", "-", "-r", "alice.pub"], cwd=keys, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert seal.stdout
    assert seal.stderr
    seal.stdout.read(10)
    seal.stdout.close()
    assert b"stopped before its end" in seal.stderr.read()
    assert seal.wait(timeout=120) == Exit.EXTERNAL


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_stopped_in_the_middle(keys: Path, number: signal.Signals, code: int) -> None:
    """The output does not appear; what a killed process left is named after it, and swept by the next run."""
    process = subprocess.Popen(
        [CLI, "seal", "-", "-o", "out", "-r", "alice.pub"], cwd=keys, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin
    assert process.stderr
    process.stdin.write(bytes(6 * MIB))
    process.stdin.flush()
    wait(lambda: any((keys / name).stat().st_size > MIB for name in partial(keys)), 10, "the first chunk")
    process.send_signal(number)
    assert process.wait(timeout=120) == code
    assert not (keys / "out").exists()
    if number == signal.SIGINT:
        assert process.stderr.read() == b"dualtrack: interrupted; out was not written\n"
        assert partial(keys) == []
    else:
        assert [name.startswith(".out.partial-") for name in partial(keys)] == [True]
    process.stdin.close()
    assert run(keys, "seal", "-", "-o", "out", "-r", "alice.pub", stdin=b"again").returncode == 0
    assert partial(keys) == []


@pytest.fixture
def small(keys: Path) -> Iterator[Path]:
    """A file system with two MiB of room."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    place = keys / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk(keys: Path, small: Path) -> None:
    content = os.urandom(4 * MIB)
    (keys / "in").write_bytes(content)
    done = run(keys, "seal", "in", "-o", "small/out", "-r", "alice.pub")
    assert (done.returncode, list(small.iterdir())) == (Exit.EXTERNAL, [])
    assert b"small/out: No space left on device" in done.stderr
    assert done.stderr.count(b"\n") == 1
    run(keys, "seal", "in", "-o", "sealed", "-r", "alice.pub")
    assert run(keys, "unseal", "sealed", "-o", "small/out", "-i", "alice.key").returncode == Exit.EXTERNAL
    (keys / "folder").mkdir()
    (keys / "folder/f").write_bytes(content)
    run(keys, "seal", "folder", "-o", "folder.sealed", "-r", "alice.pub")
    done = run(keys, "unseal", "folder.sealed", "-o", "small/folder", "-i", "alice.key")
    assert (done.returncode, list(small.iterdir())) == (Exit.EXTERNAL, [])
    assert (keys / "in").read_bytes() == content


def test_memory_does_not_grow_with_the_stream(keys: Path) -> None:
    def peak(words: list[str], pieces: Iterator[bytes], out: IO[bytes]) -> int:
        process = subprocess.Popen(
            [CLI, *words], cwd=keys, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.DEVNULL
        )
        assert process.stdin
        for piece in pieces:
            process.stdin.write(piece)
        process.stdin.flush()
        # Asked of the living process: what wait4 would say counts our own memory, which it had before its exec.
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        process.stdin.close()
        assert (process.wait(timeout=120), peak is not None) == (0, True)
        return int(peak[1]) // 1024 if peak else 0

    with (keys / "sealed").open("wb") as out:
        content = (bytes(MIB) for _ in range(200))
        assert peak(["seal", "-", "-o", "-", "-r", "alice.pub"], content, out) < 64  # MiB, the interpreter included
    with (keys / "sealed").open("rb") as sealed, Path("/dev/null").open("wb") as out:
        pieces = iter(lambda: sealed.read(MIB), b"")
        assert peak(["unseal", "-", "-o", "-", "-i", "alice.key"], pieces, out) < 64


def test_a_rekey_that_is_killed_leaves_a_file_that_opens(keys: Path) -> None:
    """At whatever moment it dies, one of the two keys opens the file."""
    content = os.urandom(1000)
    (keys / "sealed").write_bytes(blob.seal(content, [Sm2Recipient(keyfiles.public(keys / "alice.pub"))]))
    holder, other = "alice", "bob"
    for moment in (0.1, 0.14, 0.17, 0.2, 0.5):
        words = [CLI, "seal", "rekey", "sealed", "-i", f"{holder}.key", "-r", f"{other}.pub"]
        process = subprocess.Popen(words, cwd=keys, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        opening = [name for name in (holder, other) if opens(keys / "sealed", keys / f"{name}.key") == content]
        assert opening
        holder, other = opening[0], "bob" if opening[0] == "alice" else "alice"


def opens(sealed: Path, key: Path) -> bytes | None:
    try:
        return blob.unseal(sealed.read_bytes(), [Sm2Identity(keyfiles.private(key))])
    except SealError:
        return None
