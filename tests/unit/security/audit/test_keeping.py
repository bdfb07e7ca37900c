"""Retention: what may go is the begin of a chain, old, saved and not held; and a note says so that can be verified."""

from __future__ import annotations

import hashlib
import shutil
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core.errors import BadInput, Findings, Refused
from dualtrack.crypto import libcrypto
from dualtrack.remote.opensearch import SearchStore
from dualtrack.security.audit import holds, index_documents, record, retention_policy, retention_receipts
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.layout import Place
from dualtrack.security.audit.retention_policy import Index
from dualtrack.security.audit.ship import Shipper
from dualtrack.security.audit.snapshots import Snapshot
from dualtrack.security.audit.verify import Start, judge
from dualtrack.security.audit.writer import Writer, begin
from dualtrack.security.pki import authority, rotation
from tests.unit.security.audit.test_chain import START, Clock, fill

TODAY = date(2026, 11, 26)
DAY_NS = 86_400 * 10**9


def at(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 10**9


def index(host: str, back: int, first: int, last: int, head: tuple[int, int]) -> Index:
    day = TODAY - timedelta(days=back)
    return Index(
        name=f"audit-{host}-{day:%Y.%m.%d}", host=host, day=day, first=first, last=last, heads=head,
        documents=last - first + 1,
    )  # fmt: skip


@st.composite
def stores(draw: st.DrawFn) -> tuple[list[Index], list[Snapshot], dict[str, str]]:
    """Hosts with their days in any order of records, snapshots of some of them, and holds."""
    found = []
    for host in draw(st.lists(st.sampled_from(["a", "a-b", "c.d"]), unique=True, min_size=1)):
        days = sorted(draw(st.lists(st.integers(0, 12), unique=True, min_size=1, max_size=6)), reverse=True)
        places = [*range(len(days))]
        if draw(st.booleans()):  # a clock that was wrong
            places = draw(st.permutations(places))
        for back, place in zip(days, places, strict=True):
            head = (2 * place + 1, 2 * place + 2) if draw(st.integers(0, 5)) else (0, 0)
            found.append(index(host, back, 100 * place + 1, 100 * place + 100, head))
    names = [it.name for it in found]
    taken = [
        Snapshot(name=f"s{number}", state=state, begun=at(TODAY - timedelta(days=back)), indices=tuple(some))
        for number, (state, back, some) in enumerate(
            draw(st.lists(st.tuples(st.sampled_from(["SUCCESS", "SUCCESS", "PARTIAL", "FAILED"]), st.integers(-1, 12),
                                    st.lists(st.sampled_from(names), unique=True)), max_size=5))
        )
    ]  # fmt: skip
    held = draw(st.dictionaries(st.sampled_from(["a", "a-b", "c.d"]), st.just("case"), max_size=1))
    return found, taken, held


@given(stores(), st.integers(1, 10))
def test_what_goes_is_old_saved_not_held_and_the_begin_of_a_chain(
    world: tuple[list[Index], list[Snapshot], dict[str, str]], days: int
) -> None:
    indices, taken, held = world
    verdicts = {it.index: it for it in retention_policy.plan(indices, taken, held, today=TODAY, days=days)}
    assert set(verdicts) == {it.name for it in indices}
    assert all(it.why for it in verdicts.values())
    for host in {it.host for it in indices}:
        mine = [it for it in indices if it.host == host]
        goes = [it for it in mine if verdicts[it.name].goes]
        stays = [it for it in mine if not verdicts[it.name].goes]
        assert max(mine, key=lambda it: it.day) in stays
        if not goes:
            continue
        assert host not in held
        assert max(it.last for it in goes) < min(it.first for it in stays)
        assert max(it.heads[1] for it in goes) < min(it.heads[0] for it in stays if it.heads[0])
        for it in goes:
            assert it.day < TODAY - timedelta(days=days)
            assert any(
                one.state == "SUCCESS" and it.name in one.indices and one.begun >= at(it.day) + DAY_NS for one in taken
            )


@given(stores(), st.integers(1, 10))
def test_all_that_may_go_goes(world: tuple[list[Index], list[Snapshot], dict[str, str]], days: int) -> None:
    """With clocks that are right, every day saved and no hold, exactly the older days go, if a head stays."""
    indices, _, _ = world
    taken = [Snapshot(name="all", state="SUCCESS", begun=at(TODAY) + DAY_NS, indices=tuple(it.name for it in indices))]
    verdicts = {it.index: it.goes for it in retention_policy.plan(indices, taken, {}, today=TODAY, days=days)}
    for host in {it.host for it in indices}:
        mine = sorted((it for it in indices if it.host == host), key=lambda it: it.day)
        if [it.first for it in mine] != sorted(it.first for it in mine):
            continue
        young = [it for it in mine if (TODAY - it.day).days <= days] or mine[-1:]
        expected = {it.name: it not in young and any(one.heads[0] for one in young) for it in mine}
        assert {it.name: verdicts[it.name] for it in mine} == expected


@given(stores(), st.integers(1, 10), st.integers(0, 2**30))
def test_snapshots_that_go_take_nothing_with_them_that_is_held(
    world: tuple[list[Index], list[Snapshot], dict[str, str]], days: int, mask: int
) -> None:
    indices, taken, held = world
    taken = sorted(taken, key=lambda it: it.begun)
    live = {it.name for number, it in enumerate(indices) if mask >> number & 1}
    verdicts = {it.index: it for it in retention_policy.expired_snapshots(taken, live, held, today=TODAY, days=days)}
    goes = [it for it in taken if verdicts[it.name].goes]
    stays = [it for it in taken if it not in goes]
    whole = [it for it in taken if it.whole]
    assert whole[-1:] == [it for it in stays if it.whole][-1:]
    assert all(it.begun < at(TODAY) - days * DAY_NS for it in goes)
    kept = {name for it in stays if it.whole for name in it.indices} | live
    for it in whole:
        assert not [name for name in it.indices if index_documents.host_of(name) in held and name not in kept]


def test_snapshots_go_when_their_time_is_over() -> None:
    def one(name: str, back: int, *indices: str, state: str = "SUCCESS") -> Snapshot:
        return Snapshot(name=name, state=state, begun=at(TODAY - timedelta(days=back)), indices=indices)

    old, other = "audit-a-2026.01.01", "audit-b-2026.01.01"
    taken = [one("first", 40, old, other), one("torn", 39, state="PARTIAL"), one("second", 38, old),
             one("third", 37, old), one("young", 3, other), one("now", 0, state="IN_PROGRESS")]  # fmt: skip
    expired = retention_policy.expired_snapshots
    goes = lambda held: [it.index for it in expired(taken, set(), held, today=TODAY, days=30) if it.goes]  # noqa: E731
    assert goes({}) == ["first", "torn", "second", "third"]
    assert goes({"a": "case"}) == ["first", "torn", "second"]
    assert goes({"b": "case"}) == ["first", "torn", "second", "third"]


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("audit-a-b-2026.11.25", "a-b"),
        ("audit-a-2026.11.25-2026.11.24", "a-2026.11.25"),
        ("audit-a-2026.13.25", None),
        ("audit-a-2026.11.2", None),
        ("audit-mine", None),
    ],
)
def test_index_is_its_host_s(name: str, host: str | None) -> None:
    numbers = {it: {"value": None} for it in ("first", "last", "head", "heads")}
    found = retention_policy.parse({"key": name, "doc_count": 0, **numbers})
    assert (found and found.host) == host


# --- holds


def test_hold_is_written_down_with_all_that_became_of_it(tmp_path: Path) -> None:
    now = at(TODAY)
    holds.hold(tmp_path, "gpu-1", "case 1", now=now)
    holds.hold(tmp_path, "gpu-1", "case 2", "2026-11-30", now=now)
    held = holds.active(holds.read(tmp_path), TODAY)
    assert [(it.host, it.reason) for it in held] == [("gpu-1", "case 1"), ("gpu-1", "case 2")]
    with pytest.raises(Refused, match="held 2 times"):
        holds.release(tmp_path, "gpu-1", now=now)
    assert holds.release(tmp_path, "gpu-1", "case 1", now=now).reason == "case 1"
    assert [it.reason for it in holds.active(holds.read(tmp_path), date(2026, 11, 30))] == ["case 2"]
    assert holds.active(holds.read(tmp_path), date(2026, 12, 1)) == []  # it has ended automatically
    assert [it.action for it in holds.read(tmp_path)] == ["hold", "hold", "release"]
    (tmp_path / "holds.json").write_text("{")
    with pytest.raises(BadInput, match="bring it back from a backup"):
        holds.read(tmp_path)


@pytest.mark.parametrize(
    ("host", "reason", "until", "said"),
    [
        ("Gpu_1", "case", "", "cannot be a host"),
        ("gpu-1", " ", "", "has a reason"),
        ("gpu-1", "case", "soon", "is not a day"),
        ("gpu-1", "case", "2026-11-25", "is over"),
    ],
)
def test_bad_hold_is_a_clear_line(tmp_path: Path, host: str, reason: str, until: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        holds.hold(tmp_path, host, reason, until, now=at(TODAY))
    assert holds.read(tmp_path) == ()


# --- notes, and a trail whose begin is gone


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trail of 60 records in segments of five, with a new key every 20 seconds."""
    folder = tmp_path_factory.mktemp("trail") / "host"
    begin(folder, "vault-1")
    fill(folder, 60, Clock())
    return folder


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("controller") / "pki"
    authority.ensure(folder)
    return folder


def note(
    folder: Path, n: int, segment: int, known: list[retention_receipts.Note], root: bytes
) -> retention_receipts.Note:
    before = (known[-1], retention_receipts.starts(known, root)[-1]) if known else None
    t, chain, head, epochs = retention_receipts.compose(folder, n, segment, before)
    return retention_receipts.Note(
        host="vault-1",
        n=n,
        t=t,
        chain=chain,
        head=head,
        epochs=epochs,
        at=0,
        by="me",
        indices=("audit-vault-1-2026.01.01",),
        snapshot="s",
    )


def without(trail: Path, to: Path, n: int, segment: int) -> Path:
    """Return a copy of a trail as the store has it when records up to ``n`` and heads up to ``segment`` went."""
    shutil.copytree(trail, to)
    (to / "root.pem").unlink()
    lines = (to / "heads.log").read_bytes().splitlines(keepends=True)
    (to / "heads.log").write_bytes(b"".join(it for it in lines if heads.parse(it)[0].segment > segment))
    for path in (to / "segments").iterdir():
        left = [it for it in path.read_bytes().splitlines(keepends=True) if record.parse(it)[0].n > n]
        if left:
            path.write_bytes(b"".join(left))
        else:
            path.unlink()
    return to


@pytest.mark.parametrize(
    ("n", "segment"), [(1, 0), (4, 0), (5, 0), (5, 1), (7, 1), (10, 1), (23, 4), (25, 4), (30, 6), (52, 10)]
)
def test_rest_is_in_order_with_the_note_and_removed_without(
    written: Path, tmp_path: Path, n: int, segment: int
) -> None:
    root = (written / "root.pem").read_bytes()
    starts = retention_receipts.starts([note(written, n, segment, [], root)], root)
    rest = without(written, tmp_path / "rest", n, segment)
    report = judge(rest, root, starts=starts)
    assert (report.findings, report.retired, report.records) == ((), n, 60 - n)
    assert {it.kind for it in judge(rest, root).findings} & {"removed"}
    assert judge(written, root, starts=starts).findings == ()  # what is whole stays in order
    # A record more is gone than the note says, or one that is signed is another.
    more = without(written, tmp_path / "more", n + 1, segment)
    assert judge(more, root, starts=starts).findings
    path = sorted((rest / "segments").iterdir())[0]
    path.write_bytes(path.read_bytes().replace(b": ls ", b": rm ", 1))
    assert [it.kind for it in judge(rest, root, starts=starts).findings] == ["altered"]


def test_notes_follow_each_other_through_epochs(written: Path, tmp_path: Path, pki: Path) -> None:
    root = (written / "root.pem").read_bytes()
    known: list[retention_receipts.Note] = []
    gone = 0, 0
    for n, segment in ((7, 1), (23, 4), (23, 5), (24, 0), (41, 8), (55, 10)):
        rest = without(written, tmp_path / f"rest-{n}-{segment}", *gone)
        if (n, segment) == (23, 5):  # its head would go before its records
            with pytest.raises(BadInput, match="before its records"):
                note(rest, n, segment, known, root)
            continue
        known.append(note(rest, n, segment, known, root))
        gone = n, max(segment, gone[1])
        retention_receipts.add(pki, known[-1])
    read = retention_receipts.read(retention_receipts.path(pki, "vault-1"), pki / "ca.pem")
    assert read == known
    starts = retention_receipts.starts(read, root)
    assert [it.n for it in starts] == [7, 23, 24, 41, 55]
    assert [it.segment for it in starts] == [1, 4, 4, 8, 10]
    assert starts[-1].epoch >= 2
    last = without(written, tmp_path / "last", 55, 10)
    assert judge(last, root, starts=starts).findings == ()
    # What came back from an older snapshot is verified from an older note; what the notes do not cover is found.
    assert judge(without(written, tmp_path / "older", 41, 8), root, starts=starts).findings == ()
    assert judge(without(written, tmp_path / "newer", 60, 11), root, starts=starts).findings
    with pytest.raises(Findings, match="not signed by the host's key"):
        retention_receipts.starts(read[-1:], root)
    with pytest.raises(BadInput, match="in their order"):
        retention_receipts.starts([*read, read[0]], root)


def test_note_is_the_authority_s_word_and_the_host_s(written: Path, tmp_path: Path, pki: Path) -> None:
    root = (written / "root.pem").read_bytes()
    true = note(written, 23, 4, [], root)
    retention_receipts.add(pki, msgspec.structs.replace(true, host="vault-2"))
    file = retention_receipts.path(pki, "vault-2")
    whole = file.read_bytes()
    for place in range(0, len(whole) - 1, 41):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises((BadInput, Findings)):
            retention_receipts.read(file, pki / "ca.pem")
    file.write_bytes(whole)
    other = tmp_path / "other"
    authority.ensure(other)
    with pytest.raises(Findings, match="not the authority's word"):
        retention_receipts.read(file, other / "ca.pem")
    # The authority alone cannot have a key of its choice believed: heads in a note are signed by the host.
    thief = libcrypto.generate()
    assert true.head is not None
    forged = heads.decode(true.head.head.encode())
    data = heads.encode(msgspec.structs.replace(forged, chain="00" * 32))
    signed = msgspec.structs.replace(true.head, head=data.decode(), signature=thief.sign(heads.signed(data)).hex())
    with pytest.raises(Findings, match="not signed by the host's key"):
        retention_receipts.starts([msgspec.structs.replace(true, head=signed)], root)


@pytest.mark.parametrize("steps", [("both",), ("both", "new"), ("both", "new", "alone")])
def test_note_is_valid_after_its_authority_was_replaced(
    written: Path, tmp_path: Path, steps: tuple[rotation.Step, ...]
) -> None:
    root, pki, other = (written / "root.pem").read_bytes(), tmp_path / "pki", tmp_path / "other"
    first = note(written, 7, 1, [], root)
    for folder in (pki, other):
        authority.ensure(folder)
        retention_receipts.add(folder, first)
    for step in steps:
        rotation.take(pki, step, [hashlib.sha256((pki / "ca.pem").read_bytes()).hexdigest()])
    file = retention_receipts.path(pki, "vault-1")
    assert retention_receipts.read(file, pki / "ca.pem") == [first]
    second = note(written, 23, 4, [first], root)
    retention_receipts.add(pki, second)
    assert retention_receipts.read(file, pki / "ca.pem") == [first, second]
    with pytest.raises(Findings, match="not the authority's word"):
        retention_receipts.read(retention_receipts.path(other, "vault-1"), pki / "ca.pem")


def test_trail_cut_further_than_was_retired_is_found_wherever(written: Path, tmp_path: Path) -> None:
    """Every cut of a begin that goes further than the note: found, without a false alarm where it goes less far."""
    root = (written / "root.pem").read_bytes()
    starts: list[Start] = retention_receipts.starts([note(written, 22, 4, [], root)], root)
    for segment in range(1, 12):
        n = 5 * segment
        rest = without(written, tmp_path / str(segment), n, segment)
        found = judge(rest, root, starts=starts).findings
        assert bool(found) == (segment > 4), (segment, found)


def test_host_that_wrote_on_is_judged_on(written: Path, tmp_path: Path) -> None:
    trail = Path(shutil.copytree(written, tmp_path / "trail"))
    root = (trail / "root.pem").read_bytes()
    starts = retention_receipts.starts([note(trail, 23, 4, [], root)], root)
    with Writer(trail, clock=Clock(START + 1000 * 10**9), records=5, age_ns=10**18, epoch_ns=10**18) as writer:
        writer.append("sudo", "ops", b"later")
    rest = without(trail, tmp_path / "rest", 23, 4)
    report = judge(rest, root, starts=starts)
    assert ({it.kind for it in report.findings}, report.records) == ({"silent"}, 38)
    assert Place(rest).numbers()[0] == 5


# --- sending again


@pytest.mark.parametrize(("reach", "segment"), [(0, 1), (30, 1), (5, 4), (1, 7)])
def test_shipper_goes_back_as_far_as_it_is_told(tmp_path: Path, reach: int, segment: int) -> None:
    """Three segments of ten days ago, three of three days ago: it begins with a whole one, and knows the one before."""
    trail, state, now = tmp_path / "trail", tmp_path / "state", time.time_ns()
    begin(trail, "gpu-1")
    for back in (10, 3):
        fill(trail, 15, Clock(now - back * DAY_NS), epoch_s=10**9)
    mine = authority.issue(tmp_path / "pki", "shipper", "gpu-1")
    store = SearchStore(
        ["https://127.0.0.1:9"], ca=Path(mine.authority), cert=Path(mine.certificate), key=Path(mine.key)
    )

    def shipper() -> Shipper:
        return Shipper(trail, store, state, alarm=10**9, tell=lambda _: None, reach=reach)

    lines = (trail / "heads.log").read_bytes().splitlines(keepends=True)
    shipper().resend_from_start("another")
    at = shipper().at  # it would refuse to begin where the record before is another one
    assert (at.segment, at.offset, at.store, at.n) == (segment, 0, "another", 5 * (segment - 1))
    assert at.heads == sum(map(len, lines[: segment - 1]))
    assert at.chain == (heads.parse(lines[segment - 2])[0].chain if segment > 1 else "")
