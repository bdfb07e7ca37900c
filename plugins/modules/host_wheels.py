#!/usr/bin/python
"""Python packages on a host, from wheels, in a directory of their own: whole or not there."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: host_wheels
short_description: unpack wheels into a directory
description:
  - Has a directory with what is in some wheels, for C(PYTHONPATH). A directory that is there is left as it is; call it
    after what is in it.
  - In a play C(wheels) are files on the controller, which sends them where the directory is not there
    (C(plugins/action)).
options:
  place:
    description: the directory
    type: path
    required: true
  wheels:
    description: files with the packages
    type: list
    elements: path
    default: []
  programs:
    description: files in the directory that everybody may run
    type: list
    elements: str
    default: []
"""


def unpack(wheels: list[str], place: Path, programs: list[str]) -> None:
    """Unpack beside the place, for everybody to read, and give it its name last."""
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    for left in place.parent.glob(".new-*"):  # by a run that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=place.parent) as work:
        new = Path(work, "lib")
        new.mkdir()
        for it in wheels:
            with zipfile.ZipFile(it) as packed:
                packed.extractall(new)
        for path in (new, *new.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        for name in programs:
            (new / name).chmod(0o755)
        new.rename(place)


def main() -> None:
    """Have the directory, or say whether it is there."""
    module = AnsibleModule(
        {
            "place": {"type": "path", "required": True},
            "wheels": {"type": "list", "elements": "path", "default": []},
            "programs": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    place, wheels = Path(module.params["place"]), module.params["wheels"]
    there = place.is_dir()
    if wheels and not there and not module.check_mode:
        unpack(wheels, place, module.params["programs"])
    module.exit_json(changed=bool(wheels) and not there, there=there)


if __name__ == "__main__":
    main()
