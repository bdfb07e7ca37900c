"""Which hosts are configured side by side, and what comes of it when one of them fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dualtrack.configure import ConfigureFailed, Failure, Result
from dualtrack.errors import External
from dualtrack.tracks import lanes
from dualtrack.tracks.unchanged import Hosts

SITE = {"gpu-1": ("role_gpu",), "gateway-1": ("role_gateway",), "log-1": ("role_log",), "vault-1": ("role_storage",)}


def hosts(site: dict[str, tuple[str, ...]], **facts: dict[str, Any]) -> Hosts:
    groups: dict[str, list[str]] = {}
    for name, names in site.items():
        for group in names:
            groups.setdefault(group, []).append(name)
    return Hosts({name: facts.get(name.replace("-", "_"), {}) for name in site}, groups)


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        (SITE, [[("log-1",)], [("gpu-1", "gateway-1"), ("vault-1",)]]),
        ({"vault-1": ("role_storage",)}, [[("vault-1",)]]),
        ({"vault-1": ("role_storage", "role_log"), "log-2": ("role_log",)}, [[("vault-1", "log-2")]]),
        ({"log-1": ("role_log",), "a": ()}, [[("log-1",)], [("a",)]]),
        # A node of the scheduler stays with its controllers, a host of a fabric with the fabric, whatever else it is.
        (SITE | {"gpu-1": ("role_gpu", "scheduled", "role_storage")},
         [[("log-1",)], [("gpu-1", "gateway-1"), ("vault-1",)]]),
        (SITE | {"vault-1": ("role_storage", "role_infiniband"), "gpu-1": ("role_infiniband",)},
         [[("log-1",)], [("gpu-1", "gateway-1", "vault-1")]]),
        # The store cannot come first here: nobody goes beside it.
        (SITE | {"log-1": ("role_log", "role_infiniband")}, [[tuple(SITE)]]),
        ({"a": (), "b": ()}, [[("a", "b")]]),
    ],
)  # fmt: skip
def test_stages(site: dict[str, tuple[str, ...]], expected: list[list[tuple[str, ...]]]) -> None:
    found = lanes.stages(hosts(site))
    assert found == expected
    assert sorted(name for stage in found for lane in stage for name in lane) == sorted(site)


def test_witness_waits_for_the_keys_of_all_others() -> None:
    assert lanes.stages(hosts(SITE, log_1={"audit_witness": True})) == [[tuple(SITE)]]
    assert len(lanes.stages(hosts(SITE, log_1={"audit_witness": False}))) == 2


class Ansible:
    """Plays Ansible: what comes of each lane, by its first host."""

    def __init__(self, **answers: Result | Exception) -> None:
        self.answers, self.seen = answers, dict[str, Path]()

    def __call__(self, _: object, *, limit: str, log: Path, progress: object) -> Result:  # noqa: ARG002 - as called
        self.seen[limit] = log
        answer = self.answers.get(limit.split(",")[0].replace("-", "_"), Result({}, (), 1, str(log)))
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(monkeypatch: pytest.MonkeyPatch, ansible: Ansible) -> Result:
    monkeypatch.setattr(lanes.ansible, "configure", ansible)
    return lanes.configure([], hosts(SITE), log=Path("/logs/configure-local.log"), say=lambda _: None)


def test_changes_of_all_lanes_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    ansible = Ansible(
        gpu_1=Result({"gpu-1": 2, "gateway-1": 0}, (), 5, "a"), vault_1=Result({"vault-1": 1}, (), 9, "b")
    )
    found = run(monkeypatch, ansible)
    assert (found.changed, found.seconds) == ({"gpu-1": 2, "gateway-1": 0, "vault-1": 1}, 9)
    assert ansible.seen == {
        "gpu-1,gateway-1": Path("/logs/configure-local.log"),
        "vault-1": Path("/logs/configure-local-vault-1.log"),
        "log-1": Path("/logs/configure-local-log-1.log"),
    }


def failure(host: str) -> Result:
    return Result({host: 1}, (Failure(host, "a task", "no"),), 3, f"/logs/{host}.log")


def test_failures_of_all_lanes_are_told_and_none_stops_another(monkeypatch: pytest.MonkeyPatch) -> None:
    ansible = Ansible(vault_1=ConfigureFailed(failure("vault-1")), gpu_1=ConfigureFailed(failure("gpu-1")))
    with pytest.raises(ConfigureFailed, match=r"gpu-1: a task: no, and 1 more \(all of it: /logs/gpu-1.log\)"):
        run(monkeypatch, ansible)
    assert len(ansible.seen) == 3


def test_nobody_is_told_to_ship_to_a_store_that_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    ansible = Ansible(log_1=ConfigureFailed(failure("log-1")))
    with pytest.raises(ConfigureFailed, match="log-1: a task: no"):
        run(monkeypatch, ansible)
    assert list(ansible.seen) == ["log-1"]


def test_error_that_is_no_host_s_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(External, match="exit code 4"):
        run(monkeypatch, Ansible(vault_1=External("ansible-playbook failed with exit code 4: x")))
