"""Tokens are counted once each, whenever the counting process dies and whenever the log is rotated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.hosts.agents import gateway, gateway_tokens
from dualtrack.hosts.agents.gateway_tokens import Ledger
from tests.support.fake_haproxy import Haproxy

NOON, MINUTE = 1_795_780_800.0, "2026-11-27T12:00Z"


def line(tenant: str, tokens: int, at: float = NOON) -> str:
    found = {"tenant": tenant, "read": tokens - tokens // 2, "written": tokens // 2, "ended": at}
    return json.dumps({**found, "status": 200, "track": "local"}) + "\n"


class Host:
    """A gateway's host: a log, what was kept, and the maps."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.kept = folder, folder / "requests.log", folder / "tokens.json"
        (folder / "budgets.map").write_text("a 100:1000\nb 0:0\nc 50:0\n")
        self.log.touch()

    def step(self, ledger: Ledger, now: float = NOON) -> dict[str, str]:
        gateway_tokens.step(
            ledger, now, log=self.log, kept=self.kept, folder=self.folder, path=self.folder / "admin.sock",
            audit=lambda _: None,
        )  # fmt: skip
        return gateway.read_map(self.folder / "spent.map")

    def write(self, text: str) -> None:
        with self.log.open("a") as file:
            file.write(text)

    def rotate(self) -> None:
        self.log.rename(self.log.with_name("requests.log.1"))
        self.log.touch()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Haproxy]:
    it = Haproxy(tmp_path, ("spent",))
    yield it
    it.end()


def test_who_has_used_up_its_tokens_is_stopped_until_there_are_some_again(host: Host, haproxy: Haproxy) -> None:
    ledger, noon, empty = Ledger(), int(NOON), {"a": "0 100 0", "c": "0 50 0"}
    assert host.step(ledger) == haproxy.maps()["spent"] == empty
    host.write(line("a", 99) + line("b", 10**9) + line("c", 50))
    gone = f"{noon + 1} 50 {noon + 61}"
    assert host.step(ledger) == haproxy.maps()["spent"] == {"a": f"0 100 {noon + 60}", "c": gone}
    host.write(line("a", 1))
    assert host.step(ledger) == haproxy.maps()["spent"] == {"a": f"{noon + 1} 100 {noon + 61}", "c": gone}
    assert host.step(ledger, NOON + 60) == haproxy.maps()["spent"] == empty
    host.write(line("a", 900, NOON + 61))
    assert host.step(ledger, NOON + 61)["a"] == f"{gateway_tokens.NEVER} 100 {noon + 181}"
    assert host.step(ledger, NOON + 7200) == empty | {"a": f"{gateway_tokens.NEVER} 100 0"}
    assert host.step(ledger, NOON + 10 * 86400) == haproxy.maps()["spent"] == empty


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 500)), max_size=40), st.integers(1, 1000))
def test_a_tenant_gets_its_tokens_of_a_minute_and_waits_for_a_minute_at_most(
    asked: list[tuple[float, int]], most: int
) -> None:
    ledger, now, budgets, taken = Ledger(), NOON, {"a": f"{most}:0"}, 0
    for pause, tokens in asked:
        now += pause
        ledger.turn(now)
        until, named, full = map(int, ledger.spent(budgets, now)["a"].split())
        assert (named, full == 0 or now < full <= now + 121) == (most, True)
        if until:
            assert now < until == full - 60
            continue
        ledger.add(line("a", tokens, now).encode())
        # What goes beyond the bucket is owed, of each answer a minute's worth.
        taken += min(tokens, most)
        assert taken <= 2 * most + (now - NOON) * most / 60
    ledger.turn(now + 62)
    assert ledger.spent(budgets, now + 62)["a"].startswith(f"0 {most} ")


def test_what_another_version_has_kept_is_taken(host: Host) -> None:
    host.kept.write_text(json.dumps({"month": "2026-11", "tokens": {"a": 7}, "minute": 1, "of_minute": {"a": 7}}))
    assert gateway_tokens.load(host.kept).tokens == {"a": 7}


def test_killed_at_any_line_and_rotated_nothing_is_counted_twice_or_left_out(host: Host) -> None:
    total = 0
    for number in range(1, 30):
        host.write(line("a", number) + line("a", number)[: number % 20])
        total += number
        host.step(gateway_tokens.load(host.kept))  # another process each time
        host.write(line("a", number)[number % 20 :])
        total += number
        if number % 7 == 0:
            old = host.log.open("a")
            host.rotate()
            host.write(line("a", 5))
            host.step(gateway_tokens.load(host.kept))
            with old:  # nginx still has the old one open
                old.write(line("a", 3))
            total += 8
    host.step(gateway_tokens.load(host.kept))
    assert gateway_tokens.load(host.kept).tokens == {"a": total}


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda it: json.dumps({"tenant": it}).encode()))
def test_other_lines_count_nothing(data: bytes) -> None:
    ledger = Ledger()
    ledger.turn(NOON)
    ledger.add(data)
    assert (ledger.tokens, ledger.missing) == ({}, {})


@pytest.mark.parametrize(
    "found", [{"read": -5, "written": 0}, {"read": "x", "written": 1}, {"read": None}, {"read": 1}]
)
def test_numbers_that_cannot_be(found: dict[str, object]) -> None:
    ledger = Ledger()
    ledger.turn(NOON)
    ledger.add(json.dumps({"tenant": "a", "ended": NOON, **found}).encode())
    assert ledger.tokens == {}


WRONG_LEDGERS = (
    "", "{", "{}", "[]", "null", "7", '{"month": "2026-11"}',
    '{"tokens": 1}', '{"tokens": {"a": "x"}}', '{"minute": "now"}', '{"month": 7}',
    '{"places": {"1": null}}', '{"uses": {"now": {}}}', '{"uses": {"1": {"a": [1, 2, 3]}}}', "[" * 100_000,
    '{"uses": {"1": {"[1, 2, 3]": [1, 2, 3]}}}', '{"uses": {"1": []}}', '{"missing": []}', '{"at": "now"}',
)  # fmt: skip


def damaged(kept: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what may become of a ledger, by name."""
    data = kept.read_bytes()
    for content in WRONG_LEDGERS:
        yield content[:40], lambda content=content: kept.write_text(content)  # type: ignore[misc]
    for size in (1, len(data) // 2, len(data) - 2):
        yield f"cut to {size}", lambda size=size: kept.write_bytes(data[:size])  # type: ignore[misc]
    yield "zeros", lambda: kept.write_bytes(bytes(len(data)))
    yield "a number is a text", lambda: kept.write_bytes(data.replace(b'"a": 7', b'"a": "7"'))
    yield "a directory", lambda: (kept.unlink(), kept.mkdir())
    yield "a link to nowhere in a circle", lambda: (kept.unlink(), kept.symlink_to(kept.name))


@pytest.mark.parametrize("number", range(len(WRONG_LEDGERS) + 7))
def test_a_damaged_ledger_is_kept_aside_and_nothing_is_told_twice(host: Host, number: int) -> None:
    """The tokens of this month come from the log as far as it goes; the trail has its lines once."""
    told: list[str] = []
    said: list[str] = []

    def step(now: float) -> Ledger:
        ledger = gateway_tokens.load(host.kept, log=host.log, now=now, say=said.append)  # another process each time
        gateway_tokens.step(
            ledger, now, log=host.log, kept=host.kept, folder=host.folder, path=host.folder / "none", audit=told.append
        )
        return ledger

    host.write(line("a", 7))
    step(NOON)
    step(NOON + 60)
    assert (len(told), said, gateway_tokens.tokens(host.kept)["lost"]) == (1, [], "")
    name, damage = list(damaged(host.kept))[number]
    damage()
    assert gateway_tokens.tokens(host.kept)["lost"], name
    host.write(line("a", 5, NOON + 61))
    assert step(NOON + 62).tokens == {"a": 12}
    [line_said] = said
    assert line_said.startswith(f"{host.kept} was damaged")
    assert [it.name.startswith("tokens.json.damaged-") for it in gateway_tokens.aside(host.kept)] == [True]
    assert gateway_tokens.tokens(host.kept)["lost"]
    host.write(line("a", 3, NOON + 130))
    assert step(NOON + 190).tokens == {"a": 15}
    assert ([json.loads(it)["requests"] for it in told], len(said)) == ([1, 1], 1)


def test_killed_after_a_damaged_ledger_was_moved_away(host: Host) -> None:
    host.write(line("a", 7))
    host.kept.with_name("tokens.json.damaged-unreadable-1").mkdir()
    found = gateway_tokens.load(host.kept, log=host.log, now=NOON)
    assert (found.tokens, found.uses, list(found.places.values())) == ({"a": 7}, {}, [host.log.stat().st_size])


def test_each_minute_goes_into_the_trail_once(host: Host) -> None:
    told: list[str] = []
    host.write(line("a", 7) + line("a", 3) + line("", 0) + line("b", 5, NOON + 60))

    def step(now: float) -> None:
        ledger = gateway_tokens.load(host.kept)  # another process each time
        gateway_tokens.step(
            ledger, now, log=host.log, kept=host.kept, folder=host.folder, path=host.folder / "none", audit=told.append
        )

    for now in (NOON, NOON + 59, NOON + 60, NOON + 61):
        step(now)
    assert [json.loads(it) for it in told] == [
        {"event": "requests", "minute": MINUTE, "tenant": tenant, "track": "local", "end": "answered",
         "requests": requests, "read": read, "written": written}
        for tenant, requests, read, written in (("", 1, 0, 0), ("a", 2, 6, 4))
    ]  # fmt: skip
    step(NOON + 120)
    assert [json.loads(it)["tenant"] for it in told] == ["", "a", "b"]
