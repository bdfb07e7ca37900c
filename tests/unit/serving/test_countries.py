"""What the text files say of an address, the database says, too."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from pathlib import Path

import maxminddb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core.errors import BadInput
from dualtrack.serving import countries

HEAD = "# This file has been converted\n# Generated: Thu, 25 Jun 2026 04:33:59 GMT\n"
SIX = f"{HEAD}2001:da8::,2001:da8:ffff:ffff:ffff:ffff:ffff:ffff,CN\n2a00::,2a00::1,??\n"


def made(folder: Path, four: str, six: str = SIX) -> maxminddb.Reader:
    (folder / "geoip").write_text(four)
    (folder / "geoip6").write_text(six)
    countries.convert(folder / "geoip", folder / "geoip6", folder / "out.mmdb")
    return maxminddb.open_database(folder / "out.mmdb", maxminddb.MODE_MEMORY)


def code(reader: maxminddb.Reader, address: str) -> str:
    found = reader.get(address)
    return found["country"]["iso_code"] if isinstance(found, dict) else ""  # type: ignore[index, call-overload, return-value]


@given(
    st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=12, unique=True),
    st.lists(st.sampled_from(["CN", "US", "??"]), min_size=6, max_size=6),
    st.lists(st.integers(0, 2**32 - 1), max_size=20),
)
def test_each_address_has_the_country_of_its_range(
    tmp_path_factory: pytest.TempPathFactory, bounds: list[int], codes: list[str], others: list[int]
) -> None:
    ordered = sorted(bounds)
    found = list(zip(ordered[::2], ordered[1::2], codes, strict=False))
    text = HEAD + "".join(f"{first},{end},{it}\n" for first, end, it in found)
    reader = made(tmp_path_factory.mktemp("countries"), text)
    for number in {*ordered, *others}:
        right = next((it for first, end, it in found if first <= number <= end), "??")
        assert code(reader, str(ipaddress.IPv4Address(number))) == ("" if right == "??" else right)


def test_its_age_is_that_of_the_data(tmp_path: Path) -> None:
    older = SIX.replace("25 Jun 2026", "24 Jun 2026")
    reader = made(tmp_path, f"{HEAD}16777216,16777471,AU\n", older)
    assert reader.metadata().build_epoch == int(datetime(2026, 6, 24, 4, 33, 59, tzinfo=UTC).timestamp())
    assert code(reader, "2001:da8::5") == "CN"
    assert not code(reader, "2a00::1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEAD}5,1,CN\n", "not in order"), (f"{HEAD}1,5,CN\n3,9,US\n", "not in order"),
        (f"{HEAD}1,5\n", "not a range"),
        (f"{HEAD}1,99999999999,CN\n", "not a range"), (f"{HEAD}1,5,CHN\n", "not a range"),
        ("1,5,CN\n", "when it was made"),
        ("", "when it was made"), (f"{HEAD}zz::,5,CN\n", "not a range"), ("\N{SNOWMAN}", "not a text of tor-geoipdb's"),
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        made(tmp_path, text)
    assert not (tmp_path / "out.mmdb").exists()
