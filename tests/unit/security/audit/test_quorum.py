"""Judging a trail by its witnesses: enough must agree, split views are named, and nobody else counts."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from dualtrack.core.errors import BadInput
from dualtrack.security.audit import anchors, quorum, retention_receipts, verify, witness_log, writer
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit import witness as witnesses
from dualtrack.security.audit.witness import Witness
from dualtrack.security.audit.witness_log import Statement
from tests.support.attack_helpers import START
from tests.support.simulated_witnesses import NOW, store, tick


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    folder = tmp_path / "trail"
    writer.begin(folder, "vault-1")
    fill(folder, 4)
    return folder


def fill(folder: Path, segments: int) -> None:
    with writer.Writer(folder, clock=tick) as it:
        for number in range(segments):
            it.append("sudo", "ops", b"event %d" % number)
            it.seal()


class Panel:
    """Three witnesses, and who verifies by them."""

    def __init__(self, folder: Path) -> None:
        self.folders = [folder / f"w-{number}" for number in (1, 2, 3)]
        for it in self.folders:
            witnesses.begin(it, it.name)
        self.keys = [(it / "witness.pem").read_bytes() for it in self.folders]

    def see(self, trail: Path, *numbers: int) -> None:
        for number in numbers:
            with Witness(self.folders[number - 1]) as it:
                it.register_host("vault-1", (trail / "root.pem").read_bytes())
                lines = (trail / "heads.log").read_bytes().splitlines(keepends=True)
                it.round("vault-1", store(lines), pause=lambda _: None)

    def judge(self, trail: Path, *, files: Sequence[Path] = (), wanted: int = 2, now: int = NOW) -> verify.TrailReport:
        report = verify.judge(trail, (trail / "root.pem").read_bytes())
        paths = files or [it / "statements.log" for it in self.folders if (it / "statements.log").exists()]
        return quorum.judge(trail, report, paths, self.keys, wanted, now=now)


@pytest.fixture
def panel(tmp_path: Path) -> Panel:
    return Panel(tmp_path)


def kinds(report: verify.TrailReport) -> list[str]:
    return [it.kind for it in report.findings]


def test_two_of_three_are_enough_and_one_is_not(trail: Path, panel: Panel) -> None:
    panel.see(trail, 1)
    [found] = panel.judge(trail).findings
    assert (found.kind, "segments 1 to 4: 1 of 2" in found.detail) == ("not co-signed", True)
    assert panel.judge(trail, now=START).findings == ()  # too new for that
    panel.see(trail, 2)
    report = panel.judge(trail)
    assert (report.cosigned, report.findings) == (4, ())
    assert kinds(panel.judge(trail, wanted=3)) == ["not co-signed"]
    fill(trail, 2)
    panel.see(trail, 3)
    report = panel.judge(trail)
    assert (report.cosigned, [it.detail for it in report.findings]) == (
        4, ["vault-1, segments 5 to 6: 1 of 2 witnesses co-signed it"],
    )  # fmt: skip


def test_a_split_view_names_the_segments_and_who_saw_what(trail: Path, panel: Panel, tmp_path: Path) -> None:
    """The host, its key in the thief's hand, shows one witness another history than the others and the auditor."""
    other = Path(shutil.copytree(trail, tmp_path / "other"))
    fill(trail, 2)
    with writer.Writer(other, clock=tick) as it:
        for _ in range(2):
            it.append("sudo", "nobody", b"innocent")
            it.seal()
    panel.see(trail, 1, 2)
    panel.see(other, 3)
    report = panel.judge(trail)
    assert [it.kind for it in report.findings] == ["split view"], report.findings
    [found] = report.findings
    assert report.cosigned == 6
    assert found.detail.startswith("vault-1, segments 5 to 6: ")
    assert "w-1, w-2" in found.detail
    assert "w-3" in found.detail
    # Who is shown the other history hears the same, and that it is not co-signed by enough.
    assert kinds(panel.judge(other)) == ["split view"]
    assert panel.judge(other).cosigned == 4


def test_what_all_witnesses_saw_and_the_trail_has_not(trail: Path, panel: Panel, tmp_path: Path) -> None:
    old = Path(shutil.copytree(trail, tmp_path / "old"))
    fill(trail, 2)
    panel.see(trail, 1, 2, 3)
    assert kinds(panel.judge(old)) == ["rolled back"]
    with writer.Writer(old, clock=tick) as it:
        it.append("sudo", "nobody", b"innocent")
        it.seal()
    assert kinds(panel.judge(old)) == ["rewritten", "rolled back"]


def rewrite(path: Path, key: witnesses.libcrypto.PrivateKey, edit: Callable[[Statement], list[Statement]]) -> None:
    """Write a witness's statements anew, chained and signed: what a witness that lies can do."""
    made, previous = [], ""
    for it in [new for old in (witness_log.parse(text)[0] for text in path.read_bytes().splitlines(True))
               for new in edit(old)]:  # fmt: skip
        it = msgspec.structs.replace(it, n=len(made) + 1, previous=previous or it.previous)
        data = witness_log.encode(it)
        previous = witness_log.digest(data)
        made.append(witness_log.line(data, key.sign(witness_log.signed(data))))
    path.write_bytes(b"".join(made))


@pytest.mark.attack(
    "a bought witness, root and the store's administrator",
    "takes an honest witness's name to hide a split view",
    "found",
    "audit verify --witness",
)
def test_a_witness_hides_nobody_by_taking_its_name(trail: Path, panel: Panel, tmp_path: Path) -> None:
    other = Path(shutil.copytree(trail, tmp_path / "other"))
    for folder, body in ((trail, b"root did something bad"), (other, b"innocent")):
        with writer.Writer(folder, clock=tick) as it:
            it.append("sudo", "ops", body)
            it.seal()
    panel.see(trail, 1)
    panel.see(other, 2, 3)
    rewrite(
        panel.folders[1] / "statements.log",
        witnesses.keys.load(panel.folders[1] / "key.pem"),
        lambda it: [msgspec.structs.replace(it, host="w-1", previous=witness_log.none("w-1")) if it.n == 1 else it],
    )
    files = [it / "statements.log" for it in panel.folders]
    for order in itertools.permutations(files):
        assert kinds(panel.judge(other, files=order)) == ["wrong key", "split view"]


def test_what_was_retired_is_neither_missing_nor_another_one(trail: Path, panel: Panel, tmp_path: Path) -> None:
    panel.see(trail, 1, 2, 3)
    root = (trail / "root.pem").read_bytes()
    t, chain, head, epochs = retention_receipts.compose(trail, 2, 2, None)
    note = retention_receipts.Note(
        host="vault-1",
        n=2,
        t=t,
        chain=chain,
        head=head,
        epochs=epochs,
        at=0,
        by="me",
        indices=("audit-vault-1-2026.01.01",),
        snapshot="s",
    )
    rest = Path(shutil.copytree(trail, tmp_path / "rest"))
    lines = (trail / "heads.log").read_bytes().splitlines(keepends=True)
    for number in (1, 2):
        (rest / f"segments/{number:08d}.log").unlink()
    for left in (lines[2:], lines[1:]):  # also when one was sent again
        (rest / "heads.log").write_bytes(b"".join(left))
        report = verify.judge(rest, root, starts=retention_receipts.starts([note], root))
        report = quorum.judge(
            rest, report, [it / "statements.log" for it in panel.folders], panel.keys, 2, now=NOW, patience_ns=0
        )
        assert (report.findings, report.cosigned, report.first) == ((), 4, 3)


def test_findings_are_bounded(trail: Path, panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A witness may contradict every second segment."""
    monkeypatch.setattr(quorum, "MOST", 5)
    fill(trail, 20)
    panel.see(trail, 1, 2, 3)
    rewrite(
        panel.folders[0] / "statements.log",
        witnesses.keys.load(panel.folders[0] / "key.pem"),
        lambda it: [msgspec.structs.replace(it, digest="0" * 64) if it.kind == "head" and it.segment % 2 else it],
    )
    assert kinds(panel.judge(trail)) == ["split view"] * 5


@pytest.mark.attack(
    "a bought witness", "spells a statement so that two readers see two", "found", "audit verify --witness"
)
@pytest.mark.parametrize("how", [b'"kind" :"head"', b'"kind":"h\\u0065ad"', b'"kind":"head","kind":"head"'])
def test_a_statement_is_spelled_in_one_way(trail: Path, panel: Panel, how: bytes) -> None:
    panel.see(trail, 1)
    [line] = [it for it in (panel.folders[0] / "statements.log").read_bytes().splitlines(True) if b'"segment":1' in it]
    witness_log.parse(line)
    with pytest.raises(BadInput):
        witness_log.parse(line.replace(b'"kind":"head"', how))


def test_a_witness_that_lies_is_found(trail: Path, panel: Panel, tmp_path: Path) -> None:
    panel.see(trail, 1, 2, 3)
    mine = panel.folders[0]
    key = witnesses.keys.load(mine / "key.pem")
    kept = shutil.copy(mine / "statements.log", tmp_path / "yesterday")
    others = [it / "statements.log" for it in panel.folders[1:]]

    def again(it: Statement) -> list[Statement]:
        return [it, msgspec.structs.replace(it, digest="0" * 64)] if it.segment == 3 else [it]

    def skip(it: Statement) -> list[Statement]:
        return [] if it.segment == 2 else [it]

    def other(it: Statement) -> list[Statement]:
        return [msgspec.structs.replace(it, digest="0" * 64)] if it.segment == 3 else [it]

    for edit, kind in ((again, "split view"), (skip, "wrong key"), (other, "split view")):
        shutil.copy(kept, mine / "statements.log")
        rewrite(mine / "statements.log", key, edit)
        assert kinds(panel.judge(trail)) == [kind], edit
    report = panel.judge(trail, files=[*others, Path(kept), mine / "statements.log"])
    assert "contradicts itself" in report.findings[0].detail
    # An older copy of the same says nothing new.
    shutil.copy(kept, mine / "statements.log")
    fill(trail, 1)
    panel.see(trail, 1, 2)
    for two in ([Path(kept), mine / "statements.log"], [mine / "statements.log", Path(kept)]):
        assert panel.judge(trail, files=[*two, *others]).findings == ()


def test_a_stranger_does_not_count_and_too_many_cannot_be_asked_for(trail: Path, panel: Panel) -> None:
    panel.see(trail, 1, 2, 3)
    stranger = panel.keys.pop()
    assert kinds(panel.judge(trail)) == ["wrong key"]
    for wanted in (0, 3):
        with pytest.raises(BadInput, match="cannot be had"):
            panel.judge(trail, wanted=wanted)
    panel.keys.append(stranger)
    path, key = panel.folders[0] / "statements.log", witnesses.keys.load(panel.folders[0] / "key.pem")
    *rest, last = path.read_bytes().splitlines(keepends=True)
    it, _, _ = witness_log.parse(last)
    data = witness_log.encode(msgspec.structs.replace(it, n=it.n + 1))  # a number that was left out
    path.write_bytes(b"".join([*rest, witness_log.line(data, key.sign(witness_log.signed(data)))]))
    assert kinds(panel.judge(trail)) == ["wrong key"]


def test_every_byte_of_a_statement_counts(trail: Path, panel: Panel) -> None:
    panel.see(trail, 1, 2)
    path = panel.folders[0] / "statements.log"
    whole, missed = path.read_bytes(), []
    # Signatures but the last are not looked at: the chain speaks for them.
    texts = whole.splitlines(keepends=True)
    begin = 0
    for number, text in enumerate(texts):
        end = len(text) if number == len(texts) - 1 else text.rindex(b" ")
        for at in range(begin + number % 23, begin + end, 23):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            if not panel.judge(trail).findings:
                missed.append(at)
        begin += len(text)
    assert missed == []


def test_statements_are_anchors(trail: Path, panel: Panel) -> None:
    panel.see(trail, 1)
    path = str(panel.folders[0] / "statements.log")
    root = (trail / "root.pem").read_bytes()
    found = list(anchors.read([path]))
    assert [it.segment for it in found] == [1, 2, 3, 4]
    assert verify.judge(trail, root, found).findings == ()
    (trail / "heads.log").write_bytes(b"".join((trail / "heads.log").read_bytes().splitlines(keepends=True)[:3]))
    (trail / "segments/00000004.log").unlink()
    assert kinds(verify.judge(trail, root, found)) == ["rolled back"]
    elsewhere = [msgspec.structs.replace(it, host=f"h-{it.segment % 2}") for it in found]
    with pytest.raises(BadInput, match="none of the anchors is of vault-1"):
        verify.of(trail, elsewhere)
    assert verify.of(trail, [*elsewhere, found[0]]) == [found[0]]


def test_a_turn_ends_the_epoch_at_once(trail: Path) -> None:
    [stolen] = (trail / "keys").iterdir()
    key = witnesses.keys.load(stolen)
    with writer.Writer(trail, clock=tick) as it:
        head = it.turn()
        assert (head.epoch, it.epoch) == (0, 1)
        it.append("sudo", "ops", b"after it")
        it.seal()
        it.turning = True  # as a signal does
        it.commit()
        assert (it.epoch, it.turning) == (2, False)
    assert not stolen.exists()
    report = verify.judge(trail, (trail / "root.pem").read_bytes())
    assert (report.findings, report.segments) == ((), 7)
    lines = (trail / "heads.log").read_bytes().splitlines(keepends=True)
    data, _ = heads.split(lines[5])
    (trail / "heads.log").write_bytes(b"".join([*lines[:5], heads.line(data, key.sign(heads.signed(data)))]))
    assert "wrong key" in kinds(verify.judge(trail, (trail / "root.pem").read_bytes()))
