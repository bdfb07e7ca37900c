"""docs/ARCHITECTURE.md says what import-linter holds, and the tree is as small as it says."""

from __future__ import annotations

import re
import tomllib

from dualtrack.core.paths import ROOT

PACKAGE = ROOT / "tools/dualtrack"


def layers() -> list[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [found] = [it["layers"] for it in contracts if it["type"] == "layers"]
    return list(found)


def test_page_lists_the_layers_of_the_contract() -> None:
    text = (ROOT / "docs/ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", text, re.MULTILINE)
    wanted = layers()
    assert rows == [(str(len(wanted) - place), name) for place, name in enumerate(wanted)]


def test_contract_has_every_package_and_there_are_few() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == set(layers())
    assert len(packages) <= 14
    assert [path.name for path in PACKAGE.glob("*.py")] == ["__init__.py"]


def test_only_the_command_line_imports_the_lab() -> None:
    """The contract allows it by order alone: `cli` is the one layer above the lab."""
    assert layers()[:2] == ["cli", "lab"]


#: Directories of unit tests of what is not a package: roles and plugins, the gate, the repository, tests/support.
OTHERS = {"ansible", "gate", "repository", "support"}


def test_unit_tests_lie_as_the_packages_that_they_test() -> None:
    tests = ROOT / "tests/unit"
    directories = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    strange = [str(it) for it in directories if str(it) not in OTHERS and not (PACKAGE / it / "__init__.py").exists()]
    assert strange == []
