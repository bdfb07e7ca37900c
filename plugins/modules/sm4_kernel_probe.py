#!/usr/bin/python
"""Which kernels are installed, which of them have SM4, and which implementation of it the running one uses."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: sm4_kernel_probe
short_description: ask the installed kernels for SM4
description: Changes nothing, but for loading the module sm4 where it is asked to.
options:
  load:
    description: load the cipher into the running kernel first
    type: bool
    default: false
"""


def has_sm4(folder: Path) -> bool:
    """Tell whether a kernel has the cipher, as a module or built in."""
    named = (folder / name for name in ("modules.builtin", "modules.dep"))
    return any(re.search(r"/sm4_generic\.ko", file.read_text()) for file in named if file.is_file())


def implementation(crypto: str) -> str:
    """Return the driver of SM4 in ECB mode (what XTS is made of) with the highest priority in /proc/crypto."""
    best, driver = -1, ""
    for entry in crypto.split("\n\n"):
        fields = dict(re.findall(r"^(\S+)\s+: (.*)$", entry, re.MULTILINE))
        if fields.get("name") in ("ecb(sm4)", "sm4") and int(fields.get("priority", -1)) > best:
            best, driver = int(fields["priority"]), fields["driver"]
    return driver


def main() -> None:
    """Look, and return what was found."""
    module = AnsibleModule({"load": {"type": "bool", "default": False}}, supports_check_mode=True)
    kernels = {
        folder.name: has_sm4(folder)
        for folder in sorted(Path("/lib/modules").glob("*"))
        if (folder / "kernel").is_dir() or (folder / "build").exists()
    }
    if module.params["load"] and kernels.get(platform.release()):
        module.run_command(["modprobe", "--quiet", "--all", "sm4_generic", "sm3_generic", "sm4-aesni-avx2-x86_64"])
    secure = module.get_bin_path("mokutil")
    state = module.run_command([secure, "--sb-state"])[1] if secure else ""
    module.exit_json(
        changed=False,
        kernels=kernels,
        running=platform.release() if platform.release() in kernels else "",
        implementation=implementation(Path("/proc/crypto").read_text()),
        secure_boot="enabled" in state,
    )


if __name__ == "__main__":
    main()
