"""The lab as a target of both tracks: emulated instances and servers in a network namespace of this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from dualtrack.core.files import write_atomically
from dualtrack.core.task_graph import Say
from dualtrack.inventory import deployment
from dualtrack.inventory import facts as facts_file
from dualtrack.inventory.facts import Facts
from dualtrack.inventory.model import Host
from dualtrack.inventory.render import Connection
from dualtrack.lab import control, life, removal, site_countries, site_models
from dualtrack.lab.model import PUBLISHED, ports_of
from dualtrack.lab.state import KEX, Store
from dualtrack.remote.known_hosts import KnownHosts

#: In the lab five people are played, so that recovery keys can be split as they are for real (inventories/lab).
CUSTODIANS = ("anna", "bo", "chen", "dara", "emil")


class Lab:
    """This checkout's lab."""

    environment = "lab"
    groups = ("lab",)
    ephemeral = True

    def up(self, say: Say) -> None:
        """Bring the lab up."""
        control.up(say)

    def problem(self) -> str:
        """Return that it is down, if so."""
        return "" if control.status().up else "the lab is down, and the emulated instances with it"

    def endpoint(self) -> str:
        """Return the emulated API's URL; External while the lab is down."""
        return control.endpoint()

    def public_key(self, path: str = "") -> str:  # noqa: ARG002 - the lab has a key of its own
        """Return the lab's own key."""
        return control.store().public_key()

    def connection(self, private_key: str = "") -> Connection:  # noqa: ARG002 - the lab has a key of its own
        """Return how lab hosts are reached."""
        return connection(control.store())

    def known_hosts(self) -> KnownHosts:
        """Return the host keys of the lab's hosts, which it knows from their disks."""
        return control.store().known_hosts

    def signs_of_life(self, host: str) -> object:
        """Return the size of a host's console and its processor time."""
        return life.signs(control.store(), host)

    def seed(self, roles: set[str], say: Say) -> None:
        """Have the lab's models in the emulated S3 where hosts serve them, and what gateways need where they are."""
        if "serving" in roles:
            site_models.push(say)
        _play(roles, say)

    def provide(self, facts: Facts, say: Say) -> bool:
        """Start the servers of a facts file as lab hosts, and play what a site has: custodians, tenants, countries."""
        folder, roles = control.store().folder, {role for server in facts.hosts for role in server.roles}
        play_custodians(folder / "custodians")
        _play(roles, say)
        before = {host.name for host in control.status().hosts}
        say(f"starting {len(facts.hosts)} hosts")
        with ThreadPoolExecutor(max_workers=len(facts.hosts)) as pool:
            list(pool.map(lambda server: add(facts, server, say), facts.hosts))
        return not before.issuperset(server.name for server in facts.hosts)

    def withdraw(self, hosts: list[str], say: Say) -> bool:
        """Remove lab hosts with their disks."""
        return bool(removal.remove_hosts(hosts, say))

    @contextmanager
    def departing(self, say: Say) -> Iterator[None]:
        """Wait for emulated instances that were terminated in the block."""
        instances = [host.name for host in control.status().hosts if host.instance_id]
        yield
        removal.see_off(instances, say)

    def release(self, say: Say) -> None:
        """Take the lab down when neither track nor anybody's declared host needs it any more."""
        if deployment.current().stack == "emulator" or control.store().desired():
            return
        if control.status().up or removal.leftovers():
            control.down(say)


def _play(roles: Collection[str], say: Say) -> None:
    """Have tenants and countries, as a site has, where hosts have a role that needs them."""
    folder = control.store().folder
    if PUBLISHED.keys() & set(roles):
        site_models.play_tenants(folder / "serving")
    if "gateway" in roles:
        site_countries.put(folder, say)


def connection(lab: Store) -> Connection:
    """Return the connection variables of lab hosts."""
    proxy = lab.proxy_command()

    def variables(host: Host) -> Mapping[str, object]:
        # HostKeyAlias: keys are kept by name, because an address passes from a terminated instance to the next.
        options = {
            "ProxyCommand": f"'{proxy}'", "UserKnownHostsFile": str(lab.known_hosts.file), "HostKeyAlias": host.name,
            "KexAlgorithms": KEX,
        }  # fmt: skip
        args = " ".join(f"-o {name}={value}" for name, value in options.items())
        return {"ansible_ssh_private_key_file": str(lab.key), "ansible_ssh_common_args": args}

    return variables


def add(facts: Facts, server: facts_file.Server, say: Say) -> None:
    """Make one lab host of the kind that the facts file asks for, with the disks that it names."""
    control.add_host(
        server.name,
        address=server.address,
        gpus=server.gpus,
        user=server.user or facts.user,
        kind="qemu" if server.machine == "qemu" else "nspawn",
        disks=facts_file.serials(server),
        publish=ports_of(server.roles),
        say=say,
    )


def play_custodians(folder: Path) -> None:
    """Give each of the lab's custodians a key pair, once. For real, the private halves are on five desks."""
    from dualtrack.security.seal import keyfiles

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in CUSTODIANS:
        public = folder / f"{name}.pub"
        if not public.exists():
            (folder / f"{name}.pem").unlink(missing_ok=True)
            write_atomically(public, keyfiles.new(folder / f"{name}.pem").pem())
