"""Where the tool itself speaks ssh: waiting for a host, and reading its key, so that keys are always checked."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import socket
import subprocess
import time
from collections.abc import Callable

import paramiko

from dualtrack import proc
from dualtrack.errors import External

# paramiko prints a traceback for every host that is not up yet; waiting for it is what this module is for.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


def connect(
    address: str, port: int = 22, *, proxy: str = "", timeout: float = 5
) -> socket.socket | paramiko.ProxyCommand:
    """Return an open connection to an ssh port, through a proxy command where one is given."""
    if not proxy:
        return socket.create_connection((address, port), timeout=timeout)
    channel = paramiko.ProxyCommand(proxy.replace("%h", address).replace("%p", str(port)))
    channel.settimeout(timeout)
    return channel


def host_key(address: str, port: int = 22, *, proxy: str = "", timeout: float = 10) -> str:
    """Return the host key (type and base64) that an ssh server proves to own; raises OSError or SSHException."""
    channel = connect(address, port, proxy=proxy, timeout=timeout)
    transport = paramiko.Transport(channel)
    try:
        transport.get_security_options().key_types = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512")
        transport.start_client(timeout=timeout)
        key = transport.get_remote_server_key()
        return f"{key.get_name()} {base64.b64encode(key.asbytes()).decode()}"
    finally:
        transport.close()
        channel.close()


def answers(address: str, port: int = 22, *, proxy: str = "", timeout: float = 3) -> bool:
    """Tell whether an ssh server greets within ``timeout`` seconds."""
    channel = None
    try:
        channel = connect(address, port, proxy=proxy, timeout=timeout)
        return channel.recv(4) == b"SSH-"
    except (OSError, paramiko.SSHException):
        return False
    finally:
        if channel is not None:
            with contextlib.suppress(OSError, ProcessLookupError):
                channel.close()


def wait_for_key(
    name: str,
    address: str,
    port: int = 22,
    *,
    proxy: str = "",
    timeout: float = 180,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Wait until a host's ssh server is up and return its key; External when ``timeout`` seconds pass first."""
    deadline = clock() + timeout
    said = "no answer"
    while True:
        try:
            return host_key(address, port, proxy=proxy)
        except (OSError, paramiko.SSHException, EOFError) as error:
            said = str(error) or type(error).__name__
        if clock() > deadline:
            raise External(
                f"{name} ({address}) does not take ssh after {timeout:.0f} s: {said}",
                hint="is it up, and does its firewall let port 22 in?",
            )
        proc.pause(0.5)


def fingerprint(key: str) -> str:
    """Return a host key's fingerprint as ssh prints it (SHA256:…)."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


#: What ssh exits with when the connection or the login failed, as opposed to the command.
FAILED = 255


def retry_login(
    attempt: Callable[[], subprocess.CompletedProcess[str]], timeout: float, clock: Callable[[], float] = time.monotonic
) -> subprocess.CompletedProcess[str]:
    """Run an ssh command until the login works (a key may arrive after the server is up); return its last result."""
    deadline = clock() + timeout
    while True:
        done = attempt()
        if done.returncode != FAILED or clock() > deadline or "HOST IDENTIFICATION HAS CHANGED" in done.stderr:
            return done
        proc.pause(0.5)
