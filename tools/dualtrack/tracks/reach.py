"""Waiting for hosts: until they take ssh with a known key, and until their first boot is over."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dualtrack import proc, ssh
from dualtrack.errors import External
from dualtrack.graph import Say
from dualtrack.inventory.model import Host
from dualtrack.inventory.render import Connection
from dualtrack.lab.state import Store

#: First boot on a cloud: cloud-init installs keys and runs the user data. Where there is none, nothing to wait for.
FIRST_BOOT = (
    "! command -v cloud-init >/dev/null || test -e /etc/cloud/cloud-init.disabled || cloud-init status --wait --long"
)


def ssh_words(host: Host, connection: Connection) -> list[str]:
    """Return the ssh command line for a host, without a command."""
    variables = connection(host)
    words = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-p", str(host.port)]
    words += shlex.split(str(variables.get("ansible_ssh_common_args", "")))
    if key := variables.get("ansible_ssh_private_key_file"):
        words += ["-i", str(Path(str(key)).expanduser()), "-o", "IdentitiesOnly=yes"]
    return [*words, f"{host.user}@{host.address}"]


def proxy_of(words: Sequence[str]) -> str:
    """Return the ProxyCommand in an ssh command line, '' where there is none."""
    return next((word.removeprefix("ProxyCommand=") for word in words if word.startswith("ProxyCommand=")), "")


def known(lab: Store, host: Host) -> bool:
    """Tell whether the key of this host has been learned before."""
    return lab.known_hosts.exists() and any(
        line.split(" ", 1)[0] == host.name for line in lab.known_hosts.read_text().splitlines()
    )


def all_of(hosts: Sequence[Host], connection: Connection, lab: Store, say: Say, *, timeout: float = 180) -> None:
    """Wait until every host takes a login and has finished its first boot, side by side.

    A host's key is learned the first time (and its fingerprint said), never replaced: a key that changed later makes
    ssh refuse. External names the host, what failed, and where to look.
    """

    def one(host: Host) -> str:
        words = ssh_words(host, connection)
        return (
            ""
            if known(lab, host)
            else ssh.wait_for_key(host.name, host.address, host.port, proxy=proxy_of(words), timeout=timeout)
        )

    with ThreadPoolExecutor(max_workers=max(1, min(32, len(hosts)))) as pool:
        for host, key in zip(hosts, pool.map(one, hosts), strict=True):
            if key:
                lab.learn_key(host.name, key)
                say(f"{host.name} at {host.address} answers, host key {ssh.fingerprint(key)}")
        list(pool.map(lambda host: first_boot(host, connection, timeout), hosts))


def first_boot(host: Host, connection: Connection, timeout: float) -> None:
    """Wait until a host lets us in and its first boot is over; External with cloud-init's own word when it failed."""
    words = ssh_words(host, connection)
    said = ssh.retry_login(lambda: proc.run([*words, FIRST_BOOT], check=False, timeout=timeout), timeout)
    if said.returncode != 0:
        detail = " ".join((said.stdout or said.stderr).split())[-300:]
        raise External(
            f"the first boot of {host.name} failed: {detail}", hint=f"look at /var/log/cloud-init.log on {host.address}"
        )


def up(host: Host, connection: Connection, timeout: float = 4) -> bool:
    """Tell whether a host's ssh server answers now."""
    return ssh.answers(host.address, host.port, proxy=proxy_of(ssh_words(host, connection)), timeout=timeout)
