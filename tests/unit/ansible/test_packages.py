"""What the module packages asks of a host, and what the action does where something is missing."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import pytest

from dualtrack.core.paths import ROOT


def plugin(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("packages", ROOT / "plugins" / path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


class Host:
    """Stands for the module's own view of a host whose dpkg knows some packages."""

    def __init__(self, states: dict[str, str] | None) -> None:
        self.states = states

    def get_bin_path(self, name: str) -> str | None:
        return None if self.states is None else f"/usr/bin/{name}"

    def run_command(self, words: list[str]) -> tuple[int, str, str]:
        assert self.states is not None
        names = words[3:]
        known = [self.states[it] for it in names if it in self.states]
        return int(len(known) < len(names)), "".join(f"{it}\n" for it in known), ""


@pytest.mark.parametrize(
    ("states", "there"),
    [
        ({"rsync": "installed", "curl": "installed"}, True),
        ({"rsync": "installed", "curl": "config-files"}, False),
        ({"rsync": "installed"}, False),
        (None, False),  # a system without dpkg
    ],
)
def test_all_must_be_installed(states: dict[str, str] | None, there: bool) -> None:
    assert plugin("modules/packages.py").installed(Host(states), ["rsync", "curl"]) is there


def test_nothing_is_always_there() -> None:
    assert plugin("modules/packages.py").installed(Host(None), [])


def action(there: bool, manager: str, **given: Any) -> tuple[dict[str, Any], list[tuple[str | None, dict[str, Any]]]]:
    """Run the action against a host; return its result, and the modules that it ran there."""
    found = object.__new__(plugin("action/packages.py").ActionModule)
    ran: list[tuple[str | None, dict[str, Any]]] = []

    def execute(name: str | None = None, *, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        assert task_vars
        ran.append((name, module_args))
        return {"changed": True} if name else {"changed": False, "there": there}

    found._task = type("Task", (), {"args": {"names": ["rsync"], **given}})
    found._execute_module = execute
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ansible.plugins.action.ActionBase.run", lambda *_: {})
        return found.run(None, {"ansible_facts": {"pkg_mgr": manager}}), ran


def test_package_manager_is_left_alone_where_all_is_there() -> None:
    result, ran = action(True, "apt")
    assert (result["changed"], result["there"], len(ran)) == (False, True, 1)


def test_missing_packages_are_installed_from_lists_that_are_read_anew() -> None:
    result, ran = action(False, "apt")
    assert (result["changed"], result["there"]) == (True, False)
    wanted = {"name": ["rsync"], "state": "present", "update_cache": True, "install_recommends": False}
    assert ran[1] == ("ansible.legacy.apt", wanted)


def test_recommended_packages_and_other_package_managers() -> None:
    assert "install_recommends" not in action(False, "apt", recommends=True)[1][1][1]
    assert action(False, "dnf")[1][1] == ("ansible.legacy.dnf", {"name": ["rsync"], "state": "present"})


def test_host_whose_facts_were_not_gathered() -> None:
    with pytest.raises(Exception, match="gather the facts of the host first"):
        action(False, "unknown")
