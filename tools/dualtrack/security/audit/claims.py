"""Messages of sudo and su: whether they are about the account that sent them.

Both programs log under the user id of the account that started them, and the kernel hands that id to journald with the
message. Nothing else that journald knows comes with the message: an account may send what it likes and become sudo or
su before journald looks. So what such a message says of another account is worth nothing.
"""

from __future__ import annotations

import pwd
import re

PROGRAMS = frozenset({"sudo", "su"})
#: What the programs say, in their own words: `who` names an account, `uid` has its number.
OWN = {
    "sudo": re.compile(r"\s*(?P<who>\S+) : .*", re.S),
    "su": re.compile(r"(?:FAILED SU )?\(to \S+\) (?P<who>\S+) on \S+"),
}
#: What sudo says in addition; the words in parentheses are in the language that sudoers names. Before a command are
#: `TTY=` or a reason, and never a parenthesis.
CONTINUED = re.compile(r"\s*\S+ : \(")
#: What PAM says for them. The end of a session names nobody but the account whose session it was.
PAM = re.compile(
    r"pam_\w+\((?P<service>[a-z-]+):\w+\): (?:"
    r"session opened for user \S+ by (?P<by>[^\s()]*)\(uid=(?P<uid>[0-9]+)\)"
    r"|(?:authentication failure|[0-9]+ more authentication failures?); logname=\S* uid=(?P<failed>[0-9]+) euid=[0-9]+"
    r" tty=\S* ruser=(?P<ruser>\S*) rhost=\S* *(?:user=\S*)?"
    r"|auth could not identify password for \[(?P<named>[^\s\]]*)\]"
    r"|conversation failed"
    r"|[^;()]*; uid=(?P<limits>[0-9]+),euid=[0-9]+"
    r"|session closed for user \S+)"
)
SERVICES = {"sudo": ("sudo", "sudo-i"), "su": ("su", "su-l")}


def own(program: str, message: str, uid: str, name: str) -> bool:
    """Tell whether a message of sudo or su is about its sender, the account with this user id and name."""
    if found := OWN[program].fullmatch(message):
        return bool(name) and found["who"] == name
    found = PAM.fullmatch(message)
    if found is None or found["service"] not in SERVICES[program]:
        return False
    numbers = [found[group] for group in ("uid", "failed", "limits") if found[group] is not None]
    # The name after "by" is the one of the login, where that is known: after a change of account it is another one.
    names = found["ruser"], found["named"]
    return all(it == uid for it in numbers) and all(it in (None, "", name) for it in names)


def begins_command(program: str, message: str, name: str) -> bool:
    """Tell whether a message of sudo or su is the one that begins what it says of a command of the account ``name``.

    sudo logs a long command in pieces of 980 bytes: `bo : TTY=… ; COMMAND=…`, then `bo : (command continued) …`.
    """
    found = OWN[program].fullmatch(message)
    return bool(found and name and found["who"] == name and not CONTINUED.match(message))


def account(uid: str) -> str:
    """Return the name of a user id on this host; '' where it has none."""
    try:
        return pwd.getpwuid(int(uid)).pw_name
    except (ValueError, KeyError, OverflowError):
        return ""
