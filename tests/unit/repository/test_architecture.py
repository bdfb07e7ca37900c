"""docs/ARCHITECTURE.md says what import-linter holds, and the tree is as small as it says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from dualtrack.core.paths import ROOT

PACKAGE = ROOT / "tools/dualtrack"


def contracts() -> list[dict[str, Any]]:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return list(found)


def layers() -> list[str]:
    [found] = [it["layers"] for it in contracts() if it["type"] == "layers"]
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


def test_no_contract_has_an_exception() -> None:
    assert [it["name"] for it in contracts() if it.keys() & {"ignore_imports", "exhaustive_ignores"}] == []


def test_cycles_are_looked_for_in_every_package() -> None:
    [found] = [it["ancestors"] for it in contracts() if it["type"] == "acyclic_siblings"]
    assert sorted(found) == sorted(f"dualtrack.{name}" for name in layers())


def test_every_module_of_serving_is_in_its_contract() -> None:
    [found] = [it["source_modules"] for it in contracts() if it["name"].startswith("only the client of `serving`")]
    modules = {f"dualtrack.serving.{it.stem}" for it in (PACKAGE / "serving").glob("*.py")}
    assert set(found) == modules - {"dualtrack.serving.client", "dualtrack.serving.__init__"}


#: Modules that import by a name which is computed: what they import, import-linter does not see.
COMPUTED = {
    "tools/dualtrack/cli/groups.py": "a command's module of `cli`, when it is called",
    "tools/dualtrack/knowledge/parsing/child.py": "libraries of the parsers",
}


def test_no_import_hides_from_the_contracts() -> None:
    files = [
        it for it in PACKAGE.rglob("*.py") if re.search(r"import_module\(|__import__\(|run_module\(", it.read_text())
    ]
    assert {str(it.relative_to(ROOT)) for it in files} == COMPUTED.keys()


def test_nothing_that_an_operator_runs_imports_the_lab_but_the_command_line() -> None:
    found = [
        str(path.relative_to(ROOT))
        for folder in ("plugins", "roles", "ansible")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"dualtrack(\.| import )lab\b", path.read_text())
    ]
    assert found == []


#: Directories of unit tests of what is not a package: roles and plugins, the gate, the repository, tests/support.
OTHERS = {"ansible", "gate", "repository", "support"}


def test_unit_tests_lie_as_the_packages_that_they_test() -> None:
    tests = ROOT / "tests/unit"
    directories = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    packages = {path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py")} - {Path()}
    strange = [str(it) for it in directories - packages if str(it) not in OTHERS]
    assert strange == []
