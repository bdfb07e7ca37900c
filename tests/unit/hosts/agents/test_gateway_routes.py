"""The table of tracks: what must stay has no other row, and a second writing of the rules says the same of each."""

from __future__ import annotations

import itertools
from pathlib import Path

from dualtrack.hosts.agents import gateway_routes as routes

ROWS = [tuple(key.split(".")) for key in routes.table()]


def expected(tenant: str, network: str, address: str, first: str, here: str, there: str, personal: str) -> str:
    """Return where a request is answered, by the set of tracks that each rule leaves."""
    allowed = {"local", "cloud"}
    if "local" in (tenant, network.removesuffix("-only") if network.endswith("-only") else ""):
        allowed &= {"local"}
    if "cloud" in (tenant, network.removesuffix("-only") if network.endswith("-only") else ""):
        allowed &= {"cloud"}
    if not allowed:
        return "no_track"
    chosen = len(allowed) == 1
    if personal == "yes" and allowed != {"local"}:
        if allowed == {"cloud"}:
            return "personal_data"
        return "local" if here != "none" else "personal_stays"
    state = {"local": here, "cloud": there}
    up = {it for it in allowed if state[it] != "none"}
    if not up:
        return f"no_{allowed.pop()}_engine" if chosen else "no_engine"
    order = [first, network.removesuffix("-first"), tenant.removeprefix("prefer-"), address]
    wanted = next(it for it in order if it in allowed) if not chosen else min(allowed)
    free = {it for it in up if state[it] == "free"}
    return next(it for it in (*({wanted} & free), *free, *({wanted} & up), *up))


def test_both_writings_agree_on_every_row() -> None:
    assert len(ROWS) == len(set(ROWS)) == 4 * 5 * 2 * 3 * 3 * 3 * 2
    wrong = [(words, said) for words in ROWS if (said := routes.decide(*words)) != expected(*words)]
    assert not wrong, wrong[:5]


def test_what_must_stay_never_leaves_whatever_else_is() -> None:
    for words in ROWS:
        tenant, network, *_, personal = words
        said = routes.table()[".".join(words)]
        if tenant == "local" or network == "local-only" or personal == "yes":
            assert said != "cloud", words
        if tenant == "cloud" or network == "cloud-only":
            assert said != "local", words
        assert said in (*routes.TRACKS, *routes.REFUSALS)


def test_who_may_leave_is_answered_where_anything_is_up() -> None:
    free = itertools.product(("any", "prefer-local"), ("none", "local-first", "cloud-first"))
    for (tenant, network), address, first, here, there in itertools.product(
        free, routes.TRACKS, routes.STEERED, routes.STATES, routes.STATES
    ):
        said = routes.decide(tenant, network, address, first, here, there, "no")
        state = {"local": here, "cloud": there}
        if here == there == "none":
            assert said == "no_engine"
        else:
            assert state[said] == "free" or "free" not in (here, there)
            assert state[said] != "none"


def test_it_is_written_once(tmp_path: Path) -> None:
    assert routes.install(tmp_path, tmp_path / "nobody")
    lines = (tmp_path / "tracks.map").read_text().splitlines()
    assert dict(line.split() for line in lines) == routes.table()
    assert not routes.install(tmp_path, tmp_path / "nobody")
