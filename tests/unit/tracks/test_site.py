"""Which part of the site playbook is played on which hosts, and that no role of theirs is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dualtrack.tracks import site
from dualtrack.verify import plan
from tests.conftest import ROOT

LOCAL = ("track_local", "audited")


def groups(*names: str) -> dict[str, list[str]]:
    return {"all": ["one"], **{name: ["one"] for name in names}}


def played(*names: str) -> list[str]:
    entries = yaml.safe_load(site.playbook(groups(*names)))
    return [Path(it["ansible.builtin.import_playbook"]).stem for it in entries]


def test_what_has_no_host_is_left_out_and_the_order_and_tags_stay() -> None:
    assert played(*LOCAL) == ["validate", "base", "access", "network", "audit", "log_forwarding"]
    assert played(*LOCAL, "role_storage") == [
        "validate",
        "base",
        "access",
        "network",
        "storage",
        "audit",
        "log_forwarding",
    ]
    assert played("track_cloud", "role_gpu", "scheduled") == [
        "validate", "base", "access", "network", "gpu", "models", "scheduler", "spot",
    ]  # fmt: skip
    assert played() == ["validate"]
    tags = {Path(it["ansible.builtin.import_playbook"]).stem: it.get("tags")
            for it in yaml.safe_load(site.playbook(groups(*LOCAL)))}  # fmt: skip
    assert {name for name, tag in tags.items() if tag == "shipping"} == {"audit", "log_forwarding"}


def test_hosts_in_all_groups_get_the_whole_site() -> None:
    document = yaml.safe_load((ROOT / "ansible/site.yml").read_text())
    names = {
        name for play in plan.read_plays(ROOT / "ansible/site.yml") for name in play.hosts.replace("&", "").split(":")
    }
    assert played(*names) == [Path(it["ansible.builtin.import_playbook"]).stem for it in document]
    assert site.roles(groups(*names)) == {path.name for path in (ROOT / "roles").iterdir()}


def test_roles_are_those_that_the_checks_are_planned_for() -> None:
    """The reader of plays for `verify` says the same of every group; a role that another brings in comes on top."""
    plays = plan.read_plays(ROOT / "ansible/site.yml")
    for name in {name for play in plays for name in play.hosts.replace("&", "").split(":")}:
        found = groups(name, "track_local")
        planned = {role for play in plays if plan.matches(play.hosts, found) for role in play.roles}
        assert site.roles(found) >= planned
        assert site.roles(found) <= planned | {"base"}


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ("- ansible.builtin.include_role: {name: second, tasks_from: x}", {"first", "second"}),
        ("- block:\n  - import_role: {name: second}", {"first", "second"}),
        ("- ansible.builtin.include_role: {name: '{{ which }}'}", {"first", "second", "third"}),
        ("- ansible.builtin.command: echo second", {"first"}),
        ("", {"first"}),
    ],
)
def test_roles_that_roles_bring_in_count(tmp_path: Path, tasks: str, expected: set[str]) -> None:
    files = {
        "ansible/site.yml": "- import_playbook: playbooks/one.yml", "ansible/playbooks/one.yml":
        "- hosts: [all]\n  roles: [{role: first}]", "roles/first/tasks/deep/more.yml": tasks,
        "roles/second/tasks/main.yml": "", "roles/third/tasks/main.yml": "",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert site.roles(groups(), tmp_path) == expected
