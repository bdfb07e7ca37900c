"""Issues people on this host a token of their own, in the name of the account that connects.

The kernel says whose process is at the other end of the socket, so no password is asked: ssh has done that. systemd
starts a process for each connection (unit `dualtrack-knowledge-token@`). The key is this host's own: a token counts
here alone, and only as long as the person is in the file of people.
"""

from __future__ import annotations

import os
import pwd
import socket
import stat
import struct
import time
from pathlib import Path

import msgspec

from dualtrack.core import output
from dualtrack.core.errors import BadInput
from dualtrack.core.files import read_whole
from dualtrack.knowledge.service.people import AUDIENCE, FILE_BYTES, HERE, TOKEN_BYTES

#: Seconds that a token is good: a working day.
GOOD_S = 12 * 3600


class Refused(Exception):
    """No token for this account; the message says why."""


def issue(uid: int, people: Path, key: Path) -> tuple[str, str]:
    """Return the name of an account and a token for it; Refused where it is not among the people."""
    from joserfc import jwt
    from joserfc.jwk import ECKey

    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        raise Refused(f"user {uid} has no name on this host") from None
    if name not in msgspec.json.decode(read_whole(people, FILE_BYTES), type=dict[str, msgspec.Raw]):
        raise Refused(f"{name} is not among the people of this knowledge base")
    now = int(time.time())
    claims = {"iss": HERE, "aud": AUDIENCE, "sub": name, "nbf": now - 60, "iat": now, "exp": now + GOOD_S}
    # systemd brings it, with an access list: its mode says that a group may read it.
    signing = ECKey.import_key(read_whole(key, TOKEN_BYTES))
    return name, jwt.encode({"alg": "ES256", "typ": "JWT"}, claims, signing)


def main() -> None:
    """Answer the connection on stdin with a line: `token TOKEN`, or the reason why there is none."""
    if "CREDENTIALS_DIRECTORY" not in os.environ or not stat.S_ISSOCK(os.fstat(0).st_mode):
        raise BadInput("stdin is not a connection", hint="people run dualtrack-kb-token on the knowledge base's host")
    credentials = Path(os.environ["CREDENTIALS_DIRECTORY"])
    with socket.socket(fileno=os.dup(0)) as link:
        _, uid, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        try:
            name, token = issue(uid, credentials / "people", credentials / "token-key")
            said = f"token {token}"
            output.echo(f"token for the knowledge base issued to {name}", err=True)
        except Refused as error:
            said = str(error)
            output.echo(f"no token for the knowledge base: {error}", err=True)
        link.sendall(said.encode() + b"\n")
