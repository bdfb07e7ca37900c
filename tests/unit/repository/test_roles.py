"""What every role must have, and what no role may do."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from dualtrack.paths import ROOT

ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
#: A system's release by its version, as galaxy names it.
RELEASES = {"12": "bookworm", "22.04": "jammy", "24.04": "noble"}
EACH = pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)


@EACH
def test_role_is_whole(role: Path) -> None:
    for name in (
        "meta/argument_specs.yml", "meta/main.yml", "defaults/main.yml", "tasks/main.yml", "tasks/preflight.yml",
        "README.md", f"verify/test_{role.name}.py",
    ):  # fmt: skip
        assert (role / name).is_file(), name
    assert (ROOT / "molecule" / role.name / "molecule.yml").is_file()


@EACH
def test_defaults_are_those_of_the_specs(role: Path) -> None:
    options = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    assert defaults == {name: option["default"] for name, option in options.items() if "default" in option}
    assert all(name.startswith(f"{role.name}_") for name in options)
    assert all(option.get("description") for option in options.values())


@EACH
def test_meta_describes_the_role_as_its_specs_do(role: Path) -> None:
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    meta = yaml.safe_load((role / "meta/main.yml").read_text())
    info = meta["galaxy_info"]
    assert (info["role_name"], info["description"]) == (role.name, specs["short_description"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert info["license"] == project["license"]
    wanted = next(it for it in project["dependencies"] if it.startswith("ansible-core"))
    assert f">={info['min_ansible_version']}," in wanted
    assert meta["dependencies"] == [], "a role of another one is included where it is needed"


@EACH
def test_platforms_are_those_that_the_role_accepts(role: Path) -> None:
    info = yaml.safe_load((role / "meta/main.yml").read_text())["galaxy_info"]
    platforms = {it["name"]: it["versions"] for it in info["platforms"]}
    accepted = yaml.safe_load((role / "vars/main.yml").read_text()).get(f"__{role.name}_by_system")
    if accepted is not None:
        names = {it: [RELEASES[str(version)] for version in found["versions"]] for it, found in accepted.items()}
        assert platforms == names
    assert set(platforms) == {"Debian", "Ubuntu"}
    assert platforms["Debian"] == ["bookworm"]


@EACH
def test_role_names_no_group_and_ignores_no_error(role: Path) -> None:
    for path in [*role.glob("tasks/*.yml"), *role.glob("handlers/*.yml"), *role.glob("templates/*")]:
        text = path.read_text()
        assert not re.search(r"\b(groups\[|group_names|ignore_errors|ansible\.builtin\.shell)", text), path


def test_readmes_are_those_of_the_specs() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "ci/role_docs.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@EACH
def test_every_check_says_what_it_holds(role: Path) -> None:
    text = (role / f"verify/test_{role.name}.py").read_text()
    for head in re.findall(r"def test_\w+\([^)]*\)[^:]*:\n(.*)", text):
        assert head.strip().startswith('"""'), head


def test_no_variable_of_a_role_is_set_for_a_group_that_does_not_exist() -> None:
    declared = set(yaml.safe_load((ROOT / "inventories/common/groups.yml").read_text())["all"]["children"]) | {"all"}
    for path in (ROOT / "inventories").glob("*/group_vars/*.yml"):
        assert path.stem in declared or path.stem.startswith(("pool_", "zone_")), path
