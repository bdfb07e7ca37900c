#!/usr/bin/python
"""A Python environment on a host, from a lock with digests: whole, or made anew."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: python_environment
short_description: make a Python environment from a lock
description:
  - Makes a virtual environment with exactly what a lock names, each file held against its digest. The host itself
    downloads the packages from an index.
  - An environment that is whole is left as it is; call its directory after its lock. What an interrupted run left is
    made anew.
  - With C(state=absent), removes environments of a directory that nothing names any more and no process uses.
options:
  state:
    description: whether an environment is made, or others are removed
    type: str
    choices: [present, absent]
    default: present
  place:
    description: the directory of the environment; with C(state=absent), the directory in which environments are
    type: path
    required: true
  keep:
    description: with C(state=absent), the environments that stay
    type: list
    elements: path
    default: []
  lock:
    description: the text of a requirements file in which every package has a version and digests
    type: str
    default: ""
  index_url:
    description: the package index (PEP 503), such as a mirror's; pip's own settings on the host without it
    type: str
    default: ""
"""

#: In the environment when all of the lock is installed.
WHOLE = ".whole"


class Failed(Exception):
    """The environment could not be made; says why in a line."""


def make(place: Path, lock: str, index: str) -> None:
    """Make the environment in its place: programs in it name the directory, so it cannot be moved there when whole."""
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _run(["/usr/bin/python3", "-m", "venv", str(place)], {})
    work = place / ".work"  # on the same file system: /tmp may be smaller than one of the packages
    work.mkdir()
    (work / "lock.txt").write_text(lock)
    index_of = {"PIP_INDEX_URL": index, "PIP_CONFIG_FILE": os.devnull} if index else {}
    words = [str(place / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
             "--no-cache-dir", "--no-deps", "--require-hashes", "--only-binary=:all:",
             f"--requirement={work / 'lock.txt'}"]  # fmt: skip
    _run(words, {"TMPDIR": str(work), **index_of})
    shutil.rmtree(work)
    (place / WHOLE).touch()


def unused(place: Path, keep: list[str]) -> list[Path]:
    """Return the environments in a directory that are not to stay, and that no process has loaded from."""
    others = [it.parent for it in place.glob("*/pyvenv.cfg") if str(it.parent) not in keep]
    return [it for it in others if not _used(it)]


def _used(environment: Path) -> bool:
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if f"{environment}/" in maps.read_text(errors="replace"):
                return True
        except OSError:  # the process has ended
            continue
    return False


def _run(words: list[str], more: dict[str, str]) -> None:
    """Run a program whose files everybody may read; Failed with what it says where it fails."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        words, env={**environment, **more}, capture_output=True, text=True, errors="replace", check=False, umask=0o022
    )
    if done.returncode != 0:
        said = [it for it in (done.stderr + done.stdout).splitlines() if it.strip()]
        wrong = [it for it in said if it.startswith("ERROR")] or said
        raise Failed(" ".join(it.strip() for it in wrong[:3]) or f"{words[0]} ended with {done.returncode}")


def main() -> None:
    """Make the environment, or say whether it is there."""
    module = AnsibleModule(
        {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "place": {"type": "path", "required": True},
            "keep": {"type": "list", "elements": "path", "default": []},
            "lock": {"type": "str", "default": ""},
            # An address may hold a password.
            "index_url": {"type": "str", "default": "", "no_log": True},
        },
        required_if=[("state", "present", ["lock"])],
        supports_check_mode=True,
    )
    place = Path(module.params["place"])
    if module.params["state"] == "absent":
        found = unused(place, module.params["keep"])
        for it in [] if module.check_mode else found:
            shutil.rmtree(it)
        module.exit_json(changed=bool(found), removed=[str(it) for it in found])
    there = (place / WHOLE).is_file()
    if not there and not module.check_mode:
        try:
            make(place, module.params["lock"], module.params["index_url"])
        except (Failed, OSError) as error:
            module.fail_json(msg=f"cannot make the Python environment {place}: {error}")
    module.exit_json(changed=not there)


if __name__ == "__main__":
    main()
