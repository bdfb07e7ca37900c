"""The driver that is installed is the one that is loaded, and CUDA starts with it."""

from __future__ import annotations

from typing import Any

import pytest

START = "import ctypes, sys; sys.exit(ctypes.CDLL('libcuda.so.1').cuInit(0) & 0xff)"


@pytest.fixture(autouse=True)
def own_kernel(host: Any) -> None:
    """Skip where the kernel is another machine's."""
    if host.run("systemd-detect-virt --container --quiet").rc == 0:
        pytest.skip("a container: the driver is the machine's")


def test_cuda_starts(host: Any) -> None:
    """cuInit succeeds; nvidia-smi answers also where it does not."""
    done = host.run("python3 -c %s", START)
    assert done.rc == 0, f"cuInit fails with {done.rc} (modulo 256): {done.stderr.strip()}"


def test_module_is_the_installed_one(host: Any) -> None:
    """No upgrade waits for a reboot."""
    loaded = host.run("cat /sys/module/nvidia/version").stdout.strip()
    # Debian calls the module's file nvidia-current. A driver that came otherwise than by packages may be nowhere there.
    installed = host.run("modinfo -F version nvidia || modinfo -F version nvidia-current")
    assert installed.rc != 0 or installed.stdout.strip() == loaded, f"{installed.stdout.strip()} waits for a reboot"


def test_nouveau_is_not_loaded(host: Any) -> None:
    """The open driver of others does not hold the GPUs."""
    assert host.run("test -d /sys/module/nouveau").rc != 0


def test_fabric_manager_has_the_driver_s_version(host: Any) -> None:
    """On machines with NVSwitches, to the last digit."""
    if host.run("grep -l 0x068000 /dev/null $(grep -l 0x10de /sys/bus/pci/devices/*/vendor | sed s,vendor$,class,)").rc:
        pytest.skip("no NVSwitch")
    version = host.run("nv-fabricmanager --version").stdout.split()[-1]
    assert version == host.run("cat /sys/module/nvidia/version").stdout.strip()
    assert host.run("systemctl is-active nvidia-fabricmanager").rc == 0
