"""The audit trail through its commands: what was acknowledged is there after every kill, once; the auditor's page."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from dualtrack.security.audit import record
from tests.conftest import CLI, Cli, wait
from tests.support.store_testbed import store

#: `make drill-audit` kills a hundred times.
KILLS = int(os.environ.get("DUALTRACK_KILLS", "8"))


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def trail(cli: Cli) -> Path:
    folder = cli.folder / "trail"
    (cli.folder / "key.pub").write_text(cli("audit", "init", str(folder), "--host", "h").stdout)
    return folder


def verify(cli: Cli, trail: Path, *words: str, code: int = 0) -> dict[str, object]:
    done = cli("audit", "verify", str(trail), "--key", str(cli.folder / "key.pub"), "--json", *words, check=False)
    assert done.returncode == code, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def bodies(trail: Path, read: dict[Path, tuple[int, list[int]]]) -> list[int]:
    """Return the events' own numbers, in the order of the trail; ``read`` keeps those of files that do not change."""
    for path in sorted((trail / "segments").glob("*.log")):
        size = path.stat().st_size
        if path not in read or read[path][0] != size:
            events = (record.decode(record.split(line)[0]) for line in path.read_bytes().splitlines(keepends=True))
            read[path] = (size, [int(it.body) for it in events if it.kind == "count"])
    return [number for path in sorted(read) for number in read[path][1]]


def test_killed_recorders_lose_nothing_that_was_acknowledged(cli: Cli, trail: Path, chance: random.Random) -> None:
    """kill -9 in the middle of a stream; the sender continues with what was not acknowledged, as a shipper would."""
    sent = acknowledged = resent = 0
    read: dict[Path, tuple[int, list[int]]] = {}
    for _ in range(KILLS):
        process = subprocess.Popen(
            [CLI, "audit", "record", trail, "--kind", "count", "--ack"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        begin, end = time.monotonic(), 0.6 + chance.uniform(0, 0.8)
        os.set_blocking(process.stdout.fileno(), False)
        while time.monotonic() - begin < end:
            process.stdin.write(b"".join(b"%d\n" % (sent + number) for number in range(50)))
            process.stdin.flush()
            sent += 50
        process.send_signal(signal.SIGKILL)
        process.wait()
        said = (process.stdout.read() or b"").split(b"\n")
        process.stdin.close()
        process.stdout.close()
        # The next writer repairs what the kill left: it takes off a line that is not whole.
        subprocess.run([CLI, "audit", "record", trail], stdin=subprocess.DEVNULL, check=True, capture_output=True)
        there = bodies(trail, read)
        acknowledged = max([acknowledged, *(int(it) for it in said[:-1] if it)])
        assert there == list(range(len(there))), "in order, none twice, none missing"
        assert len(there) >= acknowledged
        resent += sent - len(there)
        sent = len(there)
    print(f"\n{KILLS} kills: {sent} events, {acknowledged} acknowledged, 0 of these lost, {resent} sent again")
    assert acknowledged > 0
    cli("audit", "sign", str(trail))
    assert verify(cli, trail)["findings"] == []


def test_the_end_of_the_service_loses_nothing(trail: Path) -> None:
    process = subprocess.Popen(
        [CLI, "audit", "record", trail, "--kind", "count"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write("".join(f"{number}\n" for number in range(1000)))
    process.stdin.flush()
    wait(lambda: len(bodies(trail, {})) == 1000, 30, "1000 events in the trail", lambda: len(bodies(trail, {})))
    process.terminate()
    _, err = process.communicate(timeout=120)
    assert (process.returncode, "1000 events" in err) == (0, True)
    assert bodies(trail, {}) == list(range(1000))


def test_unusual_events_come_back_as_they_were(cli: Cli, trail: Path) -> None:
    content = b"\xff\xfe\n" + b"x" * 200_000 + b"\nlast, without an end"
    subprocess.run([CLI, "audit", "record", trail], input=content, check=True, capture_output=True)
    cli("audit", "sign", str(trail))
    assert verify(cli, trail)["records"] == 1 + 4 + 1
    assert "last, without an end" in cli("audit", "show", str(trail)).stdout


def test_what_is_no_key_no_anchor_no_proof_is_said(cli: Cli, trail: Path, tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("{}\n")
    key, junk = str(tmp_path / "key.pub"), str(tmp_path / "junk")
    for words in (
        ("verify", str(trail), "--key", junk), ("verify", str(trail), "--key", str(tmp_path / "none")),
        ("verify", str(trail), "--key", key, "--anchors", junk), ("check-proof", junk, "--key", key),
        ("prove", str(trail), "7", "-o", str(tmp_path / "p")), ("show", str(tmp_path)), ("sign", str(tmp_path)),
        ("anchor", str(trail)), ("verify", str(tmp_path / "none"), "--key", key),
    ):  # fmt: skip
        done = cli("audit", *words, check=False)
        assert done.returncode == 2, (words, done.stderr)
        assert done.stderr.count("\n") == 1, (words, done.stderr)


def test_an_empty_trail_proves_nothing(cli: Cli, trail: Path) -> None:
    found = verify(cli, trail, code=1)
    assert [it["kind"] for it in found["findings"]] == ["not signed"]  # type: ignore[attr-defined]


def test_the_page(cli: Cli) -> None:
    said = cli.runbook("verify-the-audit-trail.md")
    assert "rolled back" in said
    assert "COMMAND=/usr/bin/passwd" in said


def test_an_anchor_in_a_bucket_outlives_its_administrator(cli: Cli, trail: Path, tmp_path: Path) -> None:
    """Object lock in compliance mode: no version goes, and what hides or shadows one does not help."""
    (tmp_path / "bed").mkdir()
    with store(tmp_path / "bed") as bed:
        for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            cli.env[name] = bed.env()[name]
        s3 = bed.client()
        s3.create_bucket(Bucket="anchors", ObjectLockEnabledForBucket=True)
        s3.create_bucket(Bucket="plain")
        for body in ("first", "second"):
            subprocess.run([CLI, "audit", "record", trail], input=body.encode(), check=True, capture_output=True)
            cli("audit", "sign", str(trail))
            cli("audit", "anchor", str(trail), "--to", "s3://anchors/bank")
        cli("audit", "anchor", str(trail), "--to", "s3://anchors/bank")  # again: it is there already
        place = ("--anchors", "s3://anchors/bank/")
        assert verify(cli, trail, *place)["findings"] == []
        [newest] = s3.list_object_versions(Bucket="anchors", Prefix="bank/h/00000002")["Versions"]
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_object(Bucket="anchors", Key=newest["Key"], VersionId=newest["VersionId"])
        s3.delete_object(Bucket="anchors", Key=newest["Key"])  # hides it
        heads = trail / "heads.log"
        heads.write_bytes(heads.read_bytes().splitlines(keepends=True)[0])
        (trail / "segments/00000002.log").unlink()
        assert verify(cli, trail)["findings"] == []  # on its own it looks whole
        found = verify(cli, trail, *place, code=1)["findings"]
        assert [it["kind"] for it in found] == ["rolled back"]  # type: ignore[attr-defined]
        done = cli("audit", "anchor", str(trail), "--to", "s3://plain/x", check=False)
        assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr
