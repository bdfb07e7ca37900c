"""The pytest plugin of the test processes: gives the checks their host, and reports each result as an event.

Loaded by `-p dualtrack.verify.plugin`, with the plan in the file that DUALTRACK_VERIFY_PLAN names.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec
import pytest
from testinfra.host import Host

from dualtrack.verify.model import Shard
from dualtrack.verify.rootshell import RootShell

_SHARD = pytest.StashKey[Shard]()
_PIPE = pytest.StashKey[TextIO]()


def pytest_configure(config: pytest.Config) -> None:
    """Read the plan and open the pipe."""
    config.addinivalue_line("markers", "service(unit): prints the unit's journal when the check fails")
    config.stash[_SHARD] = msgspec.json.decode(Path(os.environ["DUALTRACK_VERIFY_PLAN"]).read_bytes(), type=Shard)
    config.stash[_PIPE] = os.fdopen(int(os.environ["DUALTRACK_EVENTS_FD"]), "w", encoding="utf-8", buffering=1)


def role_of(path: Path) -> str:
    """Return the role that a check file (roles/<role>/verify/test_<role>.py) belongs to."""
    return path.parent.parent.name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each check on every host of this process that has the check's role."""
    if "host" in metafunc.fixturenames:
        shard = metafunc.config.stash[_SHARD]
        role = role_of(Path(str(metafunc.module.__file__)))
        hosts = [name for name, roles in shard.roles.items() if role in roles]
        metafunc.parametrize("host", hosts, indirect=True, scope="session", ids=hosts)


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest) -> Iterator[Any]:
    """testinfra's host: commands run on it as root, over one shared ssh connection."""
    shard = request.config.stash[_SHARD]
    shell = RootShell(
        request.param, ["ssh", "-F", shard.ssh_config, request.param, "sudo -n /bin/sh"], shard.ssh_config
    )
    yield Host(shell)
    shell.close()


@pytest.fixture
def hostvars(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The host's variables over the role's defaults, as plays see them."""
    shard = request.config.stash[_SHARD]
    return shard.variables[request.node.callspec.params["host"]]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Tell the result of a check: its last phase, or the one that went wrong."""
    report: pytest.TestReport = yield
    if report.passed and report.when != "call":
        return report
    callspec = getattr(item, "callspec", None)
    name = callspec.params.get("host", "") if callspec else ""
    detail = report.longreprtext if report.failed else ""
    if report.failed and (marker := item.get_closest_marker("service")):
        detail += "\n" + journal(getattr(item, "funcargs", {}).get("host"), marker.args[0])
    event = {
        "host": name,
        "role": role_of(item.path),
        "check": sentence(item),
        "outcome": report.outcome,
        "assertion": assertion(report),
        "detail": detail,
    }
    item.config.stash[_PIPE].write(json.dumps(event) + "\n")
    return report


def sentence(item: pytest.Item) -> str:
    """Return what the check says is true: its docstring's first line, else its name in words."""
    document = inspect.getdoc(getattr(item, "function", None)) or ""
    name = getattr(item, "originalname", item.name).removeprefix("test_").replace("_", " ")
    return document.strip().split("\n")[0].rstrip(".") or name


def assertion(report: pytest.TestReport) -> str:
    """Return the line that explains a failure or a skip; empty when the check passed."""
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    if not report.failed:
        return ""
    if crash is None:
        return report.longreprtext.strip().split("\n")[-1]
    return str(crash.message).removeprefix("AssertionError: ").strip().split("\n")[0]


def journal(host: Any, unit: str) -> str:
    """Return the last lines of a unit's journal, for the one who has to find out why."""
    if host is None:
        return ""
    return f"journal of {unit}:\n" + str(host.run("journalctl --no-pager -n 20 -u %s", unit).stdout)
