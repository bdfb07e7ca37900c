"""Everything `dualtrack inventory` knows, gathered: the cloud's live instances and the operator's servers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.cloud import instances as clouds
from dualtrack.core import aws
from dualtrack.core.errors import BadInput
from dualtrack.inventory import deployment, ec2, render
from dualtrack.inventory import facts as facts_file
from dualtrack.inventory import target as targets
from dualtrack.inventory.model import Host, check
from dualtrack.inventory.render import Connection


class Part(msgspec.Struct, frozen=True):
    """Hosts that are reached in one way, and the groups that all of them are in."""

    hosts: tuple[Host, ...]
    connection: Connection
    extra: tuple[str, ...] = ()


class Gathered(msgspec.Struct, frozen=True):
    """All parts, and the three ways to say them."""

    parts: tuple[Part, ...]

    def static(self) -> dict[str, Any]:
        """Return the document for Ansible's YAML plugin."""
        return self._merged([render.static(p.hosts, p.connection, p.extra) for p in self.parts], _merge_static)

    def script(self) -> dict[str, Any]:
        """Return what an inventory script answers to `--list`."""
        return self._merged([render.script(p.hosts, p.connection, p.extra) for p in self.parts], _merge_script)

    def variables(self, name: str) -> dict[str, Any]:
        """Return the variables of one host; BadInput when there is none of that name."""
        for part in self.parts:
            for host in part.hosts:
                if host.name == name:
                    return render.hostvars(host, part.connection)
        raise BadInput(f"no host is called {name!r}", hint="dualtrack inventory --list names them all")

    @staticmethod
    def _merged(documents: Sequence[dict[str, Any]], merge: Any) -> dict[str, Any]:
        whole: dict[str, Any] = documents[0] if documents else {"_meta": {"hostvars": {}}}
        for document in documents[1:]:
            merge(whole, document)
        return whole


def _merge_static(whole: dict[str, Any], more: dict[str, Any]) -> None:
    whole["all"]["hosts"].update(more["all"]["hosts"])
    for name, group in more["all"]["children"].items():
        whole["all"]["children"].setdefault(name, {"hosts": {}})["hosts"].update(group["hosts"])


def _merge_script(whole: dict[str, Any], more: dict[str, Any]) -> None:
    whole["_meta"]["hostvars"].update(more["_meta"]["hostvars"])
    for name, group in more.items():
        if name != "_meta":
            whole.setdefault(name, {"hosts": []})["hosts"] += group["hosts"]


def gather(*, track: str, stack: str, endpoint: str, region: str, facts: Path | None) -> Gathered:
    """Return the hosts of one or both tracks.

    With ``endpoint`` the EC2 API there is asked and nothing else. Otherwise the cloud is the stack as last applied and
    what runs of it now; the local track is ``facts``, or the facts file last brought up, or the default one.
    """
    if track not in {"all", "cloud", "local"}:
        raise BadInput(f"--track {track}", hint="cloud, local or all")
    parts = []
    if track != "local":
        parts += _cloud(stack, endpoint, region)
    if track != "cloud" and not endpoint:
        parts += _local(facts)
    check([host for part in parts for host in part.hosts])
    return Gathered(tuple(parts))


def _cloud(stack: str, endpoint: str, region: str) -> list[Part]:
    if endpoint:
        hosts = ec2.hosts(list(ec2.instances(aws.client("ec2", region, endpoint))))
        return [Part(tuple(hosts), lambda _: {})]
    target = targets.of(stack)
    output = None if target.problem() else clouds.saved_output(stack)  # type: ignore[arg-type]
    if output is None:
        return []
    hosts = clouds.discover(output, target.endpoint())
    return [Part(tuple(hosts), target.connection(), target.groups)]


def _local(facts: Path | None) -> list[Part]:
    path = facts or Path(deployment.current().facts or facts_file.DEFAULT)
    described = facts_file.load(path)
    target = targets.of(described.provider)
    connection = target.connection(described.ssh_private_key)
    return [Part(tuple(facts_file.hosts(described)), connection, target.groups)]
