"""`dualtrack kb delete-person` asks also where no document mentions the person yet: later ones are kept out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from dualtrack.cli.groups import BY_NAME
from dualtrack.core.errors import Refused
from dualtrack.core.output import form
from dualtrack.knowledge import deletion
from dualtrack.tracks import knowledge


def call(*words: str | Path) -> None:
    try:
        BY_NAME["kb"].load().main(["delete-person", *map(str, words)], standalone_mode=False)
    finally:
        form.reset()


@pytest.fixture
def deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what was deleted; the knowledge base has no document of anybody."""
    found = list[Any]()

    def delete(_: Path, people: list[str], *__: Any) -> deletion.Receipt:
        found.append(people)
        return deletion.Receipt(
            deletion=1, time=datetime.now(UTC), documents=0, chunks=0, keys=0, identifiers=1, versions=(), ledger="",
            repeated=False,
        )  # fmt: skip

    monkeypatch.setattr(deletion, "mentioned", lambda *_: [])
    monkeypatch.setattr(knowledge, "delete_person", delete)
    (tmp_path / "person.txt").write_text("Ada Lovelace\n")
    return found


def test_a_person_in_no_document_is_asked_about(
    tmp_path: Path, deleted: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--identifiers", tmp_path / "person.txt", "--base", tmp_path)
    asked = list[str]()

    def nobody(question: str, *_: Any, **__: Any) -> bool:
        asked.append(question)
        raise typer.Abort

    monkeypatch.setattr(typer, "prompt", nobody)
    call(*words, "--dry-run")
    call(*words, "--json")
    assert (asked, deleted) == ([], [])
    with pytest.raises(Refused, match="nobody answered"):
        call(*words)
    assert (len(asked), deleted) == (1, [])
    assert "later documents" in asked[0]
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: True)
    call(*words)
    call(*words, "--yes")
    assert len(deleted) == 2
    assert "0 documents" in capsys.readouterr().out
