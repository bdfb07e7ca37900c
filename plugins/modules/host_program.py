#!/usr/bin/python
"""The archive of dualtrack's commands on this host: whole or not there, the newest one in use, the others gone."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: host_program
short_description: unpack the program and switch to it
description:
  - Unpacks an archive that `tools/dualtrack/hosts/bundle.py` made into a directory of its own, then turns the link
    C(current) to it. Directories of older ones are removed, but not one that is in use.
  - In a play it takes C(python) and C(machine), the host's version and processor, instead of C(digest). Then the
    controller makes the archive, and sends it where it is not there (C(plugins/action)).
  - Without C(archive) it only looks; C(there) says whether the program is whole, C(settled) whether nothing is to do.
options:
  start:
    description: a link to the launcher in use; its name says which commands it has, as dualtrack-audit
    type: path
    required: true
  folder:
    description: where the programs lie
    type: path
    required: true
  digest:
    description: which one shall be in use; the name of its directory
    type: str
    required: true
  archive:
    description: the archive on this host, removed when it is unpacked
    type: path
"""


def sound(home: Path) -> bool:
    """Return whether all files of a program are there in their sizes: a look, not a check of their content."""
    try:
        sizes = json.loads((home / "files.json").read_text())
        return all((home / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def nobody_uses(home: Path) -> Iterator[bool]:
    """Tell whether a program runs nowhere, and let nobody start it meanwhile; the launcher locks its directory."""
    handle = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)


def unpack(module: AnsibleModule, archive: Path, home: Path) -> None:
    """Unpack beside the place where it shall be, and move it there as a whole; a torn one goes."""
    with tempfile.TemporaryDirectory(prefix=".new-", dir=home.parent) as work:
        new = Path(work, "new")
        new.mkdir()
        new.chmod(0o755)
        # tar itself: Python's own takes three times as long for two thousand files.
        module.run_command(
            ["tar", "--extract", "--gzip", "--no-same-owner", "--file", str(archive), "--directory", str(new)],
            check_rc=True,
        )
        if not any(new.rglob("__pycache__")):  # made on a machine with another Python
            module.run_command(
                [sys.executable, "-I", "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash",
                 "-s", str(new), "-p", str(home), str(new / "lib")],
                check_rc=True,
            )  # fmt: skip
        if home.exists():
            home.rename(Path(work, "torn"))
        new.rename(home)


def names(link: Path, what: str) -> bool:
    """Return whether a link names something, which need not be there."""
    return link.is_symlink() and str(link.readlink()) == what


def turn(link: Path, name: str) -> None:
    """Let a link name another directory, from one moment to the next."""
    fresh = link.with_name(f".{link.name}-new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(name)
    fresh.rename(link)


def main() -> None:
    """Bring about what is wanted, or say what it would take."""
    module = AnsibleModule(
        {
            "start": {"type": "path", "required": True},
            "folder": {"type": "path", "required": True},
            "digest": {"type": "str", "required": True},
            "archive": {"type": "path"},
        },
        supports_check_mode=True,
    )
    folder, digest = Path(module.params["folder"]), module.params["digest"]
    if module.params["archive"] is not None and not module.check_mode:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    home, link, start = folder / digest, folder / "current", Path(module.params["start"])
    launcher = str(link / "dualtrack-store")
    there = sound(home)
    current = names(link, digest) and names(start, launcher)
    others = [it for it in folder.iterdir() if it.is_dir() and it.name not in (digest, "current")] if current else []
    if module.params["archive"] is None:
        module.exit_json(changed=False, there=there, settled=there and current and not others)
    if module.check_mode:
        module.exit_json(changed=not (there and current))
    archive = Path(module.params["archive"])
    if not there:
        unpack(module, archive, home)
    archive.unlink(missing_ok=True)
    if not current:
        turn(link, digest)
        turn(start, launcher)
    removed = []
    for old in [it for it in folder.iterdir() if it.is_dir() and not it.is_symlink() and it != home]:
        with nobody_uses(old) as idle:
            if idle:
                shutil.rmtree(old)
                removed.append(old.name)
    module.exit_json(changed=not there or not current or bool(removed), removed=removed)


if __name__ == "__main__":
    main()
