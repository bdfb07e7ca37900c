"""Restores from an archive, on an S3 whose clock runs fast: asked for once, waited for, fetched, checked."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CLI, Cli
from tests.support.child import read_until
from tests.support.store_testbed import Store, checkpoint, same, store

BUCKET = "archive"
#: Seconds that a restore takes here, instead of hours.
TAKES_S = 3
FILES = {"config.json": 500, "model-1": 3 << 20, "model-2": 2 << 20}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with store(tmp_path_factory.mktemp("tiers")) as bed:
        bed.client().create_bucket(Bucket=BUCKET)
        body = {"model_name": "s3::keyrestore", "transition": {"progression": "time", "seconds": TAKES_S}}
        request = urllib.request.Request(
            f"{bed.direct}/moto-api/state-manager/set-transition", json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        urllib.request.urlopen(request).close()
        yield bed


@pytest.fixture
def archived(server: Store, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Store, str, Path]:
    """A version whose objects have gone to the archive, as a rule of the bucket's life cycle makes them."""
    server.folder = tmp_path
    source = checkpoint(tmp_path / "source", FILES)
    path = f"models/{request.node.name.replace('[', '-').replace(']', '')}"
    address = f"s3://{BUCKET}/{path}@v1"
    server.run("push", source, address)
    s3 = server.client()
    for it in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{path}/v1/")["Contents"]:
        s3.copy_object(
            Bucket=BUCKET, Key=it["Key"], CopySource={"Bucket": BUCKET, "Key": it["Key"]}, StorageClass="DEEP_ARCHIVE",
            MetadataDirective="COPY",
        )  # fmt: skip
    # The emulator counts from when an object comes: one that is asked for sooner could be read at once.
    time.sleep(TAKES_S + 0.1)
    return server, address, source


def tiers(bed: Store, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [CLI, "tiers", *map(str, words)], env=bed.env(), capture_output=True, text=True, timeout=120, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def test_drill(archived: tuple[Store, str, Path]) -> None:
    bed, address, source = archived
    assert "is in an archive (dualtrack tiers restore" in bed.run("pull", address, code=4).stderr
    shown = tiers(bed, "restore", address, "--dry-run").stdout
    assert "4 of 4 objects" in shown  # the manifest, too
    assert "Bulk: up to 48 hours" in shown
    # Nobody is there to be asked, and nothing was asked for.
    assert "nobody answered: nothing was changed" in tiers(bed, "restore", address, code=5).stderr
    planned = json.loads(tiers(bed, "restore", address, "--json").stdout)
    assert (planned["applied"], planned["archived"], planned["way"], planned["path"]) == (False, 4, "Bulk", "")
    assert "4 of 4 objects" in tiers(bed, "restore", address, "--dry-run").stdout
    assert (
        "up to 12 hours, and 1 are allowed" in tiers(bed, "restore", address, "--within", "1", "--yes", code=5).stderr
    )
    done = tiers(bed, "restore", address, "--within", "24", "--yes", "--poll", "0.3", "--json")
    found = json.loads(done.stdout)
    assert same(source, Path(found["path"]))
    print(
        f"\nrestore: promised {found['promised_s']:.0f} s, actual {found['waited_s']:.1f} s on a clock of {TAKES_S} s"
    )
    assert (found["applied"], found["way"], found["promised_s"], found["objects"]) == (True, "Standard", 12 * 3600, 4)
    assert TAKES_S - 1 < found["waited_s"] < 60
    assert found["usd"] == pytest.approx(0.02 * found["gb"] + 0.1 * 4 / 1000)
    # Once more: it is here, and nothing is paid.
    again = json.loads(tiers(bed, "restore", address, "--yes", "--json").stdout)
    assert (again["usd"], again["waited_s"] < 1) == (0, True)


def test_killed_while_it_waits_goes_on_and_pays_once(archived: tuple[Store, str, Path]) -> None:
    bed, address, source = archived
    tiers(bed, "restore", address, "--no-wait", "--yes")
    process = subprocess.Popen(
        [CLI, "tiers", "restore", address, "--yes", "--poll", "0.3"], env=bed.env(), stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    read_until(process, process.stderr, "is being restored")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    found = json.loads(tiers(bed, "restore", address, "--yes", "--poll", "0.3", "--json").stdout)
    assert found["usd"] == 0
    assert same(source, Path(found["path"]))


def test_the_page(archived: tuple[Store, str, Path]) -> None:
    bed, address, _ = archived
    lab = Cli(bed.folder / "lab")
    lab.env |= {name: value for name, value in bed.env().items() if name.startswith(("AWS_", "DUALTRACK_STORE"))}
    lab.env["ADDRESS"] = address
    said = lab.runbook("restore-from-archive.md")
    assert "promised    within" in said


def test_what_is_not_there_is_said(server: Store, tmp_path: Path) -> None:
    server.folder = tmp_path
    assert "there is nothing at" in tiers(server, "restore", "s3://archive/nothing@v1", "--yes", code=4).stderr
    tiers(server, "restore", "archive/nothing", code=2)
