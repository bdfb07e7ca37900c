"""Each person whose requests left is counted once a year, whenever the counting process or the machine dies."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dualtrack.hosts.agents import gateway_persons as persons
from dualtrack.hosts.agents.gateway_persons import Taker


def line(person: int, *, year: int = 2026, named: int = 1, sensitive: int = 0) -> bytes:
    return f'{{"year":{year},"person":"{person:016x}","named":{named},"sensitive":{sensitive}}}\n'.encode()


def write(folder: Path, data: bytes) -> None:
    with (folder / persons.LEFT).open("ab") as file:
        file.write(data)


def counts(folder: Path, year: int = 2026) -> dict[str, int]:
    return persons.counts(persons.load(year, folder))


def test_a_person_is_counted_once_by_kind(tmp_path: Path) -> None:
    taker = Taker(tmp_path)
    assert taker.step() == []
    write(tmp_path, line(1) + line(2) + line(1) + line(3, named=0))
    taker.step()
    assert counts(tmp_path) == {"persons": 3, "sensitive": 0}
    write(tmp_path, line(1) + line(1, sensitive=1) + line(2, year=2027))
    taker.step()
    assert counts(tmp_path) == {"persons": 3, "sensitive": 1}
    assert counts(tmp_path, 2027) == {"persons": 1, "sensitive": 0}
    found = persons.persons(2026, tmp_path)
    assert found["named"] == [f"{1:016x}", f"{2:016x}"]
    assert found["keys"] == [f"{3:016x}"]
    assert found["sensitive_named"] == [f"{1:016x}"]


def test_killed_at_any_step_nothing_is_left_out_or_counted_twice(tmp_path: Path) -> None:
    draw = random.Random(7)
    seen: set[int] = set()
    for _ in range(60):
        some = [draw.randrange(500) for _ in range(draw.randrange(1, 20))]
        seen |= set(some)
        data = b"".join(line(it) for it in some)
        cut = draw.randrange(len(data))
        write(tmp_path, data[:cut])
        Taker(tmp_path).step()  # another process each time
        write(tmp_path, data[cut:])
        Taker(tmp_path).step()
    assert counts(tmp_path)["persons"] == len(seen)
    lines = (tmp_path / "persons.2026").read_text().split()
    assert len(lines) == len(set(lines)) == len(seen)


def test_half_a_line_of_a_power_cut_is_none_and_harms_no_other(tmp_path: Path) -> None:
    write(tmp_path, line(1) + line(2))
    Taker(tmp_path).step()
    kept = tmp_path / "persons.2026"
    kept.write_bytes(kept.read_bytes()[:-5])
    assert counts(tmp_path)["persons"] == 1
    write(tmp_path, line(3))
    Taker(tmp_path).step()  # what the router wrote is still there: the half line is made good
    assert counts(tmp_path)["persons"] == 3


def test_what_was_taken_frees_its_place_and_the_rest_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persons, "FREED", 1 << 16)
    left, taker = tmp_path / persons.LEFT, Taker(tmp_path)
    for round_ in range(20):
        write(tmp_path, b"".join(line(it) for it in range(round_, round_ + 2000)))
        taker.step()
    assert left.stat().st_size > 2_000_000
    assert left.stat().st_blocks * 512 < 300_000
    write(tmp_path, line(77_777))
    another = Taker(tmp_path)
    another.step()
    assert another.place == left.stat().st_size
    assert counts(tmp_path)["persons"] == 2020
    left.write_bytes(line(88_888))  # somebody has emptied it
    another.step()
    assert counts(tmp_path)["persons"] == 2021


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe\n", b"{}\n", b"Proxy models stopped (cumulated conns: FE: 18, BE: 0).\n", b"\0" * 3_000_000 + b"\n",
     line(1).replace(b"1}", b"2}"), b'{"year":-,"person":"-","named":-,"sensitive":-}\n'],
)  # fmt: skip
def test_other_lines_are_passed_over(tmp_path: Path, data: bytes) -> None:
    write(tmp_path, line(1) + data + line(2))
    Taker(tmp_path).step()
    assert counts(tmp_path)["persons"] == 2


def test_a_limit_that_is_near_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persons, "LIMITS", {"persons": (10, 100), "sensitive": (1, 10)})
    taker = Taker(tmp_path)
    write(tmp_path, b"".join(map(line, range(7))))
    assert taker.step() == []
    write(tmp_path, line(8))
    assert taker.step() == ["2026: requests of 8 persons have left the country; a limit is 10"]
    assert taker.step() == []
    write(tmp_path, line(9) + line(10) + line(1, sensitive=1))
    assert len(taker.step()) == 3
    assert taker.step() == []


def test_nobody_is_kept_beyond_the_last_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persons, "MOST", 5)
    write(tmp_path, b"".join(map(line, range(9))))
    Taker(tmp_path).step()
    assert counts(tmp_path)["persons"] == 5


def test_the_year_is_chinas() -> None:
    eve = datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC).timestamp()
    assert [persons.year_of(eve), persons.year_of(eve + 1)] == [2026, 2027]
