"""The units of work that the gate schedules: a linter, a package's unit tests, a test file, a scenario, a story."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

PARTS = ("lint", "unit", "integration", "molecule", "e2e")
#: The linters of ci/lint.sh by name.
LINTERS = (
    "ansible-lint", "checkov", "mypy", "terraform", "ruff", "ruff-format", "imports", "yamllint", "shellcheck",
    "generated-docs", "docs-site", "words",
)  # fmt: skip
#: The test file that the linter `terraform` runs: not a second time among the integration tests.
LINTED = "test_terraform_lint.py"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What runs as a whole and passes or fails as a whole.

    ``whole`` marks a unit whose input is the complete tree: linters keep caches of their own, so that what they open
    says nothing about what they depend on. ``roles`` are the roles that a scenario tests; each of their names means the
    scenario, too.
    """

    part: str
    name: str
    command: tuple[str, ...]
    junit: bool = False
    whole: bool = False
    roles: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The unit's name on the command line and in reports."""
        return f"{self.part}:{self.name}"

    @property
    def names(self) -> set[str]:
        """What names the unit on the command line: its id, its part, and an id for each of its roles."""
        return {self.id, self.part} | {f"{self.part}:{role}" for role in self.roles}


def file_name(unit: str) -> str:
    """Return what files and control groups of a unit are called after, given its id: no part of it is a directory."""
    return unit.replace(":", "-").replace("/", "-")


def discover(root: Path) -> list[Unit]:
    """Return every unit of the checkout at ``root``, in the order of its parts."""
    found = [Unit(part="lint", name=name, command=("ci/lint.sh", name), whole=True) for name in LINTERS]
    tests = root / "tests/unit"
    packages = sorted({path.parent for path in tests.rglob("test_*.py")})
    for package in packages:
        # pytest looks below a directory that it is given: where other packages are below, the files are named.
        nested = any(package in other.parents for other in packages)
        paths = sorted(package.glob("test_*.py")) if nested else [package]
        name = str(package.relative_to(tests))
        found.append(pytest_unit("unit", name, *(path.relative_to(root) for path in paths)))
    for part in ("integration", "e2e"):
        files = sorted((root / "tests" / part).glob("test_*.py"))
        found += [
            pytest_unit(part, path.stem.removeprefix("test_"), path.relative_to(root))
            for path in files
            if path.name != LINTED
        ]
    for path in sorted((root / "molecule").glob("*/molecule.yml")):
        name = path.parent.name
        # The same rule is in molecule/shared/verify.yml.
        roles = (name,) if (root / "roles" / name).is_dir() else applied(path.with_name("converge.yml"))
        found.append(Unit(part="molecule", name=name, command=("ci/scenario.sh", name), roles=roles))
    return sorted(found, key=lambda unit: PARTS.index(unit.part))


def applied(playbook: Path) -> tuple[str, ...]:
    """Return the roles that the plays of ``playbook`` apply."""
    return tuple(role["role"] for play in yaml.safe_load(playbook.read_text()) for role in play["roles"])


def pytest_unit(part: str, name: str, *paths: Path) -> Unit:
    """Return the unit that runs the tests at ``paths``, each of them timed."""
    command = (
        "python", "-m", "pytest", "-q", "-p", "ci.gate.steps", "-p", "no:cacheprovider", "--durations=0",
        "--durations-min=10", *map(str, paths),
    )  # fmt: skip
    return Unit(part=part, name=name, command=command, junit=True)
