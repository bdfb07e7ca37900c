"""New connections use BBR, by the kernel's word and by a socket's, now and after a reboot."""

from __future__ import annotations

from typing import Any

import pytest

# A connection over the loopback, asked which algorithm it got (13 is TCP_CONGESTION).
SOCKET = """
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
accepted, _ = server.accept()
for end in (client, accepted):
    print(end.getsockopt(socket.IPPROTO_TCP, 13, 16).split(b"\\0")[0].decode())
"""


def needs_bbr(hostvars: dict[str, Any]) -> bool:
    """Tell whether this host promises BBR."""
    return bool(hostvars["tcp_bbr_enabled"] and hostvars["tcp_bbr_required"])


def test_kernel(host: Any, hostvars: dict[str, Any]) -> None:
    """The kernel's congestion control is BBR, or not BBR where it was switched off."""
    chosen = host.check_output("cat /proc/sys/net/ipv4/tcp_congestion_control")
    if needs_bbr(hostvars):
        assert chosen == "bbr", f"the kernel uses {chosen}"
    elif not hostvars["tcp_bbr_enabled"]:
        assert chosen != "bbr", "the kernel uses bbr though tcp_bbr_enabled is false"
    else:
        pytest.skip("tcp_bbr_required is false for this host")


def test_new_connection(host: Any, hostvars: dict[str, Any]) -> None:
    """Both ends of a new TCP connection use BBR."""
    if not needs_bbr(hostvars):
        pytest.skip("this host does not promise BBR")
    ends = host.check_output("python3 -c %s", SOCKET).split()
    assert ends == ["bbr", "bbr"], f"the ends of a new connection use {' and '.join(ends)}"


def test_next_boot(host: Any, hostvars: dict[str, Any]) -> None:
    """The settings that the next boot applies choose BBR."""
    if not needs_bbr(hostvars):
        pytest.skip("this host does not promise BBR")
    settings = host.check_output("/usr/lib/systemd/systemd-sysctl --cat-config")
    values = [
        line.split("=", 1)[1].strip()
        for line in settings.replace("/", ".").splitlines()
        if line.split("=", 1)[0].strip().lstrip("-") == "net.ipv4.tcp_congestion_control"
    ]
    assert values[-1:] == ["bbr"], f"the last setting that boot reads is {values[-1:]}"


def test_buffers(host: Any, hostvars: dict[str, Any]) -> None:
    """A connection's buffers may grow as far as the settings promise."""
    if not hostvars["tcp_bbr_enabled"]:
        pytest.skip("tcp_bbr_enabled is false for this host")
    for name in ("tcp_rmem", "tcp_wmem"):
        largest = int(host.check_output("cat %s", f"/proc/sys/net/ipv4/{name}").split()[2])
        assert largest == hostvars["tcp_bbr_buffer_max"], f"{name} ends at {largest}"


def test_queue(host: Any, hostvars: dict[str, Any]) -> None:
    """New links get the queue that paces BBR, where the kernel lets this host choose."""
    queue = host.file("/proc/sys/net/core/default_qdisc")
    if not needs_bbr(hostvars):
        pytest.skip("this host does not promise BBR")
    if not queue.exists:
        pytest.skip("the default queue belongs to the machine around this container; BBR paces itself")
    if host.run("modinfo %s", f"sch_{hostvars['tcp_bbr_qdisc']}").rc != 0:
        pytest.skip(f"this kernel has no {hostvars['tcp_bbr_qdisc']}; BBR paces itself")
    assert queue.content_string.strip() == hostvars["tcp_bbr_qdisc"]
    # What counts is what a link gets: a tap device that nobody sees, in a network of its own, gone with the command.
    made = "ip tuntap add probe mode tap && ip link set probe up && tc qdisc show dev probe"
    link = host.check_output("unshare --net sh -c %s", made)
    assert link.startswith(f"qdisc {hostvars['tcp_bbr_qdisc']} "), f"a new link gets {link}"
