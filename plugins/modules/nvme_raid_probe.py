#!/usr/bin/python
"""What a host says of its arrays and of the disks that are named, as its own tools print it. Changes nothing."""

from __future__ import annotations

import re
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: nvme_raid_probe
short_description: read the state of software RAID and of disks
description: Returns raw outputs; what they mean is decided where it can be tested (tools/dualtrack/hosts/raid).
options:
  disks:
    description: stable names of disks (/dev/disk/by-id/...)
    type: list
    elements: str
    default: []
"""


def main() -> None:
    """Run the tools and return what they print."""
    module = AnsibleModule({"disks": {"type": "list", "elements": "str", "default": []}}, supports_check_mode=True)

    def output(*words: str) -> str:
        code, out, _ = module.run_command(list(words))
        return out if code == 0 else ""

    try:
        mdstat = Path("/proc/mdstat").read_text()
    except OSError:  # the md module is not loaded: no array runs
        mdstat = ""
    arrays = re.findall(r"^(md\S+) :", mdstat, re.MULTILINE)
    disks = [disk for disk in module.params["disks"] if Path(disk).exists()]
    module.exit_json(
        changed=False,
        links={disk: Path(disk).resolve().name if disk in disks else "" for disk in module.params["disks"]},
        mdstat=mdstat,
        details={name: output("mdadm", "--detail", "--export", "/dev/" + name) for name in arrays},
        examines={disk: output("mdadm", "--examine", "--export", disk) for disk in disks},
        signatures={
            **{disk: output("wipefs", "--json", "--no-act", disk) for disk in disks},
            **{name: output("wipefs", "--json", "--no-act", "/dev/" + name) for name in arrays},
        },
        lsblk=output("lsblk", "--json", "--bytes", "--output", "NAME,KNAME,SIZE,MOUNTPOINTS"),
    )


if __name__ == "__main__":
    main()
