"""What `dualtrack pii` refuses to call clean: another encoding, and what ingestion does not take for a text either."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.knowledge.parsing.blocks import Unreadable
from dualtrack.knowledge.parsing.text import decoded
from dualtrack.knowledge.pii import actions

TEXTS = ("Passport: E12345678", "Password: Abc12345\n", "call 13912345678", "nothing at all", "护照：E12345678",
         "密码 a1", "x" * 200_000 + "Password: Abc12345")  # fmt: skip
ENCODINGS = ("utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be", "utf-32")


def refused(place: Path) -> list[str]:
    """Return with which messages a file is refused by both commands."""
    said = []
    for work in (
        lambda: actions.find(str(place)),
        lambda: actions.clean(
            str(place), str(place.with_suffix(".out")), "mask", key_file=None, tenant="", force=False
        ),
    ):
        try:
            work()
        except BadInput as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_another_encoding_of_unicode_is_never_called_clean(tmp_path: Path, encoding: str) -> None:
    for text, before, after in itertools.product(TEXTS, ("", "in UTF-8 "), ("", " in UTF-8")):
        place = tmp_path / "text"
        place.write_bytes(before.encode() + text.encode(encoding) + after.encode())
        said = refused(place)
        assert [f"{place} is not UTF-8 at byte " in it for it in said] == [True, True], text
        assert not place.with_suffix(".out").exists()


def test_what_ingestion_does_not_take_for_a_text_is_refused(tmp_path: Path) -> None:
    chance, outcomes = random.Random(4), set()
    place = tmp_path / "text"
    for share, letters in itertools.product((0, 1, 3, 5, 20, 90), ("abc def\n", "文字，一段。\n")):
        for _ in range(6):
            signs = [chance.choice("\x01\x02\x08\x0e\x1a\x1c\x7f") for _ in range(share)]
            them = [*signs, *itertools.islice(itertools.cycle(letters), 400 - share)]
            chance.shuffle(them)
            place.write_bytes(data := "".join(them).encode())
            place.with_suffix(".out").unlink(missing_ok=True)
            try:
                decoded(data)
                ingested = True
            except Unreadable:
                ingested = False
            assert (len(refused(place)) == 0) is ingested
            outcomes.add(ingested)
    assert outcomes == {True, False}


@pytest.mark.parametrize(
    "text", ["", "\ufeff电话", "a\tb\r\nc\fd\ve", "\x1b[1m粗\x1b[0m", "a\x08a " + "b" * 300, "\x85\u2028"]
)
def test_what_editors_and_terminals_write_is_a_text(tmp_path: Path, text: str) -> None:
    place = tmp_path / "text"
    place.write_bytes(text.encode())
    assert not refused(place)
