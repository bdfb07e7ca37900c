"""Names of collections, and questions: what is none is refused before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from dualtrack.cli import app
from dualtrack.core.errors import BadInput
from dualtrack.knowledge import ingest


@pytest.mark.parametrize("name", ["../x", "a/b", "", " ", ".", "..", "-x", "a b", "a\nb", "/etc", "x" * 65, "a\x00"])
def test_names_of_no_collection(tmp_path: Path, name: str) -> None:
    (tmp_path / "from").mkdir()
    with pytest.raises(BadInput, match="is not the name of a collection"):
        ingest.ingest(tmp_path / "kb", tmp_path / "from", name, ["everyone"], cast("Any", None), say=print)
    assert not (tmp_path / "kb").exists()


@pytest.mark.parametrize("name", ["hr", "人事", "a.b-c_d", "2024", "x" * 64])
def test_names_of_collections(name: str) -> None:
    assert ingest.COLLECTION.fullmatch(name)


@pytest.mark.parametrize("question", ["", " ", "\t\n", "\u3000"])
def test_a_question_without_words(question: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["kb", "search", question, "--as", "ada", "--base", str(tmp_path)])
    assert isinstance(done.exception, BadInput)
    assert "at least one word" in str(done.exception)
