"""Floods the journal of the namespace `flood` as an ordinary account; root sends three marks in between, and an end."""

import os
import pwd
import socket
import sys

MARKS = 3
number, size = map(int, sys.argv[1:])


def connected():
    """Return a socket to the journal."""
    out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    out.connect("/run/systemd/journal.flood/dev-log")
    return out


ready, told = os.pipe()
if child := os.fork():
    os.close(told)
    out = connected()
    with os.fdopen(ready) as progress:
        for place in progress:
            out.send(b"<85>root-mark: MARK %d" % int(place))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    out.send(b"<85>root-end: END")
    sys.exit(code)
user = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
out = connected()
for place in range(number):
    if place % (number // MARKS) == number // MARKS // 2:
        os.write(told, b"%d\n" % place)
    out.send(b"<85>noise: " + os.urandom(size))
