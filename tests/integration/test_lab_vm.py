"""A virtual machine of the lab: a kernel and NVMe disks of its own, a power button, disks that can be pulled."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest

from dualtrack.lab.model import Layout
from tests.conftest import ROOT, Cli, wait

Shell = Callable[[str], str]
BOOT_S = 400


@pytest.fixture(scope="module")
def shell(lab: Cli) -> Shell:
    lab("lab", "host", "add", "vault", "--kind", "qemu", "--disks", "2", "--disk-size", "64", timeout=BOOT_S)
    return lambda line: lab.inside("vault", "sh", "-c", line).stdout


def disks(shell: Shell) -> set[str]:
    return set(shell("ls /dev/disk/by-id | sed -n 's/^nvme-QEMU_NVMe_Ctrl_//p' | grep -v _").split())


def test_machine_has_its_own_kernel_and_disks_by_serial(lab: Cli, shell: Shell) -> None:
    assert "Debian" in shell("cat /proc/version")
    assert disks(shell) == {"vault-1", "vault-2"}
    [host] = lab.json("lab", "status")["hosts"]
    assert (host["name"], host["kind"], host["state"]) == ("vault", "qemu", "running")
    assert [disk["serial"] for disk in lab.json("lab", "disk", "list", "vault")["disks"]] == ["vault-1", "vault-2"]


#: The last command fails where the seed is still there.
WHO = """
hostname; cat /etc/machine-id; sed 's/.* //' /etc/ssh/ssh_host_ed25519_key.pub; ip -br -4 address show dev eth0
cat /sys/class/net/eth0/address; ls /var/log/journal; date +%s; test ! -e /boot/seed && echo 'No such file'
"""


def test_new_machine_goes_on_from_a_snapshot_as_itself(lab: Cli, shell: Shell) -> None:
    lab("lab", "host", "add", "other", "--kind", "qemu", timeout=BOOT_S)
    try:
        begin = time.time()
        other = lab("lab", "exec", "other", "--", "sh", "-c", WHO).stdout.splitlines()
        mine = shell(WHO).splitlines()
        listed = {host["name"]: host["address"] for host in lab.json("lab", "status")["hosts"]}
        for name, (host, machine, key, card, mac, journal, clock, seed) in (("vault", mine), ("other", other)):
            assert host == key == name
            assert listed[name] in card
            assert journal == machine
            assert mac.startswith("52:54:00:")
            assert begin - 2 <= float(clock) <= time.time() + 2
            assert "No such file" in seed, "what the machine was given has been taken and removed"
        # machine-id and card; the host keys are the lab's own, and ssh has just compared them.
        assert mine[1] != other[1]
        assert mine[4] != other[4]
        assert all(len(found[1]) == 32 for found in (mine, other))
        # It did not boot: it has been up since before the lab was.
        boots = shell("journalctl --list-boots --quiet | wc -l; systemctl is-system-running || true").split()
        assert boots == ["1", "running"]
        assert "Linux version" not in (lab.folder / "logs/hosts/other.log").read_text()
    finally:
        lab("lab", "host", "remove", "other")


def test_commands_in_a_row_log_in_once(shell: Shell) -> None:
    logins = "journalctl --boot --unit ssh --output cat | grep --count ^Accepted"
    before = shell(logins)
    assert int(before) > 0
    assert shell(logins) == before


def test_pulled_disk_is_gone_and_comes_back_with_what_was_on_it(lab: Cli, shell: Shell) -> None:
    device = "/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_vault-2"
    shell(f"echo kept | dd of={device} conv=fsync status=none")
    lab("lab", "disk", "pull", "vault", "vault-2")
    wait(lambda: disks(shell) == {"vault-1"}, what="the disk's going")
    lab("lab", "disk", "insert", "vault", "vault-2")
    wait(lambda: disks(shell) == {"vault-1", "vault-2"}, what="the disk's coming")
    assert shell(f"head -c 5 {device}") == "kept\n"


def test_new_disk_is_empty_under_its_own_serial(lab: Cli, shell: Shell) -> None:
    lab("lab", "disk", "insert", "vault", "vault-9", "--new", "64")
    wait(lambda: "vault-9" in disks(shell), what="the disk's coming")
    again = lab("lab", "disk", "insert", "vault", "vault-9", "--new", "64", check=False)
    assert (again.returncode, "new serial" in again.stderr) == (2, True)
    assert lab("lab", "disk", "pull", "vault", "vault-8", check=False).returncode == 2


@pytest.mark.attack("root on the host", "runs a program that logs nothing", "found", "the kernel's own record")
def test_kernel_records_what_somebody_runs_as_root(lab: Cli, shell: Shell) -> None:
    """Role audit's part that containers have no use for; the label of such a record is a unit test's subject."""
    words = (
        ROOT / ".venv/bin/ansible", "--inventory", "vault,", "--become", "--user", "ops",
        f"--ssh-common-args=-F{lab.folder}/ssh/config",
        "--module-name", "include_role", "--args", "name=audit tasks_from=kernel", "all",
    )  # fmt: skip
    env = {**lab.env, "ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg")}
    done = subprocess.run(words, env=env, cwd=ROOT / "ansible", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shell("systemctl restart systemd-journald; /bin/echo by-somebody >/dev/null")
    shell("systemd-run --quiet --wait /bin/echo by-the-system")
    recorded = "journalctl --quiet --sync; journalctl --quiet --boot --output cat _TRANSPORT=audit | grep ^EXECVE"
    somebody, system = (f'a0="/bin/echo" a1="by-{who}"' for who in ("somebody", "the-system"))
    wait(lambda: somebody in shell(f"{recorded} || true"), 60, "the record")
    assert system not in shell(recorded)


#: Adds a script to the initramfs. That update-initramfs makes one that boots is a step of the storage story.
ADD_TO_INITRAMFS = r"""
cd "$(mktemp -d)"
mkdir -p scripts/local-bottom
printf '#!/bin/sh\n: > /run/initramfs-was-mine\n' > scripts/local-bottom/mark
chmod +x scripts/local-bottom/mark
echo /scripts/local-bottom/mark > scripts/local-bottom/ORDER
find . | cpio --quiet -o -H newc | zstd -1 -q >> /boot/initrd.img-$(uname -r)
sync
systemd-run --on-active=2 systemctl reboot
"""


def test_reboot_boots_what_the_machine_wrote_into_its_own_initramfs(lab: Cli, shell: Shell) -> None:
    before = shell("cat /proc/sys/kernel/random/boot_id")
    shell(ADD_TO_INITRAMFS)

    def back() -> bool:
        try:
            words = ("lab", "exec", "vault", "--", "cat", "/proc/sys/kernel/random/boot_id")
            return lab(*words, check=False, timeout=15).stdout not in ("", before)
        except subprocess.TimeoutExpired:  # the machine went down under the connection
            return False

    wait(back, BOOT_S, "the reboot")
    assert shell("ls /run/initramfs-was-mine").strip() == "/run/initramfs-was-mine"


def test_disks_of_a_container_are_a_clear_error(lab: Cli) -> None:
    lab("lab", "host", "add", "box")
    done = lab("lab", "disk", "list", "box", check=False)
    assert (done.returncode, "is a container" in done.stderr) == (2, True)
    lab("lab", "power-cut", "box")
    lab("lab", "power-on", "box")
    assert lab("lab", "exec", "box", "--", "hostname").stdout == "box\n"


def test_machine_that_is_removed_leaves_no_process_and_no_device(lab: Cli) -> None:
    connections = Layout.of(lab.folder).connections
    assert [path.name for path in connections.iterdir()] == ["vault"]
    lab("lab", "host", "remove", "vault")
    assert [host["name"] for host in lab.json("lab", "status")["hosts"]] == ["box"]
    assert list(connections.iterdir()) == []
    assert not (lab.folder / "hosts/vault").exists()
