"""`dualtrack drill audit`: attacks on the audit trail and on what protects it, tried by the project's own tests.

A row of the table is made by what happened, not by what was expected. Attacks are tests (marker `attack`), so that the
gate tries them with every change; those that need a whole host are molecule scenarios.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from dualtrack.core import proc
from dualtrack.core.errors import External
from dualtrack.core.events import events
from dualtrack.core.paths import ROOT
from dualtrack.core.proc import last_line
from dualtrack.core.task_graph import Say

Outcome = Literal["prevented", "found", "missed", "not tried"]


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """One attack: whose, what came of it, and by what. ``ways``: variants tried; ``seconds``: for all of them."""

    who: str
    what: str
    outcome: Outcome
    by: str
    seconds: float
    ways: int = 1


class AttackReport(msgspec.Struct, frozen=True, kw_only=True):
    """All attacks. ``ok`` only when each was tried, and prevented or found. ``broken``: what else failed, one line."""

    ok: bool
    headline: str
    rows: tuple[Attack, ...]
    broken: str
    seconds: float


#: Scenarios of roles, and what their hosts are attacked with.
SCENARIOS = {
    "base": (
        Attack(
            who="a user", what="floods the journal, then becomes root", outcome="found", by="the audit trail", seconds=0
        ),
        Attack(
            who="a job on a cloud node",
            what="asks for the keys of the node's role",
            outcome="prevented",
            by="rules by user id",
            seconds=0,
        ),
    ),
    "audit": (
        Attack(
            who="a user",
            what="floods the journal by size, then root acts",
            outcome="found",
            by="bounded fields, a record for each gap",
            seconds=0,
        ),
        Attack(
            who="the recorder's account",
            what="puts a link, a pipe or a directory where root opens a file",
            outcome="prevented",
            by="files opened as their owner",
            seconds=0,
        ),
    ),
    "gateway": (
        Attack(
            who="a user",
            what="answers in place of the gateway's router, screen or HAProxy",
            outcome="prevented",
            by="sockets in root's directories",
            seconds=0,
        ),
    ),
    "knowledge_base": (
        Attack(
            who="a parser that was taken over",
            what="tries to leave its sandbox in the unit of the host",
            outcome="prevented",
            by="its account, the list of system calls, Landlock, namespaces",
            seconds=0,
        ),
    ),
    "access": (
        Attack(
            who="a listed person",
            what="leads root astray by ~/.ssh",
            outcome="prevented",
            by="keys in root's own directory",
            seconds=0,
        ),
    ),
}
_WORST = ("missed", "not tried", "found", "prevented")


def drill(say: Say, *, short: bool = False) -> AttackReport:
    """Try everything, and return what came of it; ``short`` leaves out what needs a whole host.

    External when the tests cannot run at all.
    """
    begin = time.monotonic()
    rows, failed = tests(say)
    broken = [failed]
    for name, attempts in ({} if short else SCENARIOS).items():
        tried, failed = scenario(name, attempts, say)
        rows += tried
        broken.append(failed)
    return report(rows, "; ".join(filter(None, broken)), time.monotonic() - begin)


def report(rows: Iterable[Attack], broken: str, seconds: float) -> AttackReport:
    """Put the variants of one attack together: it came to the worst that one of them came to."""
    found: dict[tuple[str, str, str], Attack] = {}
    for row in rows:
        key = (row.who, row.what, row.by)
        if was := found.get(key):
            outcome = min(was.outcome, row.outcome, key=_WORST.index)
            row = Attack(
                who=row.who,
                what=row.what,
                outcome=outcome,
                by=row.by,
                seconds=was.seconds + row.seconds,
                ways=was.ways + row.ways,
            )
        found[key] = row
    count = {name: sum(row.outcome == name for row in found.values()) for name in _WORST}
    said = ", ".join(f"{count[name]} {name}" for name in reversed(_WORST) if count[name] or name == "missed")
    ways = sum(row.ways for row in found.values())
    ok = bool(found) and not count["missed"] and not count["not tried"] and not broken
    return AttackReport(
        ok=ok,
        headline=f"{len(found)} attacks in {ways} ways: {said}",
        rows=tuple(found.values()),
        broken=broken,
        seconds=round(seconds, 1),
    )


def tests(say: Say) -> tuple[list[Attack], str]:
    """Run the tests that are marked; return their attacks, and in one line what else failed."""
    receive, send = os.pipe()
    words = [
        sys.executable, "-m", "pytest", "-q", "-p", "dualtrack.lab.scenarios.collect", "-p", "no:cacheprovider", "-m",
        "attack", "tests/unit", "tests/integration",
    ]  # fmt: skip
    rows = []
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(
            words, cwd=ROOT, env={**os.environ, "DUALTRACK_EVENTS_FD": str(send)}, stdin=subprocess.DEVNULL,
            stdout=said, stderr=said, pass_fds=(send,), start_new_session=True,
        )  # fmt: skip
        os.close(send)
        with proc.tracked(child), os.fdopen(receive, encoding="utf-8", errors="replace") as lines:
            for event in events(lines):
                rows.append(msgspec.convert(event, Attack))
                say(f"{rows[-1].outcome}: {rows[-1].who} {rows[-1].what}")
            code = child.wait()
        proc.pause(0)  # stopped on purpose: nothing is missed by that
        said.seek(0)
        text = said.read()
    if code not in (0, 1):
        raise External(f"the attacks could not be tried (pytest ended with {code}): {last_line(text)}")
    failed = [line for line in text.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return rows, f"{len(failed)} tests failed, the first: {failed[0]}" if failed else ""


def scenario(name: str, rows: Sequence[Attack], say: Say) -> tuple[list[Attack], str]:
    """Try the attacks of a role's molecule scenario on a host of its own; when it fails, all of them were missed.

    Returns them, and in one line why it failed.
    """
    begin, why = time.monotonic(), ""
    with tempfile.TemporaryDirectory(prefix="dta-") as scratch:
        log = Path(scratch) / "log"
        lab = {"DUALTRACK_LAB_DIR": f"{scratch}/lab"}
        done = proc.run([ROOT / "ci/scenario.sh", name], check=False, log=log, env=lab)
        if done.returncode:
            text = log.read_text(errors="replace")
            # ci/scenario.sh prints the failed tasks last.
            for line in text.rpartition("--- why:\n")[2].splitlines() or [last_line(text)]:
                said = f"molecule's {name}: {line.strip()[:1000]}"
                why = why or said
                say(said)
    seconds = time.monotonic() - begin
    found = [
        msgspec.structs.replace(row, outcome="missed" if done.returncode else row.outcome, seconds=seconds)
        for row in rows
    ]
    for row in found:
        say(f"{row.outcome}: {row.who} {row.what}")
    return found, why
