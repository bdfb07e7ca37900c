"""The local track: the operator's servers, as lab hosts or real machines, configured and verified."""

from __future__ import annotations

from pathlib import Path

from dualtrack.core.task_graph import Say
from dualtrack.inventory import deployment
from dualtrack.inventory import facts as facts_file
from dualtrack.inventory import target as targets
from dualtrack.inventory.model import Host
from dualtrack.inventory.render import Connection
from dualtrack.tracks import host_boot, provision, serving


def up(path: Path, *, accept: host_boot.Accept = host_boot.refuse, say: Say, full: bool = False) -> provision.Settled:
    """Bring the local track up as the facts file at ``path`` describes it, and return what it took."""
    facts = facts_file.load(path)
    target = targets.of(facts.provider)
    hosts, connection = facts_file.hosts(facts), target.connection(facts.ssh_private_key)
    target.up(say)
    target.seed({role for server in facts.hosts for role in server.roles}, say)
    changed = target.provide(facts, say)
    host_boot.all_of(hosts, connection, target, say, accept=accept, stall=60)
    deployment.write(target, "local", hosts, connection)
    deployment.remember(facts=str(path.resolve()))
    settled = provision.configured("local", target.environment, say, changed=changed, full=full)
    serving.introduce(say)
    return settled


def hosts(path: Path) -> tuple[list[Host], Connection]:
    """Return the servers that a facts file names, and how to reach them."""
    facts = facts_file.load(path)
    return facts_file.hosts(facts), targets.of(facts.provider).connection(facts.ssh_private_key)


def down(path: Path, say: Say) -> bool:
    """Take the local track down: lab hosts are removed, real machines are left as they are. Returns if any were."""
    facts = facts_file.load(path)
    target = targets.of(facts.provider)
    there = target.withdraw([host.name for host in facts_file.hosts(facts)], say)
    deployment.hosts_file(target.environment, "local").unlink(missing_ok=True)
    deployment.remember(facts="")
    serving.introduce(say)
    target.release(say)
    return there
