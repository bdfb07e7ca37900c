#!/usr/bin/python
"""The facts that the roles use, and no others: which system this is, and what installs packages and runs services."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: system_facts
short_description: gather what the roles use
description:
  - Takes the place of M(ansible.builtin.setup) as the module of facts (C(facts_modules) in C(ansible.cfg)), and gives
    its facts the same names and values. That one loads a hundred modules of Python to answer any question, which is
    most of what a run costs a host where nothing has changed.
  - C(distribution), C(distribution_version) and C(distribution_major_version) come from C(/etc/os-release), C(pkg_mgr)
    is the first of the system's own programs that is there, C(service_mgr) is C(systemd) or what process 1 is called,
    C(architecture) is the processor as the kernel calls it, C(python_version) what this runs on.
"""

#: By the ID of os-release; others are called what os-release calls them (NAME).
NAMES = {"debian": "Debian", "ubuntu": "Ubuntu"}
#: In this order: a system that has dnf keeps a program called yum beside it, and apt can be installed anywhere.
MANAGERS = (
    ("dnf", "/usr/bin/dnf"),
    ("yum", "/usr/bin/yum"),
    ("zypper", "/usr/bin/zypper"),
    ("apt", "/usr/bin/apt-get"),
)


def release(text: str) -> dict[str, str]:
    """Return the variables of an os-release file."""
    return {key: value.strip("\"'") for key, value in re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE)}


def facts(root: Path) -> dict[str, str]:
    """Return the facts of the system below ``root``."""
    found = release((root / "etc/os-release").read_text())
    system, version = found.get("ID", ""), found.get("VERSION_ID", "")
    debian = root / "etc/debian_version"
    if system == "debian" and debian.is_file() and re.match(r"\d", minor := debian.read_text().strip()):
        version = minor  # 12.5, where os-release says 12
    managers = [name for name, program in MANAGERS if (root / program.lstrip("/")).exists()]
    like_debian = "debian" in (system, *found.get("ID_LIKE", "").split())
    return {
        "distribution": NAMES.get(system, found.get("NAME", system)),
        "distribution_version": version,
        "distribution_major_version": version.split(".")[0],
        "pkg_mgr": "apt" if like_debian and "apt" in managers else managers[0] if managers else "unknown",
        "architecture": os.uname().machine,
        "python_version": ".".join(str(it) for it in sys.version_info[:3]),
        "service_mgr": "systemd"
        if (root / "run/systemd/system").is_dir()
        else (root / "proc/1/comm").read_text().strip(),
    }


def main() -> None:
    """Return the facts of this host."""
    module = AnsibleModule({}, supports_check_mode=True)
    try:
        module.exit_json(changed=False, ansible_facts=facts(Path("/")))
    except OSError as error:
        module.fail_json(msg=f"what system this is cannot be told: {error}")


if __name__ == "__main__":
    main()
