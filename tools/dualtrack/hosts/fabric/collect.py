"""Running infiniband-diags, here or on a host, and keeping what they said: the only part that touches the world.

The environment is passed on, so that a simulator's (LD_PRELOAD, SIM_HOST) reaches the tools.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from dualtrack.core import files
from dualtrack.core.errors import BadInput, External, Missing
from dualtrack.core.proc import last_line, run
from dualtrack.hosts.fabric import parse
from dualtrack.hosts.fabric.parse import Raw
from dualtrack.inventory.read import read_inventory
from dualtrack.remote import connections, ssh_config

PACKAGE = "infiniband-diags"
#: Seconds that one tool may take: a scan of thousands of ports takes a few, a port that does not answer one each.
TIMEOUT = 60
#: Asks ports (`LID/port`) for their capabilities in one go, since a login for each of thousands would take minutes.
ASK = (
    """for at; do echo "lid ${at%/*} $(smpquery -t 300 portinfo "${at%/*}" "${at#*/}" 2>/dev/null"""
    """ | sed -n 's/^CapMask:\\.*//p')"; done"""
)
#: What a snapshot directory holds: the file of each text, and what was run for it.
FILES = {
    "topology": ("ibnetdiscover.txt", "ibnetdiscover"),
    "links": ("iblinkinfo.txt", "iblinkinfo -l"),
    "errors": ("ibqueryerrors.txt", "ibqueryerrors --skip-sl --threshold-file /dev/null"),
    "managers": ("sminfo.txt", "sminfo, for each port whose capabilities (smpquery portinfo) name a manager"),
}
ABOUT = "snapshot.json"

#: Runs a program, given its words, and returns it finished: code, stdout and stderr.
Runner = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]


class About(msgspec.Struct, frozen=True):
    """Where and when a snapshot was taken."""

    taken_at: str
    host: str
    commands: dict[str, str]


def local(timeout: float = TIMEOUT) -> Runner:
    """Return a runner on this machine."""

    def call(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        try:
            return run(words, timeout=timeout, check=False)
        except Missing:
            raise _missing(words[0], "this machine") from None

    return call


@contextmanager
def remote(host: str, inventories: Sequence[Path], timeout: float = TIMEOUT) -> Iterator[Runner]:
    """Yield a runner on a host of an inventory, as root over ssh; BadInput for a host that is not in it."""
    known = read_inventory(inventories)["_meta"]["hostvars"]
    if host not in known:
        raise BadInput(f"no host is called {host!r} in the inventory", hint="dualtrack status names those that are up")
    with tempfile.TemporaryDirectory(prefix="dtf-") as folder:
        config = Path(folder) / "ssh_config"
        config.write_text(ssh_config.render({host: known[host]}, Path(folder)))

        def call(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
            command = f"sudo -n timeout -k 2 {timeout:.0f} {shlex.join(words)}"
            done = run(["ssh", "-F", config, host, command], timeout=timeout + 15, check=False)
            if done.returncode == 127:
                raise _missing(words[0], host)
            if done.returncode in (124, 137):
                raise External(
                    f"{words[0]} did not finish within {timeout:.0f} s on {host}", hint="--timeout gives more"
                )
            return done

        try:
            if reason := connections.open_all(config, [host]).get(host):
                raise External(f"{host} cannot be reached: {reason}")
            yield call
        finally:
            connections.close_all(config, [host])


def gather(call: Runner) -> Raw:
    """Run the tools and return what they said; External when the fabric does not answer, Missing without the tools."""
    topology = _scan(call, ["ibnetdiscover"], "# Topology file")
    links = _scan(call, ["iblinkinfo", "-l"], "==(")
    # Its own host's threshold file must not hide anything, since ours decide; --skip-sl lets it do without a manager's
    # answers. It cannot do without a manager at all: then no port has an address, and there are no counters to read.
    errors = call(["ibqueryerrors", "--skip-sl", "--threshold-file", "/dev/null"]).stdout
    return Raw(
        topology=topology, links=links, errors=errors, managers=_managers(call, parse.end_ports(topology, links))
    )


def _managers(call: Runner, ports: Sequence[str]) -> str:
    """Return what `sminfo` says of every manager, and a note of the ports that did not say whether one runs there.

    Each port is asked for itself. The active manager has a list (`saquery -s`), but of two active ones it can lack the
    other, as seen with opensm on ibsim; and a port without a manager leaves `sminfo` waiting for its timeout.
    """
    answers = [call(["sminfo"]).stdout]
    said = parse.capabilities(call(["sh", "-c", ASK, "sh", *ports]).stdout) if ports else {}
    answers += [call(["sminfo", lid]).stdout for lid, runs in said.items() if runs]
    silent = len({port.split("/")[0] for port in ports} - said.keys())
    return "".join([*answers, f"{parse.SILENT} {silent}\n"])


def _scan(call: Runner, words: Sequence[str], mark: str) -> str:
    done = call(words)
    if mark in done.stdout:
        return done.stdout
    said = last_line(done.stderr or done.stdout)
    if "abi_version" in done.stderr or "can't open UMAD port" in done.stderr:
        raise External(
            f"{words[0]} found no InfiniBand port to ask: {said}",
            hint="is there a card, and is its driver loaded? modprobe ib_umad; ibstat",
        )
    raise External(f"the fabric does not answer {words[0]}: {said}", hint="ibstat says whether this host's port is up")


def _missing(program: str, where: str) -> Missing:
    return Missing(f"{program} is not installed on {where}", hint=f"apt-get install {PACKAGE}")


def write(folder: Path, raw: Raw, host: str) -> None:
    """Keep the texts in ``folder``, one file each, to be looked at elsewhere or compared with later."""
    for field, (name, _) in FILES.items():
        files.write_output(folder / name, getattr(raw, field).encode())
    about = About(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), host, dict(FILES.values()))
    files.write_output(folder / ABOUT, msgspec.json.format(msgspec.json.encode(about), indent=1) + b"\n")


def read(folder: Path) -> Raw:
    """Return the texts that a snapshot holds; BadInput names the file that is missing there."""
    texts = {}
    for field, (name, _) in FILES.items():
        try:
            texts[field] = (folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise BadInput(
                f"{folder / name} cannot be read: {error.strerror}", hint="dualtrack fabric snapshot -o writes one"
            ) from None
    return Raw(**texts)
