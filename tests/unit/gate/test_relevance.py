"""What a change to a path can break, from what units opened when they last passed."""

from __future__ import annotations

from pathlib import Path

import pytest
from ci.gate.__main__ import arguments
from ci.gate.relevance import order
from ci.gate.results import Result, Results
from ci.gate.units import Unit

UNITS = {
    "molecule:base": {"roles/base/tasks/main.yml", "roles/base/", "roles/", ""},
    "e2e:site": {"roles/base/tasks/main.yml", "roles/slurm/tasks/main.yml", "roles/base/", "roles/slurm/", ""},
    "unit:hosts/raid": {"tools/dualtrack/hosts/raid/plan.py", "tools/dualtrack/hosts/raid/", "tools/dualtrack/", ""},
    "lint:ruff": {"roles/base/tasks/main.yml", "roles/slurm/tasks/main.yml", "tools/dualtrack/hosts/raid/plan.py", ""},
}  # fmt: skip


@pytest.fixture
def units(tmp_path: Path) -> list[Unit]:
    found = []
    for name, inputs in UNITS.items():
        part, _, short = name.partition(":")
        found.append(Unit(part=part, name=short, command=("true",), whole=part == "lint"))
        result = Result(0, 1, 1, "none", "m", dict.fromkeys(inputs, "x"), (), "d")
        Results(tmp_path / "results").save(name, result)
    for path in (
        "roles/base/tasks/main.yml",
        "roles/slurm/tasks/main.yml",
        "tools/dualtrack/hosts/raid/plan.py",
        "docs/a.md",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return found


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("roles/base/tasks/main.yml", ["molecule:base", "e2e:site", "lint:ruff"]),
        ("roles/base", ["molecule:base", "e2e:site", "lint:ruff"]),
        ("roles/slurm/tasks/main.yml", ["e2e:site", "lint:ruff"]),
        ("tools/dualtrack/hosts/raid/plan.py", ["unit:hosts/raid", "lint:ruff"]),
        ("docs/a.md", []),
        ("roles/base/handlers.yml", ["molecule:base", "e2e:site"]),  # not there yet: may be looked up by name
    ],
)
def test_units_that_opened_a_path_run_the_most_specific_first(
    units: list[Unit], tmp_path: Path, path: str, expected: list[str]
) -> None:
    found, ranks = order(units, [path], Results(tmp_path / "results"), tmp_path)
    assert [unit.id for unit in found] == expected
    assert sorted(ranks, key=lambda name: -ranks[name]) == expected


def test_a_unit_that_never_passed_may_depend_on_anything_and_comes_last(units: list[Unit], tmp_path: Path) -> None:
    new = Unit(part="integration", name="new", command=("true",))
    found, _ = order([new, *units], ["tools/dualtrack/hosts/raid/plan.py"], Results(tmp_path / "results"), tmp_path)
    assert [unit.id for unit in found] == ["unit:hosts/raid", "lint:ruff", "integration:new"]


def test_a_unit_that_is_named_after_the_path_comes_first(tmp_path: Path) -> None:
    names = ("volume", "hosts/volume/a", "osts/raid", "hosts/raid", "raid/plan")
    units = [Unit(part="unit", name=name, command=("true",)) for name in names]
    found, _ = order(units, ["tools/dualtrack/hosts/raid/plan.py"], Results(tmp_path / "results"), tmp_path)
    assert [unit.name for unit in found][:2] == ["hosts/raid", "raid/plan"]


@pytest.mark.parametrize("path", ["does/not/exist", "/etc/passwd", ""])
def test_a_path_that_cannot_be_of_the_checkout_is_wrong_usage(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gate", "--for", path])
    with pytest.raises(SystemExit, match="2"):
        arguments()


def test_a_file_that_is_gone_is_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gate", "--for", "roles/base/gone.yml"])
    assert arguments().paths == ["roles/base/gone.yml"]
