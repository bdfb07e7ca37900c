"""The search stores of the tracks that are up, as their controller reaches them: through ssh, TLS to the node."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.inventory.read import read_inventory
from dualtrack.remote import ssh_config
from dualtrack.remote.opensearch import Opener, SearchStore, Store, through
from dualtrack.security.pki import authority

#: The variables of a host that say how it is reached.
REACHING = (
    "ansible_host", "ansible_port", "ansible_user", "ansible_ssh_private_key_file",
    "ansible_ssh_common_args", "ansible_ssh_extra_args",
)  # fmt: skip


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node of a store: where it listens, its authority's directory, and the ssh configuration that leads to it."""

    name: str
    address: str
    port: int
    pki: Path
    config: Path

    @property
    def url(self) -> str:
        """Its address as its certificate has it, by name."""
        return f"https://{self.name}:{self.port}"

    def opener(self) -> Opener:
        """Return what opens a stream to it."""
        return through(["ssh", "-F", str(self.config), "-W", f"{self.address}:{self.port}", self.name])

    def open(self, kind: authority.Kind | None = None, name: str = "") -> Store:
        """Open a connection with a certificate of its authority, or with none."""
        return self.shown(authority.issue(self.pki, kind, name) if kind else None)

    def shown(self, found: authority.Issued | None, trusts: Path | None = None) -> Store:
        """Open a connection with any certificate, or with none; ``trusts`` is another authority than its own."""
        paths = (Path(found.certificate), Path(found.key)) if found else (None, None)
        return Store(self.name, self.opener(), trusts or self.pki / "ca.pem", certificate=paths[0], key=paths[1])


def nodes(hosts: Mapping[str, Mapping[str, Any]], config: Path) -> list[Node]:
    """Return the nodes among hosts (name to variables)."""
    return [
        Node(
            name=name,
            address=str(it["address"]),
            port=int(facts.get("opensearch_port", 9200)),
            pki=Path(str(facts["opensearch_ca_dir"])),
            config=config,
        )
        for name, facts in hosts.items()
        for it in facts.get("opensearch_nodes", ())
        if it["name"] == name
    ]


def searched(nodes: Sequence[Node], *, ca: Path | None = None, **who: Any) -> SearchStore:
    """Return the store of these nodes for whoever asks: ``who`` as SearchStore takes it, or a ``person`` by name."""
    if person := who.pop("person", ""):
        found = authority.issue(nodes[0].pki, "person", person)
        who |= {"cert": Path(found.certificate), "key": Path(found.key)}
    ways = {it.name: it.opener() for it in nodes}
    return SearchStore(
        [it.url for it in nodes], ca=ca or nodes[0].pki / "ca.pem", opener=lambda name, _: ways[name], **who
    )


def written(hosts: Mapping[str, Mapping[str, Any]], folder: Path) -> Path:
    """Write the ssh configuration that leads to hosts (name to variables): each stream is a connection of its own."""
    config = folder / "ssh_config"
    config.write_text(ssh_config.render(hosts, folder).replace("ControlMaster auto", ""))
    return config


@contextmanager
def reached(inventories: Sequence[Path]) -> Iterator[list[Node]]:
    """Yield the nodes of the stores in the inventories, for as long as the block lasts."""
    variables = read_inventory(inventories)["_meta"]["hostvars"]
    with tempfile.TemporaryDirectory(prefix="dte-") as folder:
        yield nodes(variables, written(variables, Path(folder)))
