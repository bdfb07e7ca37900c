"""A gateway takes a good database of countries, and keeps the one that it has when it is given another kind."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.hosts.agents import gateway_countries as countries
from dualtrack.hosts.agents.gateway import BadInput, Refused
from dualtrack.serving.countries import convert

MADE = 1_782_362_039.0  # 25 June 2026
NOW = MADE + 10 * countries.DAY_S
WORDS = ("country", "iso_code")
HEAD = "# Generated: Thu, 25 Jun 2026 04:33:59 GMT\n"


def right(address: str) -> str:
    if address in countries.NOWHERE:
        return ""
    return "US" if address in countries.ELSEWHERE else "CN"


def wrong(address: str, said: str) -> Callable[[str], str]:
    return lambda it: said if it == address else right(it)


def judge(
    country: Callable[[str], str] = right, nodes: int = countries.NODES, now: float = NOW
) -> None:  # fmt: skip
    countries.judge(country, nodes, MADE, now, 60)


def test_a_good_one_is_believed() -> None:
    judge()
    judge(now=MADE + 59.9 * countries.DAY_S)


@pytest.mark.parametrize("address", [*countries.IN_CHINA, *countries.ELSEWHERE, *countries.NOWHERE])
def test_each_probe_counts(address: str) -> None:
    said = "US" if address not in countries.ELSEWHERE else "CN"
    with pytest.raises(Refused, match=f"says that {address}.* is in {said}"):
        judge(wrong(address, said))


@pytest.mark.parametrize("address", [*countries.IN_CHINA, *countries.ELSEWHERE])
def test_an_empty_one_is_refused(address: str) -> None:
    with pytest.raises(Refused, match="in no country"):
        judge(wrong(address, ""))


def test_old_small_and_future_ones_are_refused() -> None:
    with pytest.raises(Refused, match="made 61 days ago, 60 at most"):
        judge(now=MADE + 61 * countries.DAY_S)
    with pytest.raises(Refused, match="in the future"):
        judge(now=MADE - 2 * countries.DAY_S)
    with pytest.raises(Refused, match="299999 nodes"):
        judge(nodes=countries.NODES - 1)


class Host:
    """A gateway's directory, and small databases to give it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.used, self.new = folder / countries.NAME, folder / f"{countries.NAME}.new"

    def bring(self, china: list[tuple[str, str]]) -> None:
        """Bring a database in which these ranges are in China, and the probes where they are."""
        found = [(int(ipaddress.ip_address(a)), int(ipaddress.ip_address(b)), "CN") for a, b in china]
        for address in countries.ELSEWHERE:
            if ":" not in address:
                number = int(ipaddress.ip_address(address))
                found.append((number, number, "US"))
        four = HEAD + "".join(f"{a},{b},{c}\n" for a, b, c in sorted(found))
        six = HEAD + "2001:da8::,2001:da8:ffff:ffff:ffff:ffff:ffff:ffff,CN\n"
        six += "".join(f"{it},{it},US\n" for it in countries.ELSEWHERE if ":" in it)
        (self.folder / "geoip").write_text(four)
        (self.folder / "geoip6").write_text(six)
        convert(self.folder / "geoip", self.folder / "geoip6", self.new)

    def take(self, days: str = "60") -> dict[str, object]:
        return countries.take(days, WORDS, self.folder, NOW)


CHINA = [(f"{it}.0", f"{it}.255") for it in sorted({a.rpartition(".")[0] for a in countries.IN_CHINA if ":" not in a})]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(countries, "NODES", 10)
    return Host(tmp_path)


def test_it_is_taken_once(host: Host) -> None:
    host.bring([*CHINA, ("64.0.0.0", "79.255.255.255")])
    assert host.take() == {"changed": True, "made": "2026-06-25", "domestic": 0.0625}
    assert host.used.read_bytes() == host.new.read_bytes()
    assert host.take("1")["changed"] is False  # the one in use may grow old


@pytest.mark.parametrize("damage", [b"", b"\0" * 5000, "cut", "mangled"])
def test_a_broken_one_is_refused_and_the_old_one_stays(host: Host, damage: bytes | str) -> None:
    host.bring([*CHINA, ("64.0.0.0", "79.255.255.255")])
    host.take()
    before = host.used.read_bytes()
    cut = {"cut": before[: len(before) // 2], "mangled": b"\xff" * 3000 + before[3000:]}
    host.new.write_bytes(damage if isinstance(damage, bytes) else cut[damage])
    with pytest.raises(Refused):
        host.take()
    assert host.used.read_bytes() == before


@pytest.mark.parametrize(
    ("end", "taken"), [("78.255.255.255", True), ("75.255.255.255", False), ("95.255.255.255", False)]
)
def test_one_in_which_china_has_another_size_is_refused(host: Host, end: str, taken: bool) -> None:
    host.bring([*CHINA, ("64.0.0.0", "79.255.255.255")])
    host.take()
    before = host.used.read_bytes()
    host.bring([*CHINA, ("64.0.0.0", end)])
    if taken:
        assert host.take()["changed"]
    else:
        with pytest.raises(Refused, match=r"of all addresses would be in CN, 6.2% are"):
            host.take()
    assert (host.used.read_bytes() == before) is not taken


@pytest.mark.parametrize(("days", "words"), [("x", WORDS), ("-1", WORDS), ("60", ())])
def test_wrong_words_are_refused(host: Host, days: str, words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput):
        countries.take(days, words, host.folder, NOW)
