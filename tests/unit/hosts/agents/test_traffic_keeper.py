"""Which records the keeper writes and takes away: those of nodes that Slurm gives work to, at EC2's addresses."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.hosts.agents import traffic_keeper
from dualtrack.hosts.agents.traffic_keeper import Keeper, Zone, changes, parse_nodes, record

NAME = "nodes.llm.example.com"
#: What EC2 says: instances with address and roles.
RUNNING = {"i-1": ("10.20.0.5", "gpu"), "i-2": ("10.20.0.6", "gpu"), "i-9": ("10.20.0.90", "controller")}


class World(Zone):
    """Slurm, EC2 and a zone in memory. ``fails``: calls of the API that are refused first."""

    def __init__(self, states: dict[str, str]) -> None:
        super().__init__("Z1", "vpc-1", "us-east-1")
        self.states: dict[str, str] | None = states
        self.claims = ""
        self.instances = dict(RUNNING)
        self.there: list[dict[str, Any]] = [{"Name": f"{NAME}.", "Type": "TXT", "SetIdentifier": "x"}]
        self.fails = self.compared = 0
        self.keeper = Keeper(self, NAME, self.sinfo)
        self.now = 1000.0

    def sinfo(self, *words: str) -> subprocess.CompletedProcess[str]:
        if self.states is None:
            return subprocess.CompletedProcess(words, 1, "", "Unable to contact slurm controller")
        said = "".join(f"{a}|{s}\n" for a, s in self.states.items())
        return subprocess.CompletedProcess(words, 0, self.claims + said, "")

    def _client(self, service: str) -> Any:
        assert service == "ec2"
        return self

    def get_paginator(self, call: str) -> Any:
        assert call == "describe_instances"
        return self

    def paginate(self, *, Filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        assert {"Name": "tag-key", "Values": ["aws:autoscaling:groupName"]} in Filters
        self.compared += 1
        if self.fails:
            self.fails -= 1
            raise OSError("throttled")
        found = [
            {"InstanceId": name, "PrivateIpAddress": address, "Tags": [{"Key": "dualtrack:roles", "Value": roles}]}
            for name, (address, roles) in self.instances.items()
        ]
        return [{"Reservations": [{"Instances": found[:1]}]}, {"Reservations": [{"Instances": found[1:]}]}]

    def records(self) -> list[dict[str, Any]]:
        return list(self.there)

    def change(self, todo: Sequence[tuple[str, dict[str, Any]]]) -> None:
        for action, it in todo:
            self.there = [
                r for r in self.there if r.get("SetIdentifier") != it.get("SetIdentifier") or r["Type"] != "A"
            ]
            if action == "UPSERT":
                self.there.append({**it, "Name": f"{NAME}."})

    def goes_on(self, seconds: float = traffic_keeper.POLL_S) -> dict[str, str]:
        """Look as often as the service does; return the records of the name."""
        end = self.now + seconds
        while self.now < end:
            self.now += traffic_keeper.POLL_S
            self.keeper.look(self.now)
        return {it["SetIdentifier"]: it["ResourceRecords"][0]["Value"] for it in self.there if it["Type"] == "A"}


def test_nodes_that_take_work_have_records_and_controllers_have_none() -> None:
    assert World({"10.20.0.5": "idle", "10.20.0.6": "mixed"}).goes_on() == {"i-1": "10.20.0.5", "i-2": "10.20.0.6"}


def test_a_drained_node_is_out_at_the_next_look_and_comes_back() -> None:
    world = World({"10.20.0.5": "idle", "10.20.0.6": "mixed"})
    world.goes_on(30)
    for state in ("draining", "drained*", "down*", "fail", "maint"):
        world.states = {"10.20.0.5": "idle", "10.20.0.6": state}
        assert world.goes_on() == {"i-1": "10.20.0.5"}, state
        world.states = {"10.20.0.5": "idle*", "10.20.0.6": "allocated"}  # slow to answer, and not given up
        assert world.goes_on() == {"i-1": "10.20.0.5", "i-2": "10.20.0.6"}


def test_an_instance_that_went_without_a_word_is_out_when_ec2_says_so() -> None:
    world = World({"10.20.0.5": "idle", "10.20.0.6": "idle"})
    world.goes_on(30)
    del world.instances["i-2"]
    assert world.goes_on(traffic_keeper.COMPARE_S) == {"i-1": "10.20.0.5"}


@pytest.mark.attack("root on a node", "sends users to another address", "prevented", "the controllers write EC2's word")
def test_a_node_that_claims_another_address_leads_nobody_there() -> None:
    """Slurm's word of an address counts only where an instance of ours has it."""
    assert World({"10.20.0.5": "idle", "203.0.113.66": "idle"}).goes_on() == {"i-1": "10.20.0.5"}


@pytest.mark.attack("root on a node", "leads users to a controller", "prevented", "only GPU nodes have records")
@pytest.mark.parametrize("roles", ["controller", "gpu+controller", "controller+gpu", "", "gpux", "storage"])
def test_a_node_that_claims_the_address_of_no_gpu_node_leads_nobody_there(roles: str) -> None:
    world = World({"10.20.0.5": "idle", "10.20.0.90": "idle"})
    world.instances["i-9"] = "10.20.0.90", roles
    assert world.goes_on() == {"i-1": "10.20.0.5"}
    world.instances["i-9"] = "10.20.0.90", "gpu+store"
    assert world.goes_on(traffic_keeper.COMPARE_S) == {"i-1": "10.20.0.5", "i-9": "10.20.0.90"}


def test_an_instance_without_tags_has_no_record() -> None:
    assert not traffic_keeper.may_serve({"InstanceId": "i-1"})


def test_when_no_gpu_node_runs_any_more_no_record_is_left() -> None:
    """EC2's answer has the controllers in it, so it is an answer."""
    world = World({"10.20.0.5": "idle"})
    world.goes_on()
    world.instances = {"i-9": RUNNING["i-9"]}
    assert world.goes_on(traffic_keeper.COMPARE_S) == {}


@pytest.mark.parametrize("claim", ["10.20.0.6|idle\n", "x|drained\n10.20.0.6|idle\ny|idle\n", "10.20.0.6 |idle\n"])
def test_a_claimed_address_does_not_outweigh_what_slurm_says_of_its_node(claim: str) -> None:
    world = World({"10.20.0.5": "idle", "10.20.0.6": "drained"})
    world.claims = claim
    assert world.goes_on() == {"i-1": "10.20.0.5"}


def test_without_slurm_nothing_changes_but_what_ec2_knows() -> None:
    world = World({"10.20.0.5": "idle"})
    world.goes_on()
    world.states = None
    assert world.goes_on(120) == {"i-1": "10.20.0.5"}
    world.instances = {"i-9": RUNNING["i-9"]}
    assert world.goes_on(traffic_keeper.COMPARE_S) == {}


def test_before_slurm_has_answered_nothing_is_touched() -> None:
    world = World({})
    world.states = None
    world.there.append(record(NAME, "i-1", "10.20.0.5"))
    assert world.goes_on(60) == {"i-1": "10.20.0.5"}
    assert world.compared == 0


def test_an_answer_without_instances_is_not_believed() -> None:
    world = World({"10.20.0.5": "idle"})
    world.goes_on()
    world.instances = {}
    assert world.goes_on(60) == {"i-1": "10.20.0.5"}


def test_api_that_fails_is_asked_again_and_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    world = World({"10.20.0.5": "idle"})
    world.fails = 3
    assert world.goes_on(60) == {"i-1": "10.20.0.5"}
    assert capsys.readouterr().out.count("throttled") == 1


def test_the_zone_is_compared_seldom_while_nothing_happens() -> None:
    world = World({"10.20.0.5": "idle"})
    world.goes_on(600)
    assert world.compared <= 600 / traffic_keeper.COMPARE_S + 1


ADDRESSES = st.sampled_from(["10.20.0.5", "10.20.0.6", "203.0.113.66"])
FOUND = st.builds(
    lambda who, kind, values: {
        "Name": f"{NAME}.", "Type": kind, "SetIdentifier": who, "ResourceRecords": [{"Value": it} for it in values]
    },
    st.sampled_from(["i-1", "i-2", "i-3", "evil"]), st.sampled_from(["A", "AAAA", "TXT"]),
    st.lists(ADDRESSES, max_size=2),
)  # fmt: skip


@given(
    st.lists(FOUND, unique_by=lambda it: (it["SetIdentifier"], it["Type"])),
    st.dictionaries(st.sampled_from(["i-1", "i-2"]), ADDRESSES),
)
def test_whatever_is_there_becomes_what_is_wanted_and_no_other_type_is_touched(
    there: list[dict[str, Any]], wanted: dict[str, str]
) -> None:
    world = World({})
    world.there = list(there)
    todo = changes(there, NAME, wanted)
    world.change(todo)  # type: ignore[arg-type]
    now = {it["SetIdentifier"]: it["ResourceRecords"] for it in world.there if it["Type"] == "A"}
    assert now == {who: [{"Value": address}] for who, address in wanted.items()}
    assert [it for it in world.there if it["Type"] != "A"] == [it for it in there if it["Type"] != "A"]
    assert changes(world.there, NAME, wanted) == []
    assert {it["Type"] for _, it in todo} <= {"A"}


def test_an_alias_and_a_record_of_nobody_are_taken_out() -> None:
    alias = {"Name": f"{NAME}.", "Type": "A", "SetIdentifier": "evil", "AliasTarget": {"DNSName": "evil.example."}}
    plain = {"Name": f"{NAME}.", "Type": "A", "ResourceRecords": [{"Value": "203.0.113.66"}]}
    other = {"Name": "api.llm.example.com.", "Type": "A", "SetIdentifier": "i-3", "ResourceRecords": []}
    assert changes([alias, other], NAME, {}) == [("DELETE", alias)]
    assert changes([plain], NAME, {}) == [("DELETE", plain)]
    mine = {**alias, "SetIdentifier": "i-1"}
    assert changes([mine], NAME, {"i-1": "10.20.0.5"}) == [("UPSERT", record(NAME, "i-1", "10.20.0.5"))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", set()),
        ("10.20.0.5|idle\n10.20.0.5|idle\n", {"10.20.0.5"}),
        ("10.20.0.5|drained\n10.20.0.5|idle\n", set()),
        ("10.20.0.5|idle\n10.20.0.5|down*\n10.20.0.6|mixed\n", {"10.20.0.6"}),
        ("10.20.0.5|idle~\n10.20.0.6|unknown\n|idle\nx\n", {"10.20.0.5"}),
    ],
)  # fmt: skip
def test_what_sinfo_prints(text: str, found: set[str]) -> None:
    assert parse_nodes(text) == found
