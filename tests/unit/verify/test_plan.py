"""Which checks run on which host follows from the playbooks, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.verify import plan
from dualtrack.verify.plan import Play
from dualtrack.verify.run import ROLES, SITE, with_checks

GROUPS = {
    "all": ["c1", "c2", "l1", "l2"],
    "track_cloud": ["c1", "c2"],
    "track_local": ["l1", "l2"],
    "role_gpu": ["c1", "l1"],
    "pool_spot": ["c2"],
}


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("all", ["c1", "c2", "l1", "l2"]),
        ("*", ["c1", "c2", "l1", "l2"]),
        ("track_cloud:track_local", ["c1", "c2", "l1", "l2"]),
        ("track_cloud,l1", ["c1", "c2", "l1"]),
        ("role_gpu:&track_local", ["l1"]),
        ("all:!role_gpu", ["c2", "l2"]),
        ("!role_gpu", ["c2", "l2"]),
        ("!role_gpu:track_cloud", ["c2"]),
        ("c*", ["c1", "c2"]),
        ("pool_*", ["c2"]),
        ("nowhere", []),
        ("", []),
    ],
)
def test_patterns_mean_what_ansible_means(pattern: str, hosts: list[str]) -> None:
    assert plan.matches(pattern, GROUPS) == hosts


@pytest.mark.parametrize("pattern", ["~web.*", "web[0:2]"])
def test_patterns_that_are_not_understood_are_refused(pattern: str) -> None:
    with pytest.raises(BadInput, match="not understood"):
        plan.matches(pattern, GROUPS)


def test_roles_are_read_in_each_form_a_play_may_have() -> None:
    document = [
        {"hosts": "a", "roles": ["one", {"role": "two"}, {"name": "three"}]},
        {"hosts": ["a", "b"], "roles": ["one"]},
        {"hosts": "a", "tasks": []},
    ]
    assert plan.plays_of(document) == [Play("a", ("one", "two", "three")), Play("a:b", ("one",))]


def test_a_file_that_is_no_playbook_is_named(tmp_path: Path) -> None:
    site = tmp_path / "site.yml"
    site.write_text("hosts: a\n")
    with pytest.raises(BadInput, match=r"site\.yml is not a playbook"):
        plan.read_plays(site)


def test_imports_are_followed(tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "site.yml").write_text(
        "- ansible.builtin.import_playbook: playbooks/a.yml\n- hosts: x\n  roles: [two]\n"
    )
    (tmp_path / "playbooks/a.yml").write_text("- hosts: y\n  roles: [one]\n")
    assert plan.read_plays(tmp_path / "site.yml") == [Play("y", ("one",)), Play("x", ("two",))]


def test_each_host_gets_its_roles_once_and_in_order() -> None:
    plays = [Play("all", ("base",)), Play("role_gpu", ("gpu", "base"))]
    found = plan.plan(plays, GROUPS, ["base", "gpu"])
    assert found["c1"] == ["base", "gpu"]
    assert found["c2"] == ["base"]


def test_limit_and_roles_narrow() -> None:
    plays = [Play("all", ("base",)), Play("role_gpu", ("gpu",))]
    assert plan.plan(plays, GROUPS, ["base", "gpu"], roles=["gpu"], limit="track_local") == {"l1": ["gpu"]}


def test_a_role_without_checks_is_an_error_not_a_pass() -> None:
    with pytest.raises(BadInput, match="role bare has no checks"):
        plan.plan([Play("all", ("bare",))], GROUPS, ["base"])


def test_nothing_to_verify_is_an_error_not_a_pass() -> None:
    with pytest.raises(BadInput, match="no host to verify"):
        plan.plan([Play("all", ("base",))], GROUPS, ["base"], limit="nowhere")
    with pytest.raises(BadInput, match="no checks for role wrong"):
        plan.plan([Play("all", ("base",))], GROUPS, ["base"], roles=["wrong"])


def test_groups_hold_the_hosts_of_their_children() -> None:
    inventory = {
        "_meta": {"hostvars": {}},
        "all": {"children": ["ungrouped", "a"]},
        "a": {"hosts": ["h1"], "children": ["b"]},
        "b": {"hosts": ["h2"]},
    }
    groups = plan.groups_of(inventory)
    assert groups["all"] == ["h1", "h2"]
    assert groups["a"] == ["h1", "h2"]
    assert groups["ungrouped"] == []


def test_every_role_of_the_site_has_checks_and_every_role_is_in_the_site() -> None:
    used = {role for play in plan.read_plays(SITE) for role in play.roles}
    assert used == set(with_checks()) == {path.name for path in ROLES.iterdir() if path.is_dir()}
