"""Witnesses: never two heads for one segment, whatever they are shown and whoever pulls the plug; forks are named."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dualtrack.core.errors import BadInput, Refused
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit import witness as witnesses
from dualtrack.security.audit import witness_log
from dualtrack.security.audit.witness import Round, Witness
from dualtrack.security.audit.witness_log import Statement
from tests.support.attack_helpers import SECOND
from tests.support.simulated_witnesses import NOW, Host, Node, shown, store


def look(folder: Path, host: Host, *histories: Node) -> Round:
    """Let a witness look once at what a store has."""
    with Witness(folder, clock=lambda: NOW) as it:
        it.register_host(host.name, host.root.pem())
        return it.round(host.name, store(shown(*histories)), pause=lambda _: None)


def said(folder: Path) -> list[Statement]:
    return [witness_log.parse(text)[0] for text in (folder / "statements.log").read_bytes().splitlines(keepends=True)]


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    witnesses.begin(tmp_path / "w", "w-1")
    return tmp_path / "w"


def test_what_goes_on_is_cosigned_once(host: Host, mine: Path) -> None:
    node = host.chain(7, turn_every=3)
    assert look(mine, host, node) == Round(host="vault-1", segment=7, signed=7, found=())
    assert look(mine, host, node) == Round(host="vault-1", segment=7, signed=0, found=())
    assert look(mine, host, host.chain(2, node)) == Round(host="vault-1", segment=9, signed=2, found=())
    assert [it.segment for it in said(mine) if it.kind == "head"] == list(range(1, 10))
    key = witnesses.libcrypto.public_key((mine / "witness.pem").read_bytes())
    for text in (mine / "statements.log").read_bytes().splitlines(keepends=True):
        _, data, signature = witness_log.parse(text)
        assert key.verifies(signature, witness_log.signed(data))


def test_two_heads_for_one_segment_are_both_left_alone(host: Host, mine: Path) -> None:
    stem = host.chain(3)
    one, other = host.chain(2, stem, mark=1), host.chain(2, stem, mark=2)
    found = look(mine, host, one, other)
    assert (found.segment, [(it.what, it.segment) for it in found.found]) == (3, [("fork", 4)] * 2)
    assert look(mine, host, one, other).found == ()  # told once
    assert look(mine, host, one).segment == 5  # the store shows one of them only: first come


@pytest.mark.attack("root on the host", "forks the chain before a witness", "found", "the witness")
def test_another_history_after_what_was_cosigned_is_a_fork(host: Host, mine: Path) -> None:
    stem = host.chain(3)
    one, other = host.chain(2, stem, mark=1), host.chain(4, stem, mark=2)
    assert look(mine, host, one).segment == 5
    found = look(mine, host, one, other)
    assert found.segment == 5
    assert sorted((it.what, it.segment) for it in found.found) == [("fork", 4), ("fork", 5), ("fork", 6)]
    evidence = [it.evidence for it in said(mine) if it.kind == "finding"]
    assert {heads.parse(f"{it}\n".encode())[0].segment for it in evidence} == {4, 5, 6}
    assert look(mine, host, host.chain(1, one)).segment == 6  # the true one continues


@pytest.mark.attack("root on the host", "rolls the trail back before a witness", "found", "the witness")
def test_what_was_rolled_back_is_found(host: Host, mine: Path) -> None:
    node = host.chain(5)
    look(mine, host, node)
    asked: list[float] = []
    with Witness(mine) as it:
        it.register_host(host.name, host.root.pem())
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
            it.register_host(host.name, host.root.pem())
            found = it.round(host.name, store(lines))
        assert (found.segment, [it.what for it in found.found]) == (2, kinds)


def test_a_registered_key_that_changed_is_refused(host: Host, mine: Path) -> None:
    look(mine, host, host.chain(1))
    with pytest.raises(Refused, match="differs from the one before"):
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
        it = witness_log.decode(text)
        it = msgspec.structs.replace(it, previous=previous or it.previous)
        made.append(witness_log.encode(msgspec.structs.replace(it, digest="0" * 64) if it.segment == 4 else it))
        previous = witness_log.digest(made[-1])
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
        """Continue from any head: the newest, or an old one, which forks."""
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
                if text.endswith(b"\n") and (it := witness_log.parse(text)[0]).kind == "head":
                    by[number, it.segment].add(it.digest)
        for (_, segment), digests in by.items():
            assert len(digests) == 1
            votes[segment][next(iter(digests))] += 1
        assert all(sum(count >= 2 for count in it.values()) <= 1 for it in votes.values())


World.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestWorld = World.TestCase
