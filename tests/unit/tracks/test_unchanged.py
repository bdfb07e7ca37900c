"""What makes a track be configured again: any input that changed, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtrack.core.errors import External
from dualtrack.security.pki import authority
from dualtrack.tracks import unchanged
from dualtrack.tracks.unchanged import Hosts
from tests.conftest import ROOT

NOW = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of a few files, and the state directory of its hosts."""
    files = {
        "ansible/site.yml": "[{import_playbook: playbooks/base.yml}, {import_playbook: playbooks/spot.yml}]",
        "ansible/playbooks/base.yml": "[{hosts: all, roles: [base]}]",
        "ansible/playbooks/spot.yml": "[{hosts: track_cloud, roles: [other]}]",
    }
    for name in ("roles/base/tasks/main.yml", "roles/base/templates/a.j2", "roles/other/tasks/main.yml",
                 "inventories/common/all.yml", "pyproject.toml", "tools/dualtrack/core/proc.py", "requirements/dev.txt",
                 "state/audit-keys/gpu-1.pem", "state/people.yml", "docs/page.md"):  # fmt: skip
        files[name] = f"# {name}\n"
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    authority.issue(tmp_path / "state/pki", "shipper", "gpu-1", now=NOW)
    authority.issue(tmp_path / "state/pki", "person", "bo", now=NOW)
    authority.issue(tmp_path / "state/pki", "shipper", "spot-1", now=NOW)
    monkeypatch.setattr(unchanged, "ROOT", tmp_path)
    return tmp_path


def hosts(checkout: Path, **more: Any) -> Hosts:
    facts = {
        "ansible_host": "10.30.0.11", "audit_ca_dir": str(checkout / "state/pki"), "access_file": "state/people.yml",
        "audit_keys_dir": str(checkout / "state/audit-keys"), "opensearch_elastic_license": "", **more,
    }  # fmt: skip
    groups = {"all": ["gpu-1"], "track_local": ["gpu-1"], "audited": ["gpu-1"], "track_cloud": []}
    return Hosts({"gpu-1": facts}, groups)


def test_the_same_is_the_same(checkout: Path) -> None:
    first = unchanged.inputs(hosts(checkout), now=NOW)
    assert unchanged.digest(first) == unchanged.digest(unchanged.inputs(hosts(checkout), now=NOW))


@pytest.mark.parametrize(
    "name",
    ["ansible/site.yml", "roles/base/tasks/main.yml", "roles/base/templates/a.j2", "inventories/common/all.yml",
     "pyproject.toml", "tools/dualtrack/core/proc.py", "requirements/dev.txt", "state/audit-keys/gpu-1.pem",
     "state/people.yml", "state/pki/ca.pem", "state/pki/shipper/gpu-1.pem", "state/pki/shipper/gpu-1.key"],
)  # fmt: skip
def test_every_file_that_reaches_a_host_counts(checkout: Path, name: str) -> None:
    first = unchanged.inputs(hosts(checkout), now=NOW)
    with (checkout / name).open("a") as file:
        file.write("\n")
    second = unchanged.inputs(hosts(checkout), now=NOW)
    assert unchanged.digest(first) != unchanged.digest(second)
    assert unchanged.moved(first, second, hosts(checkout))
    if name != "ansible/site.yml":  # without which nothing can be played
        (checkout / name).unlink()
        assert unchanged.moved(first, unchanged.inputs(hosts(checkout), now=NOW), hosts(checkout))


@pytest.mark.parametrize(
    "name", ["docs/page.md", "state/pki/person/bo.pem", "state/pki/shipper/spot-1.pem", "roles/base/__pycache__/x.pyc",
             "roles/other/tasks/main.yml"]
)  # fmt: skip
def test_what_no_host_gets_does_not_count(checkout: Path, name: str) -> None:
    """Neither a person's certificate nor one of the other track, which comes up beside this one; nor a role of it."""
    first = unchanged.inputs(hosts(checkout), now=NOW)
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("# another\n")
    assert unchanged.inputs(hosts(checkout), now=NOW) == first


@pytest.mark.parametrize(
    ("name", "witness", "counts", "own"),
    [("audit-keys/gpu-1.2.pem", False, True, True), ("pki/logger/gpu-1.pem", False, True, True),
     # Of the other track: nothing to us, but for a witness, who may not have been told.
     ("audit-keys/spot-1.pem", False, False, True), ("audit-keys/spot-1.pem", True, True, False),
     ("audit-keys/gpu-10.pem", True, True, False)],
)  # fmt: skip
def test_new_files_are_the_runs_own_or_not(checkout: Path, name: str, witness: bool, counts: bool, own: bool) -> None:
    found = hosts(checkout, audit_witness=witness)
    first = unchanged.inputs(found, now=NOW)
    (checkout / "state" / name).parent.mkdir(exist_ok=True)
    (checkout / "state" / name).write_text("a key that was registered\n")
    second = unchanged.inputs(found, now=NOW)
    assert (not unchanged.moved(first, second, found)) is own
    assert (unchanged.digest(first) != unchanged.digest(second)) is counts


def test_authority_is_no_input_of_a_track_without_search_store(checkout: Path) -> None:
    """In the lab both tracks share its directory; the local one makes files there while the cloud track comes up."""
    found = hosts(checkout)
    alone = Hosts(found.variables, found.groups | {"audited": []})
    first = unchanged.inputs(alone, now=NOW)
    (checkout / "state/pki/token.key").write_text("made by the search store's role\n")
    assert unchanged.inputs(alone, now=NOW) == first
    assert unchanged.inputs(found, now=NOW) != unchanged.inputs(alone, now=NOW)


def grouped(found: Hosts) -> Hosts:
    return Hosts(found.variables, found.groups | {"role_gpu": ["gpu-1"]})


def instead(found: Hosts) -> Hosts:
    return Hosts({"gpu-2": found.variables["gpu-1"]}, {name: ["gpu-2"] * len(it) for name, it in found.groups.items()})


@pytest.mark.parametrize("change", [grouped, instead])
def test_groups_and_names_count(checkout: Path, change: Callable[[Hosts], Hosts]) -> None:
    found = hosts(checkout)
    assert unchanged.digest(unchanged.inputs(found)) != unchanged.digest(unchanged.inputs(change(found)))


def test_variables_count(checkout: Path) -> None:
    """Also a right that ends: what is in force is resolved anew each time, and is a variable."""
    granted = unchanged.inputs(hosts(checkout, access_sudo=[{"user": "chen"}]), now=NOW)
    ended = unchanged.inputs(hosts(checkout, access_sudo=[]), now=NOW)
    assert unchanged.moved(granted, ended, hosts(checkout))


def pair(checkout: Path, **second: Any) -> Hosts:
    """Two hosts of a track: one has the role base alone, the other one (spot-1) also another."""
    one = hosts(checkout)
    facts = {**one.variables["gpu-1"], "ansible_host": "10.30.0.12", **second}
    groups = {**one.groups, "all": ["gpu-1", "spot-1"], "track_cloud": ["spot-1"]}
    return Hosts({**one.variables, "spot-1": facts}, groups)


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name, digest in after.items() if before[name] != digest}


def test_host_that_comes_or_goes_is_nothing_to_the_others(checkout: Path) -> None:
    alone, both = unchanged.digests(hosts(checkout)), unchanged.digests(pair(checkout))
    assert alone["gpu-1"] == both["gpu-1"]
    assert changed(both, unchanged.digests(pair(checkout, ansible_host="10.30.0.13"))) == {"spot-1"}


@pytest.mark.parametrize("place", ["tasks/main.yml", "templates/a.j2", "defaults/main.yml"])
def test_variable_counts_where_a_role_can_read_it(checkout: Path, place: str) -> None:
    """One that no role mentions counts everywhere: Ansible itself may read it."""

    def both(value: int) -> Hosts:
        found = pair(checkout)
        return Hosts({name: {**it, "other_nodes": value} for name, it in found.variables.items()}, found.groups)

    everywhere = unchanged.digests(both(1))
    assert changed(everywhere, unchanged.digests(both(2))) == {"gpu-1", "spot-1"}
    path = checkout / "roles/other" / place
    path.parent.mkdir(exist_ok=True)
    path.write_text('- debug: {msg: "{{ other_nodes | length }}"}\n')
    before = unchanged.digests(both(1))
    assert changed(before, unchanged.digests(both(2))) == {"spot-1"}
    (checkout / "ansible/playbooks/base.yml").write_text('[{hosts: all, roles: [base], serial: "{{ other_nodes }}"}]')
    before = unchanged.digests(both(1))
    assert changed(before, unchanged.digests(both(2))) == {"gpu-1", "spot-1"}


def test_step_to_other_variables_is_no_input(checkout: Path) -> None:
    """But for a variable that only a play can resolve: what it names is part of it."""
    assert unchanged.digests(hosts(checkout, __track_hosts=["a"])) == unchanged.digests(
        hosts(checkout, __track_hosts=["b"])
    )
    steps = {"__url": "{{ __host }}/{{ ansible_facts.x }}", "base_url": "{{ __url }}"}
    before, after = (unchanged.digests(hosts(checkout, __host=it, **steps)) for it in ("a", "b"))
    assert before != after


def test_settings_count_but_for_how_long_waits_last(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = unchanged.inputs(hosts(checkout), now=NOW)
    monkeypatch.setenv("DUALTRACK_PATIENCE", "3")
    assert unchanged.inputs(hosts(checkout), now=NOW) == first
    monkeypatch.setenv("ANSIBLE_STRATEGY", "linear")
    assert unchanged.inputs(hosts(checkout), now=NOW) != first


def test_certificate_that_is_due_or_over_is_another_input(checkout: Path) -> None:
    """The file is the same; the role would bring another."""
    ends = authority.issue(checkout / "state/pki", "shipper", "gpu-1", now=NOW).ends
    seen = [
        unchanged.digest(unchanged.inputs(hosts(checkout), now=now))
        for now in (NOW, NOW + timedelta(days=1), ends - timedelta(days=1), ends + timedelta(days=1))
    ]
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3


def test_host_without_root_keeps_everything_as_it_is(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "_everywhere", lambda *_: {"gpu-1": "", "gpu-2": "gone"})
    with pytest.raises(External, match="no root on gpu-1: nothing was changed"):
        unchanged.forget(hosts(checkout))


# --- what the digest relies on, in the roles


def texts(*patterns: str) -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_text() for pattern in patterns for path in ROOT.glob(pattern)}


def test_no_role_looks_across_tracks() -> None:
    """A host's digest holds its own variables: whoever reads others', or one by a computed name, is looked at here."""
    found = {
        name
        for name, text in texts(
            "roles/*/tasks/**/*.yml",
            "roles/*/vars/*.yml",
            "roles/*/templates/*",
            "roles/*/handlers/*",
            "roles/*/defaults/*",
        ).items()
        if re.search(r"hostvars|groups\.|groups\[|ansible_play_hosts|vars'|varnames|vars\[", text)
    }
    assert found == {
        "roles/access/vars/main.yml",  # its own dictionary of Unix groups
        "roles/infiniband/vars/main.yml",  # hosts of one fabric: asks whether each declares itself a manager
        "roles/log_forwarding/vars/main.yml",  # names only: variables of the former name, which are refused
        "roles/opensearch/vars/main.yml",  # the same
        "roles/slurm/tasks/preflight.yml",  # whether its controllers, of its own track, are in the inventory
    }


def test_every_variable_that_names_a_file_here_is_an_input() -> None:
    """Roles say "on the controller" of such a variable; what a lookup reads into a variable is one by its value."""
    named = {
        name
        for text in texts("roles/*/meta/argument_specs.yml").values()
        for name, option in yaml.safe_load(text)["argument_specs"]["main"]["options"].items()
        if re.search(r"on (the|this) (controller|machine)|of the controller", json.dumps(option.get("description")))
        and option.get("type") in {"path", "str", "list"}
    }
    assert named <= set(unchanged.FILES), named - set(unchanged.FILES)


def test_groups_of_the_other_track_do_not_count(checkout: Path) -> None:
    """They appear in the inventory when it comes up, while this one is being configured."""
    alone = hosts(checkout)
    beside = Hosts(alone.variables, alone.groups | {"pool_spot": [], "zone_us_east_1a": []})
    assert unchanged.inputs(alone, now=NOW) == unchanged.inputs(beside, now=NOW)
