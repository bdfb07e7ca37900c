"""Events out of the journal of systemd: what concerns rights and logins, each once, without a state of its own.

An entry is recorded as journald has it, with its cursor. Who begins again finds the last cursor in the trail itself and
continues after it: what is in the trail is never asked for again, and what is not was never lost.
"""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable
from typing import Any

import msgspec

from dualtrack.core.errors import BadInput, External, Missing
from dualtrack.security.audit import ingest, record
from dualtrack.security.audit.layout import Place, lines
from dualtrack.security.audit.writer import Writer

#: What is asked for: logins and rights (facilities auth and authpriv), the kernel's audit, our own programs, and whom
#: the search store refused or who changed rights there (role opensearch, log4j2.properties).
MATCHES = (
    "SYSLOG_FACILITY=4", "SYSLOG_FACILITY=10", "+", "_TRANSPORT=audit", "+", "SYSLOG_IDENTIFIER=dualtrack", "+",
    "_SYSTEMD_UNIT=dualtrack-opensearch.service", "PRIORITY=5", "+",
    # journald's own word that it dropped or missed messages, whosever they were.
    "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e", "+", "MESSAGE_ID=e9bf28e6e834481bb6f48f548ad13606",
)  # fmt: skip
#: The field that names an entry's place in the journal, for ever.
CURSOR = "__CURSOR"
#: Programs that give their name to the kind of their events, and where they lie. A name alone is the sender's word.
PROGRAMS = {
    "sudo": ("/usr/bin/sudo", "/usr/bin/sudo-rs"),
    "sshd": ("/usr/sbin/sshd", "/usr/lib/openssh/sshd-session"),
    "su": ("/usr/bin/su", "/bin/su"),
    "login": ("/usr/bin/login", "/bin/login"),
}
#: Others, by the unit that they run in: nobody but root puts a process there.
UNITS = {"dualtrack": "dualtrack-", "opensearch": "dualtrack-opensearch.service"}
KINDS = frozenset({*PROGRAMS, *UNITS})


def collect(writer: Writer, matches: tuple[str, ...] = MATCHES, *, stopped: Callable[[], bool] = lambda: False) -> int:
    """Record what the journal has and gets, until ``stopped``; return how many entries. External when it ends."""
    # Following alone would leave out what the last boot said at its end. Without --all a field of more than 4096 bytes,
    # such as that of a long command line, is null.
    words = ["journalctl", "--follow", "--all", "--output=json", "--no-pager", "--quiet", "--boot=all"]
    if after := last_cursor(writer.place):
        words += ["--lines=all", f"--after-cursor={after}"]
    else:
        words.append("--lines=0")  # a trail begins now
    writer.append("heartbeat", "audit")  # it is there, and what it found is signed: a new trail is proven from here on
    writer.seal()
    entries, theirs = os.pipe()
    try:
        journal = subprocess.Popen([*words, *matches], stdin=subprocess.DEVNULL, stdout=theirs)
    except FileNotFoundError:
        os.close(entries)
        raise Missing("there is no journalctl here", hint="only hosts with systemd have a journal") from None
    finally:
        os.close(theirs)
    try:
        count = ingest.follow(entries, writer, label, stopped=stopped)
    finally:
        os.close(entries)
        journal.kill()
        code = journal.wait()
    if not stopped():
        raise External(f"journalctl ended ({code})", hint="may we read the journal? the group systemd-journal may")
    return count


def label(entry: bytes) -> tuple[str, str]:
    """Return an entry's kind, and where it comes from, by what journald knows of the sender, not by what it says.

    Of an entry under another's name the source is the program that sent it, or "?" where it ended too soon to be seen.
    """
    try:
        found: dict[str, Any] = msgspec.json.decode(entry)
        name, transport = _text(found, "SYSLOG_IDENTIFIER"), _text(found, "_TRANSPORT")
    except (msgspec.MsgspecError, RecursionError, AttributeError, UnicodeDecodeError):
        return "journal", ""
    if transport == "audit":
        return "audit", name
    if name not in KINDS:
        return "journal", name
    return (name, name) if genuine(name, found) else ("journal", _text(found, "_COMM") or "?")


def genuine(name: str, found: dict[str, Any]) -> bool:
    """Tell whether an entry comes from the program of that name: root is believed, others if they are that program.

    `_UID` came with the message itself. `_EXE` is looked up afterwards: who sends and at once becomes the program is
    taken for it, and is still named by its `_UID`.
    """
    if _text(found, "_UID") == "0":
        return True
    if name in UNITS:
        return _text(found, "_SYSTEMD_UNIT").startswith(UNITS[name])
    return _text(found, "_EXE") in PROGRAMS[name]


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""


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
