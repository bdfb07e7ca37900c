"""Variables of a role's former name: preflight names those that are still set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

ROLES = Path(__file__).parents[3] / "roles"
FORMER = {"opensearch": "elk", "log_forwarding": "logs"}


@pytest.fixture(scope="module", autouse=True)
def plugins() -> None:
    """Ansible's own lookups and tests."""
    init_plugin_loader()


def found(role: str, **settings: Any) -> Any:
    """Return the variables of the former name that a host of a role has."""
    loader = DataLoader()
    variables = loader.load_from_file(str(ROLES / role / "vars/main.yml"), trusted_as_template=True)
    return Templar(loader, variables={**variables, **settings}).template(variables[f"__{role}_former"])


@pytest.mark.parametrize(("role", "name"), FORMER.items())
def test_variables_of_the_former_name_are_found(role: str, name: str) -> None:
    assert found(role, **{f"{name}_x": 1, f"my_{name}_x": 1, f"__{name}_x": 1, f"{role}_x": 1}) == [f"{name}_x"]


@pytest.mark.parametrize("role", FORMER)
def test_preflight_checks_them_first(role: str) -> None:
    first = DataLoader().load_from_file(str(ROLES / role / "tasks/preflight.yml"))[0]
    assert first["ansible.builtin.assert"]["that"] == f"__{role}_former | length == 0"
    assert f"now named {role}_*" in first["ansible.builtin.assert"]["fail_msg"]
