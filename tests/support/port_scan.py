"""Which ports of each lab host every other one reaches, beside what the inventory allows by a table of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.conftest import Cli

#: Runs on a host: connects to every port of every host at once, and prints those that answered.
SCAN = """
import asyncio, json, sys
async def look(host, port):
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 4)
    except OSError as error:
        return (host, port, "refused") if isinstance(error, ConnectionRefusedError) else None
    except TimeoutError:
        return None
    writer.close()
    return (host, port, "open")
async def main():
    room = asyncio.Semaphore(400)
    async def one(host, port):
        async with room:
            return await look(host, port)
    found = await asyncio.gather(*(one(h, p) for h, ports in json.loads(sys.argv[1]).items() for p in ports))
    print(json.dumps([it for it in found if it]))
asyncio.run(main())
"""
#: Ports on which nothing listens, looked at as well: a firewall drops, a host without one refuses.
CLOSED = (1, 111, 2375, 3306, 5000, 6820, 8080, 10250)
#: Where engines listen (terraform/modules/network has the same range).
ENGINES = range(8001, 8100)
#: A service that no role knows: whoever starts one on a host opens it to nobody.
STRANGER = 4711


def listening(site: Cli, name: str) -> set[int]:
    """Return the TCP ports on which a host listens at other addresses than loopback."""
    lines = site.inside(name, "ss", "-Hltn").stdout.splitlines()
    pairs = [line.split()[3].rsplit(":", 1) for line in lines]
    return {int(port) for address, port in pairs if not re.match(r"127\.|\[::1\]", address)}


def allowed(hosts: dict[str, dict[str, Any]], source: str, target: str, port: int) -> bool:
    """Tell whether a host may connect to another one's port, by what both are for."""
    of, to = hosts[source], hosts[target]
    roles, theirs = set(to["roles"]), set(of["roles"])
    same = of["track"] == to["track"]
    # Instances come and go: on the cloud track, the cluster is open to the network of the stack (ADR 48).
    scheduled = same and to["track"] == "cloud"
    return (
        port == 22
        or (port == 443 and "gateway" in roles)
        or (port == 8443 and "knowledge_base" in roles)
        or (port in ENGINES and "serving" in roles and "gateway" in theirs)
        or (port == 9200 and "log" in roles and same)
        or (port == 9300 and {"log"} <= roles & theirs and same)
        or (port in (6817, 6819) and "controller" in roles and bool(scheduled))
        or (port == 6818 and "gpu" in roles and bool(scheduled) and to["track"] == "cloud")
        or (
            32768 <= port <= 60999
            and bool({"controller", "gpu"} & roles)
            and bool(scheduled)
            and to["track"] == "cloud"
        )
    )


def scan(site: Cli, hosts: dict[str, dict[str, Any]]) -> tuple[list[str], int]:
    """Return each connection that should not be there, or should be and is not; and how many were right and open."""
    for name in hosts:
        site.inside(name, "systemd-run", "--quiet", "--unit=scan-stranger", "--property=DynamicUser=yes",
                    "/usr/bin/python3", "-m", "http.server", str(STRANGER))  # fmt: skip
    try:
        ports = {name: listening(site, name) for name in hosts}
        targets = {hosts[name]["address"]: sorted({*ports[name], *CLOSED, STRANGER}) for name in hosts}
        wrong: list[str] = []
        right = 0
        with ThreadPoolExecutor(3) as pool:
            for source, seen in zip(hosts, pool.map(lambda name: _seen(site, name, targets), hosts), strict=True):
                for target in hosts.keys() - {source}:
                    for port in targets[hosts[target]["address"]]:
                        how = seen.get((hosts[target]["address"], port), "")
                        may = allowed(hosts, source, target, port)
                        if how and not may:
                            wrong.append(f"{source} reaches {target}:{port} ({how})")
                        if may and port in ports[target] and how != "open":
                            wrong.append(f"{source} does not reach {target}:{port}")
                        right += bool(how == "open" and may)
        assert right > len(hosts) * (len(hosts) - 1), "ssh of each host from each other one, and what roles need"
        return wrong, right
    finally:
        _stop(site, hosts)


def _seen(site: Cli, source: str, targets: dict[str, list[int]]) -> dict[tuple[str, int], str]:
    done = site.inside(source, "/usr/bin/python3", "-c", SCAN, json.dumps(targets))
    return {(host, port): how for host, port, how in json.loads(done.stdout)}


def _stop(site: Cli, hosts: Iterable[str]) -> None:
    for name in hosts:
        site.inside(name, "systemctl", "stop", "scan-stranger.service", check=False)
