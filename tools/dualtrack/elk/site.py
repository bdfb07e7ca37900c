"""The search stores of the tracks that are up, as their controller reaches them: through ssh, TLS to the node."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.elk.client import Opener, Store, through
from dualtrack.pki import authority
from dualtrack.verify import run, sshconfig


class Node(msgspec.Struct, frozen=True):
    """A node of a store: where it listens, the folder of its authority, and the ssh configuration that leads to it."""

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
        found = authority.issue(self.pki, kind, name) if kind else None
        paths = (Path(found.certificate), Path(found.key)) if found else (None, None)
        return Store(self.name, self.opener(), self.pki / "ca.pem", certificate=paths[0], key=paths[1])


def nodes(hosts: Mapping[str, Mapping[str, Any]], config: Path) -> list[Node]:
    """Return the nodes among hosts (name to variables)."""
    return [
        Node(name, str(it["address"]), int(facts.get("elk_port", 9200)), Path(str(facts["elk_ca_dir"])), config)
        for name, facts in hosts.items()
        for it in facts.get("elk_nodes", ())
        if it["name"] == name
    ]


@contextmanager
def reached(inventories: Sequence[Path]) -> Iterator[list[Node]]:
    """Yield the nodes of the stores in the inventories, for as long as the block goes on."""
    variables = run.read_inventory(inventories)["_meta"]["hostvars"]
    with tempfile.TemporaryDirectory(prefix="dte-") as folder:
        config = Path(folder, "ssh_config")
        config.write_text(sshconfig.render(variables, Path(folder)).replace("ControlMaster auto", ""))
        yield nodes(variables, config)
