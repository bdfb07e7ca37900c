"""What every role must have, and what no role may do."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from dualtrack.core.paths import ROOT

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
    # NVIDIA's repository has other names of packages for Ubuntu, where nobody has tried them.
    assert set(platforms) == ({"Debian"} if role.name == "gpu_driver" else {"Debian", "Ubuntu"})
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


def test_collection_is_of_the_packages_version_and_ansible() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    assert (galaxy["version"], galaxy["license"]) == (project["version"], [project["license"]])
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"]
    needed = next(it for it in project["dependencies"] if it.startswith("ansible-core"))
    assert needed == "ansible-core" + runtime.replace(".0,", ",").replace(".20.0", ".20")


def test_checkout_is_the_collection_too() -> None:
    site = ROOT / "ansible/collections/ansible_collections/dualtrack/site"
    for path in site.iterdir():
        assert path.resolve() == ROOT / path.name


@EACH
def test_plugins_of_the_collection_have_their_whole_names(role: Path) -> None:
    """Ansible looks for filters and lookups of a role in its collection only where they are named in full."""
    plugins = ROOT / "plugins"
    lookups = "|".join(path.stem for path in (plugins / "lookup").glob("*.py"))
    modules = "|".join({path.stem for kind in ("action", "modules") for path in (plugins / kind).glob("*.py")})
    filters = "|".join(
        name
        for path in (plugins / "filter").glob("*.py")
        for name in re.findall(r'^ +"(\w+)": \w+', path.read_text(), re.M)
    )
    assert not list(role.glob("*_plugins/*.py")), "an installed collection has plugins at its top only"
    assert not list(role.glob("library/*.py")), "an installed collection has modules at its top only"
    for path in [*role.glob("*/*.yml"), *role.glob("templates/*")]:
        if path.parent.name == "meta":
            continue
        text = path.read_text()
        assert not re.search(rf"\b(lookup|query)\('({lookups})'", text), path
        assert not re.search(rf"\|\s*({filters})\b", text), path
        if path.parent.name in ("tasks", "handlers"):
            assert not re.search(rf"^\s+({modules}):$", text, re.MULTILINE), path
