"""The file of people: what it may not say, and what follows from what it says."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from dualtrack.core.errors import BadInput, Refused
from dualtrack.core.paths import ROOT
from dualtrack.security.access import break_glass, matrix, model, services, tokens
from dualtrack.security.opensearch import security_config

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtEyYWOVJ9TTYxZ3sQ9jX7y8wRZyqFhJvzQp0WkYw1r anna"
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def load(tmp_path: Path, text: str) -> model.Access:
    path = tmp_path / "access.yml"
    path.write_text(text)
    return model.load(path)


def lab() -> model.Access:
    return model.load(ROOT / "inventories/access.yml")


@pytest.mark.attack("an administrator of hosts", "becomes root where all trails lie", "prevented", "a grant of its own")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("people: [{name: Anna, uid: 3001, roles: [user]}]", "'Anna' cannot be a name"),
        ("people: [{name: root, uid: 3001, roles: [user]}]", "'root' cannot be a name"),
        ("people: [{name: anna, uid: 0, roles: [user]}]", "uid"),
        ("people: [{name: anna, uid: 3001, roles: []}]", "roles"),
        ("people: [{name: anna, uid: 3001, roles: [king]}]", "anna has the role 'king', which is none"),
        ("people: [{name: a, uid: 3001, roles: [user]}, {name: b, uid: 3001, roles: [user]}]", "next free one is 3000"),
        ("people: [{name: a, uid: 3001, roles: [user]}, {name: a, uid: 3002, roles: [user]}]", "a is there twice"),
        ("people: [{name: anna, uid: 3001, roles: [auditor, administrator]}]", "who audits changes nothing"),
        ("people: [{name: anna, uid: 3001, roles: [auditor, user]}]", "who audits changes nothing"),
        ("people: [{name: anna, uid: 3001, roles: [auditor, log-administrator]}]", "who audits changes nothing"),
        ("people: [{name: anna, uid: 3001, roles: [administrator, log-administrator]}]", "does not keep it"),
        ("roles: {x: {includes: [administrator, log-administrator]}}\npeople: [{name: a, uid: 3001, roles: [x]}]",
         "does not keep it"),
        ("people: [{name: anna, uid: 3001, roles: [user], ssh_keys: ['no key']}]", "is not a public ssh key"),
        (f"people: [{{name: a, uid: 3001, roles: [user], ssh_keys: ['command=\"sh\" {KEY}']}}]", "not a public ssh"),
        ('people: [{name: anna, uid: 3001, roles: [user], comment: "a:b"}]', "one line without a colon"),
        ("people: [{name: anna, uid: 3001, roles: [user], password: x}]", "password"),
        ("roles: {user: {grants: []}}", "is always there"),
        ("roles: {mine: {grants: [everything]}}", "which nothing here allows"),
        ("roles: {mine: {includes: [yours]}}", "which is not a role"),
        ("roles: {a: {includes: [b]}, b: {includes: [c]}, c: {includes: [a]}}", "in a circle: "),
        ("roles: {a: {includes: [a]}}", "in a circle: a → a"),
        ("roles: {x: {includes: [auditor]}}\npeople: [{name: a, uid: 3001, roles: [x, user]}]", "changes nothing"),
        ("people: 7", "people"),
        ("\x00", "neither JSON nor YAML"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput) as error:
        load(tmp_path, text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["models", "spot-guard", "traffic-keeper", "dualtrack-serve"])
def test_a_person_is_not_called_as_a_service_is(tmp_path: Path, name: str) -> None:
    """Rules that name a service's user would be the person's: the metadata service, units, files."""
    with pytest.raises(BadInput, match=f"'{name}' cannot be a name"):
        load(tmp_path, f"people: [{{name: {name}, uid: 3001, roles: [user]}}]")


def test_whom_the_metadata_service_answers_is_nobody_s_name(tmp_path: Path) -> None:
    """As role base has it: a service that is added there is a name that people cannot have."""
    base = msgspec.yaml.decode((ROOT / "roles/base/defaults/main.yml").read_bytes())
    assert "traffic-keeper" in base["base_metadata_users"]
    for name in base["base_metadata_users"]:
        with pytest.raises(BadInput, match="cannot be a name"):
            load(tmp_path, f"people: [{{name: {name}, uid: 3001, roles: [user]}}]")


def test_a_chain_of_a_thousand_roles(tmp_path: Path) -> None:
    chain = {f"r{n}": {"includes": [f"r{n + 1}"]} for n in range(1000)} | {"r1000": {"includes": ["user"]}}
    access = load(tmp_path, json.dumps({"roles": chain, "people": [{"name": "a", "uid": 3001, "roles": ["r0"]}]}))
    assert access.grants(["r0"]) == access.grants(["user"])


def test_keys_of_every_kind_are_taken(tmp_path: Path) -> None:
    access = load(tmp_path, f"people: [{{name: anna, uid: 3001, roles: [user], ssh_keys: ['{KEY}']}}]")
    assert access.people[0].ssh_keys == (KEY,)


@given(
    st.lists(st.sampled_from(sorted(model.GRANTS)), max_size=4),
    st.lists(st.sampled_from(sorted(model.GRANTS)), max_size=4),
)
def test_no_person_reads_the_trail_and_changes_something(one: list[str], other: list[str]) -> None:
    access = model.Access(
        (model.Person(name="anna", uid=3001, roles=("one", "other")),),
        {"one": model.Role(tuple(one)), "other": model.Role(includes=("deep",)), "deep": model.Role(tuple(other))},
    )
    both = {*one, *other}
    apart = {"hosts.administer", "log_hosts.administer"} <= both
    assert bool(list(model.problems(access))) == (("trail.read" in both and bool(both & model.CHANGING)) or apart)


def test_hosts_get_those_who_belong_there() -> None:
    told = {"trail": "/t", "program": "/p"}
    plain = services.host(lab(), (), scheduled=False, **told)
    jobs = services.host(lab(), (), scheduled=True, **told)
    assert [it.name for it in plain.people] == ["anna", "bo", "dina"]
    assert [it.name for it in jobs.people] == ["anna", "bo", "dina", "chen"]
    rules = {it.who: it for it in jobs.sudo}
    assert rules["%dualtrack-administrator"].commands == ("ALL",)
    assert rules["%dualtrack-auditor"].as_ == "dualtrack-audit"
    assert "%dualtrack-user" not in rules
    assert not any(character in command for command in rules["%dualtrack-auditor"].commands for character in "*?[,=:\\")


@pytest.mark.parametrize(("log_host", "root"), [(False, "administrator"), (True, "log-administrator")])
def test_root_on_hosts_and_on_log_hosts_are_others(tmp_path: Path, log_host: bool, root: str) -> None:
    """Temporary rights, too: a grant of the one is none on the hosts of the other."""
    grants = [
        break_glass.grant(tmp_path / name, lab(), name, role, minutes=9, reason="to repair what broke", now=NOW)
        for name, role in (("chen", "administrator"), ("dina", "log-administrator"))
    ]
    told = services.host(lab(), grants, scheduled=False, trail="/t", program="/p", log_host=log_host)
    whole = {it.who for it in told.sudo if "ALL" in it.commands}
    assert whole == {f"%dualtrack-{root}", "dina" if log_host else "chen"}
    reading = {it.who for it in told.sudo if it.as_ == "dualtrack-audit"}
    assert reading == {"%dualtrack-auditor"}


def test_glass_does_not_make_one_root_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "grants.json"
    with pytest.raises(Refused, match="does not keep it"):
        break_glass.grant(path, lab(), "anna", "log-administrator", minutes=5, reason="to look at the store", now=NOW)
    break_glass.grant(path, lab(), "chen", "log-administrator", minutes=5, reason="to repair the store", now=NOW)
    with pytest.raises(Refused, match="does not keep it"):
        break_glass.grant(path, lab(), "chen", "administrator", minutes=5, reason="to repair a host", now=NOW)


def test_rights_in_the_store() -> None:
    found = services.store(lab(), ())
    assert found == [
        {"name": "anna", "kind": "person", "rights": ["administrator"]},
        {"name": "bo", "kind": "person", "rights": ["auditor"]},
    ]
    members = [security_config.Member(it["name"], tuple(it["rights"]), it["kind"]) for it in found]
    made = security_config.security(members, {"chen": "not-in-the-store", "bo": "only-for-a-test"}, {})
    assert made["rolesmapping"]["auditor"]["backend_roles"] == ["person-bo"]
    assert set(made["internalusers"]) == {"_meta", "bo"}


def test_accounts_of_the_scheduler() -> None:
    assert services.scheduler(lab()) == {
        "accounts": [{"name": "administrator", "users": ["anna"]}, {"name": "user", "users": ["chen"]}],
        "administrators": ["anna"],
    }


def test_bindings_for_kubernetes() -> None:
    found = [(it["kind"], it["metadata"].get("namespace", ""), it.get("roleRef", {}).get("name", ""))
             for it in services.cluster(lab())]  # fmt: skip
    assert found == [
        ("ClusterRoleBinding", "", "cluster-admin"), ("ClusterRoleBinding", "", "view"), ("Namespace", "", ""),
        ("RoleBinding", "chen", "edit"),
    ]  # fmt: skip


def test_breaking_the_glass(tmp_path: Path) -> None:
    path = tmp_path / "grants.json"
    grant = break_glass.grant(
        path, lab(), "chen", "administrator", minutes=30, reason="the store is read-only", now=NOW
    )
    assert break_glass.active_grants(path, lab(), NOW + timedelta(minutes=29)) == (grant,)
    assert break_glass.active_grants(path, lab(), NOW + timedelta(minutes=30)) == ()
    assert path.stat().st_mode & 0o777 == 0o600
    told = services.host(lab(), (grant,), scheduled=False, trail="/t", program="/p")
    assert [it.name for it in told.people] == ["anna", "bo", "dina", "chen"]
    [rule] = [it for it in told.sudo if it.who == "chen"]
    assert (rule.commands, rule.until) == (("ALL",), "20261126123000Z")
    assert told.notices == (grant.line,)
    assert services.store(lab(), (grant,))[-1] == {"name": grant.id, "kind": "glass", "rights": ["administrator"]}
    assert break_glass.end(path, grant.id, NOW + timedelta(minutes=1)).until == NOW + timedelta(minutes=1)
    assert break_glass.active_grants(path, lab(), NOW + timedelta(minutes=2)) == ()
    assert len(break_glass.list_grants(path)) == 1  # what was given is not forgotten


@pytest.mark.parametrize(
    ("name", "role", "minutes", "reason", "error", "said"),
    [
        ("bo", "administrator", 10, "because I can do it", Refused, "who audits changes nothing"),
        ("anna", "auditor", 10, "I want to look at it", Refused, "who audits changes nothing"),
        ("dora", "administrator", 10, "because I can do it", BadInput, "no 'dora'"),
        ("chen", "king", 10, "because I can do it", BadInput, "no role 'king'"),
        ("chen", "administrator", 0, "because I can do it", BadInput, "0 minutes"),
        ("chen", "administrator", 9999, "because I can do it", BadInput, "9999 minutes"),
        ("chen", "administrator", 10, "x", BadInput, "a reason in words"),
        ("chen", "administrator", 10, "a reason \x1b[2J with more", BadInput, "a reason in words"),
    ],
)  # fmt: skip
def test_what_no_glass_gives(
    tmp_path: Path, name: str, role: str, minutes: int, reason: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        break_glass.grant(tmp_path / "grants.json", lab(), name, role, minutes=minutes, reason=reason, now=NOW)
    assert not (tmp_path / "grants.json").exists()


def test_two_grants_do_not_join_what_must_stay_apart(tmp_path: Path) -> None:
    access = model.Access((model.Person(name="eve", uid=3009, roles=("idle",)),), {"idle": model.Role()})
    path = tmp_path / "grants.json"
    break_glass.grant(path, access, "eve", "auditor", minutes=5, reason="to look at the trail", now=NOW)
    with pytest.raises(Refused):
        break_glass.grant(path, access, "eve", "administrator", minutes=5, reason="to repair the store", now=NOW)


def test_tokens_say_who_and_until_when(tmp_path: Path) -> None:
    made = tokens.issue(tmp_path, "bo", ["person-bo"], until=NOW + timedelta(hours=1), now=NOW)
    claims = jwt.decode(made, ECKey.import_key(tokens.public(tmp_path)), algorithms=["ES256"]).claims
    assert (claims["sub"], claims["roles"], claims["exp"] - claims["iat"]) == ("bo", ["person-bo"], 3600)
    assert "PRIVATE" not in tokens.public(tmp_path)
    assert (tmp_path / "token.key").stat().st_mode & 0o777 == 0o600


def test_the_table_is_whole_and_denies_by_default() -> None:
    cells = list(matrix.expected(lab()))
    assert len(cells) == len(matrix.ACTIONS) * 5
    assert {it.expected for it in cells if it.role == matrix.STRANGER} == {"refused"}
    trail = [it for it in cells if it.action.startswith("trail-") and it.action != "trail-write"]
    assert {it.expected for it in trail} == {"refused"}  # nobody changes the trail in the store
    found = {(it.role, it.action.startswith("log-")) for it in cells if it.expected == "found"}
    assert found == {("administrator", False), ("log-administrator", True)}
    (keeps,) = [it.role for it in cells if it.action == "log-data" and it.expected == "allowed"]
    assert keeps == "log-administrator"


def test_a_cell_knows_whether_it_came_right() -> None:
    cell = matrix.Cell(action="root", role="user", expected="refused")
    assert cell.right  # not tried
    assert matrix.Cell(action="root", role="user", expected="refused", outcome="refused").right
    assert not matrix.Cell(action="root", role="user", expected="refused", outcome="allowed").right
    assert not matrix.Cell(action="login", role="auditor", expected="allowed", outcome="refused").right
