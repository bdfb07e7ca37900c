"""Witnesses: never two heads for one segment, whatever they are shown and whoever pulls the plug; forks are named."""

from __future__ import annotations

import itertools
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dualtrack.audit import anchors, check, quorum, statement, writer
from dualtrack.audit import head as heads
from dualtrack.audit import witness as witnesses
from dualtrack.audit.statement import Statement
from dualtrack.audit.witness import Round, Witness
from dualtrack.errors import BadInput, Refused
from tests.unit.witness_world import SECOND, START, Host, Node, shown

NOW = START + 10**6 * SECOND
TICKS = itertools.count(START, SECOND)


def tick() -> int:
    """A clock that goes a second on at each look."""
    return next(TICKS)


def store(lines: Sequence[bytes]) -> witnesses.Shown:
    """Return what shows lines as the search store does: from a segment on, and others that are there twice."""

    def show(host: str, since: int) -> list[bytes]:
        found = [(heads.parse(it)[0], it) for it in lines]
        numbers = [head.segment for head, _ in found if head.host == host]
        return [it for head, it in sorted(found, key=lambda one: one[0].segment)
                if head.host == host and (head.segment >= since or numbers.count(head.segment) > 1)]  # fmt: skip

    return show


def look(folder: Path, host: Host, *histories: Node) -> Round:
    """Let a witness look once at what a store has."""
    with Witness(folder, clock=lambda: NOW) as it:
        it.know(host.name, host.root.pem())
        return it.round(host.name, store(shown(*histories)), pause=lambda _: None)


def said(folder: Path) -> list[Statement]:
    return [statement.parse(text)[0] for text in (folder / "statements.log").read_bytes().splitlines(keepends=True)]


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    witnesses.begin(tmp_path / "w", "w-1")
    return tmp_path / "w"


def test_what_goes_on_is_cosigned_once(host: Host, mine: Path) -> None:
    node = host.chain(7, turn_every=3)
    assert look(mine, host, node) == Round("vault-1", 7, 7, ())
    assert look(mine, host, node) == Round("vault-1", 7, 0, ())
    assert look(mine, host, host.chain(2, node)) == Round("vault-1", 9, 2, ())
    assert [it.segment for it in said(mine) if it.kind == "head"] == list(range(1, 10))
    key = witnesses.libcrypto.public_key((mine / "witness.pem").read_bytes())
    for text in (mine / "statements.log").read_bytes().splitlines(keepends=True):
        _, data, signature = statement.parse(text)
        assert key.verifies(signature, statement.signed(data))


def test_two_heads_for_one_segment_are_both_left_alone(host: Host, mine: Path) -> None:
    stem = host.chain(3)
    one, other = host.chain(2, stem, mark=1), host.chain(2, stem, mark=2)
    found = look(mine, host, one, other)
    assert (found.segment, [(it.what, it.segment) for it in found.found]) == (3, [("fork", 4)] * 2)
    assert look(mine, host, one, other).found == ()  # told once
    assert look(mine, host, one).segment == 5  # the store shows one of them only: first come


def test_another_history_after_what_was_cosigned_is_a_fork(host: Host, mine: Path) -> None:
    stem = host.chain(3)
    one, other = host.chain(2, stem, mark=1), host.chain(4, stem, mark=2)
    assert look(mine, host, one).segment == 5
    found = look(mine, host, one, other)
    assert found.segment == 5
    assert sorted((it.what, it.segment) for it in found.found) == [("fork", 4), ("fork", 5), ("fork", 6)]
    evidence = [it.evidence for it in said(mine) if it.kind == "finding"]
    assert {heads.parse(f"{it}\n".encode())[0].segment for it in evidence} == {4, 5, 6}
    assert look(mine, host, host.chain(1, one)).segment == 6  # the true one goes on


def test_what_was_rolled_back_is_found(host: Host, mine: Path) -> None:
    node = host.chain(5)
    look(mine, host, node)
    asked: list[float] = []
    with Witness(mine) as it:
        it.know(host.name, host.root.pem())
        found = it.round(host.name, store(shown(node.history()[2])), pause=asked.append)
    assert [it.what for it in found.found] == ["rolled back"]
    assert asked == [2.0]  # not before it was asked twice


def test_what_the_host_did_not_sign_is_not_cosigned(host: Host, mine: Path) -> None:
    thief = Host("vault-1")
    found = look(mine, host, thief.chain(2, mark=1))
    assert (found.segment, {it.what for it in found.found}) == (0, {"forged"})
    # Beside it the true one is.
    assert look(mine, host, host.chain(2), thief.nodes[-1]).segment == 2


def test_a_key_of_another_epoch_does_not_count(host: Host, mine: Path) -> None:
    node = host.chain(4, turn_every=2)
    fake = Host("vault-1", root=host.root).chain(6, mark=1)  # signed by the first epoch's key throughout
    look(mine, host, node)
    found = look(mine, host, node, fake)
    assert {(it.what, it.segment) for it in found.found} >= {("fork", 1), ("fork", 2), ("forged", 3), ("forged", 5)}
    assert found.segment == 4


def test_a_gap_is_waited_for_and_then_found(host: Host, mine: Path) -> None:
    node = host.chain(5)
    lines = [it.line for it in node.history() if it.head.segment != 3]
    for now, kinds in ((node.head.ended, []), (node.head.ended + 3600 * SECOND, ["removed"])):
        with Witness(mine, clock=lambda: now) as it:  # noqa: B023
            it.know(host.name, host.root.pem())
            found = it.round(host.name, store(lines))
        assert (found.segment, [it.what for it in found.found]) == (2, kinds)


def test_a_registered_key_that_changed_is_refused(host: Host, mine: Path) -> None:
    look(mine, host, host.chain(1))
    with pytest.raises(Refused, match="another one than before"):
        look(mine, Host("vault-1"), host.nodes[-1])


# --- what it remembers


def forget_all(folder: Path) -> None:
    (folder / "seen.log").unlink()


def forget_all_and_statements(folder: Path) -> None:
    (folder / "seen.log").unlink()
    (folder / "statements.log").unlink()


def empty(folder: Path) -> None:
    (folder / "seen.log").write_bytes(b"")


def cut(folder: Path) -> None:
    path = folder / "seen.log"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))


def change(folder: Path) -> None:
    path = folder / "seen.log"
    path.write_bytes(path.read_bytes().replace(b'"segment":2', b'"segment":9'))


def begin_again(folder: Path) -> None:
    """Put in its place the memory of a witness that begins: under its key, yet another's first statement."""
    witnesses.begin(folder.parent / "other", "w-1")
    shutil.copy(folder.parent / "other/seen.log", folder / "seen.log")


def forge_a_beginning(folder: Path) -> None:
    """With its own key and name, and nothing remembered: what root on the witness would try."""
    path = folder / "seen.log"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])


def rewrite_memory(folder: Path) -> None:
    """As many statements as before, each after the one before, and one of them another: root, who read the format."""
    path, made, previous = folder / "seen.log", [], ""
    for text in path.read_bytes().splitlines():
        it = statement.decode(text)
        it = msgspec.structs.replace(it, previous=previous or it.previous)
        made.append(statement.encode(msgspec.structs.replace(it, digest="0" * 64) if it.segment == 4 else it))
        previous = statement.digest(made[-1])
    path.write_bytes(b"\n".join(made) + b"\n")


def change_both(folder: Path) -> None:
    change(folder)
    (folder / "statements.log").unlink()


def begin_again_with_nothing_said(folder: Path) -> None:
    begin_again(folder)
    (folder / "statements.log").unlink()


@pytest.mark.parametrize(
    "forget",
    [
        rewrite_memory,
        change_both,
        begin_again_with_nothing_said,
        forget_all,
        forget_all_and_statements,
        empty,
        cut,
        change,
        begin_again,
        forge_a_beginning,
    ],
)
def test_a_witness_that_has_forgotten_signs_nothing(host: Host, mine: Path, forget: Callable[[Path], None]) -> None:
    look(mine, host, host.chain(4))
    before = len(said(mine))
    forget(mine)
    with pytest.raises(Refused, match="has forgotten what it signed"):
        look(mine, host, host.chain(5, mark=1))
    if (mine / "statements.log").exists():
        assert len(said(mine)) == before


def test_a_witness_begins_once(mine: Path) -> None:
    with pytest.raises(Refused, match="is not empty"):
        witnesses.begin(mine, "w-1")
    with pytest.raises(BadInput, match="holds no witness"):
        Witness(mine.parent / "none")
    with Witness(mine), pytest.raises(Refused, match="another process"):
        Witness(mine)


@pytest.mark.parametrize("name", ["seen.log", "statements.log"])
@pytest.mark.parametrize("seed", range(6))
def test_torn_at_any_byte_it_goes_on(host: Host, mine: Path, name: str, seed: int) -> None:
    """A crash leaves a part of the last write: never of statements before what they say is remembered."""
    node = host.chain(2)
    look(mine, host, node)
    kept = {it.name: it.read_bytes() for it in mine.iterdir() if it.suffix == ".log"}
    look(mine, host, host.chain(1, node))
    whole = (mine / name).read_bytes()
    old = len(kept[name])
    at = old + (len(whole) - old) * seed // 6
    (mine / name).write_bytes(whole[:at])
    if name == "seen.log":
        (mine / "statements.log").write_bytes(kept["statements.log"])
    look(mine, host, host.nodes[-1])
    assert [it.segment for it in said(mine) if it.kind == "head"] == [1, 2, 3]


# --- judging by a quorum


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
    """Three witnesses, and who judges by them."""

    def __init__(self, folder: Path) -> None:
        self.folders = [folder / f"w-{number}" for number in (1, 2, 3)]
        for it in self.folders:
            witnesses.begin(it, it.name)
        self.keys = [(it / "witness.pem").read_bytes() for it in self.folders]

    def see(self, trail: Path, *numbers: int) -> None:
        for number in numbers:
            with Witness(self.folders[number - 1]) as it:
                it.know("vault-1", (trail / "root.pem").read_bytes())
                lines = (trail / "heads.log").read_bytes().splitlines(keepends=True)
                it.round("vault-1", store(lines), pause=lambda _: None)

    def judge(self, trail: Path, *, files: Sequence[Path] = (), wanted: int = 2, now: int = NOW) -> check.Report:
        report = check.judge(trail, (trail / "root.pem").read_bytes())
        paths = files or [it / "statements.log" for it in self.folders if (it / "statements.log").exists()]
        return quorum.judge(trail, report, paths, self.keys, wanted, now=now)


@pytest.fixture
def panel(tmp_path: Path) -> Panel:
    return Panel(tmp_path)


def kinds(report: check.Report) -> list[str]:
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
    for it in [new for old in (statement.parse(text)[0] for text in path.read_bytes().splitlines(True))
               for new in edit(old)]:  # fmt: skip
        it = msgspec.structs.replace(it, n=len(made) + 1, previous=previous or it.previous)
        data = statement.encode(it)
        previous = statement.digest(data)
        made.append(statement.line(data, key.sign(statement.signed(data))))
    path.write_bytes(b"".join(made))


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
    it, _, _ = statement.parse(last)
    data = statement.encode(msgspec.structs.replace(it, n=it.n + 1))  # a number that was left out
    path.write_bytes(b"".join([*rest, statement.line(data, key.sign(statement.signed(data)))]))
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
    assert check.judge(trail, root, found).findings == ()
    (trail / "heads.log").write_bytes(b"".join((trail / "heads.log").read_bytes().splitlines(keepends=True)[:3]))
    (trail / "segments/00000004.log").unlink()
    assert kinds(check.judge(trail, root, found)) == ["rolled back"]
    elsewhere = [msgspec.structs.replace(it, host=f"h-{it.segment % 2}") for it in found]
    with pytest.raises(BadInput, match="none of the anchors is of vault-1"):
        check.of(trail, elsewhere)
    assert check.of(trail, [*elsewhere, found[0]]) == [found[0]]


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
    report = check.judge(trail, (trail / "root.pem").read_bytes())
    assert (report.findings, report.segments) == ((), 7)
    lines = (trail / "heads.log").read_bytes().splitlines(keepends=True)
    data, _ = heads.split(lines[5])
    (trail / "heads.log").write_bytes(b"".join([*lines[:5], heads.line(data, key.sign(heads.signed(data)))]))
    assert "wrong key" in kinds(check.judge(trail, (trail / "root.pem").read_bytes()))


# --- whatever is done


class World(RuleBasedStateMachine):
    """Three witnesses, one host with every key stolen, a store that shows each what it likes, and crashes."""

    nodes: list[Node]

    @initialize()
    def set_up(self) -> None:
        self.home = TemporaryDirectory(prefix="witness-")
        self.folders = [Path(self.home.name) / f"w-{number}" for number in range(3)]
        for it in self.folders:
            witnesses.begin(it, it.name)
        self.host = Host()
        self.host.chain(2)
        self.given: list[set[bytes]] = [set(), set(), set()]

    def teardown(self) -> None:
        if hasattr(self, "home"):
            self.home.cleanup()

    @rule(at=st.integers(0), turn=st.booleans(), length=st.integers(1, 3))
    def sign(self, at: int, turn: bool, length: int) -> None:
        """Go on from any head: the newest, or an old one, which forks."""
        nodes = self.host.nodes
        before = nodes[-1 - at % (len(nodes) + 1)] if at % (len(nodes) + 1) < len(nodes) else None
        for _ in range(length):
            before = self.host.next(before, turn=turn, mark=len(nodes))

    @rule(who=st.integers(0, 2), which=st.lists(st.integers(0), min_size=1, max_size=3))
    def show(self, who: int, which: list[int]) -> None:
        histories = [self.host.nodes[-1 - it % len(self.host.nodes)] for it in which]
        look(self.folders[who], self.host, *histories)

    @rule(who=st.integers(0, 2), cut=st.integers(1, 400))
    def crash(self, who: int, cut: int) -> None:
        """Lose the end of the statements, as before it was on the disk, and look again."""
        path = self.folders[who] / "statements.log"
        if path.exists():
            lines = path.read_bytes()
            path.write_bytes(lines[: max(0, len(lines) - cut)])
            look(self.folders[who], self.host, self.host.nodes[-1])

    @invariant()
    def one_head_a_segment(self) -> None:
        if not hasattr(self, "folders"):
            return
        by: dict[tuple[int, int], set[str]] = defaultdict(set)
        votes: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for number, folder in enumerate(self.folders):
            path = folder / "statements.log"
            if path.exists():
                self.given[number] |= set(path.read_bytes().splitlines(keepends=True))
            for text in self.given[number]:  # all that was ever given away
                if text.endswith(b"\n") and (it := statement.parse(text)[0]).kind == "head":
                    by[number, it.segment].add(it.digest)
        for (_, segment), digests in by.items():
            assert len(digests) == 1
            votes[segment][next(iter(digests))] += 1
        assert all(sum(count >= 2 for count in it.values()) <= 1 for it in votes.values())


World.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestWorld = World.TestCase
