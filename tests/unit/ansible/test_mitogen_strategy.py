"""What the strategy changes in mitogen: an account that is only passed through is not prepared for modules."""

from __future__ import annotations

import importlib.util
from typing import Any

import ansible_mitogen.services
import ansible_mitogen.target
import pytest

from dualtrack.core import templates
from tests.conftest import ROOT


class Context:
    """An account that was connected to, and what was called there."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def call(self, function: Any, **_: Any) -> dict[str, str]:
        self.calls.append(function)
        return {"home_dir": "/"}


class Router:
    """Connects to anything."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []

    def ssh(self, **_: Any) -> Context:
        self.contexts.append(Context())
        return self.contexts[-1]

    sudo = ssh
    responder = None


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> ansible_mitogen.services.ContextService:
    # Undone afterwards: other tests get mitogen as it is.
    for name in ("get", "_connect"):
        monkeypatch.setattr(
            ansible_mitogen.services.ContextService, name, getattr(ansible_mitogen.services.ContextService, name)
        )
    for module in ("ansible_mitogen.module_finder", "mitogen.master"):
        monkeypatch.setattr(importlib.import_module(module), "compile", compile, raising=False)
    monkeypatch.setattr(templates, "keep_compiled", lambda: None)
    spec = importlib.util.spec_from_file_location("strategy", ROOT / "plugins/strategy/mitogen_linear.py")
    assert spec
    assert spec.loader
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    monkeypatch.setattr(ansible_mitogen.services, "_get_candidate_temp_dirs", list)
    return ansible_mitogen.services.ContextService(Router())


LOGIN = {"method": "ssh", "kwargs": {"hostname": "vault-1"}}
ROOT_THERE = {"method": "sudo", "kwargs": {"username": "root"}}


def test_only_the_last_account_is_prepared(service: Any) -> None:
    found = service.get([LOGIN, ROOT_THERE])
    login, root = service.router.contexts
    assert (found["context"], found["via"]) == (root, login)
    assert found["init_child_result"] == {"home_dir": "/"}
    assert (login.calls, root.calls) == ([], [ansible_mitogen.target.init_child])
    assert service.get([LOGIN, ROOT_THERE])["context"] is root, "connected once"


def test_login_account_runs_modules_where_a_task_asks_for_it(service: Any) -> None:
    service.get([LOGIN, ROOT_THERE])
    found = service.get([LOGIN])
    assert found["context"].calls == [ansible_mitogen.target.init_child]
    assert found["init_child_result"] == {"home_dir": "/"}


def test_mitogen_still_serves_what_is_replaced(service: Any) -> None:
    assert service.get.mitogen_service__arg_spec == {"stack": list}
