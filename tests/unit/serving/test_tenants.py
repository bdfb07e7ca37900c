"""The file of tenants: what is refused, what a key and its revocation change, and the maps that follow."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core.errors import BadInput, Refused
from dualtrack.hosts.agents.gateway import parse_wanted
from dualtrack.serving import tenants
from dualtrack.serving.tenants import Changes, Key, Tenant, Tenants

NOW = datetime(2026, 11, 27, 10, 0, 0, tzinfo=UTC)
KEY: dict[str, Any] = {"id": "k-1a2b3c4d", "sha256": "a" * 64, "added": "2026-11-27T10:00:00Z"}
TENANT: dict[str, Any] = {
    "name": "research", "models": ["smollm2"], "residency": "local", "requests_per_minute": 60, "keys": [KEY],
}  # fmt: skip
DOCUMENT: dict[str, Any] = {"tenants": [TENANT]}

NAMES = st.from_regex(r"[a-z]([a-z0-9.]{0,9}[a-z0-9])?", fullmatch=True)
DIGESTS = st.from_regex(tenants.DIGEST, fullmatch=True)


@st.composite
def files(draw: st.DrawFn) -> Tenants:
    """Draw a file of tenants that is right."""
    digests = iter(draw(st.lists(DIGESTS, unique=True, max_size=8)))
    found = []
    for name in draw(st.lists(NAMES, unique=True, max_size=4)):
        keys = [
            Key(id=f"k-{digest[:12]}{number}{len(found)}", sha256=digest, added="2026-11-27T10:00:00Z")
            for number, digest in zip(range(draw(st.integers(0, 2))), digests, strict=False)
        ]
        found.append(
            Tenant(
                name=name,
                models=tuple(draw(st.just(["*"]) | st.lists(NAMES, unique=True, min_size=1, max_size=3))),
                residency=draw(st.sampled_from(["local", "prefer-local", "any"])),
                **{limit: draw(st.none() | st.integers(1, most)) for limit, most in tenants.LIMITS.items()},
                keys=tuple(keys),
            )
        )
    return Tenants(tuple(found))


def parse(document: Any) -> Tenants:
    return tenants.parse(json.dumps(document).encode(), "tenants.json")


def test_the_file_as_it_is_agreed_on() -> None:
    assert tenants.maps(parse(DOCUMENT)) == {
        "keys": {"a" * 64: "research"}, "limits": {"research": "60"}, "allowed": {"research/smollm2": "1"},
        "routes": {"research": "local"}, "sensitive": {}, "screened": {}, "budgets": {},
    }  # fmt: skip
    assert tenants.maps(parse({"tenants": [{**TENANT, "models": ["*"], "requests_per_minute": None}]})) == {
        "keys": {"a" * 64: "research"}, "limits": {}, "allowed": {"research/*": "1"}, "routes": {"research": "local"},
        "sensitive": {}, "screened": {}, "budgets": {},
    }  # fmt: skip
    for flag in ("sensitive", "screened"):
        assert tenants.maps(parse({"tenants": [{**TENANT, flag: True}]}))[flag] == {"research": "1"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"more": 1}, "more"), ({"name": "Research"}, "bad name"), ({"name": "a b"}, "bad name"),
        ({"name": "a\n"}, "bad name"), ({"name": "-a"}, "bad name"), ({"name": "a" * 64}, "bad name"),
        ({"name": ""}, "bad name"), ({"models": []}, "alone"), ({"models": ["*", "a"]}, "alone"),
        ({"models": ["a", "a"]}, "twice"), ({"models": ["a/b"]}, "not a name of a model"), ({"models": "a"}, "array"),
        ({"residency": "mars"}, "mars"), ({"requests_per_minute": 0}, "between"), ({"requests_per_minute": 1.5}, "int"),
        ({"tokens_per_minute": 0}, "between"), ({"tokens_per_month": 10**16}, "tokens_per_month must be"),
        ({"requests_per_minute": 10**9}, "between"), ({"keys": [{**KEY, "key": "dt-x"}]}, "key"),
        ({"keys": [{**KEY, "sha256": "A" * 64}]}, "SHA-256"),
        ({"keys": [{**KEY, "sha256": "a" * 64 + "\n"}]}, "SHA-256"),
        ({"keys": [{**KEY, "sha256": "a" * 63}]}, "SHA-256"), ({"keys": [{**KEY, "id": "1a2b"}]}, "not an id"),
        ({"keys": [{**KEY, "added": "yesterday"}]}, "no time"),
        ({"keys": [{**KEY, "added": "2026-13-27T10:00:00Z"}]}, "no time"),
        ({"keys": [KEY, {**KEY, "sha256": "b" * 64}]}, "k-1a2b3c4d is there twice"),
        ({"keys": [KEY, {**KEY, "id": "k-2"}]}, "a is there twice"), ({"name": "k-1a2b3c4d"}, "twice"),
    ],
)  # fmt: skip
def test_what_is_refused_in_one_line(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as found:
        parse({"tenants": [{**TENANT, **change}]})
    assert "tenants.json" in str(found.value)
    assert "\n" not in str(found.value)


def test_two_tenants_of_one_name() -> None:
    with pytest.raises(BadInput, match="research is there twice"):
        parse({"tenants": [TENANT, {**TENANT, "keys": []}]})


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text() | st.booleans(), lambda inner: (
    st.lists(inner) | st.dictionaries(st.sampled_from(["tenants", "name", "keys", "models"]) | st.text(), inner)
)).map(lambda it: json.dumps(it).encode()) | st.just(b"[" * 100_000))  # fmt: skip
def test_hostile_files_are_refused_or_right(data: bytes) -> None:
    try:
        found = tenants.parse(data, "tenants.json")
    except BadInput:
        return
    parse_wanted(msgspec.json.encode(tenants.maps(found)))


@given(files())
def test_every_right_file_gives_maps_that_a_gateway_takes(found: Tenants) -> None:
    again = tenants.parse(msgspec.json.encode(found), "tenants.json")
    assert again == found
    parse_wanted(msgspec.json.encode(tenants.maps(found)))


@given(files(), NAMES)
def test_a_key_that_is_added_counts_and_no_other_changes(found: Tenants, name: str) -> None:
    before = tenants.maps(found)
    after, key = tenants.add_key(found, name, "dt-secret", Changes(), NOW)
    tenants.check(after, "after")
    assert tenants.maps(after)["keys"] == {**before["keys"], tenants.digest("dt-secret"): name}
    assert len(after.tenants) == len({it.name for it in found.tenants} | {name})
    left, gone = tenants.revoke(after, key.id)
    assert [it.id for it in gone] == [key.id]
    assert tenants.maps(left)["keys"] == before["keys"]


@given(files(), st.data())
def test_what_is_revoked_is_in_no_map(found: Tenants, data: st.DataObject) -> None:
    names = [it.name for it in found.tenants] + [key.id for it in found.tenants for key in it.keys]
    if not names:
        return
    name = data.draw(st.sampled_from(names))
    after, gone = tenants.revoke(found, name)
    keys = {key.id: key.sha256 for it in found.tenants for key in it.keys}
    maps = tenants.maps(after)
    assert set(maps["keys"]) == set(keys.values()) - {keys[it.id] for it in gone}
    assert name not in {*maps["keys"].values(), *maps["limits"], *(it.split("/")[0] for it in maps["allowed"])}
    with pytest.raises(BadInput, match="no tenant and no key"):
        tenants.revoke(after, name)


def test_changes_apply_and_what_is_not_named_stays() -> None:
    found, _ = tenants.add_key(Tenants(), "a", "dt-1", Changes(), NOW)
    assert (found.tenants[0].models, found.tenants[0].residency, found.tenants[0].requests_per_minute) == (
        ("*",), "local", None,
    )  # fmt: skip
    changes = Changes(models=("m",), residency="any", requests_per_minute=5)
    found, _ = tenants.add_key(found, "a", "dt-2", changes, NOW)
    found, _ = tenants.add_key(found, "a", "dt-3", Changes(), NOW)
    [only] = found.tenants
    assert (only.models, only.residency, only.requests_per_minute, len(only.keys)) == (("m",), "any", 5, 3)
    found, _ = tenants.add_key(found, "a", "dt-4", Changes(requests_per_minute=0), NOW)
    assert found.tenants[0].requests_per_minute is None


def test_keys_are_random_and_long() -> None:
    keys = {tenants.new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"dt-[A-Za-z0-9_-]{43}", it) for it in keys)


def test_the_file_is_its_owners_and_holds_no_key(tmp_path: Path) -> None:
    path = tmp_path / "serving/tenants.json"
    assert tenants.load(path) == Tenants()
    text, key = tenants.add(path, "research", Changes())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert text not in path.read_text()
    assert tenants.load(path).tenants[0].keys == (key,)
    assert key.sha256 == tenants.digest(text)
    assert [it.id for it in tenants.remove(path, "research")] == [key.id]
    assert tenants.load(path) == Tenants()
    path.chmod(0o640)
    with pytest.raises(Refused, match="chmod 600"):
        tenants.load(path)


@pytest.mark.parametrize(
    "attempt",
    [lambda path: tenants.add(path, "Bad", Changes()), lambda path: tenants.remove(path, "nobody"),
     lambda path: tenants.add(path, "a", Changes(models=("*", "m")))],
)  # fmt: skip
def test_what_is_refused_leaves_the_file(tmp_path: Path, attempt: Callable[[Path], object]) -> None:
    path = tmp_path / "tenants.json"
    tenants.add(path, "research", Changes())
    before = path.read_bytes()
    with pytest.raises(BadInput):
        attempt(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("limits", "budget"),
    [({}, None), ({"tokens_per_minute": 5}, "5:0"), ({"tokens_per_month": 7}, "0:7"),
     ({"tokens_per_minute": 5, "tokens_per_month": 7}, "5:7")],
)  # fmt: skip
def test_budgets_of_tokens(limits: dict[str, int], budget: str | None) -> None:
    assert tenants.maps(parse({"tenants": [{**TENANT, **limits}]}))["budgets"].get("research") == budget
