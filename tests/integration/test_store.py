"""The checkpoint cache on a real S3 server: whole or not at all, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtrack.data.checkpoints.manifest import PART
from tests.conftest import CLI, Cli, wait
from tests.support.store_testbed import Fault, Store, checkpoint, same, store

SIZES = {"config.json": 700, "empty": 0, "model-1.safetensors": 2 * PART + 5, "sub/model-2.safetensors": PART}
WHOLE = sum(SIZES.values())
PARTS = 1 + 3 + 1
BUCKET = "weights"


#: How often something is killed, and how many pull at a time; `make drill-data` says a hundred.
KILLS = int(os.environ.get("DUALTRACK_KILLS", "8"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with store(tmp_path_factory.mktemp("store")) as bed:
        bed.client().create_bucket(Bucket=BUCKET)
        yield bed


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("source"), SIZES)


@pytest.fixture(scope="module")
def pushed(server: Store, source: Path) -> str:
    address = f"s3://{BUCKET}/models/one@v1"
    found = server.json("push", source, address)
    assert (found["files"], found["size"], found["sent"]) == (len(SIZES), WHOLE, WHOLE)
    return address


@pytest.fixture
def bed(server: Store, tmp_path: Path) -> Iterator[Store]:
    """The server with an empty cache and no faults."""
    server.folder = tmp_path
    server.faults.clear()
    server.gets.clear()
    yield server
    server.faults.clear()


def test_pull_brings_it_and_a_warm_one_asks_nobody(bed: Store, pushed: str, source: Path) -> None:
    first = bed.json("pull", pushed)
    assert same(source, Path(first["path"]))
    assert (first["fetched"], first["resumed"], len(bed.gets)) == (WHOLE, 0, PARTS)
    assert all(it.stat().st_mode & 0o222 == 0 for it in Path(first["path"]).rglob("*") if it.is_file())
    bed.faults.append(Fault("reset"))
    warm = bed.run("pull", pushed, "--endpoint", "http://127.0.0.1:9")  # nobody there
    assert warm.stdout.strip() == first["path"]
    [row] = bed.json("list")["versions"]
    assert (row["state"], row["size"], row["address"], row["in_use"]) == ("complete", WHOLE, pushed, False)


def test_the_version_pushed_last_has_a_name(bed: Store, tmp_path: Path) -> None:
    other = checkpoint(tmp_path / "two", {"a": 10})
    bed.run("push", other, "s3://weights/models/late@v1")
    checkpoint(other, {"b": 20}, seed=2)
    time.sleep(1.1)  # S3 counts in seconds
    bed.run("push", other, "s3://weights/models/late@v2")
    done = bed.run("pull", "s3://weights/models/late@latest")
    assert "the version pushed last is v2" in done.stderr
    assert same(other, Path(done.stdout.strip()))
    bed.run("pull", "s3://weights/models/nothing@latest", code=4)


def test_versions_never_change(bed: Store, pushed: str, source: Path, tmp_path: Path) -> None:
    assert bed.json("push", source, pushed)["sent"] == 0
    other = checkpoint(tmp_path / "other", SIZES, seed=2)
    assert "versions never change" in bed.run("push", other, pushed, code=5).stderr


def test_plain_objects_are_pulled_too_and_pinned(bed: Store, source: Path) -> None:
    s3 = bed.client()
    for path in ("config.json", "sub/model-2.safetensors"):
        s3.upload_file(str(source / path), BUCKET, f"plain/{path}")
    found = bed.json("pull", "s3://weights/plain")
    assert {str(it.relative_to(found["path"])) for it in Path(found["path"]).rglob("*") if it.is_file()} == {
        "config.json", "sub/model-2.safetensors"
    }  # fmt: skip
    one = bed.run("pull", "s3://weights/plain/config.json").stdout.strip()
    assert (Path(one) / "config.json").read_bytes() == (source / "config.json").read_bytes()
    # Another object under the same key is another version.
    s3.put_object(Bucket=BUCKET, Key="plain/config.json", Body=b"new")
    again = bed.run("pull", "s3://weights/plain/config.json").stdout.strip()
    assert again != one
    assert (Path(again) / "config.json").read_bytes() == b"new"


@pytest.mark.parametrize(
    "fault",
    [
        Fault("refuse", 6), Fault("reset", 6), Fault("reset-middle", 6), Fault("truncate", 6), Fault("flip", 6),
        Fault("refuse", 3, "InternalError", 500), Fault("slow", 4),
    ],
    ids=lambda it: f"{it.kind} {it.code}",
)  # fmt: skip
def test_what_helps_when_it_is_tried_again(bed: Store, pushed: str, source: Path, fault: Fault) -> None:
    bed.faults.append(Fault(fault.kind, fault.times, fault.code, fault.status))
    found = bed.json("pull", pushed)
    assert same(source, Path(found["path"]))
    assert found["fetched"] == WHOLE


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (Fault("refuse", code="ExpiredToken", status=400), 4, "the credentials have expired"),
        (
            Fault("refuse", code="PermanentRedirect", status=301, more="<Region>eu-west-1</Region>"),
            2,
            "--region eu-west-1",
        ),
        (Fault("refuse", code="AccessDenied", status=403), 5, "S3 refuses: AccessDenied"),
        (Fault("refuse", code="PreconditionFailed", status=412), 4, "was replaced by another object"),
        (Fault("flip"), 4, "are not what was pushed"),
    ],
    ids=lambda it: it.code if isinstance(it, Fault) else "",
)
def test_what_does_not_help_is_one_line_and_the_next_run_goes_on(
    bed: Store, pushed: str, source: Path, fault: Fault, code: int, said: str
) -> None:
    """Some parts have come when it happens: an expired token in the middle of 140 GB."""
    bed.faults.append(Fault(fault.kind, code=fault.code, status=fault.status, more=fault.more, after=2))
    done = bed.run("pull", pushed, "--jobs", "1", code=code)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    [row] = bed.json("list")["versions"]
    assert row["state"] == "unfinished"
    bed.faults.clear()
    found = bed.json("pull", pushed)
    assert same(source, Path(found["path"]))
    assert found["resumed"] > 0
    assert found["fetched"] + found["resumed"] == WHOLE


def test_an_object_replaced_during_the_pull_is_not_mixed(bed: Store, tmp_path: Path) -> None:
    s3, key = bed.client(), "swap/model"
    old = checkpoint(tmp_path / "old", {"model": 2 * PART})
    s3.upload_file(str(old / "model"), BUCKET, key)
    bed.faults.append(
        Fault("none", 1, after=1, act=lambda: s3.put_object(Bucket=BUCKET, Key=key, Body=b"n" * 2 * PART))
    )
    done = bed.run("pull", f"s3://{BUCKET}/{key}", "--jobs", "1", code=4)
    assert "was replaced by another object meanwhile" in done.stderr
    found = bed.run("pull", f"s3://{BUCKET}/{key}").stdout.strip()
    assert (Path(found) / "model").read_bytes() == b"n" * 2 * PART


def test_many_pullers_share_one_download(bed: Store, pushed: str) -> None:
    bed.faults.append(Fault("slow", 1))
    pullers = [bed.start("pull", pushed, "--json") for _ in range(KILLS)]
    ended = [it.communicate(timeout=300) for it in pullers]
    assert [it.returncode for it in pullers] == [0] * KILLS, ended
    print(f"\n{KILLS} pullers: {len(bed.gets)} parts asked for, of {PARTS}")
    assert len(bed.gets) == PARTS
    assert sum("waiting" in err for _, err in ended) >= 1


@pytest.mark.parametrize("kind", ["content", "size", "gone"])
def test_a_poisoned_entry_is_found_and_not_served_again(bed: Store, pushed: str, source: Path, kind: str) -> None:
    path = Path(bed.json("pull", pushed)["path"])
    file = path / "sub/model-2.safetensors"
    file.chmod(0o644)
    if kind == "content":
        with file.open("r+b") as open_:
            open_.seek(1000)
            open_.write(b"poison")
        done = bed.run("verify", code=1)
        assert "sub/model-2.safetensors has other content than was pushed" in done.stderr
        assert bed.json("list")["versions"] == []
    elif kind == "size":
        os.truncate(file, 10)  # seen without reading it
    else:
        file.unlink()
    found = bed.json("pull", pushed)
    assert same(source, Path(found["path"]))
    assert bed.json("verify")["wrong"] == {}


def test_least_recently_used_goes_first_and_never_what_is_in_use(bed: Store, tmp_path: Path) -> None:
    for number in range(4):
        bed.run("push", checkpoint(tmp_path / f"m{number}", {"w": PART}, seed=number), f"s3://weights/lru/m{number}@v1")
    keys = [bed.json("pull", f"s3://weights/lru/m{number}@v1")["key"] for number in range(3)]
    time.sleep(0.05)
    bed.run("pull", "s3://weights/lru/m0@v1")  # used again
    holder = bed.start("hold", keys[1], "--", "sleep", "60")
    try:
        wait(lambda: [row["in_use"] for row in bed.json("list")["versions"]].count(True) == 1, 20)
        shown = bed.json("gc", "--budget", "1kB", "--dry-run", code=1)
        assert set(shown["evicted"]) == {keys[0], keys[2]}
        assert len(bed.json("list")["versions"]) == 3
        done = bed.run("pull", "s3://weights/lru/m3@v1", "--budget", str(3 * PART))
        assert f"evicted: {keys[2]}" in done.stderr
        assert {row["key"] for row in bed.json("list")["versions"]} >= {keys[0], keys[1]}
        # More than can go: refused before anything went.
        done = bed.run("pull", "s3://weights/lru/m2@v1", "--budget", str(PART), code=4)
        assert "in use" in done.stderr
        assert len(bed.json("list")["versions"]) == 3
        assert "is in use" in bed.run("remove", keys[1], code=5).stderr
    finally:
        holder.terminate()
        holder.communicate(timeout=20)


def test_an_open_file_is_in_use(bed: Store, pushed: str) -> None:
    found = bed.json("pull", pushed)
    with (Path(found["path"]) / "config.json").open():
        assert "is in use" in bed.run("remove", found["key"], code=5).stderr
    bed.run("remove", found["key"], "--yes")


def test_hold_gives_the_folder_and_the_exit_code(bed: Store, pushed: str) -> None:
    found = bed.json("pull", pushed)
    done = bed.run("hold", pushed, "--", "sh", "-c", 'ls "$DUALTRACK_CHECKPOINT"; exit 7', code=7)
    assert "config.json" in done.stdout
    assert bed.run("hold", "nobody", "--", "true", code=2).stderr.startswith("dualtrack: no version is named nobody")
    assert found["key"] in bed.run("hold", "nobody", "--", "true", code=2).stderr


def test_full_disk_is_one_line_and_leaves_nothing_half(bed: Store, pushed: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={WHOLE}", "dualtrack-test", disk], check=True)
    try:
        done = bed.run("pull", pushed, "--cache", disk, code=4)
        assert "do not fit" in done.stderr
        assert [it for it in disk.rglob("*") if it.is_file() and it.stat().st_size > PART] == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_killed_pulls_serve_nothing_torn_and_go_on(bed: Store, pushed: str, source: Path) -> None:
    """kill -9 at moments spread over a pull; `make drill-data` does it a hundred times."""
    begin = time.monotonic()
    bed.run("pull", pushed)
    whole = time.monotonic() - begin
    bed.run("remove", pushed, "--yes")
    bed.faults.append(Fault("slow"))  # spreads the parts over time
    resumed = 0
    for number in range(KILLS):
        process = bed.start("pull", pushed)
        time.sleep(0.3 + (whole + 2) * (number + 0.5) / KILLS)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        rows = bed.json("list")["versions"]
        assert [row["state"] for row in rows if row["state"] not in ("unfinished", "complete")] == []
        for row in rows:
            if row["state"] == "complete":
                assert same(source, Path(row["path"]))
                bed.run("remove", row["key"], "--yes")
            else:
                resumed += row["size"] > 0
    assert resumed, "every kill came too early or too late"
    print(f"\n{KILLS} pulls killed: {resumed} left parts to continue with, nothing torn was shown")
    bed.faults.clear()
    assert same(source, Path(bed.json("pull", pushed)["path"]))
    assert list((bed.folder / "cache/staging").iterdir()) == list((bed.folder / "cache/trash").iterdir()) == []


def test_killed_pushes_show_nothing_and_go_on(bed: Store, source: Path) -> None:
    for number in range(KILLS):
        address = f"s3://weights/kill/push@n{number % 3}"
        process = bed.start("push", source, address)
        time.sleep(0.3 + 2.0 * (number + 0.5) / KILLS)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        seen = bed.start("pull", address, "--refresh")
        out, err = seen.communicate(timeout=60)
        if seen.returncode == 0:
            assert same(source, Path(out.strip()))
        else:
            assert "is not there" in err, err
        bed.run("push", source, address)
        path = bed.run("pull", address, "--refresh").stdout.strip()
        assert same(source, Path(path))
    print(f"\n{KILLS} pushes killed: nothing half could be pulled, each went on")


def test_memory_does_not_grow_with_the_file(bed: Store, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    with (big / "weights").open("wb") as file:
        file.truncate(12 * PART)
    bed.run("push", big, "s3://weights/big@v1")
    measure = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measure, CLI, "store", "pull", "s3://weights/big@v1"], env=bed.env(), check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert int(done.stdout.split()[-1]) < 256 << 10


@pytest.mark.parametrize("page", ["free-the-cache.md", "move-to-a-new-bucket.md"])
def test_the_pages(bed: Store, pushed: str, page: str) -> None:
    lab = Cli(bed.folder / "lab")
    lab.env |= {name: value for name, value in bed.env().items() if name.startswith(("AWS_", "DUALTRACK_STORE"))}
    bed.run("pull", pushed)
    lab.runbook(page)


@pytest.mark.parametrize(
    "address", ["weights/one", "s3://", "s3://b", "s3://weights/", "s3://weights/a/../b", "s3://weights/a@", "s3://UP/a",
                "s3://weights/a@../b", "http://weights/a"],
)  # fmt: skip
def test_an_address_that_is_none_touches_nothing(bed: Store, address: str) -> None:
    bed.run("pull", address, code=2)
    assert bed.gets == []


def test_what_is_not_there_is_said(bed: Store) -> None:
    assert "is not there" in bed.run("pull", "s3://weights/models/one@v9", code=4).stderr
    assert "there is no bucket" in bed.run("pull", "s3://no-such-bucket/a@v1", code=4).stderr
    assert "there is nothing at" in bed.run("pull", "s3://weights/nothing", code=4).stderr
