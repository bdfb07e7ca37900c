"""Gaps in the journal, against a model of journald: files of the system and of users, one counter, loss, power cuts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from dualtrack.security.audit.journal import JournalSource
from dualtrack.security.audit.journal_position import JournalPosition, parse
from tests.unit.security.audit.test_journal_export import written

USERS = ("system", "user-1", "user-2")


@dataclass
class Journald:
    """journald as of systemd 252: a number is one more than the counter, and than the last one of the file."""

    files: dict[str, tuple[str, int]] = field(default_factory=dict)  # of a user: the file's id, its last number
    entries: list[tuple[str, int, int]] = field(default_factory=list)  # the file's id, number, boot; in order
    counter: int = 0
    boot: int = 0
    made: int = 0
    lost: int = 0

    def log(self, user: str) -> None:
        if user not in self.files:
            self.made += 1
            self.files[user] = (f"f{self.made}", 0)
        name, last = self.files[user]
        self.counter = max(self.counter, last) + 1
        self.files[user] = (name, self.counter)
        self.entries.append((name, self.counter, self.boot))

    def cut_power(self) -> None:
        """The system's file was not closed: it is put aside. Users' files are well; the counter was in memory."""
        self.boot, self.counter = self.boot + 1, 0
        self.files.pop("system", None)
        self.log("system")  # the kernel's first message comes before any user's

    def printed(self, after: str) -> bytes:
        """Return what `journalctl --cursor` prints: that entry first, where it is still there."""
        at = parse(after)
        keep = (
            [it for it in self.entries if (it[2], it[1]) >= (int(at.boot or -1), at.number)] if after else self.entries
        )
        return b"".join(written([(b"__CURSOR", cursor(it).encode()), (b"SYSLOG_FACILITY", b"10"), (b"_UID", b"0")])
                        for it in keep)  # fmt: skip


def cursor(entry: tuple[str, int, int]) -> str:
    name, number, boot = entry
    return f"s={name};i={number:x};b={boot};m={number:x};t=1;x=2"


def read(journald: Journald, source: JournalSource) -> list[tuple[str, dict[str, object]]]:
    """Read to the end as the recorder does: the journal is opened again where the source wants that."""
    found: list[tuple[str, dict[str, object]]] = []
    for _ in range(4 * len(journald.entries) + 4):
        source.begin()
        found += [
            (kind, json.loads(text)) for kind, _, text in source.events(journald.printed(source.cursor), ended=False)
        ]
        if not source.jumped:
            return found
    pytest.fail("the source wants the journal again and again")


#: A message of somebody, entries lost before they were read, a power cut, a read to the end, a new recorder.
ACTIONS = st.one_of(
    st.tuples(st.just("log"), st.sampled_from(USERS)), st.tuples(st.just("lose"), st.integers(1, 5)),
    st.tuples(st.just("cut"), st.none()), st.tuples(st.just("read"), st.none()),
    st.tuples(st.just("restart"), st.none()),
)  # fmt: skip


def play(actions: list[tuple[str, object]], *, loss: bool) -> tuple[Journald, list[tuple[str, dict[str, object]]], int]:
    journald, found, lost = Journald(), list[tuple[str, dict[str, object]]](), 0
    for user in USERS:
        journald.log(user)
    source = JournalSource("")
    found += read(journald, source)
    unread = 0
    for what, how in actions:
        if what == "log":
            journald.log(str(how))
            unread += 1
        elif what == "lose" and loss and unread > int(str(how)):
            # What is in the middle of the unread ones: the newest entry is always there.
            count = int(str(how))
            del journald.entries[-1 - count : -1]
            unread -= count
            lost += count
        elif what == "cut" and not loss:
            found += read(journald, source)
            journald.cut_power()
            unread = 1
        elif what in ("read", "restart"):
            found += read(journald, source)
            unread = 0
            if what == "restart":
                source = JournalSource(source.cursor)
    found += read(journald, source)
    return journald, found, lost


@settings(max_examples=300, deadline=None)
@given(st.lists(ACTIONS, max_size=60))
def test_without_loss_there_is_no_gap_and_each_entry_is_recorded_once(actions: list[tuple[str, object]]) -> None:
    journald, found, _ = play(actions, loss=False)
    assert [kind for kind, _ in found if kind == "gap"] == []
    assert [it["__CURSOR"] for _, it in found if "__CURSOR" in it] == [cursor(it) for it in journald.entries]
    assert (
        sum(kind == "restarted" for kind, _ in found) <= 3 * (journald.boot + 1) + actions.count(("restart", None)) * 3
    )


@pytest.mark.attack(
    "a user", "floods the journal until it drops what was not recorded", "found", "a record of kind gap"
)
@settings(max_examples=300, deadline=None)
@given(st.lists(ACTIONS.filter(lambda it: it[0] != "restart"), max_size=60))
def test_each_lost_entry_is_in_a_gap(actions: list[tuple[str, object]]) -> None:
    journald, found, lost = play(actions, loss=True)
    gaps = [it for kind, it in found if kind == "gap"]
    assert sum(int(str(it["missing"])) for it in gaps) == lost
    assert [it["__CURSOR"] for _, it in found if "__CURSOR" in it] == [cursor(it) for it in journald.entries]


@pytest.mark.parametrize("text", ["", "x", "s=a", "s=a;i=zz;b=1;m=2", "s=a;i=1;b=1", ";;;", "s=a;i=;b=;m="])
def test_what_is_no_cursor_has_empty_parts(text: str) -> None:
    assert parse(text).file == ""
    assert JournalPosition("").step(text).kind == "next"
