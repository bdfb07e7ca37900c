"""What operators say is in the map's file and in force, and stays; engines are drained in all their models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtrack.node import gateway, gateway_steering
from dualtrack.node.gateway import BadInput
from tests.support.fake_haproxy import Haproxy

STAT = """\
# pxname,svname,scur,stot,status,check_code,last_chk,check_desc,
model-a.local,sovereign-1,2,41,UP,200,OK,Layer7 check passed,
model-b.local,sovereign-1,0,7,DRAIN,200,OK,Layer7 check passed,
model-a.cloud,serving-1,0,7,UP,200,OK,Layer7 check passed,
"""


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Haproxy]:
    it = Haproxy(tmp_path, ("steering",))
    said = {"show stat\n": STAT, "show servers state\n": "1\n# be_id be_name\n"}
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
    assert haproxy.told[-2] == "set server model-b.local/sovereign-1 state ready\n"
    assert gateway_steering.release("serving-1", tmp_path, haproxy.path, kept) == {"changed": False}


@pytest.mark.parametrize("what", ["", "all", "../x", "local ", "serving-1;", "sovereign-1\nshow map"])
def test_other_words_touch_nothing(tmp_path: Path, haproxy: Haproxy, what: str) -> None:
    for verb in (gateway_steering.switch, gateway_steering.hold):
        with pytest.raises(BadInput):
            verb(what, tmp_path, haproxy.path)
    with pytest.raises(BadInput, match="no engine is called"):
        gateway_steering.drain(what, haproxy.path, tmp_path / "servers.state")
    assert not (tmp_path / "steering.map").exists()
    assert {it.strip() for it in haproxy.told} == {"show stat"}


def test_a_refusal_is_said(tmp_path: Path, haproxy: Haproxy) -> None:
    haproxy.says = lambda _: "Permission denied\n"
    with pytest.raises(gateway.Refused, match="Permission denied"):
        gateway_steering.hold("local", tmp_path, haproxy.path)
