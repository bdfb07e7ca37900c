"""Events out of the journal of systemd: what concerns rights and logins, each once, without a state of its own.

An entry is recorded with its cursor. Whoever begins again finds the last cursor in the trail itself and continues after
it: what is in the trail is not read again, and nothing between is left out. All entries are read, also those that are
not recorded, because only then their numbers show that the journal dropped some before they were read.
"""

from __future__ import annotations

import base64
import os
import subprocess
import time
from collections.abc import Callable

import msgspec

from dualtrack.core.errors import BadInput, External, Missing
from dualtrack.security.audit import claims, ingest, journal_export, record
from dualtrack.security.audit.journal_budget import Budget
from dualtrack.security.audit.journal_export import TRUSTED, JournalEntry, Parser
from dualtrack.security.audit.journal_position import JournalPosition, Step
from dualtrack.security.audit.layout import Place, lines
from dualtrack.security.audit.writer import Writer

#: Facilities of syslog (auth and authpriv), and journald's own messages that it dropped or missed some, whosever.
FACILITIES = frozenset({b"4", b"10"})
MESSAGES = frozenset({b"a596d6fe7bfa4994828e72309e95d61e", b"e9bf28e6e834481bb6f48f548ad13606"})
#: The search store's unit; what it refused, and who changed rights there, has this priority (role opensearch).
STORE, STORE_PRIORITY = b"dualtrack-opensearch.service", b"5"
#: The field that names an entry's place in the journal, for ever; its parts are the journal's id and a number.
CURSOR = journal_export.CURSOR.decode()
#: Says of a recorded entry what was left out of it.
CUT = "DUALTRACK_CUT"
#: Programs that give their name to the kind of their events, and where the program is. sshd and login speak as root
#: about others; sudo and su as the account that started them.
PROGRAMS = {
    "sudo": ("/usr/bin/sudo", "/usr/bin/sudo-rs"),
    "sshd": ("/usr/sbin/sshd", "/usr/lib/openssh/sshd-session"),
    "su": ("/usr/bin/su", "/bin/su"),
    "login": ("/usr/bin/login", "/bin/login"),
}
#: Others, by the unit that they run in: nobody but root puts a process there.
UNITS = {"dualtrack": "dualtrack-", "opensearch": "dualtrack-opensearch.service"}
KINDS = frozenset({*PROGRAMS, *UNITS})
#: The kind of an event that only its sender says is one of sudo or su.
CLAIMED = "claimed"
#: How often the journal is opened again before what is missing is called a gap.
LOOKS = 2
#: How often in a row journalctl may end, or read nothing new, before this is an error; seconds between two attempts.
ATTEMPTS, PAUSE_S = 5, 1.0
#: Seconds of silence after which the journal is opened again: where files are rotated fast, journalctl sometimes misses
#: a new one and waits for ever (seen with systemd 252; each opening takes about 20 ms of processor time).
SILENCE_S = 20.0
#: Bytes of a value, and values, that are kept of an entry that anybody may have sent. Of what journald adds, such as a
#: command line, the same bytes are kept whoever sent the entry: an account decides on the words of a program of root.
STRANGE_VALUE, STRANGE_VALUES = 4 << 10, 32
#: What is kept of the message that begins a command where its account's bytes are spent: these fields, and so many
#: bytes of each as they are written. A record of it has 1.4 KB at most, whatever the account does.
BEGINNING = (CURSOR, "__REALTIME_TIMESTAMP", "_UID", "_PID", "_EXE", "SYSLOG_IDENTIFIER", "MESSAGE", "_CMDLINE")
BEGINNING_VALUE = 512
#: Stands in CUT for all fields that are left out altogether.
OTHERS = "*"


def collect(writer: Writer, *, stopped: Callable[[], bool] = lambda: False, namespace: str = "") -> int:
    """Record what the journal has and gets, until ``stopped``; return how many events.

    A journalctl that ends is started again. External where it ends several times without having read anything.
    """
    after = last_cursor(writer.place)
    source = JournalSource(after)
    writer.append("heartbeat", "audit")  # it is there, and what it found is signed: a new trail is proven from here on
    writer.seal()
    count = failures = 0
    while not stopped():
        before = source.cursor
        found, code = _follow(writer, source, stopped=stopped, namespace=namespace)
        count += found
        failures = 0 if code is None or source.cursor != before else failures + 1
        if failures == ATTEMPTS:
            raise External(f"journalctl ended ({code})", hint="may we read the journal? the group systemd-journal may")
        if code is not None:
            time.sleep(PAUSE_S)
    for event in source.events(b"", ended=True):
        writer.append(*event)
    writer.append("heartbeat", "audit", source.position())
    return count


def _follow(
    writer: Writer, source: JournalSource, *, stopped: Callable[[], bool], namespace: str
) -> tuple[int, int | None]:
    """Follow the journal behind the source's last entry, until ``stopped``, or until the source wants to look again.

    Returns how many events there were, and the exit code of a journalctl that has ended meanwhile.
    """
    # Following alone would leave out what the last boot said at its end. Without --all a field of more than 4096 bytes,
    # such as that of a long command line, is null.
    words = ["journalctl", "--follow", "--all", "--output=export", "--no-pager", "--quiet", "--boot=all"]
    words += [f"--namespace={namespace}"] if namespace else []
    # A trail begins with what comes now. Not --after-cursor: where that entry is gone, it leaves out the one behind it.
    words += ["--lines=all", f"--cursor={source.cursor}"] if source.cursor else ["--lines=0"]
    entries, theirs = os.pipe()
    try:
        journal = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=theirs)
    except FileNotFoundError:
        os.close(entries)
        raise Missing("there is no journalctl here", hint="only hosts with systemd have a journal") from None
    finally:
        os.close(theirs)
    source.begin()
    on_purpose = False

    def done() -> bool:
        nonlocal on_purpose
        on_purpose = stopped() or source.jumped or source.silent
        return on_purpose

    try:
        count = ingest.follow(entries, writer, source, stopped=done)
    finally:
        os.close(entries)
        journal.kill()
        code = journal.wait()
    return count, None if on_purpose else code


class JournalSource:
    """Makes events out of what `journalctl --output=export` prints behind ``cursor``.

    Where the numbers of entries jump, it stops taking entries (``jumped``) and wants the journal to be opened again
    behind its last one: who follows several files misses an entry of one where another file has a later one already,
    and a new file is read late. What is not there then either, twice, is gone, and becomes an event of kind `gap`;
    another count, as after a power cut, one of kind `restarted`.
    """

    def __init__(self, cursor: str = "", account: Callable[[str], str] = claims.account) -> None:
        self._position, self._account = JournalPosition(cursor), account
        self.jumped, self._looks = False, 0
        self._parser = Parser()
        self._budget = Budget()
        self._heard = 0.0

    @property
    def cursor(self) -> str:
        """The cursor of the last entry that was read, recorded or not; '' before the first one."""
        return self._position.cursor

    def begin(self) -> None:
        """Begin with the first entry behind the cursor."""
        self._parser, self._looks, self.jumped = Parser(), self._looks + self.jumped, False
        self._heard = time.monotonic()

    @property
    def silent(self) -> bool:
        """Whether nothing came for so long that the journal is to be opened again. Not before the first entry."""
        return bool(self.cursor) and time.monotonic() - self._heard > SILENCE_S

    def position(self) -> bytes:
        """Return what a heartbeat says: the cursor."""
        return msgspec.json.encode({CURSOR: self.cursor}) if self.cursor else b""

    def events(self, data: bytes, *, ended: bool) -> list[ingest.Event]:
        """Return the events of the entries that are complete with the next block."""
        found: list[ingest.Event] = []
        if data:
            self._heard = time.monotonic()
        for entry in self._parser.feed(data):
            at = entry.first(journal_export.CURSOR).decode("ascii", "replace")
            step = self._position.step(at) if at else Step("next")
            if step.kind == "seen":
                continue
            if step.kind != "next" and self._looks < LOOKS:
                self.jumped = True
                break
            between = {"after": self.cursor, "to": at}
            if step.kind == "jump":
                found.append(("gap", "audit", msgspec.json.encode({"missing": step.missing, **between})))
            elif step.kind == "restarted":
                found.append(("restarted", "audit", msgspec.json.encode(between)))
            if at:
                self._looks = 0
                self._position.take(at)
            if wanted(entry):
                kind, source = label(entry, self._account)
                text = self._within(entry, kind)
                if text is not None:
                    found.append((kind, source, text))
        return found + self._budget.reports(finished=ended)

    def _within(self, entry: JournalEntry, kind: str) -> bytes | None:
        """Return what is recorded of an entry of this kind: as much as its account has bytes for; None for nothing."""
        uid = entry.first(b"_UID")
        if uid == b"0" or kind == "audit" or kind in UNITS:
            return body(entry, whole=True)
        # A bucket of its own: a flood leaves room for what sudo says of the same account. It has a bound as well,
        # since who queues messages and then becomes sudo is taken for it (`genuine`).
        bucket = kind if kind in PROGRAMS else ""
        text = body(entry, whole=False)
        begins = begins_command(entry, kind, self._account)
        if self._budget.spend(uid, len(text), kind=bucket, count=not begins):
            return text
        if not begins:
            return None
        # What a long command line takes is not taken from the commands that follow.
        text = beginning(entry)
        return text if self._budget.spend(uid, len(text), kind=f"{kind} command") else None


def wanted(entry: JournalEntry) -> bool:
    """Tell whether an entry concerns rights or logins.

    Logins and rights (facilities auth and authpriv), the kernel's audit, our own programs, whom the search store
    refused, and what journald dropped. Where a sender gives a field several values, each counts.
    """
    has = entry.fields
    return bool(
        FACILITIES.intersection(has.get(b"SYSLOG_FACILITY", ()))
        or b"audit" in has.get(b"_TRANSPORT", ())
        or b"dualtrack" in has.get(b"SYSLOG_IDENTIFIER", ())
        or (STORE in has.get(b"_SYSTEMD_UNIT", ()) and STORE_PRIORITY in has.get(b"PRIORITY", ()))
        or MESSAGES.intersection(has.get(b"MESSAGE_ID", ()))
    )


def label(entry: JournalEntry, account: Callable[[str], str] = claims.account) -> tuple[str, str]:
    """Return an entry's kind, and where it comes from, by what journald knows of the sender, not by what it says.

    Of an entry under another's name the source is the program that sent it, or "?" where it ended too soon to be seen.
    ``account`` returns the name of a user id.
    """
    name = _said(entry, b"SYSLOG_IDENTIFIER")
    if entry.first(b"_TRANSPORT") == b"audit":
        return "audit", name
    if name not in KINDS:
        return "journal", name
    if genuine(name, entry):
        return name, name
    if name not in claims.PROGRAMS or _said(entry, b"_EXE") not in PROGRAMS[name]:
        return "journal", _said(entry, b"_COMM") or "?"
    uid = _said(entry, b"_UID")
    own = claims.own(name, _said(entry, b"MESSAGE"), uid, account(uid))
    return (name if own else CLAIMED), name


def genuine(name: str, entry: JournalEntry) -> bool:
    """Tell whether an entry under that name comes from root, or from a unit of that name.

    `_UID` came with the message itself. `_EXE` is looked up afterwards: who sends and at once becomes sudo or su is
    taken for it. What it sent counts as sudo's or su's only where it is about the account that sent it (`claims`), and
    has the bytes of that program's bucket (`Budget`).
    """
    if entry.first(b"_UID") == b"0":
        return True
    return name in UNITS and _said(entry, b"_SYSTEMD_UNIT").startswith(UNITS[name])


def begins_command(entry: JournalEntry, kind: str, account: Callable[[str], str] = claims.account) -> bool:
    """Tell whether sudo or su reports with this entry that its sender, an account, runs a command.

    Also where the program had ended when journald looked at it, so that the kind is `journal`: a short command.
    """
    name = _said(entry, b"SYSLOG_IDENTIFIER")
    gone = kind == "journal" and b"_EXE" not in entry.fields
    if name not in claims.PROGRAMS or not (kind == name or gone):
        return False
    return claims.begins_command(name, _said(entry, b"MESSAGE"), account(_said(entry, b"_UID")))


def body(entry: JournalEntry, *, whole: bool) -> bytes:
    """Return an entry as it is recorded: JSON, a string for each field, a list where a field has several values.

    Bytes that are not UTF-8 become `\\\\xNN`. Each value that journald added keeps `STRANGE_VALUE` bytes. Of an entry
    that is not to be recorded ``whole``, so does each that the sender chose, and the entry keeps `STRANGE_VALUES` of
    these; CUT counts the rest.
    """
    cut = {_text(name): number for name, number in entry.cut.items()}
    found: dict[str, str | list[str]] = {}
    count = 0
    for raw, values in entry.fields.items():
        name = _text(raw)
        if name == CUT:
            continue
        kept: list[str] = []
        for value in values:
            trusted = raw.startswith(TRUSTED)
            count += not trusted
            room = STRANGE_VALUE if trusted or count <= STRANGE_VALUES else 0
            room = len(value) if whole and not trusted else room
            if len(value) > room:
                cut[name] = cut.get(name, 0) + len(value) - room
            if room or not value:
                kept.append(_text(value[:room]))
        if kept:
            found[name] = kept[0] if len(kept) == 1 else kept
    return msgspec.json.encode({**found, CUT: cut} if cut else found)


def beginning(entry: JournalEntry) -> bytes:
    """Return how an entry begins, in a size that no account can change: the first values of the fields BEGINNING."""
    found: dict[str, str] = {}
    cut = dict.fromkeys((*BEGINNING, OTHERS), 0)
    for raw, values in entry.fields.items():
        name = _text(raw)
        field = name if name in BEGINNING else OTHERS
        cut[field] += sum(len(it) for it in values)
        if field == name:
            kept = values[0][:BEGINNING_VALUE]
            # A byte is written as six at most: what is taken off here is never more than has to be.
            while (over := len(msgspec.json.encode(_text(kept))) - 2 - BEGINNING_VALUE) > 0:
                kept = kept[: len(kept) - max(1, over // 6)]
            found[name] = _text(kept)
            cut[field] -= len(kept)
    for raw, number in entry.cut.items():
        name = _text(raw)
        cut[name if name in BEGINNING else OTHERS] += number
    return msgspec.json.encode({**found, CUT: {name: number for name, number in cut.items() if number}})


def _said(entry: JournalEntry, name: bytes) -> str:
    return _text(entry.first(name))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def last_cursor(place: Place) -> str:
    """Return the cursor of the newest entry that is whole in a trail, '' where there is none."""
    for number in reversed(place.numbers()):
        found, parts = "", b""
        with place.open(place.segment(number)) as file:
            for line in lines(file):
                try:
                    it = record.parse(line)[0]
                except BadInput:
                    continue
                parts += it.body.encode() or base64.b64decode(it.raw)
                if not it.more:
                    found, parts = cursor(parts) or found, b""
        if found:
            return found
    return ""


def cursor(entry: bytes) -> str:
    """Return an entry's cursor, '' for what is not an entry of the journal."""
    try:
        found = msgspec.json.decode(entry)[CURSOR]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, KeyError, TypeError, IndexError):
        return ""
    return found if isinstance(found, str) else ""
