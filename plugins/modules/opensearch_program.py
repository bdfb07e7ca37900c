#!/usr/bin/python
"""OpenSearch with its security plugin in a directory of its own: whole or not there, from pinned archives."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: opensearch_program
short_description: unpack OpenSearch and its security plugin
description:
  - Checks both archives against their SHA-256 and unpacks them into C(home); the archives are removed then.
  - A program that is there whole is left as it is.
options:
  home:
    description: the program's directory, named after what is in it
    type: path
    required: true
  program:
    description: the archive of the program
    type: path
    required: true
  program_sha256:
    description: its SHA-256
    type: str
    required: true
  security:
    description: the archive of the security plugin
    type: path
    required: true
  security_sha256:
    description: its SHA-256
    type: str
    required: true
"""


def main() -> None:
    """Bring it about, or say what it would take."""
    names = ("program", "security")
    module = AnsibleModule(
        {"home": {"type": "path", "required": True}}
        | {name: {"type": "path", "required": True} for name in names}
        | {f"{name}_sha256": {"type": "str", "required": True} for name in names},
        supports_check_mode=True,
    )
    home = Path(module.params["home"])
    if (home / ".complete").is_file() or module.check_mode:
        module.exit_json(changed=not (home / ".complete").is_file())
    archives = {name: Path(module.params[name]) for name in names}
    for name, path in archives.items():
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != module.params[f"{name}_sha256"]:
            module.fail_json(msg=f"{path} is not the pinned file: sha256 {found}; it was changed on its way")
    with tempfile.TemporaryDirectory(prefix=".new-", dir=home.parent) as work:
        for name, path in archives.items():
            with zipfile.ZipFile(path) as archive:
                archive.extractall(Path(work, name))
        (new,) = Path(work, "program").iterdir()
        Path(work, "security").rename(new / "plugins/opensearch-security")
        new.chmod(0o755)
        for path in new.rglob("*"):
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        (new / ".complete").touch()
        if home.exists():
            shutil.rmtree(home)
        new.rename(home)
    for path in archives.values():
        path.unlink()
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
