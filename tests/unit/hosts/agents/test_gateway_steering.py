"""What operators say is in the map's file and in force, and stays; engines are drained in all their models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtrack.hosts.agents import gateway, gateway_steering
from dualtrack.hosts.agents.gateway import BadInput
from tests.support.fake_haproxy import Haproxy

#: The columns that matter, as HAProxy 2.6 has them. One that is drained may be up or down by its checks.
SERVERS = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
4 model-a.local 1 sovereign-1 10.30.0.11 2 0 1
5 model-b.local 1 sovereign-1 10.30.0.11 0 8 1
6 model-a.cloud 1 serving-1 10.20.0.7 2 0 1
"""


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Haproxy]:
    it = Haproxy(tmp_path, ("steering",))
    said = {"show servers state\n": SERVERS}
    it.says = lambda text: "\n" if text.startswith("set server") else said.get(text)
    yield it
    it.end()


def test_words_add_up_and_are_taken_back(tmp_path: Path, haproxy: Haproxy) -> None:
    def in_force() -> dict[str, str]:
        assert gateway_steering.steering(tmp_path) == haproxy.maps()["steering"]
        return haproxy.maps()["steering"]

    where = (tmp_path, haproxy.path)
    assert gateway_steering.switch("local", *where) == {"changed": True}
    assert gateway_steering.switch("local", *where) == {"changed": False}
    assert gateway_steering.hold("cloud", *where) == {"changed": True}
    assert in_force() == {"first": "local", "held.cloud": "1"}
    assert gateway_steering.switch("usual", *where) == {"changed": True}
    assert in_force() == {"held.cloud": "1"}
    assert gateway_steering.release("cloud", *where) == {"changed": True}
    assert gateway_steering.release("cloud", *where) == {"changed": False}
    assert in_force() == {}


def test_without_haproxy_the_file_says_it_to_the_next_one(tmp_path: Path) -> None:
    assert gateway_steering.steering(tmp_path) == {}
    assert gateway_steering.hold("local", tmp_path, tmp_path / "none") == {"changed": True}
    assert (tmp_path / "steering.map").read_text() == "held.local 1\n"


def test_an_engine_is_drained_in_every_model_and_that_is_kept(tmp_path: Path, haproxy: Haproxy) -> None:
    kept = tmp_path / "servers.state"
    assert gateway_steering.drain("sovereign-1", haproxy.path, kept) == {"changed": True}
    assert [it for it in haproxy.told if it.startswith("set")] == [
        "set server model-a.local/sovereign-1 state drain\n"  # it is drained in the other one
    ]
    assert kept.read_text().startswith("1\n")
    assert gateway_steering.release("sovereign-1", tmp_path, haproxy.path, kept) == {"changed": True}
    assert haproxy.told[-2] == "set server model-b.local/sovereign-1 state ready\n"  # although it is down
    assert gateway_steering.release("serving-1", tmp_path, haproxy.path, kept) == {"changed": False}


def test_one_model_of_an_engine_is_drained_and_its_other_ones_go_on(tmp_path: Path, haproxy: Haproxy) -> None:
    kept = tmp_path / "servers.state"
    assert gateway_steering.drain("sovereign-1", haproxy.path, kept, "a") == {"changed": True}
    assert gateway_steering.release("sovereign-1", tmp_path, haproxy.path, kept, "a") == {"changed": False}
    assert gateway_steering.release("sovereign-1", tmp_path, haproxy.path, kept, "b") == {"changed": True}
    assert [it for it in haproxy.told if it.startswith("set")] == [
        "set server model-a.local/sovereign-1 state drain\n", "set server model-b.local/sovereign-1 state ready\n",
    ]  # fmt: skip
    for engine, model in (("sovereign-1", "c"), ("serving-1", "b"), ("local", "a")):
        with pytest.raises(BadInput, match="and answers as"):
            gateway_steering.release(engine, tmp_path, haproxy.path, kept, model)


@pytest.mark.parametrize("what", ["", "all", "../x", "local ", "serving-1;", "sovereign-1\nshow map"])
def test_other_words_touch_nothing(tmp_path: Path, haproxy: Haproxy, what: str) -> None:
    for verb in (gateway_steering.switch, gateway_steering.hold):
        with pytest.raises(BadInput):
            verb(what, tmp_path, haproxy.path)
    with pytest.raises(BadInput, match="no engine is called"):
        gateway_steering.drain(what, haproxy.path, tmp_path / "servers.state")
    assert not (tmp_path / "steering.map").exists()
    assert {it.strip() for it in haproxy.told} == {"show servers state"}


def test_a_refusal_is_said(tmp_path: Path, haproxy: Haproxy) -> None:
    haproxy.says = lambda _: "Permission denied\n"
    with pytest.raises(gateway.Refused, match="Permission denied"):
        gateway_steering.hold("local", tmp_path, haproxy.path)
