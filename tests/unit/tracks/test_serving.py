"""Which hosts are gateways, where their API is, and telling them: with the program that their hosts run."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtrack.core import proc
from dualtrack.core.errors import BadInput, External, Missing, Refused
from dualtrack.core.paths import ROOT
from dualtrack.hosts.agents import gateway as program
from dualtrack.inventory import deployment
from dualtrack.serving import tenants
from dualtrack.serving.gateway import NOTE, Endpoint, Gateway
from dualtrack.serving.tenants import Changes
from dualtrack.tracks import serving

MODELS = [
    {"name": "smollm2", "probe": {"prompt": "x", "expected": "y"},
     "engines": [{"name": "sovereign-1", "address": "10.30.0.11", "port": 8001},
                 {"name": "spot-1", "address": "10.20.0.6", "port": 8001, "track": "cloud"}]},
    {"name": "r1", "engines": [{"name": "sovereign-1", "address": "10.30.0.11", "port": 8002}]},
]  # fmt: skip
FACTS: dict[str, Any] = {
    "ansible_host": "10.30.0.12", "ansible_user": "ops", "ansible_ssh_private_key_file": "/key",
    "dualtrack_track": "local",
    "gateway_ca_file": "/lab/pki/ca.pem", "gateway_tenants_file": "/lab/serving/tenants.json", "gateway_models": MODELS,
}  # fmt: skip


def inventory(**gateways: dict[str, Any]) -> dict[str, Any]:
    return {"role_gateway": {"hosts": list(gateways)}, "_meta": {"hostvars": gateways}}


def test_an_endpoint_is_what_the_inventory_says() -> None:
    [site] = serving.read(inventory(gateway=FACTS))
    assert site.endpoint == Endpoint(
        url="https://10.30.0.12:443", ca_file="/lab/pki/ca.pem", models=("smollm2", "r1"),
        tracks=("local", "cloud"), gateway="gateway",
    )  # fmt: skip
    assert serving.ca_file(site) == Path("/lab/pki/ca.pem")
    assert serving.chat_key(site) == Path("/lab/serving/chat.key")


@pytest.mark.parametrize(
    ("facts", "url"),
    [({"gateway_url": "https://127.0.0.1:41234", "gateway_port": 8443}, "https://127.0.0.1:41234"),
     ({"gateway_port": 8443}, "https://10.30.0.12:8443"), ({"gateway_url": ""}, "https://10.30.0.12:443")],
)  # fmt: skip
def test_where_the_api_is(facts: dict[str, Any], url: str) -> None:
    [site] = serving.read(inventory(gateway={**FACTS, **facts}))
    assert site.endpoint.url == url


def test_paths_begin_in_the_checkout() -> None:
    [site] = serving.read(inventory(gateway={**FACTS, "gateway_tenants_file": "lab/tenants.json"}))
    assert serving.tenants_file([site]) == ROOT / "lab/tenants.json"


def test_a_gateway_without_variables_of_its_own() -> None:
    [site] = serving.read(inventory(gateway={"ansible_host": "10.30.0.12"}))
    assert (site.endpoint.models, site.endpoint.tracks, serving.chat_key(site)) == ((), (), None)
    with pytest.raises(BadInput, match="gateway_ca_file"):
        serving.ca_file(site)
    with pytest.raises(BadInput, match="gateway: there is no file of tenants"):
        serving.tenants_file([site])


@pytest.mark.parametrize("models", ["{{ nothing }}", [{"engines": []}], [{"name": 1}], {"a": 1}])
def test_models_that_are_none(models: object) -> None:
    with pytest.raises(BadInput, match="gateway_models"):
        serving.read(inventory(gateway={**FACTS, "gateway_models": models}))


def test_gateways_share_their_tenants() -> None:
    found = serving.read(inventory(a=FACTS, b={**FACTS, "gateway_tenants_file": "/other.json"}))
    with pytest.raises(BadInput, match=r"several files of tenants: /lab/serving/tenants\.json, /other\.json"):
        serving.tenants_file(found)


def test_no_track_is_up_and_no_gateway_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "inventories", lambda: [deployment.COMMON])
    with pytest.raises(Missing, match="no host with the role gateway is up"):
        serving.sites()
    monkeypatch.setattr(deployment, "inventories", lambda: [deployment.COMMON, Path("lab")])
    monkeypatch.setattr(serving, "read_inventory", lambda _: inventory())
    with pytest.raises(Missing, match="make up"):
        serving.sites()
    monkeypatch.setattr(serving, "read_inventory", lambda _: inventory(gateway=FACTS))
    assert [it.gateway.name for it in serving.sites()] == ["gateway"]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=4))
def test_no_word_is_read_by_the_shell_of_the_host(words: list[str]) -> None:
    """ssh joins its words; what the shell of the host makes of them are the same words again."""
    calls: list[list[str]] = []

    def run(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(list(command))
        return subprocess.CompletedProcess(command, 0, "", "")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proc, "run", run)
        [site] = serving.read(inventory(gateway=FACTS))
        site.gateway.run(["program", *words], "")
    at = calls[0].index("ops@10.30.0.12")
    assert shlex.split(" ".join(calls[0][at + 1 :])) == ["program", *words]


def test_the_program_is_called_over_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[list[str], str]] = []
    answer = (0, '{"changed": true, "running": true}', "")

    def run(words: Sequence[str], *, stdin: str, **_: object) -> subprocess.CompletedProcess[str]:
        calls.append((list(words), stdin))
        return subprocess.CompletedProcess(words, *answer)

    monkeypatch.setattr(proc, "run", run)
    [site] = serving.read(inventory(gateway=FACTS))
    assert site.gateway.apply(tenants.Tenants()).changed
    words, given = calls[0]
    assert words[0] == "ssh"
    assert words[-5:] == ["ops@10.30.0.12", "sudo", "-n", "/usr/local/sbin/dualtrack-gateway", "apply"]
    assert words[words.index("-i") + 1] == "/key"
    assert program.parse_wanted(given.encode()) == {
        "keys": {}, "limits": {}, "allowed": {}, "routes": {}, "sensitive": {}, "screened": {}, "budgets": {},
    }  # fmt: skip
    for failed, said in (
        ((255, "", "ssh: no route\n"), "cannot be reached: ssh: no route"),
        ((1, "", "refused\n"), "gateway: refused"),
    ):
        answer = failed
        with pytest.raises(External, match=said):
            site.gateway.status()
    for out in ("", "[]", "{}", '{"engines": [1], "since_s": 1}', '{"engines": [], "since_s": "x"}', "[" * 100_000):
        answer = (0, out, "")
        with pytest.raises(External, match="not understood") as found:
            site.gateway.status()
        assert "\n" not in str(found.value)


def site_of(folder: Path, name: str = "gateway-1") -> serving.Site:
    """Return a gateway whose host is a directory: the program runs, HAProxy does not."""
    maps = folder / name
    maps.mkdir()

    def run(words: Sequence[str], given: str) -> str:
        if not maps.is_dir():
            raise External(f"{name} cannot be reached: no route")
        if tuple(words) == NOTE:
            return ""
        assert list(words[:-1]) == ["sudo", "-n", "/usr/local/sbin/dualtrack-gateway"]
        assert words[-1] == "apply"
        return json.dumps(program.apply(given.encode(), maps, maps / "none"))

    [site] = serving.read(inventory(**{name: {**FACTS, "gateway_tenants_file": str(folder / "tenants.json")}}))
    return msgspec.structs.replace(site, gateway=Gateway(name, run))


def digests(folder: Path) -> set[str]:
    return {line.split()[0] for line in (folder / "keys.map").read_text().splitlines()}


def test_keys_reach_every_gateway_and_one_that_is_away_later(tmp_path: Path) -> None:
    sites = [site_of(tmp_path, "a"), site_of(tmp_path, "b")]
    path = serving.tenants_file(sites)
    text, key = tenants.add(path, "research", Changes())
    assert [(it.gateway, it.changed, it.problem) for it in serving.tell(sites, "serving key apply")] == [
        ("a", True, ""),
        ("b", True, ""),
    ]
    assert digests(tmp_path / "a") == digests(tmp_path / "b") == {tenants.digest(text)}
    (tmp_path / "b").rename(tmp_path / "away")
    tenants.remove(path, key.id)
    told = serving.tell(sites, "serving key apply")
    assert [(it.gateway, it.problem) for it in told] == [("a", ""), ("b", "b cannot be reached: no route")]
    assert (digests(tmp_path / "a"), digests(tmp_path / "away")) == (set(), {tenants.digest(text)})
    (tmp_path / "away").rename(tmp_path / "b")
    assert [(it.changed, it.problem) for it in serving.tell(sites, "serving key apply")] == [(False, ""), (True, "")]
    assert digests(tmp_path / "b") == set()


def test_whoever_tells_last_tells_the_newest(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    path = serving.tenants_file([site])
    made: list[str] = []

    def one(number: int) -> None:
        made.append(tenants.digest(tenants.add(path, f"t{number}", Changes())[0]))
        serving.tell([site], "serving key apply")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
    for it in threads:
        it.start()
    for it in threads:
        it.join()
    assert digests(tmp_path / "gateway-1") == set(made)


def test_a_file_of_tenants_that_others_may_read_is_told_nobody(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    path = serving.tenants_file([site])
    tenants.add(path, "research", Changes())
    path.chmod(0o644)
    with pytest.raises(Refused):
        serving.tell([site], "serving key apply")
    assert not (tmp_path / "gateway-1/keys.map").exists()


def test_status_has_the_track_of_each_engine_and_goes_on_past_a_gateway_that_is_away() -> None:
    said = {"since_s": 9, "engines": [
        {"model": "m", "track": track, "engine": name, "state": "UP", "requests": 3, "active": 1, "last_check": ""}
        for name, track in (("sovereign-1", "local"), ("spot-1", "cloud"))
    ]}  # fmt: skip

    def away(_: Sequence[str], __: str) -> str:
        raise External("b cannot be reached: no route")

    a, b = serving.read(inventory(a=FACTS, b=FACTS))
    found = serving.status([
        msgspec.structs.replace(a, gateway=Gateway("a", lambda *_: json.dumps(said))),
        msgspec.structs.replace(b, gateway=Gateway("b", away)),
    ])  # fmt: skip
    assert [(it.engine, it.track, it.requests, it.since_s) for it in found.engines] == [
        ("sovereign-1", "local", 3, 9), ("spot-1", "cloud", 3, 9),
    ]  # fmt: skip
    assert [(it.gateway, it.models, it.tracks) for it in found.endpoints] == [
        ("a", (*a.endpoint.models, "m"), ("local", "cloud")), ("b", b.endpoint.models, b.endpoint.tracks),
    ]  # fmt: skip
    assert found.problems == ("b cannot be reached: no route",)


SERVED = {"name": "smollm2", "port": 8001, "probe": {"prompt": "x", "expected": "y"}, "file": "m.gguf"}


def both(**more: Any) -> dict[str, Any]:
    """Return an inventory with a gateway and an engine on the local track, and two on the cloud's."""
    local = {"ansible_host": "10.30.0.11", "dualtrack_track": "local", "serving_models": [SERVED]}
    cloud = {
        "ansible_host": "10.20.0.6",
        "dualtrack_track": "cloud",
        "serving_models": [{**SERVED, "slots": 1}],
        **more,
    }
    hosts = {"gateway": FACTS, "sovereign-1": local, "spot-1": cloud, "spot-2": {**cloud, "ansible_host": "10.20.0.7"}}
    return {
        "role_gateway": {"hosts": ["gateway"]}, "role_serving": {"hosts": ["sovereign-1", "spot-2", "spot-1"]},
        "_meta": {"hostvars": hosts},
    }  # fmt: skip


def test_engines_of_a_track() -> None:
    here, there = serving.engines(both(), "local"), serving.engines(both(), "cloud")
    assert {name: (it.address, it.port, it.requests) for name, it in here["smollm2"].engines.items()} == {
        "sovereign-1": ("10.30.0.11", 8001, 3),
    }  # fmt: skip
    assert {name: (it.address, it.requests) for name, it in there["smollm2"].engines.items()} == {
        "spot-1": ("10.20.0.6", 1), "spot-2": ("10.20.0.7", 1),
    }  # fmt: skip
    assert {it.host for it in there["smollm2"].engines.values()} == {"spot-1", "spot-2"}
    two = serving.engines(both(serving_models=[SERVED, {**SERVED, "name": "next", "answers_as": "smollm2"}]), "cloud")
    assert {name: it.host for name, it in two["smollm2"].engines.items()} == {
        "spot-1": "spot-1", "spot-1.next": "spot-1", "spot-2": "spot-2", "spot-2.next": "spot-2",
    }  # fmt: skip
    with pytest.raises(BadInput, match=r"spot-\d: serving_models"):
        serving.engines(both(serving_models=[{"name": "x"}]), "cloud")


def test_a_gateway_is_told_of_the_other_tracks_engines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told, said = [], []
    answers = iter(['{"changed": true}', '{"changed": false}'])

    def run(words: Sequence[str], given: str) -> str:
        told.append((words[-2:], json.loads(given)["models"]))
        return next(answers)

    [site] = serving.read(both())
    monkeypatch.setattr(deployment, "in_group", lambda _: True)
    monkeypatch.setattr(serving, "read_inventory", lambda _: both())
    monkeypatch.setattr(serving, "read", lambda _: [msgspec.structs.replace(site, gateway=Gateway("gateway", run))])
    serving.introduce(said.append)
    serving.introduce(said.append)
    assert [words for words, _ in told] == [["engines", "cloud"]] * 2
    assert set(told[0][1]["smollm2"]["engines"]) == {"spot-1", "spot-2"}
    assert said == ["gateway knows the cloud track's engines"]


def test_a_gateway_that_is_not_configured_yet_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def away(_: Sequence[str], __: str) -> str:
        raise External("gateway: sudo: /usr/local/sbin/dualtrack-gateway: command not found")

    [site] = serving.read(both())
    monkeypatch.setattr(deployment, "in_group", lambda _: True)
    monkeypatch.setattr(serving, "read_inventory", lambda _: both())
    monkeypatch.setattr(serving, "read", lambda _: [msgspec.structs.replace(site, gateway=Gateway("gateway", away))])
    serving.introduce(said.append)
    assert "gateway was not told the cloud track's engines: gateway: sudo" in said[0]


def test_an_inventory_that_cannot_be_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A track that goes down must go down."""
    said: list[str] = []
    monkeypatch.setattr(deployment, "in_group", lambda _: True)
    monkeypatch.setattr(serving, "read_inventory", lambda _: both(serving_models=[{"name": "x"}]))
    serving.introduce(said.append)
    assert "no gateway was told the other track's engines: spot-" in said[0]


def test_clients_are_given_the_address_that_gateways_share() -> None:
    facts = {"ansible_host": "10.0.0.1", "gateway_shared_address": "10.0.0.9", "gateway_port": 8443}
    [found] = serving.read({"role_gateway": {"hosts": ["one"]}, "_meta": {"hostvars": {"one": facts}}})
    assert found.endpoint.url == "https://10.0.0.9:8443"


def test_a_model_that_the_other_track_alone_serves_is_known() -> None:
    """The gateway is told of it when its engines come; its settings name those of its own track."""
    vectors = {**SERVED, "name": "vectors", "engine": "triton"}
    found = serving.read(both(serving_models=[SERVED, {**SERVED, "name": "large"}, vectors]))
    [site] = found
    assert set(site.endpoint.models) == {"smollm2", "r1", "large", "vectors"}
    assert "large" in site.writers
    assert "vectors" not in site.writers
    serving.known_models(found, site.endpoint.models)
    with pytest.raises(BadInput, match="no gateway has a model called 'gone'"):
        serving.known_models(found, ["gone"])
