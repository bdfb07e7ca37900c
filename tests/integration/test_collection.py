"""The repository's root as the collection dualtrack.site: built, installed somewhere else, and used from there."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
import yaml

from dualtrack.core.paths import ROOT
from tests.conftest import CLI, Cli

GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text())
#: All that an installed collection may have at its top.
HOLDS = {
    "CHANGELOG.md", "FILES.json", "LICENSE", "MANIFEST.json", "README.md", "meta", "plugins", "pyproject.toml",
    "requirements", "roles", "tools",
}  # fmt: skip
#: A role that includes another one, and a role with a link to a file of the Python package; plugins of all kinds.
PLAY = """
- hosts: all
  become: true
  roles:
    - role: dualtrack.site.access
      vars:
        access_groups: [dualtrack-people]
        access_people: [{name: lin, uid: 2001, groups: [dualtrack-people], ssh_keys: []}]
    - role: dualtrack.site.spot_guard
  tasks:
    - name: Ask a filter and a lookup, which need the Python package
      ansible.builtin.assert:
        that:
          - "[] | dualtrack.site.raid_problems == []"
          - lookup('dualtrack.site.artifact', 'opensearch', fetch=false).sha256 | length == 64
"""


def ansible(program: str, folder: Path, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Ansible's in a directory with its own settings: nothing names the checkout."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    (folder / "ansible.cfg").touch()
    env |= {"ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1", **more}
    return subprocess.run(
        [CLI.parent / program, *map(str, words)], env=env, cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    done = ansible("ansible-galaxy", folder, "collection", "build", ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    [found] = folder.glob("*.tar.gz")
    return found


@pytest.fixture(scope="module")
def installed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    done = ansible("ansible-galaxy", folder, "collection", "install", "--offline", "-p", folder / "there", archive)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "there"


def play(installed: Path, folder: Path, text: str, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
    (folder / "play.yml").write_text(text)
    more["ANSIBLE_COLLECTIONS_PATH"] = str(installed)
    return ansible("ansible-playbook", folder, *words, "play.yml", **more)


def test_archive_holds_what_a_collection_has_and_nothing_of_the_checkout(archive: Path) -> None:
    assert archive.name == f"dualtrack-site-{GALAXY['version']}.tar.gz"
    with tarfile.open(archive) as packed:
        names = set(packed.getnames())
        links = [it for it in packed.getmembers() if it.issym()]
    assert {it.split("/")[0] for it in names} == HOLDS, "name what does not belong there in galaxy.yml, build_ignore"
    assert {it.split("/")[1] for it in names if it.startswith("tools/")} == {"dualtrack"}
    assert not [it for it in names if it.endswith(".pyc")]
    assert links
    for link in links:
        assert os.path.normpath(Path(link.name).parent / link.linkname) in names, link.name


def test_every_role_is_read_from_the_collection(installed: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in (installed / "ansible_collections/dualtrack/site/roles").iterdir())
    assert names == sorted(path.name for path in (ROOT / "roles").iterdir())
    every = ", ".join(f"dualtrack.site.{name}" for name in names)
    done = play(
        installed, tmp_path, f"- hosts: all\n  roles: [{every}]\n", "--inventory", "localhost,", "--syntax-check"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_role_of_the_collection_configures_a_host_and_then_changes_nothing(
    lab: Cli, installed: Path, tmp_path: Path
) -> None:
    lab("lab", "host", "add", "node1")
    words = ("--inventory", "node1,", "--user", "ops", f"--ssh-common-args=-F{lab.folder}/ssh/config")
    # The socket of a connection that is used again has a short path.
    with tempfile.TemporaryDirectory(prefix="dtc-") as sockets:
        for changes in (True, False):
            done = play(installed, tmp_path, PLAY, *words, ANSIBLE_SSH_CONTROL_PATH_DIR=sockets)
            assert done.returncode == 0, done.stdout + done.stderr
            counts = re.search(r"^node1 .* changed=(\d+) ", done.stdout, re.MULTILINE)
            assert counts, done.stdout
            assert (int(counts.group(1)) > 0) is changes, done.stdout
    assert lab("lab", "exec", "node1", "--", "systemctl", "is-active", "spot-guard").stdout.strip() == "active"
    assert "dualtrack-people" in lab("lab", "exec", "node1", "--", "id", "lin").stdout


#: Python finds no package dualtrack, as on a controller that has the collection alone.
WITHOUT = """
import sys
sys.path[:] = [it for it in sys.path if not it.endswith({tools!r})]
"""


@pytest.mark.parametrize(
    "use",
    [
        "ansible.builtin.debug: {msg: \"{{ [] | dualtrack.site.raid_problems }}\"}",
        "ansible.builtin.debug: {msg: \"{{ lookup('dualtrack.site.artifact', 'opensearch') }}\"}",
        "dualtrack.site.host_program: {start: /x, folder: /y, python: '3.11', machine: x86_64}",
    ],
    ids=["filter", "lookup", "action"],
)  # fmt: skip
def test_controller_without_the_package_is_told_how_to_get_it(installed: Path, tmp_path: Path, use: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT.format(tools=str(ROOT / "tools")))
    text = f"- hosts: all\n  gather_facts: false\n  tasks:\n    - {use}\n"
    done = play(installed, tmp_path, text, "-i", "localhost,", "-c", "local", PYTHONPATH=str(tmp_path))
    assert done.returncode != 0
    home = installed / "ansible_collections/dualtrack/site"
    said = f"the Python package dualtrack is missing beside Ansible on this machine: pip install -e {home}"
    assert said in done.stdout + done.stderr
