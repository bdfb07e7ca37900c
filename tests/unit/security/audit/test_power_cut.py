"""Trails and witnesses after a power cut at any moment: all that was acknowledged is there, and they continue."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from dualtrack.core.errors import Refused
from dualtrack.security.audit import witness as witnesses
from dualtrack.security.audit import witness_log
from dualtrack.security.audit.verify import judge
from dualtrack.security.audit.witness import Witness
from dualtrack.security.audit.writer import Writer, begin
from tests.support.attack_helpers import SECOND, START, Clock
from tests.support.power_cut import Killed, Recorder, cuts
from tests.support.simulated_witnesses import NOW, Host, Node, shown, store


def go_on(trail: Path) -> None:
    """Write two more events after the cut, and sign what is there."""
    with Writer(trail, clock=Clock(START + 100 * SECOND)) as writer:
        writer.append("sudo", "ops", b"after the cut")
        writer.append("sudo", "ops", b"and on")
        writer.seal()


def test_power_cut_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random) -> None:
    """Also while a key is followed by another, and while a segment begins."""
    begin(tmp_path / "disk/trail", "vault-1")
    clock = Clock()
    with Recorder(tmp_path / "disk", monkeypatch) as recorder:
        writer = Writer(tmp_path / "disk/trail", clock=clock, records=3, age_ns=10**18, epoch_ns=5 * SECOND)
        for number in range(9):
            writer.append("sudo", "ops", f"event {number}".encode())
            writer.commit()
            recorder.acknowledge()
        writer.close()
    assert writer.epoch > 1
    for moment, left in cuts(recorder, tmp_path, chance):
        trail = left / "trail"
        go_on(trail)
        report = judge(trail, (trail / "root.pem").read_bytes())
        assert report.findings == (), (left, report)
        assert report.records >= moment.acknowledged + 2, left


@pytest.mark.parametrize("kill", range(1, 12))
def test_power_cut_after_its_writer_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random, kill: int
) -> None:
    """The next writer finds what the killed one had not brought to the disk yet, and may not rely on it."""
    trail = tmp_path / "disk/trail"
    begin(trail, "vault-1")
    clock = Clock()
    with Recorder(tmp_path / "disk", monkeypatch, kill) as recorder:
        for _ in range(2):
            with (
                contextlib.suppress(Killed),
                contextlib.closing(Writer(trail, clock=clock, records=2, age_ns=10**18, epoch_ns=2 * SECOND)) as writer,
            ):
                for number in range(3):
                    writer.append("sudo", "ops", f"event {number}".encode())
                    writer.commit()
                    recorder.acknowledge()
    assert recorder.syncs > kill, "no sync is left to be killed at: take fewer"
    for moment, left in cuts(recorder, tmp_path, chance, each=1):
        go_on(left / "trail")
        report = judge(left / "trail", (trail / "root.pem").read_bytes())
        assert report.findings == (), (left, report)
        assert report.records >= moment.acknowledged + 2, left


def test_power_cut_while_it_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random) -> None:
    """Who has the key that `begin` returned has a trail; before that, beginning again is all that is needed."""
    (tmp_path / "disk").mkdir()
    with Recorder(tmp_path / "disk", monkeypatch) as recorder:
        root = begin(tmp_path / "disk/var/trail", "vault-1").pem()
        recorder.acknowledge()
    for moment, left in cuts(recorder, tmp_path, chance):
        trail = left / "var/trail"
        if not moment.acknowledged:
            with contextlib.suppress(Refused):  # it was begun, and nobody heard so
                begin(trail, "vault-1")
        go_on(trail)
        known = root if moment.acknowledged else (trail / "root.pem").read_bytes()
        assert judge(trail, known).findings == (), left


@pytest.mark.parametrize("kill", range(9))
def test_power_cut_makes_no_witness_sign_twice_or_forget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random, kill: int
) -> None:
    """Of segments that it said it signed, it signs no other head, and it continues; ``kill`` 0: nobody killed it."""
    host = Host()
    one = host.chain(3)
    other = host.chain(3, mark=1)

    def look(folder: Path, node: Node) -> int:
        with Witness(folder, clock=lambda: NOW) as it:
            it.register_host(host.name, host.root.pem())
            return it.round(host.name, store(shown(node)), pause=lambda _: None).segment

    witnesses.begin(tmp_path / "disk/w", "w-1")
    with Recorder(tmp_path / "disk", monkeypatch, kill) as recorder:
        for node in (one.before, one, one):
            assert node is not None
            with contextlib.suppress(Killed):
                recorder.acknowledge(look(tmp_path / "disk/w", node))
    assert recorder.syncs > kill, "no sync is left to be killed at: take fewer"
    for moment, left in cuts(recorder, tmp_path, chance, each=2):
        assert look(left / "w", other) >= moment.acknowledged, left
        signed = [witness_log.parse(it)[0] for it in (left / "w/statements.log").read_bytes().splitlines(keepends=True)]
        mine = {it.head.segment: it.digest for it in one.history()}
        heads = [it for it in signed if it.kind == "head"]
        assert len({it.segment for it in heads}) == len(heads), left
        assert {it.segment for it in heads if it.digest == mine[it.segment]} >= set(range(1, moment.acknowledged + 1))


def test_power_cut_while_a_witness_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random
) -> None:
    (tmp_path / "disk").mkdir()
    with Recorder(tmp_path / "disk", monkeypatch) as recorder:
        key = witnesses.begin(tmp_path / "disk/var/w", "w-1").pem()
        recorder.acknowledge()
    for moment, left in cuts(recorder, tmp_path, chance):
        if not (left / "var/w").exists():
            assert not moment.acknowledged, left
            witnesses.begin(left / "var/w", "w-1")
        with Witness(left / "var/w") as it:
            assert not moment.acknowledged or it.key.pem() == key
