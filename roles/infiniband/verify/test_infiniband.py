"""Members of the group can lock memory, one manager runs where it should, and its partition keys reach the ports."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

#: The simulated fabric of these checks: a switch, and on it the manager and every port that a partition names.
NET = """\
Switch\t{ports} "S-switch"\t\t# "switch" enhanced port 0 lid 0 lmc 0
{switch}
{hosts}
"""
#: Runs opensm as this host's settings say, on a fabric that ibsim makes; prints what each port then holds. All of it is
#: in a directory and under a socket name of its own, within half a minute, and ended by process id.
SIMULATE = r"""
set -u
here=$(mktemp -d); cd "$here"
cat >net
mkfifo console
export IBSIM_SOCKNAME="verify-$$" OSM_CACHE_DIR="$here" OSM_TMP_DIR="$here" SIM_HOST=H-manager
exec 3<>console
timeout -k 2 30 ibsim -s net <&3 >ibsim.log 2>&1 & sim=$!
for _ in $(seq 50); do grep -q "simulator ready" ibsim.log 2>/dev/null && break; sleep 0.1; done
sed '/^guid /d' /etc/opensm/opensm.conf >opensm.conf
LD_PRELOAD=$(ls /usr/lib/*/umad2sim/libumad2sim.so); export LD_PRELOAD
timeout -k 2 30 opensm -F opensm.conf -f "$here/log" >out 2>&1 & manager=$!
for _ in $(seq 50); do grep -q "Entering MASTER" out && break; sleep 0.1; done
for _ in $(seq 50); do timeout 5 iblinkinfo -l | grep LinkUp | grep -qv Active || break; sleep 0.1; done
sleep 0.5
grep -i "error\|invalid\|parse" out
timeout 5 sminfo
timeout 5 ibnetdiscover | sed -n 's/^\[1\](\([0-9a-f]*\)).*# lid \([0-9]*\) .*/\1 \2/p' | while read -r guid lid; do
    echo "port 0x$guid $(timeout 5 smpquery pkeys "$lid" 1 | grep -o '0x[0-9a-f]*' | grep -v 0x0000 | tr '\n' ' ')"
done
kill $manager; wait $manager; kill $sim; wait $sim 2>/dev/null
cd /; rm -rf "$here"
"""


KINDS = (("limited", 0), ("full", 0x8000))


def needs_limits(host: Any) -> None:
    """Skip in a container that cannot raise the limit it was started with: members get no more there than others."""
    status = host.check_output("cat /proc/1/status /proc/1/limits")
    limit = str(re.search(r"Max locked memory\s+\w+\s+(\w+)", status)[1])  # type: ignore[index]
    may_raise = int(re.search(r"CapBnd:\s+(\w+)", status)[1], 16) >> 24 & 1  # type: ignore[index]
    if not may_raise and limit != "unlimited":
        pytest.skip(f"this container was started with {int(limit) // 1024} KiB of locked memory, and cannot raise that")


def manages(hostvars: dict[str, Any]) -> bool:
    """Tell whether this host is to run a subnet manager."""
    return hostvars["infiniband_subnet_manager"] in {"active", "standby"}


def ports(host: Any) -> list[str]:
    """Return this host's InfiniBand ports."""
    return str(
        host.run(
            "find -L /sys/class/infiniband -mindepth 4 -maxdepth 4 -path '*/ports/*/link_layer'"
            " -exec grep -l InfiniBand {} +"
        ).stdout
    ).split()


@pytest.mark.parametrize("program", ["ibstat", "ibv_devinfo", "ib_write_bw", "iblinkinfo"])
def test_programs(host: Any, program: str) -> None:
    """Diagnostics and measurements can be loaded with all their libraries."""
    libraries = host.check_output("ldd $(command -v %s)", program)
    assert "not found" not in libraries, libraries


def test_login_locks_memory(host: Any, hostvars: dict[str, Any]) -> None:
    """A login of the group's members may lock memory without limit."""
    if not hostvars["infiniband_users"]:
        pytest.skip("infiniband_users is empty: there is nobody to log in")
    for user in hostvars["infiniband_users"]:
        assert hostvars["infiniband_group"] in host.check_output("id -nG %s", user).split()
    needs_limits(host)
    for user in hostvars["infiniband_users"]:
        login = host.check_output("su -l -s /bin/sh -c %s %s", "ulimit -l; ulimit -Hl", user).split()
        assert login == ["unlimited"] * 2, f"{user} may lock {' KiB, at most '.join(login)} KiB"


def test_service_locks_memory(host: Any, hostvars: dict[str, Any]) -> None:
    """A service may lock memory without limit."""
    if not hostvars["infiniband_memlock_services"]:
        pytest.skip("infiniband_memlock_services is false for this host")
    needs_limits(host)
    assert host.check_output("systemd-run --quiet --wait --pipe sh -c %s", "ulimit -l") == "unlimited"


def test_manager_runs_where_it_should(host: Any, hostvars: dict[str, Any]) -> None:
    """The subnet manager starts at boot where it is wanted, and neither runs nor starts where it is not."""
    enabled = host.run("systemctl is-enabled opensm.service").stdout.strip()
    running = host.run("pgrep -x opensm").stdout.split()
    if not manages(hostvars):
        assert enabled != "enabled", "opensm starts at boot and must not"
        assert running == [], "opensm runs and must not"
        return
    assert enabled == "enabled", f"opensm.service is {enabled or 'not there'}"
    if ports(host):
        assert len(running) == max(1, len(hostvars["infiniband_subnet_manager_ports"])), f"{len(running)} managers run"


def test_manager_leads_a_real_fabric(host: Any, hostvars: dict[str, Any]) -> None:
    """The manager of this host answers on its own port, in the role that it has."""
    if not manages(hostvars):
        pytest.skip("this host is not a subnet manager")
    if not ports(host):
        pytest.skip("this host has no InfiniBand port; the simulated fabric replaces it")
    lid = host.check_output("cat %s", ports(host)[0].replace("link_layer", "lid"))
    own = host.check_output("sminfo %s", str(int(lid, 16)))
    wanted = "SMINFO_MASTER" if hostvars["infiniband_subnet_manager"] == "active" else "SMINFO_STANDBY"
    assert wanted in own, own


def test_partitions_reach_the_ports(host: Any, hostvars: dict[str, Any]) -> None:
    """opensm with this host's settings leads a simulated fabric by its priority, and hands out the partition keys."""
    if not manages(hostvars):
        pytest.skip("this host is not a subnet manager")
    if host.run("command -v ibsim").rc != 0:
        pytest.skip("ibsim is not on this host: no fabric to try the settings on")
    partitions = hostvars["infiniband_partitions"]
    guids = sorted({int(g, 16) for p in partitions for k in ("full", "limited") for g in p.get(k) or [] if g != "ALL"})
    said = host.check_output("printf %%s %s | sh -c %s", net(guids), SIMULATE)
    priority = {"active": 14, "standby": 5}[hostvars["infiniband_subnet_manager"]]
    assert f"priority {priority} state 3 SMINFO_MASTER" in said, said
    held = {int(g, 16): set(keys.split()) for g, keys in re.findall(r"^port (0x[0-9a-f]+) (.*)$", said, re.M)}
    for guid in guids:
        wanted = expected(partitions, guid, hostvars["infiniband_default_membership"])
        assert held.get(guid) == wanted, f"port {guid:#x} holds {held.get(guid)}, not {wanted}"


def expected(partitions: list[dict[str, Any]], guid: int, default: str) -> set[str]:
    """Return the keys that a port must hold: with the bit 0x8000 where it is a full member."""
    keys = {0x7FFF | (0x8000 if default == "full" else 0)}
    for partition in partitions:
        key = int(partition["pkey"], 16)
        held = {bit for kind, bit in KINDS if "ALL" in (partition.get(kind) or [])}
        own = {bit for kind, bit in KINDS if guid in {int(g, 16) for g in partition.get(kind) or [] if g != "ALL"}}
        keys |= {key | bit for bit in own or held}  # a port that is named is not one of all
    return {f"0x{key:04x}" for key in keys}


def net(guids: list[int]) -> str:
    """Return the file from which ibsim makes a switch with the manager and these ports on it."""
    nodes = [("manager", 0xF00D)] + [(f"port{n}", guid) for n, guid in enumerate(guids)]
    rate = "lid 0 4xQDR"
    switch = "\n".join(f'[{n}]\t"H-{name}"[1]\t\t# "{name} mlx5_0" {rate}' for n, (name, _) in enumerate(nodes, 1))
    hosts = "\n".join(
        f'caguid=0x{guid - 1:x}\nHca\t1 "H-{name}"\t\t# "{name} mlx5_0"\n'
        f'[1]({guid:x})\t"S-switch"[{n}]\t\t# lid 0 lmc 0 "switch" {rate}\n'
        for n, (name, guid) in enumerate(nodes, 1)
    )
    return NET.format(ports=len(nodes) + 1, switch=switch, hosts=hosts)


def test_modules(host: Any) -> None:
    """The modules of management and of IP are loaded where there is a port."""
    if not ports(host):
        pytest.skip("this host has no InfiniBand port: rdma-core loads modules only where it finds one")
    loaded = {line.split()[0] for line in host.check_output("cat /proc/modules").splitlines()}
    assert loaded >= {"ib_umad", "ib_ipoib"}, f"not loaded: {', '.join({'ib_umad', 'ib_ipoib'} - loaded)}"


@pytest.mark.service("systemd-networkd")
def test_ipoib(host: Any, hostvars: dict[str, Any]) -> None:
    """networkd understands the interfaces, and where they are there they have their addresses."""
    links = hostvars["infiniband_ipoib"]
    if not links:
        pytest.skip("infiniband_ipoib is empty for this host")
    host.check_output("journalctl --sync; networkctl reload")
    complaints = host.run(
        "journalctl --no-pager -b -u systemd-networkd --grep=%s", "30-dualtrack-infiniband.*(Unknown|Failed|ignoring)"
    )
    assert complaints.rc != 0, complaints.stdout
    for link in links:
        name = link["interface"] + (f".{int(link['pkey'], 16) | 0x8000:04x}" if "pkey" in link else "")
        if host.run("test -e /sys/class/net/%s", name).rc == 0:
            assert link["address"] in host.check_output("ip -o address show dev %s", name)
        else:
            for kind in ("network", "netdev") if "pkey" in link else ("network",):
                file = f"/etc/systemd/network/30-dualtrack-infiniband-{name}.{kind}"
                assert host.run(f"grep -q ^Name={shlex.quote(name)}$ %s", file).rc == 0, f"{file} does not name {name}"
