"""Architecture decision records have uniform headers, file names made from their titles, and a complete index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ADR = Path(__file__).resolve().parents[3] / "docs/adr"
RECORDS = sorted(path for path in ADR.glob("*.md") if path.name != "README.md")
HEADER = re.compile(
    r"# (?P<number>\d+)\. (?P<title>.+)\n\n"
    r"Status: (?P<status>proposed|accepted|deprecated|superseded by ADR \d+)\n\n"
    r"Date: (?P<date>\d{4}-\d\d-\d\d)\n\n(?=\S)"
)


def header(path: Path) -> re.Match[str]:
    """Return the header of a record; the test fails where it has another form."""
    found = HEADER.match(path.read_text(encoding="utf-8"))
    assert found is not None, f"{path.name} does not start with: # NUMBER. TITLE, Status: accepted, Date: YYYY-MM-DD"
    return found


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name[:4])
def test_the_file_name_is_made_from_number_and_title(path: Path) -> None:
    found = header(path)
    slug = re.sub(r"[^a-z0-9]+", "-", found["title"].lower()).strip("-")
    assert path.name == f"{int(found['number']):04}-{slug}.md"


def test_numbers_are_consecutive() -> None:
    assert [int(path.name[:4]) for path in RECORDS] == list(range(1, len(RECORDS) + 1))


def test_the_index_lists_every_record() -> None:
    expected = []
    for path in RECORDS:
        number, title, status, date = header(path).groups()
        expected.append(f"| {number} | [{title}]({path.name}) | {status} | {date} |")
    rows = [line for line in (ADR / "README.md").read_text(encoding="utf-8").splitlines() if re.match(r"\| \d", line)]
    assert rows == expected
