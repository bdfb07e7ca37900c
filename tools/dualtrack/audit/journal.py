"""Events out of the journal of systemd: what concerns rights and logins, each once, without a state of its own.

An entry is recorded as journald has it, with its cursor. Who begins again finds the last cursor in the trail itself and
goes on after it: what is in the trail is never asked for again, and what is not was never lost.
"""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable
from typing import Any

import msgspec

from dualtrack.audit import intake, record
from dualtrack.audit.place import Place, lines
from dualtrack.audit.writer import Writer
from dualtrack.errors import BadInput, External, Missing

#: What is asked for: logins and rights (facilities auth and authpriv), the kernel's audit, our own programs, and whom
#: the search store refused or who changed rights there (role elk, log4j2.properties).
MATCHES = (
    "SYSLOG_FACILITY=4", "SYSLOG_FACILITY=10", "+", "_TRANSPORT=audit", "+", "SYSLOG_IDENTIFIER=dualtrack", "+",
    "_SYSTEMD_UNIT=dualtrack-opensearch.service", "PRIORITY=5", "+",
    # journald's own word that it dropped or missed messages, whosever they were.
    "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e", "+", "MESSAGE_ID=e9bf28e6e834481bb6f48f548ad13606",
)  # fmt: skip
#: The field that names an entry's place in the journal, for ever.
CURSOR = "__CURSOR"
#: Programs that give their name to the kind of their events.
KINDS = frozenset({"sudo", "sshd", "su", "login", "dualtrack", "opensearch"})


def collect(writer: Writer, matches: tuple[str, ...] = MATCHES, *, stopped: Callable[[], bool] = lambda: False) -> int:
    """Record what the journal has and gets, until ``stopped``; return how many entries. External when it ends."""
    # Following alone would leave out what the last boot said at its end.
    words = ["journalctl", "--follow", "--output=json", "--no-pager", "--quiet", "--boot=all"]
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
        count = intake.follow(entries, writer, label, stopped=stopped)
    finally:
        os.close(entries)
        journal.kill()
        code = journal.wait()
    if not stopped():
        raise External(f"journalctl ended ({code})", hint="may we read the journal? the group systemd-journal may")
    return count


def label(entry: bytes) -> tuple[str, str]:
    """Return an entry's kind, and where it comes from: its program's name."""
    try:
        found: dict[str, Any] = msgspec.json.decode(entry)
        name, transport = found.get("SYSLOG_IDENTIFIER"), found.get("_TRANSPORT")
    except (msgspec.MsgspecError, AttributeError, UnicodeDecodeError):
        return "journal", ""
    source = name if isinstance(name, str) else ""
    if transport == "audit":
        return "audit", source
    return (source if source in KINDS else "journal"), source


def last_cursor(place: Place) -> str:
    """Return the cursor of the newest entry that is whole in a trail, '' where there is none."""
    for number in reversed(place.numbers()):
        found, parts = "", b""
        with place.segment(number).open("rb") as file:
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
    """Return an entry's cursor, '' for what is no entry of the journal."""
    try:
        found = msgspec.json.decode(entry)[CURSOR]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, IndexError):
        return ""
    return found if isinstance(found, str) else ""
