"""Trails in the search store: each record once, whoever is killed meanwhile; what the store has is verified, too."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dualtrack.security.audit import record
from tests.conftest import CLI, Cli, wait
from tests.support.child import read_until
from tests.support.opensearch_testbed import PASSWORDS, Bed

#: `make drill-audit` sends a hundred thousand events, and kills for as long as that takes.
EVENTS = 100_000 if os.environ.get("DUALTRACK_WHOLE") else 10_000
HOST = "gpu-1"


class Trail:
    """A host's trail, and how it gets into the store; each test has a host of its own."""

    def __init__(self, cli: Cli, bed: Bed, host: str) -> None:
        self.cli, self.bed, self.host, self.folder = cli, bed, host, cli.folder / "trail"
        self.key = cli.folder / "root.pem"
        self.key.write_text(cli("audit", "init", str(self.folder), "--host", host).stdout)
        self.password = cli.folder / "password"
        self.password.write_text(f"{PASSWORDS['auditor']}\n")

    def record(self, *bodies: str) -> None:
        words = [CLI, "audit", "record", self.folder, "--kind", "test", "--source", "here"]
        subprocess.run(words, input="\n".join(bodies), text=True, check=True, capture_output=True)

    def words(self, host: str = "") -> list[str]:
        found = self.bed.certificate(host or self.host)
        return ["audit", "ship", str(self.folder), "--store", self.bed.url, "--ca", found.authority,
                "--cert", found.certificate, "--cert-key", found.key]  # fmt: skip

    def ship(self, *more: str, host: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.cli(*self.words(host), "--once", *more, check=check)

    def auditor(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        ca = str(self.bed.pki / "ca.pem")
        who = ("--user", "auditor", "--password-file", str(self.password))
        return self.cli("audit", *words, "--store", self.bed.url, "--ca", ca, *who, check=check)

    def fetched(self, name: str = "fetched") -> Path:
        """Return the trail as the store has it."""
        with self.bed.open("admin", "admin") as store:
            store.call("POST", "/audit-*/_refresh")
        folder = self.cli.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        self.auditor("fetch", self.host, str(folder))
        return folder

    def findings(self, folder: Path) -> list[str]:
        done = self.cli("audit", "verify", str(folder), "--key", str(self.key), "--json", check=False)
        return [it["kind"] for it in json.loads(done.stdout)["findings"]]


@pytest.fixture
def trail(bed: Bed, tmp_path: Path, request: pytest.FixtureRequest) -> Trail:
    host = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].strip("-")
    return Trail(Cli(tmp_path), bed, host)


def numbers(folder: Path) -> list[int]:
    """Return the events' own numbers in a trail, in its order; a last line that is still being written is none yet."""
    return [
        int(it.body)
        for path in sorted((folder / "segments").glob("*.log"))
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n") and (it := record.parse(line)[0]).kind == "count"
    ]


def same(folder: Path, other: Path) -> bool:
    """Tell whether two trails have the same records and heads, byte for byte."""

    def content(it: Path) -> bytes:
        return b"".join(path.read_bytes() for path in [*sorted((it / "segments").glob("*.log")), it / "heads.log"])

    return content(folder) == content(other)


def test_store_has_what_the_host_has_byte_for_byte(trail: Trail) -> None:
    odd = ["plain", "“quoted” \\ \x07", "x" * 200_000, "ends with a blank "]
    trail.record(*odd)
    words = [CLI, "audit", "record", trail.folder, "--kind", "test"]
    subprocess.run(words, input=b"\xff\xfe no utf-8\n\x00\n", check=True, capture_output=True)
    trail.cli("audit", "sign", str(trail.folder))
    assert "shipped up to record" in trail.ship().stderr
    assert same(trail.fetched(), trail.folder)
    assert trail.findings(trail.fetched()) == []
    trail.ship()  # again: nothing is there twice
    assert same(trail.fetched(), trail.folder)


def test_events_are_found_by_people(trail: Trail) -> None:
    trail.record("alice opened the door", "bob closed the door", "alice left")
    trail.ship()
    trail.fetched()  # what was sent shows now

    def bodies(*words: str) -> list[str]:
        found = json.loads(trail.auditor("search", "--json", "--host", trail.host, *words).stdout)["records"]
        return [it["body"] for it in found]

    assert bodies("--text", "alice") == ["alice opened the door", "alice left"]
    assert bodies("--text", '"closed the door"') == ["bob closed the door"]
    assert bodies("--kind", "test", "--last", "1") == ["alice left"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert bodies("--since", tomorrow.isoformat(timespec="seconds")) == []
    table = trail.auditor("search", "--host", trail.host).stdout
    assert "bob closed the door" in table
    assert trail.host in table


def test_kill_of_each_in_turn_loses_and_doubles_nothing(trail: Trail, bed: Bed, chance: random.Random) -> None:
    """kill -9 of the recorder, the shipper and the store, while events come as fast as they are taken."""
    folder = trail.folder

    def shipper() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [CLI, *trail.words()], env=trail.cli.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def recorder() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [CLI, "audit", "record", folder, "--kind", "count"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    kills = {"recorder": 0, "shipper": 0, "store": 0}
    writing, shipping, sent = recorder(), shipper(), 0
    victims: Callable[[], str] = lambda: ("recorder", "shipper", "store")[sum(kills.values()) % 3]  # noqa: E731
    begin = time.monotonic()
    try:
        while sent < EVENTS:
            burst = b"".join(b"%d\n" % number for number in range(sent, min(sent + EVENTS // 40, EVENTS)))
            with contextlib.suppress(BrokenPipeError):
                assert writing.stdin is not None
                writing.stdin.write(burst)
                writing.stdin.flush()
            sent += burst.count(b"\n")
            time.sleep(chance.uniform(0, 0.3))
            if chance.random() > 0.3:
                continue
            victim = victims()
            kills[victim] += 1
            if victim == "recorder":
                writing.send_signal(signal.SIGKILL)
                writing.wait()
                # A sender continues with what was not acknowledged: what the trail has not.
                sent = len(numbers(folder))
                writing = recorder()
            elif victim == "shipper":
                shipping.send_signal(signal.SIGKILL)
                shipping.wait()
                shipping = shipper()
            else:
                bed.kill()
                bed.start()
        assert writing.stdin is not None
        writing.stdin.close()
        writing.wait(timeout=60)
        trail.cli("audit", "sign", str(folder))
        state = folder / "shipped.json"

        def shipped() -> bool:
            assert shipping.poll() is None, "the shipper ended"
            # On a busy machine nothing at all may have been taken before the first kill.
            return state.exists() and json.loads(state.read_text())["heads"] == (folder / "heads.log").stat().st_size

        wait(shipped, 120, "the shipping")
    finally:
        for process in (writing, shipping):
            process.kill()
            process.wait()
        if bed.process is None:
            bed.start()
    took = time.monotonic() - begin
    found = trail.fetched()
    print(f"{EVENTS} events in {took:.0f} s, killed {kills}: {EVENTS - len(set(numbers(found)))} lost, "
          f"{len(numbers(found)) - len(set(numbers(found)))} twice")  # fmt: skip
    assert min(kills.values()) >= 1
    assert numbers(folder) == list(range(EVENTS))
    assert same(found, folder)
    assert trail.findings(found) == []


def test_outage_is_told_with_what_waits_and_ends_by_itself(trail: Trail, bed: Bed) -> None:
    trail.record(*(f"event {number}" for number in range(20_000)))
    bed.kill()
    process = subprocess.Popen(
        [CLI, *trail.words(), "--once", "--alarm", "1MB"], env=trail.cli.env, stderr=subprocess.PIPE, text=True
    )
    try:
        said = read_until(process, process.stderr, "does not answer", "alarm at")
        bed.start()
        said += process.communicate(timeout=600)[1]
    finally:
        process.kill()
        process.wait()
    assert "does not answer" in said
    assert "MB of the trail are not shipped (alarm at 1.0 MB)" in said
    assert "the store takes records again" in said
    assert len(list((trail.fetched() / "segments").iterdir())) >= 1


def test_state_that_cannot_be_written_stops_nothing(trail: Trail) -> None:
    """The disk of the state is full: records arrive, and a restart sends them again, not twice."""
    trail.record("one", "two")
    small = trail.cli.folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", small], check=True)
    try:
        (small / "filler").write_bytes(b"x" * 4096)
        said = trail.ship("--state", str(small / "state")).stderr
        assert "cannot write" in said
        assert "shipped up to record 2" in said
        trail.ship("--state", str(small / "state"))
    finally:
        subprocess.run(["umount", small], check=True)
    fetched = trail.fetched()
    assert (fetched / "segments/00000001.log").read_bytes().count(b"\n") == 2


def test_what_root_rewrites_before_it_is_signed_was_shipped_and_is_found(trail: Trail) -> None:
    """The last minute is not signed yet, but the store has it: the host's second version stands beside the first."""
    trail.record("one", "two", "three")
    trail.ship()
    segment = trail.folder / "segments/00000001.log"
    lines = segment.read_bytes().splitlines(keepends=True)
    forged, chain = [], record.start(trail.host)
    for line in lines:
        data = record.split(line)[0].replace(b'"two"', b'"TWO"')
        chain = record.link(chain, data)
        forged.append(record.line(data, chain))
    segment.write_bytes(b"".join(forged))
    trail.cli("audit", "sign", str(trail.folder))
    assert trail.findings(trail.folder) == []  # the host alone tells nothing
    done = trail.ship(check=False)
    assert done.returncode == 4
    assert "not there any more as it was shipped" in done.stderr
    (trail.folder / "shipped.json").unlink()  # root continues and sends its own version
    trail.ship()
    fetched = trail.fetched()
    assert trail.findings(fetched)
    text = (fetched / "segments/00000001.log").read_text()
    assert '"two"' in text
    assert '"TWO"' in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-200]), "has become shorter"),
        (lambda path: path.unlink(), "not there any more as it was shipped"),
        (lambda path: path.open("ab").write(b"no record\n"), "this line is not a record"),
        (lambda path: path.open("ab").write(b"x" * (record.LINE + 1)), "a line that is too long"),
    ],
    ids=["cut", "gone", "garbage", "long"],
)
def test_trail_that_was_changed_is_not_shipped_on(
    bed: Bed, tmp_path: Path, change: Callable[[Path], object], said: str, request: pytest.FixtureRequest
) -> None:
    trail = Trail(Cli(tmp_path), bed, f"changed-{request.node.callspec.id}")
    trail.record(*(f"event {number}" for number in range(100)))
    trail.ship()
    change(trail.folder / "segments/00000001.log")
    done = trail.ship(check=False)
    assert done.returncode == 4
    assert said in done.stderr or "not there any more as it was shipped" in done.stderr


def test_page_ships_searches_and_judges(bed: Bed, tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "password").write_text(f"{PASSWORDS['auditor']}\n")
    cli.env |= {"STORE": bed.url, "PKI": str(bed.pki), "PASSWORD_FILE": str(tmp_path / "password")}
    said = cli.runbook("ship-audit-trails.md")
    assert re.search(r"web-1 +alice +sudo +COMMAND=/usr/bin/passwd", said), said
    assert "2 records in 1 segments, signed up to record 2" in said


def test_who_must_not_does_not(trail: Trail) -> None:
    trail.record("one")
    trail.bed.admit(trail.host)
    other = trail.ship(host="another-host", check=False)
    assert other.returncode == 4
    assert "does not take a record (403)" in other.stderr
    assert not (trail.folder / "shipped.json").exists()
    trail.ship()  # there is something to read
    found = trail.bed.certificate(trail.host)
    reading = ("--ca", found.authority, "--cert", found.certificate, "--cert-key", found.key)
    done = trail.cli("audit", "search", "--store", trail.bed.url, *reading, check=False)
    assert done.returncode == 5  # a shipper reads nothing, its own trail neither


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--store", "http://127.0.0.1:9200"], "is not an address of a store"),
        (["--store", "https://127.0.0.1:nine"], "is not an address of a store"),
        (["--ca", "/nowhere/ca.pem"], "there is no /nowhere/ca.pem"),
        (["--cert-key", "/etc/hostname"], "cannot be used"),
        (["--alarm", "much"], "much"),
    ],
)
def test_bad_input_is_a_clear_line(trail: Trail, words: list[str], said: str) -> None:
    trail.record("one")
    given = trail.words()
    if words[0] == "--store":
        given[given.index("--store") + 1] = words[1]
        words = []
    done = trail.cli(*given, "--once", *words, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") <= 2


def test_host_that_no_index_can_be_called_after_is_refused(bed: Bed, tmp_path: Path) -> None:
    trail = Trail(Cli(tmp_path), bed, "Upper_Case")
    trail.host = "gpu-1"
    done = trail.ship(check=False)
    assert done.returncode == 2
    assert "cannot be a host in the store" in done.stderr
