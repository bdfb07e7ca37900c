"""The sovereign server's disks and keys, in a virtual machine: pulled, cut, lost, destroyed, and what that cost.

The tests of this file are one story: each begins with the array and its volumes made, open, and verified. A step that
runs alone has no files of earlier writers to look for.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from dualtrack.inventory import facts as facts_file
from tests.conftest import CLI, Cli, wait
from tests.e2e.conftest import continues

UP_S = 1200
BOOT_S = 400

#: Writes files of 20 kB, with so many seconds between them; a line on stdout acknowledges one, once it and its name are
#: on the disks.
WRITER = """
import hashlib, itertools, os, sys, time
os.makedirs("/srv/vault/load", exist_ok=True)
directory = os.open("/srv/vault/load", os.O_RDONLY)
for number in itertools.count(len(os.listdir(directory))):
    data = os.urandom(20_000)
    with open(f"/srv/vault/load/{number}", "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.fsync(directory)
    print(number, hashlib.sha256(data).hexdigest(), flush=True)
    time.sleep(float(sys.argv[1]))
"""
READER = """
import hashlib, os
for name in os.listdir("/srv/vault/load"):
    with open(f"/srv/vault/load/{name}", "rb") as file:
        print(name, hashlib.sha256(file.read()).hexdigest())
"""


class Vault:
    """The storage host, and what it has acknowledged."""

    def __init__(self, site: Cli) -> None:
        self.site = site
        self.facts = site.folder / "runbook/facts.yml"
        self.acknowledged: dict[str, str] = {}

    def up(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(
            self.site("local", "up", "--facts", str(self.facts), "--full", "--json", timeout=UP_S).stdout
        )
        [track] = document["tracks"]
        return track

    def recover(self) -> None:
        """Bring the host to the state that every step begins with: switched on, and as its facts describe it."""
        self.site("lab", "power-on", "vault-1", timeout=BOOT_S)
        self.up()

    def run(self, line: str) -> str:
        return self.site.inside("vault-1", "sh", "-euc", line).stdout

    def sees(self, condition: str, seconds: int, what: str) -> None:
        """Wait until a shell condition holds on the host, in one login: each costs it as much as a second of work."""
        loop = f"for _ in $(seq {seconds // 2}); do if {condition}; then echo yes; exit; fi; sleep 2; done"
        wait(lambda: self.run(loop), what=what)

    def booted(self) -> None:
        """Wait until it has opened and mounted all it opens automatically: a key server is asked after the boot."""
        self.run("timeout 400 systemctl is-system-running --wait || true")
        there = " && ".join(f"findmnt /srv/{name} >/dev/null" for name in ("vault", "notes", "papers"))
        self.sees(there, 200, "the volumes' coming")

    def state(self) -> str:
        [host] = [host for host in self.site.json("lab", "status")["hosts"] if host["name"] == "vault-1"]
        return str(host["state"])

    @contextlib.contextmanager
    def writing(self, pause_s: float = 0.5) -> Iterator[None]:
        """Write all the while, and remember what was acknowledged.

        Without a pause half of what a step costs would be its writer, and the reading of what it wrote.
        """
        words = [CLI, "lab", "exec", "vault-1", "--", "python3", "-c", WRITER, str(pause_s)]
        process = subprocess.Popen(
            words, env=self.site.env, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        enough = len(self.acknowledged) + 20

        def read() -> None:
            for line in process.stdout or ():
                number, _, digest = line.strip().partition(" ")
                self.acknowledged[number] = digest

        thread = threading.Thread(target=read)
        thread.start()
        try:
            wait(lambda: len(self.acknowledged) >= enough or process.poll() is not None, what="the first writes")
            assert process.poll() is None, "the writer ended"
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)
            thread.join(timeout=30)

    def lost(self) -> list[str]:
        """Return which acknowledged files are not there as they were written."""
        said = self.site.inside("vault-1", "python3", "-c", READER).stdout
        found = dict(line.split() for line in said.splitlines())
        return [number for number, digest in self.acknowledged.items() if found.get(number) != digest]


#: Beside the array: a volume that a key server opens, and one whose key is on a medium that can be taken out.
DISK = "/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_vault-1-"
NOTES = {"name": "notes", "device": f"{DISK}11", "mount": "/srv/notes", "unlock": "tang"}
PAPERS = {
    "name": "papers", "device": f"{DISK}12", "mount": "/srv/papers", "unlock": "key_file", "key_file": "/papers.key",
    "key_device": "LABEL=KEYS",
}  # fmt: skip
TANG = """
apt-get update -qq && apt-get install -y -qq --no-install-recommends tang jose >/dev/null 2>&1
mkdir /etc/systemd/system/tangd.socket.d
printf '[Socket]\\nListenStream=\\nListenStream=7500\\n' > /etc/systemd/system/tangd.socket.d/port.conf
systemctl daemon-reload && systemctl enable --quiet tangd.socket && systemctl restart tangd.socket
tang-show-keys 7500
"""


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """The storage host that the project's own facts file describes, and a key server, alone in a lab."""
    site = Cli(tmp_path_factory.mktemp("vault"))
    facts = yaml.safe_load(facts_file.DEFAULT.read_text())
    [host] = facts["hosts"] = [host for host in facts["hosts"] if host["name"] == "vault-1"]
    found = Vault(site)
    found.facts.parent.mkdir()
    try:
        site("lab", "up")
        keys = site.json("lab", "host", "add", "keys")["host"]["address"]
        thumbprint = site("lab", "exec", "keys", "--", "sh", "-euc", TANG).stdout.split()[-1]
        # Half of the usual size: each step copies whole disks, and no file system here needs more.
        words = ("--kind", "qemu", "--address", host["address"], "--disks", "4", "--disk-size", "384")
        site("lab", "host", "add", "vault-1", *words, timeout=BOOT_S)
        site("lab", "disk", "insert", "vault-1", "vault-1-13", "--new", "16")
        wait(lambda: "vault-1-13" in found.run("ls /dev/disk/by-id"), what="the medium's coming")
        found.run(f"mkfs.ext4 -q -L KEYS {DISK}13; udevadm settle")
        host["disks"] += [NOTES["device"], PAPERS["device"]]
        notes = {**NOTES, "tang_url": f"http://{keys}:7500", "tang_thumbprint": thumbprint}
        host["vars"]["sm4_volume_volumes"] += [notes, PAPERS]
        found.facts.write_text(yaml.safe_dump(facts, sort_keys=False))
        yield found
    finally:
        site("lab", "down")


@pytest.fixture(autouse=True)
def volumes_open(request: pytest.FixtureRequest, vault: Vault) -> Iterator[None]:
    yield from continues(request, ("test_arrays_and_volumes_are_made_and_verified",), vault.recover)


def test_arrays_and_volumes_are_made_and_verified(vault: Vault) -> None:
    assert vault.up()["changed"]
    for name in ("vault", "notes", "papers"):
        assert vault.run(f"dmsetup table --target crypt {name}").split()[3] == "sm4-xts-plain64"
        assert vault.run(f"findmnt --noheadings --output FSTYPE /srv/{name}").strip() == "xfs"


def test_disk_that_holds_something_is_refused_and_stays_as_it_is(vault: Vault) -> None:
    foreign = f"{DISK}8"
    vault.site("lab", "disk", "insert", "vault-1", "vault-1-8", "--new", "64")
    wait(lambda: "vault-1-8" in vault.run("ls /dev/disk/by-id"), what="the disk's coming")
    vault.run(f"mkfs.ext4 -q {foreign}")
    before, kept = vault.run(f"sha256sum {foreign}"), vault.facts.read_text()
    facts = yaml.safe_load(kept)
    more = {"name": "more", "level": "raid1", "members": [foreign, f"{foreign[:-1]}7"], "mount": "/srv/more"}
    facts["hosts"][0]["vars"]["nvme_raid_arrays"].append(more)
    vault.facts.write_text(yaml.safe_dump(facts))
    try:
        for words in (("local", "up", "--facts", str(vault.facts)), ("play", "storage", "--dry-run")):
            done = vault.site(*words, check=False, timeout=UP_S)
            assert done.returncode == 4, done.stderr
            said = done.stderr.splitlines()[-1]
            assert f"{foreign} is not blank (ext4)" in said
            assert f"there is no disk {foreign[:-1]}7" in said
    finally:
        vault.facts.write_text(kept)
    assert vault.run(f"sha256sum {foreign}") == before
    assert "more" not in vault.run("ls /dev/md /srv")
    vault.site("lab", "disk", "pull", "vault-1", "vault-1-8")


def test_power_cut_in_a_write_and_a_boot_without_keys_lose_nothing_and_take_no_plain_text(vault: Vault) -> None:
    """Neither key is there, from the disk or the key server; what is locked is opened when they come."""
    key = "/etc/dualtrack/vault.key"
    identity = "hostname; cat /etc/machine-id"
    before = vault.run(identity)
    with vault.writing(pause_s=0):
        vault.run(f"mv {key} {key}.away; echo synced > /root/a; sync; echo lost > /root/b")
        vault.site("lab", "power-cut", "vault-1")
    assert vault.state() == "stopped"
    vault.site("lab", "exec", "keys", "--", "systemctl", "stop", "tangd.socket")
    vault.site("lab", "power-on", "vault-1", timeout=BOOT_S)
    # The lab's power cut is one: what was not synced is lost. The machine booted its own kernel, and is the same.
    assert vault.run("test ! -s /root/b; cat /root/a") == "synced\n"
    assert vault.run(identity) == before
    assert "systemd.hostname=vault-1" in vault.run("cat /proc/cmdline")
    assert "Linux version" in (vault.site.folder / "logs/hosts/vault-1.log").read_text()
    for name in ("vault", "notes"):
        vault.sees(f"test -e /run/motd.d/50-volume-{name}", 240, f"{name}'s message")
        vault.run(f"journalctl --boot --identifier dualtrack-volume --output cat | grep '{name} is locked'")
        assert vault.run(f"touch /srv/{name}/plain 2>&1 || echo refused").endswith("refused\n")
    vault.site("lab", "exec", "keys", "--", "systemctl", "start", "tangd.socket")
    vault.run(f"mv {key}.away {key}; systemctl start srv-vault.mount")
    vault.booted()
    assert vault.run("find /run/motd.d -name '50-volume-*'") == "", "whoever logs in is still told that one is locked"
    lost = vault.lost()
    print(f"power cut: {len(vault.acknowledged)} files acknowledged, {len(lost)} lost")
    assert lost == []
    # The inventory of the refused facts is still the site's: this puts it right, and verifies.
    assert vault.up()["changes"] == {}
    vault.run("systemctl stop srv-vault.mount; xfs_repair -n /dev/mapper/vault; systemctl start srv-vault.mount")


def test_pulled_disk_is_told_served_without_and_brought_back_or_replaced(vault: Vault) -> None:
    with vault.writing():
        vault.site.runbook("replace-a-disk.md")
    assert vault.lost() == []


def test_spare_takes_the_place_of_a_lost_disk(vault: Vault) -> None:
    with vault.writing():
        vault.site.runbook("hot-spare.md")
    assert vault.lost() == []


def test_array_grows_while_it_is_written_to(vault: Vault) -> None:
    def size() -> int:
        return int(vault.run("df --output=size /srv/vault | tail -n 1"))

    before = size()
    with vault.writing():
        vault.site.runbook("grow-an-array.md")
    assert vault.lost() == []
    assert size() > 1.3 * before


def test_keys_are_rotated_under_load(vault: Vault) -> None:
    slots = vault.run("cryptsetup luksDump --dump-json-metadata /dev/md/vault")
    with vault.writing():
        vault.site.runbook("rotate-a-volume-key.md")
    now = json.loads(vault.run("cryptsetup luksDump --dump-json-metadata /dev/md/vault"))["keyslots"]
    salts = {slot["kdf"]["salt"] for slot in json.loads(slots)["keyslots"].values()}
    assert not salts & {slot["kdf"]["salt"] for slot in now.values()}
    assert len(now) == 2
    assert vault.lost() == []


def test_lost_key_is_noticed_at_boot_and_three_custodians_bring_the_volume_back(vault: Vault) -> None:
    vault.site.runbook("lost-volume-key.md")
    assert vault.lost() == []


def test_volume_without_any_header_is_restored_from_its_backup(vault: Vault) -> None:
    said = vault.site.runbook("lost-volume-header.md")
    [line] = [line for line in said.splitlines() if line.startswith("the header was back after")]
    print(line)
    assert vault.lost() == []
    # The page destroys the first copy, then both; the second alone is as good as either.
    vault.run("systemctl stop srv-vault.mount systemd-cryptsetup@vault.service")
    vault.run("dd if=/dev/zero of=/dev/md/vault bs=4k seek=4 count=4 conv=fsync status=none")
    vault.run("systemctl start srv-vault.mount")
    assert vault.lost() == []


def test_volume_is_destroyed_for_good_and_only_when_it_is_named_twice(vault: Vault) -> None:
    said = vault.site.runbook("erase-a-volume.md")
    assert "if that is meant, add --set confirm=vault-1/vault" in said
    assert list((vault.site.folder / "volumes/vault-1/vault").rglob("header.sealed")) == []
