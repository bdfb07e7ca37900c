"""Under the name of sudo, su, sshd and login: what an account says of itself, of another one, and what root says."""

from __future__ import annotations

import itertools
import json

import pytest

from dualtrack.security.audit.claims import account
from dualtrack.security.audit.journal import CLAIMED, PROGRAMS, JournalSource, label
from dualtrack.security.audit.summarize import told
from tests.unit.security.audit.test_journal import entry
from tests.unit.security.audit.test_journal_export import at, written

#: As the programs of Debian 12 sent them, with the account in braces: sudo 1.9.13, su of util-linux 2.38, PAM 1.5.
#: The user id that came with each was that of the account that started the program.
OWN = {
    "sudo": (
        "   {name} : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/true",
        "   {name} : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/true",
        "   {name} : unable to resolve host vm: Name or service not known",
        "   {name} : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/echo a\nb : c",
        "pam_limits(sudo:session): Could not set limit for 'core' to soft=0, hard=-1: Operation not permitted;"
        " uid={uid},euid=0",
        "pam_unix(sudo:session): session opened for user root(uid=0) by (uid={uid})",
        "pam_unix(sudo:session): session opened for user root(uid=0) by {name}(uid={uid})",
        "pam_unix(sudo:auth): authentication failure; logname= uid={uid} euid=0 tty=/dev/pts/0 ruser={name} rhost= "
        " user={name}",
        "pam_unix(sudo:auth): 2 more authentication failures; logname= uid={uid} euid=0 tty=/dev/pts/0 ruser={name}"
        " rhost=  user={name}",
        "pam_unix(sudo:auth): auth could not identify password for [{name}]",
    ),
    "su": (
        "(to bob) {name} on pts/0",
        "FAILED SU (to bob) {name} on pts/0",
        "pam_unix(su:session): session opened for user bob(uid=1007) by (uid={uid})",
        "pam_unix(su-l:session): session opened for user bob(uid=1007) by {name}(uid={uid})",
        "pam_unix(su:auth): authentication failure; logname= uid={uid} euid=0 tty=/dev/pts/0 ruser={name} rhost= "
        " user=bob",
        "pam_unix(su:auth): 1 more authentication failure; logname= uid={uid} euid=0 tty=/dev/pts/0 ruser={name}"
        " rhost=  user=bob",
    ),
}  # fmt: skip
#: What names nobody who did something.
ENDS = {
    "sudo": "pam_unix(sudo:session): session closed for user root",
    "su": "pam_unix(su:session): session closed for user bob",
}
#: What neither program says.
FREE = (
    "", " ", "root logged in", "(to root) ", "(to root) root on pts/0 and more", " : COMMAND=/bin/sh", "root: hello",
    "pam_unix(su:session): session opened for user root", "pam_unix(x:session): session closed for user root",
    "pam_unix(sshd:session): session opened for user root(uid=0) by (uid=1001)", "FAILED SU (to a) root on x\ny",
    "pam_unix(su:session): session opened for user root(uid=0) by (uid=1001) by root(uid=0)",
)  # fmt: skip
ACCOUNTS = {"0": "root", "1001": "alice", "1002": "bob", "1003": ""}


def sent(program: str, message: str, uid: str, exe: str | None = None) -> dict[str, object]:
    return {
        "SYSLOG_IDENTIFIER": program, "SYSLOG_FACILITY": "10", "_TRANSPORT": "syslog", "_UID": uid, "_COMM": program,
        "_EXE": PROGRAMS[program][0] if exe is None else exe, "MESSAGE": message,
    }  # fmt: skip


def kind(fields: dict[str, object]) -> str:
    return label(entry(fields), lambda uid: ACCOUNTS.get(uid, ""))[0]


@pytest.mark.attack("a user", "sends as su or sudo what another account did", "found", "its kind: claimed")
@pytest.mark.parametrize("program", OWN)
def test_an_account_speaks_for_itself_only(program: str) -> None:
    for text, sender, named in itertools.product(OWN[program], ACCOUNTS, ("0", "1001", "1002")):
        message = text.format(uid=named, name=ACCOUNTS[named])
        expected = program if sender in ("0", named) else CLAIMED
        assert kind(sent(program, message, sender)) == expected, (message, sender)
        strange = program if sender == "0" else "journal"
        for exe in ("", "/home/u/su", f"{PROGRAMS[program][0]} (deleted)"):
            assert kind(sent(program, message, sender, exe)) == strange
    for sender in ACCOUNTS:
        assert kind(sent(program, ENDS[program], sender)) == program


@pytest.mark.parametrize("program", OWN)
@pytest.mark.parametrize("message", FREE)
def test_words_that_the_program_does_not_say_are_claims(program: str, message: str) -> None:
    assert kind(sent(program, message, "1001")) == CLAIMED
    assert kind(sent(program, message, "0")) == program
    assert kind({**sent(program, message, "1001"), "MESSAGE": [message, OWN[program][0]]}) == CLAIMED


@pytest.mark.attack("a user", "sends as sshd or login and becomes that program", "found", "its kind: journal")
@pytest.mark.parametrize("program", ["sshd", "login"])
def test_only_root_speaks_for_sshd_and_login(program: str) -> None:
    messages = ("Accepted publickey for root from 10.0.0.1 port 1 ssh2", "ROOT LOGIN on '/dev/tty1'", "")
    for message, uid, exe in itertools.product(messages, ACCOUNTS, (*PROGRAMS[program], "")):
        assert kind(sent(program, message, uid, exe)) == (program if uid == "0" else "journal")


def test_summary_names_the_account_that_the_kernel_knows() -> None:
    def who(program: str, message: str, uid: str) -> str:
        fields = sent(program, message, uid)
        return told(kind(fields), json.dumps(fields))[0]

    for program, texts in OWN.items():
        for text, sender, named in itertools.product(texts, ("1001", "1002"), ("0", "1001", "1002")):
            found = who(program, text.format(uid=named, name=ACCOUNTS[named]), sender)
            assert found in (f"uid {sender}", ACCOUNTS[sender]), (text, sender, named)
        assert who(program, ENDS[program], "1001") == "uid 1001"
    assert who("sudo", "  alice : TTY=x ; COMMAND=/bin/ls", "1001") == "alice"


def test_claims_share_the_budget_of_other_messages_and_are_cut_as_they_are() -> None:
    fields = sent("su", "(to root) root on pts/0 " + "x" * 9000, "1001")
    source = JournalSource(account=lambda uid: ACCOUNTS.get(uid, ""))
    events = []
    for number in range(1, 400):
        pairs = [(b"__CURSOR", at(number).encode())] + [
            (name.encode(), str(it).encode()) for name, it in fields.items()
        ]
        events += source.events(written(pairs), ended=False)
    assert {it[0] for it in events} == {CLAIMED}
    assert len(events) < 300
    assert all(len(text) < 5000 for _, _, text in events)
    (last,) = source.events(b"", ended=True)
    assert json.loads(last[2])["_UID"] == "1001"
    assert "kind" not in json.loads(last[2])


def test_names_of_accounts_are_those_of_the_host() -> None:
    assert account("0") == "root"
    assert [account(uid) for uid in ("", "x", "-5", "4294967294", "9" * 40)] == [""] * 5
