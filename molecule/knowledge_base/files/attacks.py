"""Has a parser that was taken over, in the real unit of this host, try all that `parser_attacks` knows.

attacks.py PID

PID is a process of the user that this runs as. Prints what was not refused, or changed, and fails then.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import tempfile
from pathlib import Path

SOCKET = "/run/dualtrack-knowledge-parser/parser.sock"


def asked(plan: dict[str, object]) -> tuple[int, bytes, bytes]:
    """Have a document read as the ingestion has it read; return the exit code, the answer, and what was said."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.settimeout(120)
        link.connect(SOCKET)
        link.send(b"txt")
        ready = link.recv(1000)
        # A container of systemd-nspawn has no Landlock; all else is there.
        assert ready in (b"+", b"+Landlock"), ready
        document = os.memfd_create("document")
        os.write(document, json.dumps(plan).encode())
        os.lseek(document, 0, os.SEEK_SET)
        pipes = [os.pipe(), os.pipe()]
        socket.send_fds(link, [b"txt"], [document, *(write for _, write in pipes)])
        for _, write in pipes:
            os.close(write)
        found = []
        for read, _ in pipes:
            with os.fdopen(read, "rb") as file:
                found.append(file.read())
        return struct.unpack(">i", link.recv(4))[0], found[0], found[1]


def main() -> None:
    """Attack, and look."""
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        folder.chmod(0o777)
        for name in ("master.key", "other", "renamed"):
            (folder / name).write_bytes(b"K" * 32)
            (folder / name).chmod(0o666)
        before = [(it.name, it.stat().st_size, it.stat().st_mode) for it in sorted(folder.iterdir())]
        plan = {"folder": held, "pid": int(sys.argv[1]), "address": 4096}
        for what, least in (("everything", 25), ("every call", 500)):
            code, answer, said = asked({**plan, "try": what})
            assert code == 0, said
            tried = json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1])
            assert len(tried) > least
            done = {name: it for name, it in tried.items() if it != "EPERM"}
            assert not done, done
        code, answer, said = asked({**plan, "try": "program"})
        assert (code, answer) == (1, b""), (code, answer)
        assert b"PermissionError" in said, said
        after = [(it.name, it.stat().st_size, it.stat().st_mode) for it in sorted(folder.iterdir())]
        assert before == after, after
    print("everything was refused")


main()
