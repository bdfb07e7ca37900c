"""Entries that an account makes large: bounded in every field, and no padding hides which command was run by whom."""

from __future__ import annotations

import itertools
import json

import pytest

from dualtrack.security.audit import journal, journal_budget
from dualtrack.security.audit.journal import BEGINNING_VALUE, CUT, OTHERS, STRANGE_VALUE, JournalSource
from tests.unit.security.audit.test_journal_export import Fields, at, written

#: sudo logs a longer message in pieces of so many bytes (syslog_maxlen).
PIECE = 980
#: One byte each of what is written as itself, as an escape of JSON, as one of ours, and a part of a character.
BYTES = (b"x", b"\x01", b'"', b"\xff", "é".encode())
#: Where a long word stands in what is typed, in sudo's message, or in both.
PLACES = ("word", "directory", "environment")


def sudo(number: int, message: bytes, line: bytes, exe: bytes = b"/usr/bin/sudo", name: bytes = b"sudo") -> Fields:
    return [
        (b"__CURSOR", at(number).encode()), (b"__REALTIME_TIMESTAMP", b"1700000000000000"), (b"PRIORITY", b"5"),
        (b"SYSLOG_FACILITY", b"10"), (b"SYSLOG_IDENTIFIER", name), (b"MESSAGE", message), (b"_UID", b"1001"),
        (b"_PID", b"4711"), (b"_COMM", name), (b"_TRANSPORT", b"syslog"),
        *([(b"_EXE", exe), (b"_CMDLINE", line), (b"_HOSTNAME", b"h1")] if exe else []),
    ]  # fmt: skip


def command(pad: bytes, place: str, target: bytes) -> tuple[list[bytes], bytes]:
    """Return the messages with which sudo logs a padded command, and the words of its process."""
    escaped = pad.replace(b"\x01", b"#001")  # sudo's own spelling of control characters
    word = b" " + pad if place == "word" else b""
    directory = b"/" + escaped[:4000] if place == "directory" else b"/"
    variable = b"A=" + escaped if place == "environment" else b"A=1"
    text = b"TTY=pts/0 ; PWD=%b ; USER=root ; ENV=%b ; COMMAND=%b%b" % (directory, variable, target, word)
    pieces = [text[begin : begin + PIECE] for begin in range(0, len(text), PIECE)]
    messages = [b"    anna : " + (b"(command continued) " if count else b"") + it for count, it in enumerate(pieces)]
    return messages, b"sudo " + target + b" " + (pad if place == "environment" else word)


@pytest.mark.attack(
    "an administrator", "pads commands with long words to hide the next one", "prevented", "a record of each beginning"
)
@pytest.mark.parametrize("seen", [True, False], ids=["seen", "gone"])
@pytest.mark.parametrize(("place", "byte"), list(itertools.product(PLACES, BYTES)))
def test_padding_hides_no_command(place: str, byte: bytes, seen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of commands that ended before journald looked, whose kind is `journal`. The rest of them is counted."""
    monkeypatch.setattr(journal_budget, "BURST", 100_000)
    monkeypatch.setattr(journal_budget, "RATE", 0)
    numbers, source, events = itertools.count(1), JournalSource(account=lambda _: "anna"), []
    count, sent = 40, 0
    for turn in range(count):
        pad = byte * (12_000 // len(byte)) if turn != count - 1 else b""
        messages, line = command(pad, place, b"/bin/tool-%d" % turn)
        for message in messages:
            fields = sudo(next(numbers), message, line, exe=b"/usr/bin/sudo" if seen else b"")
            events += source.events(written(fields), ended=False)
            sent += 1
    bodies = [json.loads(text) for _, _, text in events]
    assert {(kind, it["_UID"]) for (kind, _, _), it in zip(events, bodies, strict=True)} == {
        ("sudo" if seen else "journal", "1001")
    }
    begins = [it for it in bodies if "anna : TTY=pts/0 ; PWD=" in it["MESSAGE"]]
    assert len(begins) == count
    assert all(it["__CURSOR"] and it["__REALTIME_TIMESTAMP"] and it["_PID"] == "4711" for it in begins)
    for turn, it in enumerate(begins):
        named = f"/bin/tool-{turn}"
        assert f"COMMAND={named}" in it["MESSAGE"] or place != "word"
        assert not seen or named in it["_CMDLINE"]
    assert sum(len(text) for _, _, text in events) <= 2 * journal_budget.BURST
    said = [json.loads(text) for kind, _, text in source.events(b"", ended=True) if kind == "flood"]
    assert sum(it["messages"] for it in said) == sent - len(events) > 0


@pytest.mark.parametrize("byte", BYTES)
def test_seven_hundred_padded_commands_at_once_are_recorded(byte: bytes) -> None:
    """As the page on the format promises, whatever the account's other messages have taken."""
    source, pad = JournalSource(account=lambda _: "anna"), byte * 5000
    found = 0
    for number in range(1, 1001):
        fields = sudo(number, b"anna : TTY=x ; PWD=/ ; USER=root ; COMMAND=/bin/true " + pad, b"sudo true " + pad)
        found += sum(kind == "sudo" for kind, _, _ in source.events(written(fields), ended=False))
    assert 700 <= found < 1000


@pytest.mark.parametrize("byte", BYTES)
@pytest.mark.parametrize("name", [it.encode() for it in journal.BEGINNING if it != journal.CURSOR])
def test_a_beginning_has_a_size_that_no_account_changes(name: bytes, byte: bytes) -> None:
    fields = [(it, byte * 9000 if it == name else value) for it, value in sudo(1, b"anna : x", b"sudo x")]
    fields += [(b"X%d" % it, byte * 100) for it in range(300)] + [(name, b"again")]
    (entry,) = journal_entries(fields)
    text = journal.beginning(entry)
    found = json.loads(text)
    sizes = {it: len(json.dumps(value, ensure_ascii=False).encode()) - 2 for it, value in found.items() if it != CUT}
    assert set(sizes) <= set(journal.BEGINNING)
    assert max(sizes.values()) <= BEGINNING_VALUE
    assert sizes[name.decode()] > BEGINNING_VALUE - 6, "as much as fits"
    assert len(text) < 1500
    assert found[CUT][name.decode()] > 0
    total = sum(len(value) for _, value in fields)
    kept = sum(len(value) for it, value in fields if it.decode() in journal.BEGINNING and it != name)
    assert found[CUT][OTHERS] == total - kept - len(byte) * 9000 - len(b"again")


def journal_entries(fields: Fields) -> list[journal.JournalEntry]:
    return journal.Parser().feed(written(fields))


#: Of each kind an entry, as its fields beside the message; who sent it; whether its sender may write at length.
KINDS: dict[str, tuple[dict[bytes, bytes], bool]] = {
    "sudo": ({b"SYSLOG_IDENTIFIER": b"sudo", b"_UID": b"1001", b"_EXE": b"/usr/bin/sudo"}, False),
    "su": ({b"SYSLOG_IDENTIFIER": b"su", b"_UID": b"1001", b"_EXE": b"/usr/bin/su"}, False),
    "claimed": ({b"SYSLOG_IDENTIFIER": b"sudo", b"_UID": b"1002", b"_EXE": b"/usr/bin/sudo"}, False),
    "journal": ({b"SYSLOG_IDENTIFIER": b"noise", b"_UID": b"1001", b"_EXE": b"/bin/x"}, False),
    "journal of root": ({b"SYSLOG_IDENTIFIER": b"CRON", b"_UID": b"0"}, True),
    "sudo of root": ({b"SYSLOG_IDENTIFIER": b"sudo", b"_UID": b"0"}, True),
    "sshd": ({b"SYSLOG_IDENTIFIER": b"sshd", b"_UID": b"0"}, True),
    "login": ({b"SYSLOG_IDENTIFIER": b"login", b"_UID": b"0"}, True),
    "audit": ({b"_TRANSPORT": b"audit", b"_UID": b"1001"}, True),
    "dualtrack": (
        {b"SYSLOG_IDENTIFIER": b"dualtrack", b"_UID": b"990", b"_SYSTEMD_UNIT": b"dualtrack-x.service"},
        True,
    ),
    "opensearch": (
        {b"SYSLOG_IDENTIFIER": b"opensearch", b"_UID": b"991", b"_SYSTEMD_UNIT": b"dualtrack-opensearch.service"},
        True,
    ),
}
BEGIN = {"sudo": b"anna : COMMAND=/bin/", "su": b"(to root) anna on pts/0"}
#: Fields that journald adds and whose value an account decides on, and fields that a sender chooses.
ADDED = (b"_CMDLINE", b"_COMM", b"_SYSTEMD_CGROUP", b"_SYSTEMD_USER_UNIT", b"_SYSTEMD_SLICE", b"_AUDIT_FIELD_A1")
CHOSEN = (b"MESSAGE", b"X_OWN", b"SYSLOG_RAW")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", [*ADDED, *CHOSEN])
def test_every_field_that_an_account_makes_large_is_shortened(kind: str, field: bytes) -> None:
    named, at_length = KINDS[kind]
    program, size = kind.split()[0], 120_000
    fields = {b"__CURSOR": at(1).encode(), b"SYSLOG_FACILITY": b"10", **named}
    fields[b"MESSAGE"] = BEGIN.get(program, b"")
    fields[field] = fields.get(field, b"") + b"x" * size
    source = JournalSource(account=lambda uid: "anna" if uid == "1001" else "bob")
    ((found, _, text),) = source.events(written(list(fields.items())), ended=False)
    body = json.loads(text)
    assert found == program
    whole = at_length and field in CHOSEN
    assert len(body[field.decode()]) == (len(fields[field]) if whole else STRANGE_VALUE)
    assert body.get(CUT, {}).get(field.decode(), 0) == (0 if whole else len(fields[field]) - STRANGE_VALUE)
