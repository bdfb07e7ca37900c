"""Reading an inventory as Ansible does: by `ansible-inventory`'s own code, in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.core.paths import ROOT, environment
from dualtrack.core.proc import last_line, run

#: What `ansible-inventory --list` prints.
Inventory = dict[str, Any]


def read_inventory(inventories: Sequence[Path]) -> Inventory:
    """Return what `ansible-inventory --list` says of the sources together, the variables as plays see them."""
    for path in inventories:
        if not path.exists():
            raise BadInput(f"no such inventory: {path}")
    words = [sys.executable, "-m", "dualtrack.inventory.hostvars", *(str(path.resolve()) for path in inventories)]
    done = run(
        words, cwd=ROOT / "ansible", check=False,
        env={"ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg"), "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
             "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true", "ANSIBLE_NOCOLOR": "true", **environment()},
    )  # fmt: skip
    if done.returncode != 0:
        raise BadInput(f"the inventory cannot be read: {last_line(done.stderr)}")
    try:
        return msgspec.json.decode(done.stdout, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadInput(f"the inventory cannot be read: {error}") from None
