"""Fail-over by hand: every gateway gets the word, and no word leaves a model without an engine by mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.serving.gateway import NOTE, Endpoint, Gateway
from dualtrack.tracks import serving, steering

ENGINES = (
    ("a", "local", "sovereign-1", "UP"), ("a", "cloud", "serving-1", "UP"),
    ("b", "local", "sovereign-1", "UP"), ("b", "cloud", "serving-1", "DOWN"),
)  # fmt: skip


class Host:
    """A gateway's host that answers as its program does, and notes what it was told."""

    def __init__(self, name: str, **held: str) -> None:
        self.name, self.held, self.told, self.noted = name, held, list[list[str]](), list[str]()

    def __call__(self, words: Sequence[str], given: str) -> str:
        if tuple(words) == NOTE:
            self.noted.append(given.removesuffix("\n"))
            return ""
        match list(words[3:]):
            case ["status"]:
                engines = [
                    {"model": model, "track": track, "engine": engine, "state": state, "requests": 0, "active": 0,
                     "last_check": ""}
                    for model, track, engine, state in ENGINES
                ]  # fmt: skip
                return json.dumps({"engines": engines, "since_s": 1})
            case ["steering"]:
                return json.dumps(self.held)
            case other:
                self.told.append(other)
                return '{"changed": true}'

    @property
    def site(self) -> serving.Site:
        endpoint = Endpoint(url="https://x", ca_file="", models=("a", "b"), tracks=("local",), gateway=self.name)
        return serving.Site(gateway=Gateway(self.name, self), endpoint=endpoint, tenants_file="", track="local")


class Away(Host):
    """One that cannot be reached."""

    def __call__(self, _: Sequence[str], __: str) -> str:
        raise External(f"{self.name} cannot be reached")


def test_every_gateway_gets_the_word_and_one_that_is_away_is_named() -> None:
    hosts = [Host("g1"), Away("g2"), Host("g3")]
    told = steering.steer([it.site for it in hosts], "drain", "serving-1")
    assert [(it.gateway, it.changed, bool(it.problem)) for it in told] == [
        ("g1", True, False), ("g2", False, True), ("g3", True, False),
    ]  # fmt: skip
    assert hosts[0].told == hosts[2].told == [["drain", "serving-1"]]


@pytest.mark.parametrize(("verb", "what", "lost"), [("hold", "local", "b"), ("drain", "sovereign-1", "b")])
def test_the_last_engine_of_a_model_goes_by_a_second_word_alone(verb: steering.Verb, what: str, lost: str) -> None:
    host = Host("g1")
    with pytest.raises(Refused, match=f"as {lost} any more"):
        steering.steer([host.site], verb, what)
    assert not host.told
    steering.steer([host.site], verb, what, last=True)
    assert host.told == [[verb, what]]


def test_a_track_that_is_held_answers_nothing() -> None:
    with pytest.raises(Refused, match="as a any more"):
        steering.steer([Host("g1", **{"held.local": "1"}).site], "drain", "serving-1")


@pytest.mark.parametrize(
    ("verb", "what", "hint"),
    [
        ("drain", "sovereign-9", "drain takes: serving-1, sovereign-1"),
        ("drain", "cloud", "drain takes: serving-1, sovereign-1"),
        ("hold", "serving-1", "hold takes: cloud, local"),
        ("switch", "serving-1", "switch takes: cloud, local, usual"),
        ("release", "usual", "release takes: cloud, local, serving-1, sovereign-1"),
    ],
)
def test_names_of_nothing(verb: steering.Verb, what: str, hint: str) -> None:
    host = Host("g1")
    with pytest.raises(BadInput, match=f"can {verb} {what}") as caught:
        steering.steer([host.site], verb, what)
    assert caught.value.hint == hint
    assert not host.told


def test_names_are_not_judged_by_gateways_that_say_nothing() -> None:
    with pytest.raises(External, match="g2 cannot be reached"):
        steering.steer([Host("g1").site, Away("g2").site], "drain", "sovereign-9")


def test_what_is_in_force() -> None:
    now = steering.status([Host("g1", first="cloud", **{"held.local": "1"}).site, Away("g2").site])
    assert (now[0].first, now[0].held, len(now[0].engines), now[0].problem) == ("cloud", ("local",), 4, "")
    assert now[1].problem == "g2 cannot be reached"


def test_an_engine_is_drained_for_one_model_and_goes_on_with_the_others() -> None:
    host = Host("g1")
    steering.steer([host.site], "drain", "sovereign-1", model="a")
    steering.steer([host.site], "release", "sovereign-1", model="a")
    assert host.told == [["drain", "sovereign-1", "a"], ["release", "sovereign-1", "a"]]
    with pytest.raises(Refused, match="nothing would answer as b"):
        steering.steer([host.site], "drain", "sovereign-1", model="b")
    for what, model in (("sovereign-1", "c"), ("local", "a")):
        with pytest.raises(BadInput, match=f"release {what} for the model {model}"):
            steering.steer([host.site], "release", what, model=model)


@pytest.mark.parametrize(
    ("verb", "what", "model"),
    [("switch", "local", None), ("hold", "cloud", None), ("drain", "serving-1", None), ("drain", "serving-1", "a"),
     ("release", "cloud", None)],
)  # fmt: skip
def test_each_gateway_records_who_did_what_before_it_is_done(
    monkeypatch: pytest.MonkeyPatch, verb: steering.Verb, what: str, model: str | None
) -> None:
    monkeypatch.setattr("dualtrack.core.operator.LOGIN", Path("/dev/null"))  # no session logged in
    monkeypatch.setenv("SUDO_USER", "games")
    hosts = [Host("g1"), Host("g2")]
    steering.steer([it.site for it in hosts], verb, what, model=model, last=True)
    for host in hosts:
        [note] = host.noted
        assert re.fullmatch(
            rf"games on \S+: dualtrack failover {verb} {what}{f' --model {model}' if model else ''}", note
        )
        assert len(host.told) == 1
