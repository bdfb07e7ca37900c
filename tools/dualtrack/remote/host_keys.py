"""Where the tool itself speaks ssh: waiting for a host, and reading its key, so that keys are always checked.

paramiko takes a third of the time that a command takes to start, and is imported where it is used.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import re
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from dualtrack.core import waiting

#: The types of key that are asked for, the first first, and how a key of each is called in a signature.
TYPES = {"ssh-ed25519": "ssh-ed25519", "ecdsa-sha2-nistp256": "ecdsa-sha2-nistp256", "ssh-rsa": "rsa-sha2-512"}
_KEY = rf"(?:{'|'.join(TYPES)}) [A-Za-z0-9+/]{{40,}}={{0,2}}"
#: A public key as a facts file has it: with or without a comment.
PATTERN = rf"^{_KEY}( [^\n]*)?$"
# paramiko prints a traceback for every host that is not up yet; waiting for it is what this module is for.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class Way(NamedTuple):
    """An open connection, and the proxy command that carries it, if one does."""

    channel: socket.socket
    program: subprocess.Popen[bytes] | None = None


@contextlib.contextmanager
def connected(address: str, port: int = 22, *, proxy: str = "", timeout: float = 5) -> Iterator[Way]:
    """Open a connection to an ssh port, through a proxy command where one is given; OSError where that fails.

    Not by paramiko's ProxyCommand: where the program has ended, that one reads its end again and again, at the cost of
    a whole processor, until the time is over.
    """
    if not proxy:
        with socket.create_connection((address, port), timeout=timeout) as channel:
            yield Way(channel)
        return
    words = shlex.split(proxy.replace("%h", address).replace("%p", str(port)))
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            program = subprocess.Popen(words, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.PIPE)
        ours.settimeout(timeout)
        try:
            yield Way(ours, program)
        finally:
            program.kill()
            program.communicate()


def host_key(
    address: str, port: int = 22, *, proxy: str = "", types: Sequence[str] = tuple(TYPES), timeout: float = 10
) -> str:
    """Return the host key (type and base64) that an ssh server proves to own; raises OSError or SSHException.

    ``types`` are those of `TYPES` that are asked for.
    """
    import paramiko

    with connected(address, port, proxy=proxy, timeout=timeout) as way:
        transport = paramiko.Transport(way.channel)
        try:
            transport.get_security_options().key_types = tuple(TYPES[it] for it in types)
            transport.start_client(timeout=timeout)
            key = transport.get_remote_server_key()
            return f"{key.get_name()} {base64.b64encode(key.asbytes()).decode()}"
        finally:
            transport.close()


#: What the program on the way says when this account may not run it, or may not enter the network that it leads to.
_MAY_NOT = ("Operation not permitted", "Permission denied", "must be root")


class CannotLook(Exception):
    """This account may not connect, so that nothing is known of the host; the message is the system's."""


def answers(address: str, port: int = 22, *, proxy: str = "", timeout: float = 3) -> bool:
    """Tell whether an ssh server greets within ``timeout`` seconds; CannotLook where this account may not connect."""
    try:
        with connected(address, port, proxy=proxy, timeout=timeout) as way:
            with contextlib.suppress(OSError):  # TimeoutError among them: nothing was said
                if way.channel.recv(4, socket.MSG_WAITALL) == b"SSH-":
                    return True
            _check_may_look(way.program)
    except PermissionError as error:
        raise CannotLook(str(error.strerror)) from None
    except OSError:
        pass
    return False


def _check_may_look(program: subprocess.Popen[bytes] | None) -> None:
    """Refuse what a proxy command that has ended says of rights that are missing."""
    if program is None or program.stderr is None:
        return
    with contextlib.suppress(subprocess.TimeoutExpired):  # it closes its output a moment before it ends
        program.wait(timeout=0.2)
    if program.returncode is None:
        return
    said = " ".join(program.stderr.read().decode(errors="replace").split())
    if any(word in said for word in _MAY_NOT):
        raise CannotLook(said[-300:])


def wait_for_key(
    name: str, address: str, port: int = 22, *, proxy: str = "", stall: float = 180,
    types: Sequence[str] = tuple(TYPES), progress: Callable[[], object] | None = None,
) -> str:  # fmt: skip
    """Return the key of a host's ssh server once it is up; External after ``stall`` seconds without ``progress``."""
    import paramiko

    said = "no answer"

    def key() -> str:
        nonlocal said
        try:
            return host_key(address, port, proxy=proxy, types=types)
        except (OSError, paramiko.SSHException, EOFError) as error:
            said = str(error) or type(error).__name__
            return ""

    return waiting.until(
        key, f"{name} ({address}) to take ssh", stall=stall, progress=progress, last=lambda: said, interval=0.5,
        hint="is it up, and does its firewall let port 22 in?",
    )  # fmt: skip


def fingerprint(key: str) -> str:
    """Return a host key's fingerprint as ssh prints it (SHA256:…)."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def printed(console: str) -> list[str]:
    """Return the host keys that cloud-init printed last to a machine's console; [] for none."""
    block = re.findall(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", console, re.DOTALL)
    return re.findall(_KEY, block[-1]) if block else []


#: What ssh exits with when the connection or the login failed, as opposed to the command.
FAILED = 255
