"""ansible-lint, with one syntax check of all playbooks and roles where it starts a program for each.

Those hundred starts were two fifths of its processor time. Only where the one check fails, each file is checked alone,
as ansible-lint does it, which says the file and the line.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import Any

import yaml
from ansiblelint import __main__, runner

# There is no other place where one program can take the place of many.
each_alone = runner.Runner._map_syntax_check_workers


def at_once(self: Any, worker: Any, files: list[Any]) -> list[Any]:
    """Return no findings where one check of all files succeeds, else those of each file."""
    roles = [{"import_role": {"name": str(it.path.expanduser())}} for it in files if it.kind == "role"]
    with tempfile.NamedTemporaryFile("w", prefix="roles-", suffix=".yml") as playbook:
        yaml.safe_dump([{"hosts": "localhost", "tasks": roles}], playbook)
        playbook.flush()
        words = [str(it.path.expanduser()) for it in files if it.kind == "playbook"]
        environment = {**self.app.runtime.environ, "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(
            ["ansible-playbook", "--syntax-check", playbook.name, *words],
            stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False,
        )  # fmt: skip
    return [] if done.returncode == 0 else each_alone(self, worker, files)


if __name__ == "__main__":
    runner.Runner._map_syntax_check_workers = at_once  # type: ignore[method-assign]
    sys.exit(__main__.main())
