"""Entries of the journal as `journalctl --output=export` prints them: read in any pieces, bounded, and counted.

The writer of the format that the tests use is their own, made from https://systemd.io/JOURNAL_EXPORT_FORMATS/.
"""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from dualtrack.security.audit import journal_budget, journal_export, writer
from dualtrack.security.audit.journal import CUT, LOOKS, JournalSource, body, last_cursor, wanted
from dualtrack.security.audit.journal_budget import Budget
from dualtrack.security.audit.journal_export import JournalEntry, Parser
from dualtrack.security.audit.layout import Place

ID, OTHER = "a" * 32, "b" * 32
Fields = list[tuple[bytes, bytes]]


def at(number: int, name: str = ID) -> str:
    return f"s={name};i={number:x};b=1;m=2;t=3;x=4"


def written(fields: Fields) -> bytes:
    """Return an entry as journalctl writes it: a value with a control character, or that is not UTF-8, is binary."""
    found = b""
    for name, value in fields:
        try:
            text = value.decode().isprintable()
        except UnicodeDecodeError:
            text = False
        found += name + (b"=" + value if text else b"\n" + struct.pack("<Q", len(value)) + value) + b"\n"
    return found + b"\n"


def sent(number: int, message: bytes = b"hello", *, uid: int = 1001, facility: int = 10, name: str = ID) -> Fields:
    return [
        (b"__CURSOR", at(number, name).encode()), (b"__REALTIME_TIMESTAMP", b"3"), (b"PRIORITY", b"5"),
        (b"SYSLOG_FACILITY", str(facility).encode()), (b"SYSLOG_IDENTIFIER", b"noise"), (b"MESSAGE", message),
        (b"_UID", str(uid).encode()), (b"_COMM", b"logger"), (b"_TRANSPORT", b"syslog"),
    ]  # fmt: skip


@pytest.mark.parametrize("message", [b"hello", b"\xff\n\n"], ids=["text", "binary"])
@pytest.mark.parametrize("kept", range(1, 10))
def test_entry_that_was_broken_off_is_missing(kept: int, message: bytes) -> None:
    """As journalctl prints it where journald removes the file: without the empty line, and the next one follows."""
    data = written(sent(1)) + written(sent(2, message)[:kept])[:-1] + written(sent(3)) + written(sent(4))
    source = JournalSource()
    events = []
    for look in range(LOOKS + 1):
        source.begin()
        events += source.events(data, ended=False)
        assert (source.cursor, source.jumped) == ((at(1), True) if look < LOOKS else (at(4), False))
    assert [kind for kind, _, _ in events] == ["journal", "gap", "journal", "journal"]
    assert json.loads(events[1][2])["missing"] == 1


def test_what_has_no_place_in_the_journal_leaves_the_position_as_it_is() -> None:
    source = JournalSource(at(1))
    source.events(written(sent(2)[1:]), ended=False)
    assert source.cursor == at(1)


names = st.text("ABCDEFGHIJ_0123456789", min_size=1, max_size=9).map(str.encode)
values = st.one_of(
    st.binary(max_size=40), st.text(max_size=20).map(str.encode), st.sampled_from([b"", b"\n\n", b"A=1\n"])
)
entries = st.lists(st.lists(st.tuples(names, values), min_size=1, max_size=6), max_size=6)


@settings(max_examples=300)
@given(entries, st.lists(st.integers(0, 400)), st.sampled_from([8, 64, 1 << 18]))
def test_entries_are_the_same_in_whatever_pieces_they_come(made: list[Fields], cuts: list[int], bound: int) -> None:
    data = b"".join(written(fields) for fields in made)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_export, "VALUE", bound)
        parser = Parser()
        found = [it for begin, end in itertools.pairwise(edges) for it in parser.feed(data[begin:end])]
    assert len(found) == len(made)
    for entry, fields in zip(found, made, strict=True):
        assert [(name, value) for name, kept in entry.fields.items() for value in kept] == [
            (name, value[:bound]) for name in dict(fields) for other, value in fields if other == name
        ]
        lost = {
            name: sum(max(0, len(value) - bound) for other, value in fields if other == name) for name in dict(fields)
        }
        assert {name: number for name, number in entry.cut.items() if number} == {
            name: number for name, number in lost.items() if number
        }


@pytest.mark.parametrize("message", [b"x" * (9 << 20), b"\x00" * (9 << 20)])
def test_memory_is_bounded_by_the_bound_not_by_the_message(message: bytes) -> None:
    data, parser, most, found = written(sent(1, message)), Parser(), 0, []
    for begin in range(0, len(data), 1 << 16):
        found += parser.feed(data[begin : begin + (1 << 16)])
        most = max(most, len(parser._data))
    assert len(found) == 1
    assert len(found[0].first(b"MESSAGE")) == journal_export.VALUE
    assert found[0].cut == {b"MESSAGE": len(message) - journal_export.VALUE}
    assert most <= journal_export.VALUE + (1 << 17)


def parsed(fields: Fields) -> JournalEntry:
    data, parser = written(fields), Parser()
    (entry,) = [it for begin in range(0, len(data), 1 << 20) for it in parser.feed(data[begin : begin + (1 << 20)])]
    return entry


@pytest.mark.parametrize(("number", "size"), [(1, 10), (40, 10), (2000, 10), (1, 300_000), (40, 300_000), (2000, 5000)])
def test_what_anybody_sent_takes_bounded_room_and_says_what_is_missing(number: int, size: int) -> None:
    mine = [(b"X%d" % it, b"y" * size) for it in range(number)]
    place, *others = sent(1, b"z" * size)
    entry = parsed([place, *mine, *others])
    text = json.loads(body(entry, whole=False))
    assert len(body(entry, whole=False)) < 300_000
    assert text["_UID"] == "1001", "what journald says of the sender is always there"
    kept = sum(len(value) for name, value in text.items() if name.startswith(("X", "MESSAGE")))
    assert kept + sum(text.get(CUT, {}).values()) == (number + 1) * size + (
        sum(len(b) for a, b in sent(1) if a in (b"PRIORITY", b"SYSLOG_FACILITY", b"SYSLOG_IDENTIFIER"))
        - sum(len(text.get(a, "")) for a in ("PRIORITY", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER"))
    )


def test_a_sender_s_own_note_of_what_is_missing_is_not_recorded() -> None:
    entry = parsed([*sent(1), (CUT.encode(), b"nothing")])
    assert CUT not in json.loads(body(entry, whole=True))


def test_bytes_are_readable_text() -> None:
    text = json.loads(body(parsed(sent(1, b"a\xff\n\xe4\xb8\xad")), whole=True))
    assert text["MESSAGE"] == "a\\xff\n中"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (sent(1), True),
        (sent(1, facility=4), True),
        (sent(1, facility=1), False),
        ([*sent(1, facility=1), (b"SYSLOG_FACILITY", b"10")], True),
        ([*sent(1, facility=1), (b"SYSLOG_IDENTIFIER", b"dualtrack")], True),
        ([(b"_TRANSPORT", b"audit")], True),
        ([(b"_SYSTEMD_UNIT", b"dualtrack-opensearch.service"), (b"PRIORITY", b"5")], True),
        ([(b"_SYSTEMD_UNIT", b"dualtrack-opensearch.service"), (b"PRIORITY", b"6")], False),
        ([(b"MESSAGE_ID", b"a596d6fe7bfa4994828e72309e95d61e")], True),
    ],
)
def test_what_is_recorded(fields: Fields, expected: bool) -> None:
    assert wanted(parsed(fields)) is expected


@pytest.mark.attack(
    "a user", "floods the journal until it drops what was not recorded", "found", "a record of kind gap"
)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=40, unique=True).map(sorted), st.integers(1, 9))
def test_every_missing_number_is_in_a_gap_and_no_other(numbers: list[int], block: int) -> None:
    source = JournalSource(at(0))
    events, turns = [], 0
    while turns < 200:
        turns += 1
        data = b"".join(
            written(sent(number)) for number in numbers if at(number) >= "" and number > _number(source.cursor)
        )
        source.begin()
        for begin in range(0, len(data), block * 50):
            events += source.events(data[begin : begin + block * 50], ended=False)
            if source.jumped:
                break
        if not source.jumped:
            break
    gaps = [json.loads(text) for kind, _, text in events if kind == "gap"]
    seen = [_number(json.loads(text)["__CURSOR"]) for kind, _, text in events if kind != "gap"]
    assert seen == numbers
    assert sum(gap["missing"] for gap in gaps) == numbers[-1] - len(numbers)
    assert all(gap["missing"] == _number(gap["to"]) - _number(gap["after"]) - 1 for gap in gaps)


def _number(cursor: str) -> int:
    return int(cursor.split(";")[1].removeprefix("i="), 16)


def test_an_entry_that_was_only_late_is_no_gap() -> None:
    source = JournalSource(at(1))
    source.begin()
    assert source.events(written(sent(3)), ended=False) == []
    assert source.jumped
    source.begin()  # the file with entry 2 is open now; the journal begins with the entry of the cursor
    events = source.events(b"".join(written(sent(number)) for number in (1, 2, 3)), ended=False)
    assert [kind for kind, _, _ in events] == ["journal", "journal"]
    assert source.cursor == at(3)


def test_a_heartbeat_says_how_far_the_journal_was_read(tmp_path: Path) -> None:
    writer.begin(tmp_path / "trail", "h")
    source = JournalSource(at(1))
    source.begin()
    assert source.events(written(sent(2, facility=1)), ended=False) == []
    with writer.Writer(tmp_path / "trail") as trail:
        trail.append("heartbeat", "audit", source.position())
    assert last_cursor(Place(tmp_path / "trail")) == at(2)


@pytest.mark.attack(
    "a user", "logs without end to fill the disk of the trail", "prevented", "a budget for each account"
)
@given(
    st.lists(
        st.tuples(st.sampled_from([b"1001", b"1002", b"0"]), st.integers(1, 9000), st.sampled_from(["", "sudo", "su"])),
        max_size=600,
    )
)
def test_an_account_takes_its_bytes_and_the_rest_is_counted(sent_: list[tuple[bytes, int, str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_budget, "BURST", 100_000)
        patch.setattr(journal_budget, "RATE", 0)
        budget = Budget(clock=lambda: 0.0)
        taken = {(account, kind): 0 for account, _, kind in sent_}
        for account, size, kind in sent_:
            if budget.spend(account, size, kind=kind):
                taken[account, kind] += size
            else:
                assert account != b"0"
        for (account, _), total in taken.items():
            assert account == b"0" or total <= 100_000
        said = [json.loads(text) for _, _, text in budget.reports(finished=True)]
    for account, kind in taken:
        all_ = sum(size for it, size, of in sent_ if (it, of) == (account, kind))
        left = sum(it["bytes"] for it in said if (it["_UID"], it.get("kind", "")) == (account.decode(), kind))
        assert taken[account, kind] + left == all_


@pytest.mark.attack(
    "a user", "floods the trail by messages that seem to come from su", "prevented", "a budget for each account"
)
def test_messages_of_an_account_that_becomes_a_known_program_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queued by the account, which then executes /usr/bin/su: journald names that program. sudo keeps its own room."""
    monkeypatch.setattr(journal_budget, "BURST", 100_000)
    monkeypatch.setattr(journal_budget, "RATE", 0)

    def entry(number: int, name: bytes, message: bytes) -> bytes:
        fields = [(a, name if a == b"SYSLOG_IDENTIFIER" else b) for a, b in sent(number, message)]
        return written([*fields, (b"_EXE", b"/usr/bin/" + name)])

    source = JournalSource(account=lambda _: "bo")
    flood = b"(to root) bo on " + b"x" * 5000
    events = source.events(b"".join(entry(it, b"su", flood) for it in range(1, 201)), ended=False)
    assert 15 < len(events) < 200
    assert sum(len(text) for _, _, text in events) <= 2 * journal_budget.BURST
    assert {kind for kind, _, _ in events} == {"su"}
    last = source.events(entry(201, b"sudo", b"bo : COMMAND=/bin/id") + entry(202, b"noise", b"hello"), ended=True)
    assert [kind for kind, _, _ in last] == ["sudo", "journal", "flood"]
    assert json.loads(last[-1][2])["kind"] == "su command"


def test_bytes_come_back_and_accounts_are_forgotten() -> None:
    now = [0.0]
    budget = Budget(clock=lambda: now[0])
    assert budget.spend(b"7", journal_budget.BURST)
    assert not budget.spend(b"7", 1000)
    assert budget.reports() == []
    now[0] = journal_budget.REPORT_S
    assert [json.loads(text) for _, _, text in budget.reports()] == [{"_UID": "7", "messages": 1, "bytes": 1000}]
    assert budget.spend(b"7", 1000)
    now[0] += journal_budget.BURST / journal_budget.RATE + 1
    assert budget.reports() == []
    assert not budget._buckets


def test_accounts_beyond_the_bound_have_no_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_budget, "ACCOUNTS", 2)
    budget = Budget(clock=lambda: 0.0)
    assert [budget.spend(account, 10) for account in (b"1", b"2", b"3")] == [True, True, False]
    assert [budget.spend(b"4", 10, kind=kind) for kind in ("sudo", "su", "sudo command")] == [True] * 3
