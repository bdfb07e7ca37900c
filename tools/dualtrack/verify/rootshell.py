"""How checks run commands on a host: one root shell for all of them, which starts a new shell for each command.

testinfra's own way opens a session, a login and sudo for every command: 0.4 s of a virtual machine's processor, which
is emulated, and a tenth of that on a server. What a command sees is the same: root by sudo, the login's directory and
environment, an empty standard input.
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

from testinfra.backend import base

#: ``{end}`` is a line that no output holds: it parts a command's output from its errors, and both from its exit code.
BEGIN = """\
d=$(mktemp -d "${{TMPDIR:-/tmp}}/dualtrack-verify.XXXXXX") || exit
trap 'rm -rf "$d"' EXIT
printf '\\n%s\\n' {end} > "$d/end"
"""
COMMAND = """\
/bin/sh -c {command} </dev/null >"$d/{number}.out" 2>"$d/{number}.err"
r=$?
cat "$d/{number}.out" "$d/end" "$d/{number}.err" "$d/end"
echo "$r"
"""


class RootShell(base.BaseBackend):  # type: ignore[misc, unused-ignore]
    """testinfra's connection to one host. ``words`` start the shell: ssh, and sudo at the other end.

    Like testinfra's own, it has ``host`` (by the name that it was asked for) and the path ``ssh_config``: checks that
    reach one host by way of another read both.
    """

    NAME = "root-shell"

    def __init__(self, name: str, words: Sequence[str], ssh_config: str = "") -> None:
        super().__init__(name)
        self.host, self.ssh_config = self.parse_hostspec(name), ssh_config
        # testinfra would start Python on the host to learn it, as soon as an output is not plain ASCII.
        self._encoding = "utf-8"
        self._words = list(words)
        self._shell: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._end = b""
        self._number = 0

    def run(self, command: str, *args: str, **kwargs: Any) -> base.CommandResult:  # noqa: ARG002 - testinfra's signature
        """Run a command of /bin/sh with ``args`` quoted into it; RuntimeError when the host is not reached."""
        text = self.quote(command, *args)
        out, err, code = self._ask(text)
        return self.result(code, self.encode(text), out, err)

    def close(self) -> None:
        """End the shell; what it kept on the host goes with it."""
        if self._shell is not None:
            with contextlib.suppress(OSError):
                if self._shell.stdin:
                    self._shell.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._shell.wait(timeout=10)
            self._drop()
        self._said.close()

    def _open(self) -> subprocess.Popen[bytes]:
        if self._shell is None:
            self._shell = subprocess.Popen(
                self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, bufsize=0
            )
            token = f"dualtrack-{secrets.token_hex(16)}"
            self._end = f"\n{token}\n".encode()
            self._send(self._shell, BEGIN.format(end=token))
        return self._shell

    def _ask(self, command: str) -> tuple[bytes, bytes, int]:
        shell = self._open()
        self._number += 1
        self._send(shell, COMMAND.format(command=shlex.quote(command), number=self._number))
        data = b""
        while data.count(self._end) < 2 or not data.endswith(b"\n") or data.endswith(self._end):
            more = shell.stdout.read(65536) if shell.stdout else b""
            if not more:
                raise self._lost()
            data += more
        out, err, code = data.split(self._end, 2)
        return out, err, int(code)

    def _send(self, shell: subprocess.Popen[bytes], text: str) -> None:
        data = memoryview(text.encode())
        try:
            while data and shell.stdin:
                data = data[shell.stdin.write(data) :]
        except BrokenPipeError:
            raise self._lost() from None

    def _lost(self) -> RuntimeError:
        """Return the error of a shell that has ended; the next command starts another."""
        self._drop()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip().splitlines()
        return RuntimeError(f"the connection to {self.hostname} has ended: {said[-1] if said else 'nothing was said'}")

    def _drop(self) -> None:
        if self._shell is not None:
            self._shell.kill()
            self._shell.wait()
            for pipe in (self._shell.stdin, self._shell.stdout):
                with contextlib.suppress(OSError):
                    if pipe:
                        pipe.close()
            self._shell = None
