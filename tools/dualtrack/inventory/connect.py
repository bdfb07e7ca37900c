"""How Ansible and ssh reach a host: through the lab's namespace, or straight; host keys are always checked."""

from __future__ import annotations

from collections.abc import Mapping

from dualtrack.inventory.model import Host
from dualtrack.inventory.render import Connection
from dualtrack.lab.state import KEX, Store


def via_lab(lab: Store) -> Connection:
    """Return the connection variables of lab hosts."""
    proxy = lab.proxy_command()

    def variables(host: Host) -> Mapping[str, object]:
        # HostKeyAlias: keys are kept by name, because an address passes from a terminated instance to the next.
        options = {
            "ProxyCommand": f"'{proxy}'", "UserKnownHostsFile": str(lab.known_hosts), "HostKeyAlias": host.name,
            "KexAlgorithms": KEX,
        }  # fmt: skip
        args = " ".join(f"-o {name}={value}" for name, value in options.items())
        return {"ansible_ssh_private_key_file": str(lab.key), "ansible_ssh_common_args": args}

    return variables


def direct(lab: Store, private_key: str = "") -> Connection:
    """Return the connection variables of real machines: the key and the known hosts that `up` learned."""

    def variables(host: Host) -> Mapping[str, object]:
        args = f"-o UserKnownHostsFile={lab.known_hosts} -o HostKeyAlias={host.name}"
        key = {"ansible_ssh_private_key_file": private_key} if private_key else {}
        return {**key, "ansible_ssh_common_args": args}

    return variables
