"""Real RDMA between two hosts: soft-RoCE in the kernels of two virtual machines, used as an adapter would be.

Every tool runs under `timeout -k`: one that loses its peer waits for ever.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.conftest import Cli, wait

BOOT_S = 400
#: Index 1 of an rxe port's table is its IPv4 address; 0 is one that only the same link knows.
GID = "1"
#: Where ibverbs' and perftest's tools tell each other by TCP what to write where.
PORT = "18515"
MTU = 1024  # RoCE's largest below Ethernet's 1500


#: The RDMA device's counters, and what the kernel has sent by TCP: two lines.
COUNT = "rdma -j statistic show link rxe0/1; grep ^Tcp: /proc/net/snmp | tail -n 1"


@dataclass(frozen=True)
class Machine:
    """A machine with an RDMA device."""

    address: str
    shell: Callable[[str], str]

    def run(self, tool: str) -> Run:
        """Run a tool, between two looks at the counters: one login, since those are slow here."""
        first, second, *said, last_but_one, last = self.shell(f"{COUNT}; timeout -k 5 60 {tool}; {COUNT}").splitlines()
        before, after = counters(first, second), counters(last_but_one, last)
        return Run("\n".join(said), {key: after[key] - before[key] for key in after})


@dataclass(frozen=True)
class Run:
    """What a tool printed, and by how much the counters grew meanwhile; `tcp` are segments sent by TCP."""

    said: str
    more: dict[str, int]


def counters(rdma: str, tcp: str) -> dict[str, int]:
    [found] = json.loads(rdma)
    return {"tcp": int(tcp.split()[11])} | {key: value for key, value in found.items() if isinstance(value, int)}


@pytest.fixture(scope="module")
def pair(lab: Cli) -> tuple[Machine, Machine]:
    def boot(name: str, address: str) -> Machine:
        lab("lab", "host", "add", name, "--kind", "qemu", "--address", address, timeout=BOOT_S)
        machine = Machine(address, lambda line: lab("lab", "exec", name, "--", "sh", "-euc", line).stdout)
        machine.shell("modprobe rdma_rxe; rdma link add rxe0 type rxe netdev eth0")
        return machine

    with ThreadPoolExecutor() as pool:
        left, right = pool.map(boot, ("left", "right"), ("10.30.7.1", "10.30.7.2"))
    return left, right


def between(pair: tuple[Machine, Machine], tool: str) -> tuple[Run, Run]:
    """Run a tool against itself: the client on the left, the server on the right."""
    left, right = pair
    with ThreadPoolExecutor() as pool:
        server = pool.submit(right.run, tool)
        wait(
            lambda: (server.done() and server.result()) or PORT in right.shell("ss -Hltn"), what=f"the start of {tool}"
        )
        return left.run(f"{tool} {right.address}"), server.result()


def test_each_machine_has_a_port_that_its_address_leads_to(pair: tuple[Machine, Machine]) -> None:
    for machine in pair:
        said = machine.shell(f"rdma -j link show; cat /sys/class/infiniband/rxe0/ports/1/gids/{GID}")
        links, gid = said.split("\n", 1)
        [link] = json.loads(links)
        assert (link["ifname"], link["state"], link["netdev"]) == ("rxe0", "ACTIVE", "eth0")
        assert bytes.fromhex(gid.replace(":", ""))[-4:] == bytes(int(part) for part in machine.address.split("."))


def test_messages_arrive_with_what_was_in_them(pair: tuple[Machine, Machine]) -> None:
    count, size = 200, 16384
    # -c: the server looks at each page of what came last. -e: sleep between messages, there are two processors for all.
    client, server = between(pair, f"ibv_rc_pingpong -d rxe0 -g {GID} -n {count} -s {size} -e -c")
    assert "invalid data" not in server.said
    for side in (client, server):
        assert f"{2 * count * size} bytes" in side.said
        assert (side.more["rdma_sends"], side.more["rdma_recvs"]) == (count, count)
        assert min(side.more["sent_pkts"], side.more["rcvd_pkts"]) >= count * size // MTU


def test_one_writes_into_the_others_memory_and_tcp_carries_none_of_it(pair: tuple[Machine, Machine]) -> None:
    size = 65536
    client, server = between(pair, f"ib_write_bw -d rxe0 -x {GID} -s {size} -D 3 -F")
    # `#bytes #iterations …`, of the middle of the run. The rates after it are 0: perftest takes them from the
    # processor's clock, which does not tick evenly where it is emulated.
    each, times = (int(word) for word in client.said.split("[Mpps]")[1].split()[:2])
    assert each == size
    assert times >= 20, client.said
    assert client.more["sent_pkts"] >= times * size // MTU
    assert server.more["rcvd_pkts"] >= times * size // MTU
    # A write is the writer's alone: the other side posts nothing.
    assert (server.more["rdma_sends"], server.more["rdma_recvs"]) == (0, 0)
    assert client.more["tcp"] < client.more["sent_pkts"] // 10, "much went by TCP"
