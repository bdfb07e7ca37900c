#!/usr/bin/python
"""NVIDIA's hardware on the PCI bus, the driver's versions, and whether CUDA starts."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: gpu_driver_probe
short_description: ask a host for its GPUs and their driver
description: Changes nothing.
options:
  cuda:
    description: also initialize CUDA, in a process of its own
    type: bool
    default: false
"""
RETURN = """
kernel:
  description: the release of the kernel that runs
  type: str
  returned: always
gpus:
  description: GPUs of NVIDIA on the PCI bus
  type: int
  returned: always
switches:
  description: NVSwitches on the PCI bus
  type: int
  returned: always
loaded:
  description: the version of the driver that is loaded; empty where none is
  type: str
  returned: always
installed:
  description: the version of the module that is installed for the kernel that runs; empty where there is none
  type: str
  returned: always
nouveau:
  description: whether nouveau is loaded
  type: bool
  returned: always
container:
  description: whether the host is a container, whose kernel is another machine's
  type: bool
  returned: always
secure_boot:
  description: whether Secure Boot is on
  type: bool
  returned: always
key_enrolled:
  description: whether the key with which DKMS signs modules is enrolled
  type: bool
  returned: always
cuda:
  description: what cuInit returned, 0 where CUDA works; -1 where libcuda cannot be loaded
  type: int
  returned: when cuda is true
cuda_said:
  description: the error's name, or why libcuda cannot be loaded
  type: str
  returned: when cuda is true
"""

NVIDIA = "0x10de"
#: The module's file, as NVIDIA's packages and Debian's call it.
MODULES = ("nvidia", "nvidia-current")
#: PCI classes (https://pcisig.com, class code assignment): VGA and 3D controllers; other bridges, as NVSwitches are.
DISPLAY, BRIDGE = ("0x0300", "0x0302"), ("0x0680",)
#: The variable of UEFI that says whether Secure Boot is on: four bytes of attributes, then a byte.
SECURE_BOOT = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
MOK = Path("/var/lib/dkms/mok.pub")
INITIALIZE = """
import ctypes
try:
    cuda = ctypes.CDLL("libcuda.so.1")
except OSError as error:
    raise SystemExit(f"-1 {error}")
code, name = cuda.cuInit(0), ctypes.c_char_p()
if not hasattr(cuda, "cuGetErrorName") or cuda.cuGetErrorName(code, ctypes.byref(name)) or not name.value:
    name.value = f"error {code}".encode()
raise SystemExit(f"{code} {name.value.decode()}")
"""


def devices(root: Path, classes: tuple[str, ...]) -> int:
    """Return how many devices of NVIDIA of some classes are below ``root`` (/sys/bus/pci/devices)."""
    found = 0
    for it in root.glob("*"):
        try:
            vendor, kind = (it / "vendor").read_text().strip(), (it / "class").read_text().strip()
        except OSError:  # it was pulled out
            continue
        found += vendor == NVIDIA and kind.startswith(classes)
    return found


def secure_boot(root: Path) -> bool:
    """Tell whether Secure Boot is on, by the firmware's variables below ``root`` (/sys/firmware/efi/efivars)."""
    try:
        return (root / SECURE_BOOT).read_bytes()[4:5] == b"\1"
    except OSError:  # no UEFI
        return False


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def main() -> None:
    """Look, and return what was found."""
    module = AnsibleModule({"cuda": {"type": "bool", "default": False}}, supports_check_mode=True)
    mokutil = module.get_bin_path("mokutil")
    modinfo = module.get_bin_path("modinfo", opt_dirs=["/sbin", "/usr/sbin"])
    release = platform.release()
    found_versions = [
        out.strip()
        for name in MODULES
        if modinfo
        for code, out, _ in [module.run_command([modinfo, "-k", release, "-F", "version", name])]
        if code == 0
    ]
    pci = Path("/sys/bus/pci/devices")
    found = {
        "kernel": release,
        "gpus": devices(pci, DISPLAY),
        "switches": devices(pci, BRIDGE),
        "loaded": _text("/sys/module/nvidia/version"),
        "installed": next(iter(found_versions), ""),
        "nouveau": Path("/sys/module/nouveau").is_dir(),
        "container": bool(_text("/run/systemd/container")),
        "secure_boot": secure_boot(Path("/sys/firmware/efi/efivars")),
        "key_enrolled": bool(mokutil) and MOK.is_file()
        and "already enrolled" in module.run_command([mokutil, "--test-key", str(MOK)])[1],
    }  # fmt: skip
    if module.params["cuda"]:
        said = module.run_command([sys.executable, "-c", INITIALIZE])[2].strip().splitlines()
        code, _, name = (said[-1] if said else "-1 it ended without a word").partition(" ")
        found |= {"cuda": int(code) if code.lstrip("-").isdigit() else -1, "cuda_said": name or code}
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
