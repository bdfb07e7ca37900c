"""The lab's network: one namespace with two bridges, and a masqueraded way out to the package registries.

Nothing of the lab's address ranges is routed on the machine itself: whoever wants in goes through the namespace.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dualtrack.core.errors import External
from dualtrack.core.proc import run
from dualtrack.lab import machine
from dualtrack.lab.model import METADATA, SERVICES, HostSpec, Layout, Published

FORWARDING = Path("/proc/sys/net/ipv4/conf")


def outside_device() -> str:
    """Return the device of the default route, '' where there is none (an air-gapped machine)."""
    routes = json.loads(run(["ip", "-j", "-4", "route", "show", "default"]).stdout or "[]")
    return str(routes[0]["dev"]) if routes else ""


def exists(layout: Layout) -> bool:
    """Tell whether the lab's namespace is there."""
    return (machine.NAMESPACES / layout.namespace).exists()


def up(layout: Layout) -> None:
    """Make the namespace, its bridges and the way out; what is already there is left as it is."""
    if exists(layout):
        return
    ns, outer, inner = layout.namespace, f"dt{layout.id}o", f"dt{layout.id}i"
    near, far = list(layout.uplink.hosts())
    run(["ip", "netns", "add", ns])
    machine.allow_hosts()
    run(["ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", ns])
    run(["ip", "addr", "add", f"{near}/30", "dev", outer])
    run(["ip", "link", "set", outer, "up"])
    inside = [
        f"addr add {far}/30 dev {inner}",
        f"link set {inner} up",
        "link set lo up",
    ]
    device = outside_device()
    if device:  # where there is none, hosts hear at once that nothing can be reached, instead of waiting for an answer
        inside.append(f"route add default via {near}")
    for bridge, network in (("br-cloud", layout.cloud), ("br-local", layout.local)):
        inside += [
            f"link add {bridge} type bridge forward_delay 0",
            f"addr add {network.network_address + 1}/{network.prefixlen} dev {bridge}",
            f"link set {bridge} up",
        ]
    inside += [f"addr add {address}/32 dev br-cloud" for address in (METADATA, SERVICES)]
    run(["ip", "-n", ns, "-batch", "-"], stdin="\n".join(inside) + "\n")
    run(["ip", "netns", "exec", ns, "sysctl", "-qw", "net.ipv4.ip_forward=1"])
    run(["ip", "netns", "exec", ns, "nft", "-f", "-"], stdin=_masquerade("dualtrack", inner))
    if device:
        machine.change(FORWARDING / device / "forwarding", "1")
        (FORWARDING / outer / "forwarding").write_text("1")
        run(["nft", "-f", "-"], stdin=_masquerade(f"dualtrack_{layout.id}", device, str(layout.uplink)))


def down(layout: Layout) -> None:
    """Remove everything that `up` made, whatever of it is there; the last lab puts the machine's own setting back."""
    run(["nft", "delete", "table", "ip", f"dualtrack_{layout.id}"], check=False)
    run(["ip", "link", "del", f"dt{layout.id}o"], check=False)
    run(["ip", "netns", "del", layout.namespace], check=False)
    machine.restore()


def _masquerade(table: str, device: str, source: str = "") -> str:
    match = f"ip saddr {source} " if source else ""
    rules = f'type nat hook postrouting priority srcnat\n{match}oifname "{device}" masquerade'
    return f"table ip {table} {{\nchain postrouting {{\n{rules}\n}}\n}}\n"


def listen(namespace: str, address: str, port: int) -> socket.socket:
    """Return a listening TCP socket that lives in ``namespace``, made without moving the rest of this process there.

    setns(2) moves the calling thread only, and a socket stays where it was made, so the thread goes there and back.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as home, (machine.NAMESPACES / namespace).open() as target:
        if libc.setns(target.fileno(), 0x40000000) != 0:  # CLONE_NEWNET
            raise External(f"cannot enter the network namespace {namespace}: {os.strerror(ctypes.get_errno())}")
        try:
            return socket.create_server((address, port), backlog=256)
        finally:
            libc.setns(home.fileno(), 0x40000000)


def free_port() -> int:
    """Return a port of loopback that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def published(before: HostSpec | None, ports: Sequence[int]) -> tuple[Published, ...]:
    """Return where on loopback a host's ports are: where they were, or at ports that nobody has now."""
    known = {it.port: it.here for it in before.published} if before else {}
    return tuple(Published(port, known.get(port) or free_port()) for port in sorted(set(ports)))


def forwarder(namespace: str, address: str, port: Published) -> subprocess.Popen[bytes]:
    """Start what forwards a port of loopback to a host's; it dies with the thread that started it.

    systemd's listener waits on this machine, and becomes the forwarder inside ``namespace`` with the first connection.
    """
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "systemd-socket-activate", f"--listen=127.0.0.1:{port.here}", "nsenter",
         f"--net={machine.NAMESPACES / namespace}", "/lib/systemd/systemd-socket-proxyd", f"{address}:{port.port}"],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
