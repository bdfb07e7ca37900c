"""The page of personal data lists limits: what it says is missed is missed, and what it says is found is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dualtrack.knowledge.parsing.separated import read
from dualtrack.knowledge.pii.kinds import KINDS
from dualtrack.knowledge.pii.mask import mask_parts
from dualtrack.knowledge.pii.scan import scan

PAGE = (Path(__file__).parents[4] / "docs/reference/personal-data.md").read_text()


def examples(title: str) -> list[str]:
    """Return the first column of the table under a title; `\\u202e` is the character of that number."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| `(.+?)` \|", section, re.M)
    return [decoded(text) for text in found]


def decoded(text: str) -> str:
    """Return a text of a table, in which `\\u202e` is the character of that number."""
    return re.sub(r"\\u([0-9a-f]{4})", lambda it: chr(int(it[1], 16)), text)


def test_tables_are_read() -> None:
    assert len(examples("Limits: what is not found")) > 20
    assert len(examples("Limits: what is found and is none")) > 4
    assert set(KINDS) >= {
        it.kind for text in examples("Limits: what is found and is none") for it in scan(text.encode())
    }


@pytest.mark.parametrize("text", examples("Limits: what is not found"))
def test_what_the_page_says_is_missed(text: str) -> None:
    assert not scan(text.encode()), "it is found: take it from the page"


@pytest.mark.parametrize("text", examples("Limits: what is found and is none"))
def test_what_the_page_says_is_found_though_it_is_none(text: str) -> None:
    assert scan(text.encode()), "it is not found: take it from the page"


ROWS = re.findall(r"^\| `(.+?)` \| (.+) \|$", PAGE.partition("## Limits: what is not found\n")[2], re.M)


@pytest.mark.parametrize("text", [text for text, why in ROWS if "in small letters" in why and "key" not in why])
def test_what_is_missed_in_small_letters_is_found_in_capitals(text: str) -> None:
    assert scan(text.upper().encode()), "the row proves nothing"


@pytest.mark.parametrize(
    "text", [text for text, why in ROWS if re.search(r"\\u(?!202e)", text) and "identifier" in why]
)
def test_what_is_missed_with_odd_characters_is_found_with_ordinary_ones(text: str) -> None:
    plain = text.replace(r"\u200b", "").replace(r"\u3000", " ").replace(r"\u2011", "-")
    assert scan(plain.encode()), "the row proves nothing"


TABLES = [text for text, why in ROWS if why.startswith("a table") and r"\u000a" in text]


LISTS = [text for text, why in ROWS if r"\u000a- " in text and "list" in why]


@pytest.mark.parametrize("text", LISTS)
def test_what_is_missed_in_a_list_is_found_behind_a_sign_without_a_label(text: str) -> None:
    assert scan(decoded(re.sub(r"：?\\u000a- (?:主用：)?", r"：\\u000a- ", text)).encode()), "the row proves nothing"


@pytest.mark.parametrize("text", [text for text, _ in ROWS if r"\u000a" in text and text not in (*TABLES, *LISTS)])
def test_what_is_missed_on_two_lines_is_found_on_one(text: str) -> None:
    assert scan(re.sub(r"\\u000a *", "", text).encode()), "the row proves nothing"


@pytest.mark.parametrize("text", TABLES)
def test_what_is_missed_in_a_table_is_found_by_ingestion(text: str) -> None:
    data = decoded(text).encode()
    assert mask_parts([it.text for it in read(data).blocks])[1], "the row proves nothing"


def test_rows_that_prove_something_are_read() -> None:
    assert sum("in small letters" in why for _, why in ROWS) > 5
    assert sum(r"\u" in text for text, _ in ROWS) > 4
    assert len(TABLES) > 1
    assert len(LISTS) > 1


def in_part() -> list[tuple[str, str]]:
    """Return texts of which a part is found, and that part."""
    section = PAGE.partition("## Limits: what is found in part\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(.+?)` \| `?(.*?)`? ?\|", section, re.M)


def test_the_table_of_parts_is_read() -> None:
    assert len(in_part()) > 4


@pytest.mark.parametrize(("text", "part"), in_part())
def test_what_the_page_says_is_found_in_part(text: str, part: str) -> None:
    text = decoded(text)
    assert "".join(text.encode()[it.start : it.end].decode() for it in scan(text.encode())) == part
