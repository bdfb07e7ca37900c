"""A lab host's power button, its mains, and the slots of its disks."""

from __future__ import annotations

import subprocess

from dualtrack.core import waiting
from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.core.proc import last_line
from dualtrack.lab import control, life, vm
from dualtrack.lab.control import LabHost
from dualtrack.lab.state import Power

#: How long a host may show no sign of life until it is off, in seconds. systemd waits in silence for a
#: service that does not stop, 90 s.
SHUTDOWN_STALL_S = 120.0


def cut(name: str) -> LabHost:
    """Cut the power of a host: it is off at once, and what it had not written is lost. It stays off until `on`."""
    host = control.find(name)
    if host.state != "running":
        return host
    return _press(host, "cut", "stopped")


def off(name: str) -> LabHost:
    """Shut a host down in good order and wait until it is off."""
    host = control.find(name)
    if host.state != "running":
        return host
    words = control.exec_command(host.name, ["systemctl", "poweroff"])
    # ssh itself gives up on a host that says nothing any more (write_ssh_config).
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 255):  # 255: ssh, whose connection went down with the host
        raise External(f"{host.name} does not shut down: {last_line(done.stderr)}")
    return _wait(host, "stopped", SHUTDOWN_STALL_S)


def on(name: str) -> LabHost:
    """Switch a host on and wait until it takes ssh."""
    host = control.find(name)
    lab = control.store()
    if host.state != "running":
        _press(host, "on", "running")
    spec = next(spec for spec in lab.desired() if spec.name == host.name)
    return control.wait_host(lab, spec)


def pull(name: str, serial: str) -> str:
    """Pull a disk out of a virtual machine and return its serial number."""
    host = _machine(name)
    vm.pull(control.store().host_folder(host.name), serial)
    return serial


def insert(name: str, serial: str, *, blank_mib: int = 0) -> str:
    """Put a disk back into a virtual machine, or a new, empty one of ``blank_mib``; return its serial number."""
    host = _machine(name)
    vm.insert(control.store().host_folder(host.name), serial, blank_mib=blank_mib)
    return serial


def disks(name: str) -> list[vm.Disk]:
    """Return the disks of a virtual machine, also those that are pulled."""
    return list(vm.machine(control.store().host_folder(_machine(name).name)).disks)


def _machine(name: str) -> LabHost:
    host = control.find(name)
    if host.kind != "qemu":
        raise BadInput(
            f"{host.name} is a container and has no disks", hint="dualtrack lab host add NAME --kind qemu --disks 4"
        )
    return host


def _press(host: LabHost, wish: Power, then: str) -> LabHost:
    if host.instance_id:
        raise Refused(
            f"{host.name} is an emulated EC2 instance",
            hint="stop and start it through the AWS API: dualtrack lab status names the endpoint",
        )
    control.store().wish_power(host.name, wish)
    return _wait(host, then, 30)


def _wait(host: LabHost, state: str, stall: float) -> LabHost:
    lab = control.store()
    waiting.until(
        lambda: control.find(host.name).state == state, f"{host.name} to be {state}", stall=stall,
        progress=lambda: life.signs(lab, host.name), hint="dualtrack lab status",
        last=lambda: f"it is {control.find(host.name).state}; {life.last_words(lab, host.name)}",
    )  # fmt: skip
    return control.find(host.name)
