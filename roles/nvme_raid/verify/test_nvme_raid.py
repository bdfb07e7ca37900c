"""Arrays are there under their names, whole, found again at boot; a lost disk is told."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dualtrack.verify.eventually import settled


def arrays(hostvars: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the host promises; skips where it promises none."""
    if not hostvars["nvme_raid_arrays"]:
        pytest.skip("no array is declared for this host")
    return list(hostvars["nvme_raid_arrays"])


def export(host: Any, array: dict[str, Any]) -> dict[str, str]:
    """Return what mdadm says of an array."""
    text = host.check_output("mdadm --detail --export %s", f"/dev/md/{array['name']}")
    return dict(line.split("=", 1) for line in text.splitlines())


def initramfs_names(host: Any) -> str:
    """Return the mdadm.conf that lies in the initramfs of the running kernel."""
    image = "/boot/initrd.img-$(uname -r)"
    # Where it is one archive packed by zstd (Debian's default), the file alone is read out of it, which is far cheaper.
    # cpio would read 512 bytes at a time.
    text = host.run(f"zstd -dcq {image} | cpio -C 65536 --quiet -i --to-stdout '*etc/mdadm/mdadm.conf'").stdout
    unpack = f"d=$(mktemp -d) && unmkinitramfs {image} $d && cat $(find $d -name mdadm.conf); rm -r $d"
    return str(text or host.check_output(unpack))


def test_arrays_are_whole_under_their_names(host: Any, hostvars: dict[str, Any]) -> None:
    """Every array answers under its own name, has its level, and no disk is missing."""
    for array in arrays(hostvars):
        found = export(host, array)
        assert found["MD_LEVEL"] == array["level"], f"{array['name']} is {found['MD_LEVEL']}"
        kernel = host.check_output("basename $(realpath %s)", f"/dev/md/{array['name']}")
        missing = host.check_output("cat %s", f"/sys/block/{kernel}/md/degraded") if array["level"] != "raid0" else "0"
        assert missing == "0", f"{array['name']} misses {missing} disks"


def test_members_are_the_declared_disks(host: Any, hostvars: dict[str, Any]) -> None:
    """The array is made of the disks that were named, and of no other."""
    for array in arrays(hostvars):
        disks = [*array["members"], *array.get("spares", [])]
        wanted = set(host.check_output("realpath %s", disks[0]).split())
        for disk in disks[1:]:
            wanted |= set(host.check_output("realpath %s", disk).split())
        found = {value for key, value in export(host, array).items() if key.endswith("_DEV")}
        assert found == wanted, f"{array['name']} is made of {sorted(found)}"


def test_next_boot_finds_the_names(host: Any, hostvars: dict[str, Any]) -> None:
    """The initramfs names every array: without that it comes up as md127."""
    wanted = {export(host, array)["MD_UUID"]: array["name"] for array in arrays(hostvars)}
    if host.run("command -v unmkinitramfs").rc != 0:
        pytest.skip("this system has no unmkinitramfs to look into its initramfs with")
    text = initramfs_names(host)
    named = dict(re.findall(r"^ARRAY /dev/md/(\S+) .*UUID=(\S+)", text, re.MULTILINE))
    assert {name: uuid for uuid, name in wanted.items()}.items() <= named.items(), f"the initramfs names {named}"


def test_file_systems_are_mounted_and_aligned(host: Any, hostvars: dict[str, Any]) -> None:
    """What is mounted is the array, takes a synced write, and xfs knows its stripe."""
    mounted = [array for array in arrays(hostvars) if array.get("mount")]
    if not mounted:
        pytest.skip("no array of this host has a file system of its own")
    for array in mounted:
        source = host.check_output("findmnt --noheadings --output SOURCE %s", array["mount"])
        here, there = (host.check_output("realpath %s", name) for name in (source, f"/dev/md/{array['name']}"))
        assert here == there, f"{array['mount']} is {source}"
        probe = f"{array['mount']}/.dualtrack-verify"
        host.check_output("echo written > %s && sync %s && rm %s", probe, probe, probe)
        if array.get("filesystem", "xfs") == "xfs" and array["level"] != "raid1":
            unit = re.search(r"sunit=(\d+)", host.check_output("xfs_info %s | grep ^data -A2", array["mount"]))
            assert unit, "xfs_info says nothing of a stripe"
            assert int(unit[1]) * 4 == int(array.get("chunk_kib", 512)), f"sunit is {unit[1]} blocks of 4 KiB"


def test_loss_of_a_disk_is_told(host: Any, hostvars: dict[str, Any]) -> None:
    """The monitor runs, and what it calls reaches the journal."""
    arrays(hostvars)
    assert host.service("mdmonitor").is_running, "mdmonitor does not run"
    since = host.check_output("date +%s")
    host.check_output("mdadm --monitor --scan --oneshot --test")
    ask = "journalctl --identifier dualtrack-raid --since @%s --output cat"
    said = settled(lambda: host.run(ask, since).stdout, lambda text: "TestMessage" in text)
    assert "TestMessage" in said, "a test message of the monitor did not reach the journal"


def test_arrays_are_read_and_compared_every_month(host: Any, hostvars: dict[str, Any]) -> None:
    """The scrub has a next date."""
    arrays(hostvars)
    assert host.service("mdcheck_start.timer").is_running, "mdcheck_start.timer does not run"
    next_run = host.check_output("systemctl show --property NextElapseUSecRealtime --value mdcheck_start.timer")
    assert next_run, "the scrub has no next date"


def test_disks_sort_their_own_requests(host: Any, hostvars: dict[str, Any]) -> None:
    """No IO scheduler in front of NVMe."""
    arrays(hostvars)
    chosen = set(host.check_output("cat /sys/block/nvme*/queue/scheduler").splitlines())
    assert all("[none]" in line for line in chosen), f"schedulers: {chosen}"
