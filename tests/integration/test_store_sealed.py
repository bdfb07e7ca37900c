"""Sealed checkpoints are opened on the way, whole or not at all: killed, tampered with, with the wrong key."""

from __future__ import annotations

import os
import random
import secrets
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtrack.data.checkpoints.cache import begun
from tests.conftest import CLI
from tests.support.store_testbed import Fault, Store, store

MIB = 1 << 20
#: Content by name: more than one part, a border of parts, one chunk, nothing at all; and one that is not sealed.
SIZES = {"weights-1": 70 * MIB + 12345, "weights-2": 32 * MIB, "few-chunks": 6 * MIB, "small": 100, "empty": 0}
PLAIN = "config.json"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A bucket with the version s3://vault/model@v1, and beside it what was sealed, and the keys."""
    folder = tmp_path_factory.mktemp("sealed")
    for name in ("owner", "stranger"):
        made = subprocess.run([CLI, "keys", "new", "-o", folder / f"{name}.key"], check=True, capture_output=True)
        (folder / f"{name}.pub").write_bytes(made.stdout)
    (folder / "clear").mkdir()
    (folder / "model/deep").mkdir(parents=True)
    for name, size in SIZES.items():
        (folder / "clear" / name).write_bytes(secrets.token_bytes(size))
        words = [
            "seal",
            folder / "clear" / name,
            "-o",
            folder / f"model/deep/{name}.sealed",
            "-r",
            folder / "owner.pub",
        ]
        subprocess.run([CLI, *words], check=True, capture_output=True)
    (folder / "model" / PLAIN).write_text("{}")
    with store(folder) as found:
        found.client().create_bucket(Bucket="vault")
        found.run("push", folder / "model", "s3://vault/model@v1")
        yield found


@pytest.fixture
def fresh(bed: Store, tmp_path: Path) -> Iterator[Store]:
    """The bed with a cache of its own and no faults."""
    bed.faults.clear()
    found = Store(tmp_path, bed.direct, bed.through, bed.faults, bed.gets)
    yield found
    bed.faults.clear()


def same(path: Path, folder: Path) -> None:
    """Compare a pulled directory with what was sealed, byte for byte."""
    names = {str(it.relative_to(path)) for it in path.rglob("*") if it.is_file()}
    assert names == {PLAIN, *(f"deep/{name}" for name in SIZES)}
    for name in SIZES:
        assert (path / "deep" / name).read_bytes() == (folder / "clear" / name).read_bytes(), name


def test_sealed_files_are_opened_on_the_way(bed: Store, fresh: Store) -> None:
    words = ("pull", "s3://vault/model@v1", "-i", bed.folder / "owner.key")
    found = fresh.json(*words)
    same(Path(found["path"]), bed.folder)
    assert found["size"] == sum(SIZES.values()) + 2
    mode = (Path(found["path"]) / "deep/weights-1").stat().st_mode
    assert stat.S_IMODE(mode) == 0o440  # not for everybody
    bed.gets.clear()
    assert fresh.json(*words)["fetched"] == 0
    assert bed.gets == []
    fresh.run("verify")
    # The version as it is in the bucket is another one, beside it.
    sealed = Path(fresh.json("pull", "s3://vault/model@v1")["path"])
    assert (sealed / "deep/small.sealed").read_bytes() == (bed.folder / "model/deep/small.sealed").read_bytes()
    assert len(fresh.json("list")["versions"]) == 2


def test_nothing_sealed_is_ever_on_the_disk(bed: Store, fresh: Store) -> None:
    fresh.run("pull", "s3://vault/model@v1", "-i", bed.folder / "owner.key")
    assert not any(
        it.read_bytes().startswith(b"dualseal") for it in (fresh.folder / "cache").rglob("*") if it.is_file()
    )


def test_the_wrong_key_opens_nothing(bed: Store, fresh: Store) -> None:
    done = fresh.run("pull", "s3://vault/model@v1", "-i", bed.folder / "stranger.key", code=2)
    assert "none of the keys given opens it" in done.stderr
    assert fresh.json("list")["versions"] == []


def test_bytes_that_change_on_the_way_are_fetched_again(bed: Store, fresh: Store) -> None:
    bed.faults.append(Fault("flip", times=1, after=8))
    found = fresh.json("pull", "s3://vault/model@v1", "-i", bed.folder / "owner.key")
    same(Path(found["path"]), bed.folder)


@pytest.mark.parametrize("how", ["middle", "end", "cut", "swapped"])
def test_what_was_tampered_with_in_the_bucket_is_not_served(bed: Store, fresh: Store, tmp_path: Path, how: str) -> None:
    """By somebody who can also write the manifest: it is the seal that tells."""
    data = bytearray((bed.folder / "model/deep/few-chunks.sealed").read_bytes())
    chunk = MIB + 16
    if how == "middle":
        data[3 * MIB] ^= 1
    elif how == "end":
        data[-1] ^= 1
    elif how == "cut":
        del data[8192 + 4 * chunk :]
    else:
        one, two = slice(8192, 8192 + chunk), slice(8192 + chunk, 8192 + 2 * chunk)
        data[one], data[two] = data[two], data[one]
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/weights.sealed").write_bytes(data)
    address = f"s3://vault/evil@{how}"
    fresh.run("push", tmp_path / "evil", address)
    done = fresh.run("pull", address, "-i", bed.folder / "owner.key", code=4)
    assert "damaged" in done.stderr or "end is missing" in done.stderr, done.stderr
    assert not [it for it in fresh.json("list")["versions"] if it["state"] == "complete"]


def test_a_version_with_nothing_sealed_says_so(bed: Store, fresh: Store, tmp_path: Path) -> None:
    (tmp_path / "clear").mkdir()
    (tmp_path / "clear/a").write_text("a")
    fresh.run("push", tmp_path / "clear", "s3://vault/clear@v1")
    assert (
        "pull it without a key"
        in fresh.run("pull", "s3://vault/clear@v1", "-i", bed.folder / "owner.key", code=2).stderr
    )


def test_a_killed_pull_goes_on_and_serves_nothing_torn(bed: Store, fresh: Store, chance: random.Random) -> None:
    """Killed once before anything is on the disk, then at random shares of the bytes."""
    words = ("pull", "s3://vault/model@v1", "-i", bed.folder / "owner.key")
    kills, left = int(os.environ.get("DUALTRACK_KILLS", "6")) // 2, 0
    for number in range(kills):
        process = fresh.start(*words)
        have = written(fresh)
        wanted = have + chance.random() * (sum(SIZES.values()) - have) if number else 0
        while process.poll() is None and written(fresh) < wanted:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for it in fresh.json("list")["versions"]:
            if it["state"] == "complete":
                same(Path(it["path"]), bed.folder)
                fresh.run("remove", "--yes", it["key"])
            else:
                assert it["state"] == "unfinished"
                left += it["size"] > 0
    found = fresh.json(*words)
    same(Path(found["path"]), bed.folder)
    assert left, "every kill came too late"
    print(f"\n{kills} pulls that unseal killed: {left} left parts to continue with, nothing torn was shown")


def written(store: Store) -> int:
    """Return the bytes on the disk of what a store's pulls have begun."""
    try:
        return sum(begun(it) for it in (store.folder / "cache/staging").glob("*"))
    except FileNotFoundError:  # it has moved to the complete versions meanwhile
        return 0
