"""Waiting for hosts: until they take ssh with a known key, and until their first boot is over."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from dualtrack.core import proc, waiting
from dualtrack.core.errors import External
from dualtrack.core.paths import expanded
from dualtrack.core.task_graph import Say
from dualtrack.inventory.model import Host
from dualtrack.inventory.render import Connection
from dualtrack.inventory.target import Target
from dualtrack.remote import host_keys, identity

#: First boot on a cloud: cloud-init installs keys and runs the user data. Where there is none, nothing to wait for.
#: Ends with GOES_ON after a while when it is not over, and says how much it has logged. What cloud-init leaves at its
#: end is looked at first: to ask the program takes half a second of processor time on each host.
FIRST_BOOT = (
    "! command -v cloud-init >/dev/null || test -e /etc/cloud/cloud-init.disabled"
    " || grep -qs '\"errors\": \\[\\]' /run/cloud-init/result.json"
    " || timeout 20 cloud-init status --wait --long"
    " || { code=$?; test $code != 124 || cat /var/log/cloud-init*.log | wc -c; exit $code; }"
)
GOES_ON = 124
#: How long a host may show no sign of life until it is given up, in seconds.
STALL_S = 180.0


def ssh_words(host: Host, connection: Connection) -> list[str]:
    """Return the ssh command line for a host, without a command."""
    variables = connection(host)
    words = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-p", str(host.port)]
    words += shlex.split(str(variables.get("ansible_ssh_common_args", "")))
    if key := variables.get("ansible_ssh_private_key_file"):
        words += ["-i", str(expanded(str(key))), "-o", "IdentitiesOnly=yes"]
    return [*words, f"{host.user}@{host.address}"]


def proxy_of(words: Sequence[str]) -> str:
    """Return the ProxyCommand in an ssh command line, '' where there is none."""
    return next((word.removeprefix("ProxyCommand=") for word in words if word.startswith("ProxyCommand=")), "")


def all_of(hosts: Sequence[Host], connection: Connection, target: Target, say: Say, *, stall: float = STALL_S) -> None:
    """Wait until every host takes a login and has finished its first boot, side by side.

    A host's key is learned the first time (and its fingerprint said), never replaced: a key that changed later makes
    ssh refuse. External names the host, what failed, and where to look, after
    ``stall`` seconds without progress.
    """
    known, signs = target.known_hosts(), target.signs_of_life

    def one(host: Host) -> str:
        if known.has(host.name):
            return ""
        return host_keys.wait_for_key(
            host.name, host.address, host.port, proxy=proxy_of(ssh_words(host, connection)), stall=stall,
            progress=lambda: signs(host.name),
        )  # fmt: skip

    with ThreadPoolExecutor(max_workers=max(1, min(32, len(hosts)))) as pool:
        for host, key in zip(hosts, pool.map(one, hosts), strict=True):
            if key:
                known.learn(host.name, key)
                say(f"{host.name} at {host.address} answers, host key {host_keys.fingerprint(key)}")
        list(pool.map(lambda host: first_boot(host, connection, signs, stall), hosts))


def first_boot(host: Host, connection: Connection, signs: Callable[[str], object], stall: float) -> None:
    """Wait until a host lets us in and its first boot is over; External with cloud-init's own word when it failed."""
    words, said = ssh_words(host, connection), "nothing"

    def over() -> subprocess.CompletedProcess[str] | None:
        nonlocal said
        try:
            done = proc.run([*words, FIRST_BOOT], check=False, timeout=90)
        except External as error:  # a session that hangs
            said = str(error)
            return None
        said = detail(done)
        return None if goes_on(done) else done

    done = waiting.until(
        over, f"the first boot of {host.name}", stall=stall, interval=0.5, last=lambda: said,
        progress=lambda: (said, signs(host.name)), hint=f"look at /var/log/cloud-init.log on {host.address}",
    )  # fmt: skip
    if done is not None and done.returncode != 0:
        raise External(
            f"the first boot of {host.name} failed: {detail(done)}",
            hint=f"look at /var/log/cloud-init.log on {host.address}",
        )


def goes_on(done: subprocess.CompletedProcess[str]) -> bool:
    """Tell whether the first boot may still end well: a key may arrive after the server is up."""
    if "HOST IDENTIFICATION HAS CHANGED" in done.stderr:
        return False
    return done.returncode in (host_keys.FAILED, GOES_ON)


def detail(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a login printed, in one line."""
    return " ".join((done.stdout or done.stderr).split())[-300:]


class Answer(msgspec.Struct, frozen=True):
    """Whether a host's ssh server answers, and which host it is; '' where it does not let us in with its known key.

    Where this account may not look, ``problem`` says why, and ``up`` is not known.
    """

    up: bool
    identity: str = ""
    problem: str = ""


def ask(host: Host, connection: Connection, timeout: float = 4) -> Answer:
    """Ask a host now, for at most ``timeout`` seconds for a greeting, and three times that for who it is."""
    words = ssh_words(host, connection)
    try:
        if not host_keys.answers(host.address, host.port, proxy=proxy_of(words), timeout=timeout):
            return Answer(False)
    except host_keys.CannotLook as error:
        return Answer(False, problem=str(error))
    try:
        return Answer(True, identity.of(proc.run([*words, identity.COMMAND], check=False, timeout=3 * timeout).stdout))
    except External:  # a session that hangs
        return Answer(True)
