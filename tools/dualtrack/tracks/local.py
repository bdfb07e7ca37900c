"""The local track: the operator's servers, as lab hosts or real machines, configured and verified."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dualtrack.core.files import write_atomically
from dualtrack.core.task_graph import Say
from dualtrack.inventory import connect
from dualtrack.inventory import facts as facts_file
from dualtrack.inventory.model import Host
from dualtrack.inventory.render import Connection
from dualtrack.lab import control, removal, site_countries, site_models
from dualtrack.tracks import deployment, host_boot, provision, serving


def up(path: Path, *, say: Say, full: bool = False) -> provision.Settled:
    """Bring the local track up as the facts file at ``path`` describes it, and return what it took."""
    facts = facts_file.load(path)
    hosts, connection = facts_file.hosts(facts), connection_for(facts)
    changed = False
    if facts.provider == "lab":
        control.up(say)
        before = {host.name for host in control.status().hosts}
        changed = not before.issuperset(host.name for host in hosts)
        play_custodians(control.store().folder / "custodians")
        if any("serving" in server.roles for server in facts.hosts):
            site_models.push(say)
        if any(PUBLISHED.keys() & set(server.roles) for server in facts.hosts):
            site_models.play_tenants(control.store().folder / "serving")
        if any("gateway" in server.roles for server in facts.hosts):
            site_countries.put(control.store().folder, say)
        say(f"starting {len(hosts)} hosts")
        with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
            list(pool.map(lambda server: add(facts, server, say), facts.hosts))
    host_boot.all_of(hosts, connection, control.store(), say, stall=60)
    environment = deployment.local_environment(facts)
    deployment.write(environment, "local", hosts, connection)
    deployment.remember(facts=str(path.resolve()))
    settled = provision.configured("local", environment, say, changed=changed, full=full)
    serving.introduce(say)
    return settled


def add(facts: facts_file.Facts, server: facts_file.Server, say: Say) -> None:
    """Make one lab host of the kind that the facts file asks for, with the disks that it names."""
    control.add_host(
        server.name,
        address=server.address,
        gpus=server.gpus,
        user=server.user or facts.user,
        kind="qemu" if server.machine == "qemu" else "nspawn",
        disks=facts_file.serials(server),
        publish=tuple(port for role, port in PUBLISHED.items() if role in server.roles),
        say=say,
    )


#: Ports of lab hosts that this machine has on its loopback, by the role that answers there.
PUBLISHED = {"gateway": 443, "knowledge_base": 8443}
#: In the lab five people are played, so that recovery keys can be split as they are for real (inventories/lab).
CUSTODIANS = ("anna", "bo", "chen", "dara", "emil")


def play_custodians(folder: Path) -> None:
    """Give each of the lab's custodians a key pair, once. For real, the private halves are on five desks."""
    from dualtrack.security.seal import keyfiles

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in CUSTODIANS:
        public = folder / f"{name}.pub"
        if not public.exists():
            (folder / f"{name}.pem").unlink(missing_ok=True)
            write_atomically(public, keyfiles.new(folder / f"{name}.pem").pem())


def connection_for(facts: facts_file.Facts) -> Connection:
    """Return how the servers are reached."""
    lab = control.store()
    return connect.via_lab(lab) if facts.provider == "lab" else connect.direct(lab, facts.ssh_private_key)


def hosts(path: str) -> tuple[list[Host], Connection]:
    """Return the servers that a facts file names, and how to reach them."""
    facts = facts_file.load(Path(path))
    return facts_file.hosts(facts), connection_for(facts)


def down(path: Path, say: Say) -> bool:
    """Take the local track down: lab hosts are removed, real machines are left as they are. Returns if any were."""
    facts = facts_file.load(path)
    there = False
    if facts.provider == "lab":
        there = bool(removal.remove_hosts([host.name for host in facts_file.hosts(facts)], say))
    else:
        say("these are your own machines: nothing on them is changed")
    deployment.hosts_file(deployment.local_environment(facts), "local").unlink(missing_ok=True)
    deployment.remember(facts="")
    serving.introduce(say)
    provision.close_lab(say)
    return there
