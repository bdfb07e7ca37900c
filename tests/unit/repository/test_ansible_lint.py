"""ansible-lint checks the syntax of all files with one program, and of each alone where that fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PLAY = "---\n- name: Reach a host\n  hosts: all\n  gather_facts: false\n  tasks:\n    - name: Reach a host\n"
FILES = ("right.yml", "wrong.yml")
PING, COMMAND = "      ansible.builtin.ping:\n", "      ansible.builtin.command: id\n"


def test_a_playbook_with_a_wrong_task_is_found_beside_a_right_one(tmp_path: Path) -> None:
    (tmp_path / "right.yml").write_text(PLAY + PING)
    (tmp_path / "wrong.yml").write_text(PLAY + PING + COMMAND)
    done = subprocess.run(
        [sys.executable, ROOT / "ci/ansible_lint.py", "--offline", "--nocolor", "--format=pep8", "-q", *FILES],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    [line] = done.stdout.splitlines()
    assert "wrong.yml:6" in line
    assert "syntax-check" in line
