"""Waiting for hosts: until they take ssh with a known key, and until their first boot is over."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from dualtrack.core import proc, waiting
from dualtrack.core.errors import External, Refused
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
#: Takes hosts whose keys nobody vouches for, a line each with the fingerprint; Refused where they are not accepted.
Accept = Callable[[Sequence[str]], None]
#: Returns the host keys that a host is known to have by another way than ssh; none where there is no such way.
Vouch = Callable[[Host], Sequence[str]]
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


def written_down(host: Host) -> Sequence[str]:
    """Return the key that the operator wrote down for a host, and no other."""
    return [host.host_key] if host.host_key else []


def nothing(unknown: Sequence[str]) -> None:
    """Take keys as they are."""


def refuse(unknown: Sequence[str]) -> None:
    """Accept no host key that nobody vouches for."""
    raise Refused(
        f"nobody vouches for {'; '.join(unknown)}",
        hint="`dualtrack local up` and `cloud up` ask; --accept-host-keys takes them as they are",
    )


def all_of(
    hosts: Sequence[Host], connection: Connection, target: Target, say: Say, *, accept: Accept = refuse,
    vouch: Vouch = written_down, stall: float = STALL_S,
) -> None:  # fmt: skip
    """Wait until every host takes a login and has finished its first boot, side by side.

    A host's key is compared with those that ``vouch`` knows, or ``accept`` is asked, before anything is sent there. It
    is learned the first time, never replaced: a key that changed later makes ssh refuse. External names the host, what
    failed, and where to look, after ``stall`` seconds without progress; Refused where a key is not as it must be.
    """
    known, signs = target.known_hosts(), target.signs_of_life

    def one(host: Host) -> str:
        if known.has(host.name):
            return ""
        return host_keys.wait_for_key(
            host.name, host.address, host.port, proxy=proxy_of(ssh_words(host, connection)), stall=stall,
            types=[host.host_key.split()[0]] if host.host_key else tuple(host_keys.TYPES),
            progress=lambda: signs(host.name),
        )  # fmt: skip

    with ThreadPoolExecutor(max_workers=max(1, min(32, len(hosts)))) as pool:
        fresh = [(host, key) for host, key in zip(hosts, pool.map(one, hosts), strict=True) if key]
        if target.ephemeral:  # hosts on this machine, whose keys the lab itself writes down a moment later
            vouch, accept = written_down, nothing
        vouched = list(pool.map(lambda it: vouch(it[0]), fresh))
        unknown = [
            f"{host.name} at {host.address}, host key {host_keys.fingerprint(key)}"
            for (host, key), trusted in zip(fresh, vouched, strict=True)
            if not _recognized(host, key, trusted)
        ]
        if unknown:
            accept(unknown)
        for host, key in fresh:
            known.learn(host.name, key)
            say(f"{host.name} at {host.address} answers, host key {host_keys.fingerprint(key)}")
        list(pool.map(lambda host: first_boot(host, connection, signs, stall), hosts))


def _recognized(host: Host, key: str, trusted: Sequence[str]) -> bool:
    """Tell whether somebody vouches for a host's key; Refused where they name others."""
    same_type = [it for it in trusted if it.split()[0] == key.split()[0]]
    if same_type and key not in same_type:
        raise Refused(
            f"the host key of {host.name} at {host.address} is {host_keys.fingerprint(key)}, and must be"
            f" {' or '.join(map(host_keys.fingerprint, same_type))}: nothing was sent there",
            hint="another machine answers at this address, or one on the way; look at the host's console",
        )
    return bool(same_type)


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
