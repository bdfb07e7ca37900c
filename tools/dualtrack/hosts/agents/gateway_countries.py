"""Takes a database of the countries of addresses for a gateway, if it is a good one.

Part of the program of hosts with the role gateway (beside `gateway`), called by that role:

    dualtrack-gateway countries DAYS WORD…    takes countries.mmdb.new, which was made DAYS ago at most and holds the
                                              country's code below these words; prints {"changed": …, "made":
                                              "2026-06-25", "domestic": share of addresses in China}

Refused is one that is old, small, wrong about addresses that are known to everybody, that gives private networks a
country, or that differs by more than a fifth from the one in use in how many addresses are in China. The one in use
stays then. nginx notices another file automatically.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dualtrack.hosts.agents.gateway import BadInput, Refused, locked, write

KEPT = Path("/var/lib/dualtrack/gateway")
NAME = "countries.mmdb"
LIMIT_BYTES = 1 << 30
DAY_S = 86400
#: Search trees of whole databases have more: tor-geoipdb's 1.4 million, GeoLite2-Country's about as many.
NODES = 300_000
#: Universities and carriers that have had these addresses for decades, and no resolvers that answer all over the world.
IN_CHINA = (
    "61.139.2.69", "101.6.6.6", "123.125.114.144", "162.105.129.27", "166.111.4.100", "202.38.64.1", "202.96.209.133",
    "202.106.0.20", "210.22.70.3", "211.136.192.6", "218.2.2.2", "221.11.1.67", "2001:da8::666",
)  # fmt: skip
ELSEWHERE = (
    "8.8.8.8", "9.9.9.9", "18.9.22.69", "128.232.0.1", "129.132.1.1", "130.225.0.1", "133.11.0.1", "139.130.4.5",
    "143.248.1.1", "147.8.0.1", "140.112.1.1", "193.0.6.139", "200.160.0.8", "2001:4860:4860::8888", "2620:fe::fe",
)  # fmt: skip
NOWHERE = ("10.1.2.3", "127.0.0.1", "169.254.1.1", "172.16.0.1", "172.31.255.1", "192.168.1.1", "fd00::1", "fe80::1")
#: One address in so many is looked up for the share of China: 65,536 of them, the same ones each time.
STEP = 65_536
FIFTH = 0.2

Country = Callable[[str], str]


def judge(country: Country, nodes: int, made: float, now: float, days: int) -> None:
    """Refused with the reason where a database cannot be believed, or is too old.

    ``country`` says the code of an address, '' for none; ``made`` and ``now`` are seconds since 1970.
    """
    age = (now - made) / DAY_S
    if age < -1:
        raise Refused("the database was made in the future: is the clock right?")
    if age > days:
        raise Refused(f"the database was made {age:.0f} days ago, {days} at most are taken")
    if nodes < NODES:
        raise Refused(f"the database has {nodes} nodes, whole ones have {NODES} and more")
    for address in IN_CHINA:
        if (found := country(address)) != "CN":
            raise Refused(f"the database says that {address} is in {found or 'no country'}; it is in CN")
    for address in ELSEWHERE:
        if (found := country(address)) in ("", "CN"):
            raise Refused(f"the database says that {address} is in {found or 'no country'}; it is outside CN")
    for address in NOWHERE:
        if found := country(address):
            raise Refused(f"the database says that {address}, which is nobody's, is in {found}")


def share(country: Country) -> float:
    """Return the share of IPv4 addresses that are in China, of a sample that is the same each time."""
    # An odd number of addresses into each step: not the first ones of networks.
    found = sum(country(str(ipaddress.IPv4Address(it + 25_717))) == "CN" for it in range(0, 1 << 32, STEP))
    return found / ((1 << 32) / STEP)


def reader(data: Path, words: Sequence[str]) -> tuple[Country, Any]:
    """Return what looks addresses up in a database, and its metadata; Refused where it is none."""
    import maxminddb

    try:
        opened = maxminddb.open_database(str(data), maxminddb.MODE_MEMORY)
        about = opened.metadata()
    except (maxminddb.InvalidDatabaseError, OSError, ValueError) as error:
        raise Refused(f"{data.name} is not a database of addresses: {error}") from None

    def country(address: str) -> str:
        try:
            found = opened.get(address)
        except (maxminddb.InvalidDatabaseError, ValueError, UnicodeDecodeError) as error:
            raise Refused(f"{data.name} cannot be read at {address}: {error}") from None
        for word in words:
            found = found.get(word) if isinstance(found, dict) else None
        return found if isinstance(found, str) else ""

    return country, about


def take(days: str, words: Sequence[str], kept: Path = KEPT, now: float | None = None) -> dict[str, Any]:
    """Put the database that was brought in force, if it is a good one; see above."""
    if not days.isdecimal() or not words:
        raise BadInput("countries takes a number of days, and the words that lead to a country's code")
    new, used = kept / f"{NAME}.new", kept / NAME
    with locked(kept):
        if new.stat().st_size > LIMIT_BYTES:
            raise Refused(f"{new.name} is larger than {LIMIT_BYTES >> 20} MiB")
        data = new.read_bytes()
        country, about = reader(new, words)
        part, made = share(country), float(about.build_epoch)
        changed = not used.exists() or used.read_bytes() != data
        if changed:
            judge(country, int(about.node_count), made, time.time() if now is None else now, int(days))
            if used.exists():
                before = share(reader(used, words)[0])
                if abs(part - before) > before * FIFTH:
                    raise Refused(f"{part:.1%} of all addresses would be in CN, {before:.1%} are by the one in use")
            write(used, data, 0o644)  # the front's processes read it
    return {"changed": changed, "made": f"{datetime.fromtimestamp(made, UTC):%Y-%m-%d}", "domestic": round(part, 4)}
