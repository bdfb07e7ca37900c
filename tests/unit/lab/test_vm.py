"""Virtual machines of the lab: what a host may be, how one is put together, which kernel it boots."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path

import msgspec
import pytest

from dualtrack.errors import BadInput, External, Refused
from dualtrack.lab import accel, control, qmp, vm, vmimage
from dualtrack.lab.model import HostSpec, Layout
from dualtrack.lab.state import Store
from dualtrack.lab.vmrun import command, newest


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
    machine = vm.Machine("vault-1", "br-local", "52:54:00:00:00:01", (vm.Disk("one"), vm.Disk("two", present=False)))
    words = command(tmp_path, machine, tmp_path / "vmlinuz", tmp_path / "initrd", tmp_path / "ifup", tmp_path / "log")
    devices = [json.loads(word) for word in words if word.startswith("{") and "serial" in word]
    assert [device["serial"] for device in devices] == ["one"]
    assert "tcg,thread=multi" in words


def test_accelerator_that_is_none_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALTRACK_VM_ACCEL", "xen")
    with pytest.raises(BadInput, match="DUALTRACK_VM_ACCEL"):
        accel.options(tmp_path)


def test_disks_of_a_machine_that_is_off_are_pulled_and_inserted(tmp_path: Path) -> None:
    machine = vm.Machine("vault-1", "br-local", "52:54:00:00:00:01", (vm.Disk("one"),))
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
    machine = vm.Machine("vault-1", "br-local", "52:54:00:00:00:01", (vm.Disk("one"), vm.Disk("two", present=False)))
    (folder / "machine.json").write_bytes(msgspec.json.encode(machine))
    assert control.with_new_disks(lab, before, spec(disks=["one", "three"], disk_mib=16)) == before
    # A disk that was pulled, or is no longer named, stays as it is.
    assert vm.machine(folder).disks == (*machine.disks, vm.Disk("three"))
    assert (folder / "three.nvme").stat().st_size == 16 << 20
    for other in ({"address": "10.30.0.14"}, {"kind": "nspawn"}, {"user": "root"}):
        with pytest.raises(Refused, match="lose its disks"):
            control.with_new_disks(lab, before, spec(**other))
