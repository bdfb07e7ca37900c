"""Which hosts are configured side by side, and what comes of it when one of them fails."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtrack.core.errors import External
from dualtrack.tracks import lanes
from dualtrack.tracks.ansible_runner import ConfigureFailed, Failure, Result
from dualtrack.tracks.lanes import Lane
from dualtrack.tracks.unchanged import Hosts
from tests.conftest import ROOT

SITE = {"gpu-1": ("role_gpu",), "gateway-1": ("role_gateway",), "log-1": ("role_log",), "vault-1": ("role_storage",)}


def hosts(site: dict[str, tuple[str, ...]], **facts: dict[str, Any]) -> Hosts:
    groups: dict[str, list[str]] = {"all": list(site)}
    for name, names in site.items():
        for group in names:
            groups.setdefault(group, []).append(name)
    return Hosts({name: facts.get(name.replace("-", "_"), {}) for name in site}, groups)


LOG = Lane(hosts=("log-1",))


def vault(name: str = "vault-1", number: int = 2) -> list[Lane]:
    """A slow host: beside the search store with what does not ship, after it with the rest."""
    return [Lane(hosts=(name,), skip_tags="shipping"), Lane(hosts=(name,), after=(0, number), tags="shipping")]


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        (SITE, [LOG, Lane(hosts=("gpu-1", "gateway-1"), after=(0,)), *vault()]),
        ({"vault-1": ("role_storage",)}, [Lane(hosts=("vault-1",))]),
        ({"vault-1": ("role_storage",), "a": ()}, [Lane(hosts=("a",)), Lane(hosts=("vault-1",))]),
        ({"vault-1": ("role_storage",), "log-1": ("role_log",)}, [LOG, *vault(number=1)]),
        ({"vault-1": ("role_storage", "role_log"), "log-2": ("role_log",)}, [Lane(hosts=("vault-1", "log-2"))]),
        ({"log-1": ("role_log",), "a": ()}, [LOG, Lane(hosts=("a",), after=(0,))]),
        # A node of the scheduler stays with its controllers, a host of a fabric with the fabric, whatever else it is.
        (SITE | {"gpu-1": ("role_gpu", "scheduled", "role_storage")},
         [LOG, Lane(hosts=("gpu-1", "gateway-1"), after=(0,)), *vault()]),
        (SITE | {"vault-1": ("role_storage", "role_infiniband"), "gpu-1": ("role_infiniband",)},
         [LOG, Lane(hosts=("gpu-1", "gateway-1", "vault-1"), after=(0,))]),
        # The store cannot come first here: nobody goes beside it.
        (SITE | {"log-1": ("role_log", "role_infiniband")}, [Lane(hosts=tuple(SITE))]),
        ({"a": (), "b": ()}, [Lane(hosts=("a", "b"))]),
    ],
)  # fmt: skip
def test_lanes(site: dict[str, tuple[str, ...]], expected: list[Lane]) -> None:
    found = lanes.lanes(hosts(site))
    assert found == expected
    assert {name for lane in found for name in lane.hosts} == set(site)
    assert all(number < index for index, lane in enumerate(found) for number in lane.after)


def test_witness_waits_for_the_keys_of_all_others() -> None:
    assert lanes.lanes(hosts(SITE, log_1={"audit_witness": True})) == [Lane(hosts=tuple(SITE))]
    assert len(lanes.lanes(hosts(SITE, log_1={"audit_witness": False}))) == 4


def test_all_plays_that_need_the_search_store_are_tagged() -> None:
    """A host's tasks name the store by its role's variable."""
    plays = yaml.safe_load((ROOT / "ansible/site.yml").read_text())
    tagged = {
        Path(play["ansible.builtin.import_playbook"]).stem for play in plays if play.get("tags") == lanes.SHIPPING
    }
    store = re.compile(r"\b(audit|log_forwarding)_store\b")
    defaults = {path.parts[-3] for path in ROOT.glob("roles/*/defaults/main.yml") if store.search(path.read_text())}
    roles = {
        path.stem: {role["role"] for play in yaml.safe_load(path.read_text()) for role in play.get("roles", ())}
        for path in (ROOT / "ansible/playbooks").glob("*.yml")
    }
    assert defaults == {"audit", "log_forwarding"}
    assert defaults == {role for name in tagged for role in roles[name]}


class Ansible:
    """Plays Ansible: what comes of each lane, by its first host."""

    def __init__(self, **answers: Result | Exception) -> None:
        self.answers, self.seen, self.played = answers, list[tuple[str, str, str]](), dict[str, set[str]]()

    def __call__(  # called as Ansible is
        self,
        _: object,
        *,
        limit: str,
        tags: str,
        skip_tags: str,
        log: Path,
        progress: object,  # noqa: ARG002
        playbook: Path,
    ) -> Result:
        entries = yaml.safe_load(playbook.read_text())
        self.played[limit] = {Path(it["ansible.builtin.import_playbook"]).stem for it in entries}
        self.seen.append((limit, tags or f"not {skip_tags}" if tags or skip_tags else "", log.name))
        answer = self.answers.get(
            limit.split(",")[0].replace("-", "_"), Result(changed={}, failures=(), seconds=1, log=str(log))
        )
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(monkeypatch: pytest.MonkeyPatch, ansible: Ansible) -> Result:
    monkeypatch.setattr(lanes.ansible, "configure", ansible)
    return lanes.configure([], hosts(SITE), log=Path("/logs/configure-local.log"), say=lambda _: None)


def test_changes_of_all_lanes_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    ansible = Ansible(
        gpu_1=Result(changed={"gpu-1": 2, "gateway-1": 0}, failures=(), seconds=5, log="a"),
        vault_1=Result(changed={"vault-1": 1}, failures=(), seconds=9, log="b"),
    )
    assert run(monkeypatch, ansible).changed == {"gpu-1": 2, "gateway-1": 0, "vault-1": 2}
    assert sorted(ansible.seen) == [
        ("gpu-1,gateway-1", "", "configure-local.log"),
        ("log-1", "", "configure-local-log-1.log"),
        ("vault-1", "not shipping", "configure-local-vault-1.log"),
        ("vault-1", "shipping", "configure-local-vault-1.log"),
    ]
    # What a lane plays is what concerns its hosts.
    assert {limit: "storage" in names for limit, names in ansible.played.items()} == {
        "log-1": False, "gpu-1,gateway-1": False, "vault-1": True,
    }  # fmt: skip


def failure(host: str) -> Result:
    return Result(
        changed={host: 1},
        failures=(Failure(host=host, task="a task", message="no"),),
        seconds=3,
        log=f"/logs/{host}.log",
    )


def test_failures_of_all_lanes_are_told_and_none_stops_another(monkeypatch: pytest.MonkeyPatch) -> None:
    ansible = Ansible(vault_1=ConfigureFailed(failure("vault-1")), gpu_1=ConfigureFailed(failure("gpu-1")))
    with pytest.raises(ConfigureFailed, match=r"gpu-1: a task: no, and 1 more \(all of it: /logs/gpu-1.log\)"):
        run(monkeypatch, ansible)
    assert {(limit, tags) for limit, tags, _ in ansible.seen} == {
        ("log-1", ""), ("gpu-1,gateway-1", ""), ("vault-1", "not shipping"),
    }  # fmt: skip


def test_nobody_is_told_to_ship_to_a_store_that_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    ansible = Ansible(log_1=ConfigureFailed(failure("log-1")))
    with pytest.raises(ConfigureFailed, match="log-1: a task: no"):
        run(monkeypatch, ansible)
    assert {(limit, tags) for limit, tags, _ in ansible.seen} == {("log-1", ""), ("vault-1", "not shipping")}


def test_error_that_is_no_host_s_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(External, match="exit code 4"):
        run(monkeypatch, Ansible(vault_1=External("ansible-playbook failed with exit code 4: x")))
