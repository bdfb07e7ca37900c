"""Makes a database of the countries of addresses (MMDB) from the text files of tor-geoipdb, a package of Debian's.

A site may name another database (MaxMind's, IP2Location's); gateways check whatever they are given
(`dualtrack.hosts.agents.gateway_countries`).
"""

from __future__ import annotations

import ipaddress
import re
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from dualtrack.core.errors import BadInput
from dualtrack.core.files import write_output

#: A range in either file: first address, last address, country; numbers for IPv4.
RANGE = re.compile(r"([0-9]{1,10}|[0-9a-f:.]{2,45}),([0-9]{1,10}|[0-9a-f:.]{2,45}),([A-Z]{2}|\?\?)")
GENERATED = re.compile(r"# Generated: +([A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d) GMT")
UNKNOWN = "??"
#: Before MaxMind's own format of the metadata, and the key of the time at which a database was made (8 bytes at most).
METADATA, EPOCH = b"\xab\xcd\xefMaxMind.com", b"\x4bbuild_epoch"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def ranges(lines: Iterable[str], what: str) -> Iterator[tuple[Address, Address, str]]:
    """Yield ranges of addresses with their country; neighbours of one country as one. BadInput for other lines."""
    last: tuple[Address, Address, str] | None = None
    for number, line in enumerate(lines, 1):
        if line.startswith("#") or not line.strip():
            continue
        found = RANGE.fullmatch(line.strip())
        try:
            if found is None:
                raise ValueError
            first, end = (
                ipaddress.IPv4Address(int(it)) if it.isdecimal() else ipaddress.IPv6Address(it)
                for it in found.groups()[:2]
            )
            if first.version != end.version:
                raise ValueError
            backwards = int(end) < int(first) or (last is not None and int(first) <= int(last[1]))
        except ValueError:
            raise BadInput(f"{what}, line {number}: this is not a range of addresses with a country") from None
        if backwards:
            raise BadInput(f"{what}, line {number}: the ranges are not in order")
        if last is not None and last[2] == found[3] and int(last[1]) + 1 == int(first):
            last = (last[0], end, last[2])
            continue
        if last is not None and last[2] != UNKNOWN:
            yield last
        last = (first, end, found[3])
    if last is not None and last[2] != UNKNOWN:
        yield last


def generated(lines: Iterable[str], what: str) -> datetime:
    """Return when a file's data was made, as its head says; BadInput where it does not."""
    for line in lines:
        if found := GENERATED.match(line):
            return datetime.strptime(found[1], "%a, %d %b %Y %H:%M:%S").replace(tzinfo=UTC)
        if not line.startswith("#"):
            break
    raise BadInput(f"{what} does not say when it was made", hint="is it geoip or geoip6 of tor-geoipdb?")


def convert(four: Path, six: Path, out: Path) -> None:
    """Write the database of two text files, `geoip` and `geoip6`. It takes a minute, and 500 MB of memory."""
    from mmdb_writer import MMDBWriter
    from netaddr import IPRange, IPSet

    of: dict[str, list[IPRange]] = {}
    made = datetime.max.replace(tzinfo=UTC)
    for path in (four, six):
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except UnicodeDecodeError:
            raise BadInput(f"{path} is not a text of tor-geoipdb's") from None
        made = min(made, generated(lines, str(path)))
        for first, end, country in ranges(lines, str(path)):
            of.setdefault(country, []).append(IPRange(str(first), str(end)))
    writer = MMDBWriter(
        6, "dualtrack-countries", ["en"], "Countries of addresses, by IPFire (CC BY-SA 4.0)", ipv4_compatible=True
    )
    for country, found in sorted(of.items()):
        networks = IPSet(it for one in found for it in one.cidrs())
        writer.insert_network(networks, {"country": {"iso_code": country}})
    with tempfile.TemporaryDirectory(prefix="dualtrack-countries-") as place:
        file = Path(place, "countries.mmdb")
        writer.to_db_file(str(file))
        write_output(out, dated(file.read_bytes(), made))


def dated(data: bytes, made: datetime) -> bytes:
    """Return a database that says when its data was made; the library says when it has written the file."""
    at = data.index(EPOCH, data.rindex(METADATA)) + len(EPOCH)
    size = (
        data[at] & 0x1F
    )  # an unsigned number of 64 bits is its length, its kind (2, of those that are extended), itself
    if data[at] >> 5 or data[at + 1] != 2 or size > 8:
        raise BadInput("the database's metadata is of another form than the format says")
    return data[:at] + bytes([4, 2]) + int(made.timestamp()).to_bytes(4, "big") + data[at + 2 + size :]
