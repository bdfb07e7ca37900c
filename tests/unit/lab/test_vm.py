"""Virtual machines of the lab: what a host may be, how one is put together, which kernel it boots."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import cast

import msgspec
import pytest

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.lab import accel, control, kernel, qmp, vm, vmimage, vmqemu, vmsnapshot
from dualtrack.lab.model import HostSpec, Layout
from dualtrack.lab.state import Store
from dualtrack.lab.vmrun import command, go_on, newest, plugged, restored, run_once


def spec(**more: object) -> HostSpec:
    return msgspec.convert({"name": "vault-1", "address": "10.30.0.13", "kind": "qemu", **more}, HostSpec)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "nspawn", "disks": ["a"]},
        {"gpus": 8},
        {"disks": ["a", "a"]},
        {"disks": ["a/b"]},
        {"disks": ["a" * 21]},
        {"disks": [""]},
        {"disks": ["a"], "disk_mib": 1},
        {"disks": [f"d{number}" for number in range(13)]},
    ],
)
def test_impossible_hosts_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        spec(**wrong).check()


def test_host_with_disks_is_fine() -> None:
    assert spec(disks=["vault-1-1", "vault-1-2"]).check().disks == ("vault-1-1", "vault-1-2")


def test_newest_kernel_with_an_initramfs_is_booted() -> None:
    names = ["vmlinuz-6.1.0-9-amd64", "initrd.img-6.1.0-9-amd64", "vmlinuz-6.1.0-56-amd64", "initrd.img-6.1.0-56-amd64"]
    assert newest([*names, "vmlinuz-6.1.0-57-amd64", "config-6.1.0-57-amd64"]) == "6.1.0-56-amd64"
    with pytest.raises(External, match="no kernel"):
        newest(["vmlinuz-6.1.0-9-amd64"])


def test_command_has_the_disks_that_are_in_their_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALTRACK_VM_ACCEL", "tcg")
    (tmp_path / "vmlinuz").write_bytes(b"no bzImage: started as it is")
    machine = vm.Machine(
        name="vault-1",
        bridge="br-local",
        mac="52:54:00:00:00:01",
        disks=(vm.Disk("one"), vm.Disk("two", present=False)),
    )
    words = command(tmp_path, machine, tmp_path / "vmlinuz", tmp_path / "initrd", tmp_path / "log")
    devices = [json.loads(word) for word in words if word.startswith("{") and "serial" in word]
    assert [device["serial"] for device in devices] == ["one"]
    assert "tcg,thread=multi" in words
    assert words[words.index("-kernel") + 1] == str(tmp_path / "vmlinuz")


def test_restored_machine_gets_its_own_devices_and_the_boot_disk_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALTRACK_VM_ACCEL", "tcg")
    machine = vm.Machine(
        name="vault-1",
        bridge="br-local",
        mac="52:54:00:00:00:01",
        disks=(vm.Disk("one"), vm.Disk("two", present=False)),
    )
    words = restored(tmp_path, machine, tmp_path / "snapshot", tmp_path / "log")
    # Nothing of the machine's own may be there when the state is loaded, its name in the kernel's arguments included.
    assert not any(own in word for word in words for own in ("nvme", "netdev", "boot.img", "vault-1"))
    devices = [arguments for name, arguments in plugged(tmp_path, machine) if name == "device_add"]
    assert [device["driver"] for device in devices] == ["virtio-net-pci", "nvme", "virtio-blk-pci"]
    assert devices[0]["mac"] == machine.mac


def test_machine_goes_on_from_a_snapshot_once(tmp_path: Path) -> None:
    assert vm.snapshot_of(tmp_path) is None
    (tmp_path / vm.RESTORE).write_text("/snapshot\n/image\n")
    assert vm.snapshot_of(tmp_path) == Path("/snapshot")

    class Qemu:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def loaded(self) -> bool:
            return True

        def call(self, command: str, _: dict[str, object] | None = None) -> None:
            if command == "cont":
                assert vm.snapshot_of(tmp_path) is None, "cut off now, it would be restored again, over its own disk"
            self.calls.append(command)

    qemu = Qemu()
    go_on(cast(qmp.Client, qemu), tmp_path, vm.Machine(name="vault-1", bridge="br-local", mac="52:54:00:00:00:01"))
    assert qemu.calls[-2:] == ["device_add", "cont"]


def test_machine_that_cannot_go_on_boots_from_a_root_disk_as_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALTRACK_VM_ACCEL", "tcg")
    folder, snapshot, image = (tmp_path / name for name in ("vault-1", "snapshot", "image"))
    for made in (folder, snapshot, image):
        made.mkdir()
    (image / "root.img").write_bytes(bytes(1 << 20))
    for name in ("kernel", "initrd", "state"):
        (snapshot / name).write_bytes(b"damaged")
    vmsnapshot.new_root(snapshot / "root.qcow2", image / "root.img", "raw")
    vmsnapshot.new_root(folder / "root.qcow2", snapshot / "root.qcow2", "qcow2")
    (folder / vm.RESTORE).write_text(f"{snapshot}\n{image}\n")
    (folder / "machine.json").write_bytes(
        msgspec.json.encode(vm.Machine(name="vault-1", bridge="br-local", mac="52:54:00:00:00:01"))
    )
    subprocess.run(["mke2fs", "-q", "-t", "ext4", folder / "boot.img", "4M"], check=True)
    # It gets as far as looking for the kernel in its own /boot, which is empty here.
    with pytest.raises(External, match="no kernel with an initramfs"):
        run_once(folder, tmp_path / "log")
    assert vm.snapshot_of(folder) is None
    told = subprocess.run(
        ["qemu-img", "info", folder / "root.qcow2"], capture_output=True, text=True, check=True
    ).stdout
    assert f"backing file: {image}/root.img" in told


def test_snapshot_changes_with_what_it_is_made_from(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(*options: str, cpus: int = 2, memory_mib: int = 1536) -> str:
        return vmsnapshot.key(options or ("-cpu", "one"), cpus=cpus, memory_mib=memory_mib)

    found = [key(), key("-cpu", "other"), key(cpus=1), key(memory_mib=1024)]
    assert key() == found[0]
    others: tuple[tuple[ModuleType, str, object], ...] = (
        (vmsnapshot, "SEED", "other"),
        (vmsnapshot, "FILES", {**vmsnapshot.FILES, "identity.sh": "other"}),
        (vmsnapshot, "run", lambda _: subprocess.CompletedProcess([], 0, "QEMU emulator version 99")),
        (vmimage, "key", lambda: "other"),
        (vmqemu, "CMDLINE", "other"),
    )
    for module, name, value in others:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            found.append(key())
    assert len(set(found)) == len(found)


def test_snapshot_that_fails_is_never_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "image/boot").mkdir(parents=True)
    for name in ("boot/vmlinuz-1", "boot/initrd.img-1", "root.img"):
        (tmp_path / "image" / name).write_bytes(bytes(4096))
    monkeypatch.setenv("DUALTRACK_VM_ACCEL", "tcg")
    monkeypatch.setenv("DUALTRACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vmimage, "path", lambda: tmp_path / "image")
    # An image without a kernel: QEMU refuses it, or the machine resets at once.
    with pytest.raises(External, match="QEMU ended with"):
        vmsnapshot.build(cpus=1, memory_mib=64)
    assert {path.suffix for path in (tmp_path / "cache/vm").iterdir()} == {".lock", ".log"}


def test_machine_that_stands_still_is_given_up_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vmsnapshot, "STILL_S", 0.5)
    (tmp_path / "console").write_text("Booting\n")
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            with pytest.raises(External, match=r"to say 'ready', with no progress for .*; last seen: Booting"):
                vmsnapshot._await(process, tmp_path / "console", "ready")
        finally:
            process.kill()


def bzimage(packed: bytes) -> bytes:
    """Return a kernel with a header as the boot protocol has it, and ``packed`` in it."""
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x202:0x208] = b"HdrS" + struct.pack("<H", 0x20F)
    struct.pack_into("<II", head, 0x248, 16, len(packed) + 4)
    return bytes(head) + bytes(16) + packed + struct.pack("<I", 0)


def elf(note: int) -> bytes:
    """Return an ELF file whose only content is one of Xen's notes."""
    content = struct.pack("<III4s8s", 4, 8, note, b"Xen", bytes(8))
    head = b"\x7fELF\x02" + bytes(27) + struct.pack("<Q", 64) + bytes(14) + struct.pack("<HH", 56, 1) + bytes(6)
    return head + struct.pack("<IIQQQQQQ", 4, 0, 120, 0, 0, len(content), 0, 4) + content


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress])
def test_kernel_is_unpacked_where_qemu_can_start_what_is_inside(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALTRACK_CACHE", str(tmp_path / "cache"))
    image = tmp_path / "vmlinuz"
    image.write_bytes(bzimage(pack(elf(kernel.PVH_NOTE))))
    first = kernel.startable(image)
    assert first.read_bytes() == elf(kernel.PVH_NOTE)
    image.write_bytes(bzimage(pack(elf(kernel.PVH_NOTE) + b"another build")))
    assert kernel.startable(image).read_bytes().endswith(b"another build")


@pytest.mark.parametrize(
    "content",
    [
        b"", bytes(4096), elf(18), bzimage(lzma.compress(elf(17))), bzimage(lzma.compress(b"no ELF file")),
        bzimage(b"\xfd7zXZ\x00 damaged"), bzimage(b"(\xb5/\xfd zstd"),
    ],
)  # fmt: skip
def test_kernel_that_is_not_understood_is_started_as_it_is(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALTRACK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "vmlinuz").write_bytes(content)
    assert kernel.startable(tmp_path / "vmlinuz") == tmp_path / "vmlinuz"


def test_accelerator_that_is_none_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALTRACK_VM_ACCEL", "xen")
    with pytest.raises(BadInput, match="DUALTRACK_VM_ACCEL"):
        accel.options(tmp_path)


def test_disks_of_a_machine_that_is_off_are_pulled_and_inserted(tmp_path: Path) -> None:
    machine = vm.Machine(name="vault-1", bridge="br-local", mac="52:54:00:00:00:01", disks=(vm.Disk("one"),))
    (tmp_path / "machine.json").write_bytes(msgspec.json.encode(machine))
    vm.pull(tmp_path, "one")
    assert [disk.present for disk in vm.machine(tmp_path).disks] == [False]
    vm.insert(tmp_path, "one")
    vm.insert(tmp_path, "new", blank_mib=16)
    assert [(disk.serial, disk.present) for disk in vm.machine(tmp_path).disks] == [("one", True), ("new", True)]
    assert (tmp_path / "new.nvme").stat().st_size == 16 << 20
    with pytest.raises(BadInput, match="has had a disk"):
        vm.insert(tmp_path, "new", blank_mib=16)
    with pytest.raises(BadInput, match="no disk three"):
        vm.pull(tmp_path, "three")


def test_hardware_addresses_differ_between_machines_and_labs() -> None:
    one, other = Layout.of(Path("/one")), Layout.of(Path("/other"))
    assert len({vm.mac(one, "a"), vm.mac(one, "b"), vm.mac(other, "a")}) == 3
    assert vm.mac(one, "a") == vm.mac(one, "a")


def test_image_changes_with_the_modules_it_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = vmimage.key()
    (tmp_path / "Kbuild").write_text("obj-m := other.o\n")
    monkeypatch.setattr(vmimage, "DKMS", tmp_path)
    assert vmimage.key() != before


def test_refused_command_is_qemus_own_words(tmp_path: Path) -> None:
    # Long enough that the socket's path alone would not be taken by the kernel.
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{os.open(folder, os.O_PATH)}/control.sock")
        server.listen()

        def answer() -> None:
            with server.accept()[0] as plug, plug.makefile("rw") as lines:
                lines.write('{"QMP": {}}\n')
                for reply in ('{"return": {}}\n', '{"event": "RESUME"}\n{"error": {"desc": "no such device"}}\n'):
                    lines.flush()
                    lines.readline()
                    lines.write(reply)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with qmp.Client(folder / "control.sock") as client, pytest.raises(External, match="no such device"):
            client.call("device_del", {"id": "x"})
        thread.join()
    assert not qmp.listens(folder / "control.sock")


def test_declared_disks_are_put_in_and_none_is_ever_lost(tmp_path: Path) -> None:
    lab = Store(tmp_path)
    before = spec(disks=["one", "two"], disk_mib=16)
    folder = lab.host_folder("vault-1")
    assert control.with_new_disks(lab, None, before) == before
    folder.mkdir(parents=True)
    machine = vm.Machine(
        name="vault-1",
        bridge="br-local",
        mac="52:54:00:00:00:01",
        disks=(vm.Disk("one"), vm.Disk("two", present=False)),
    )
    (folder / "machine.json").write_bytes(msgspec.json.encode(machine))
    assert control.with_new_disks(lab, before, spec(disks=["one", "three"], disk_mib=16)) == before
    # A disk that was pulled, or is no longer named, stays as it is.
    assert vm.machine(folder).disks == (*machine.disks, vm.Disk("three"))
    assert (folder / "three.nvme").stat().st_size == 16 << 20
    for other in ({"address": "10.30.0.14"}, {"kind": "nspawn"}, {"user": "root"}):
        with pytest.raises(Refused, match="lose its disks"):
            control.with_new_disks(lab, before, spec(**other))
