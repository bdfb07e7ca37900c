"""A stack's variables: which file wins, and what the operator says for one run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dualtrack.cloud import variables
from dualtrack.core.errors import BadInput


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    (tmp_path / "variables.tf").write_text('variable "name" { default = "a" }\nvariable "size" { default = 1 }\n')
    return tmp_path


def test_the_stronger_file_wins(stack: Path) -> None:
    assert variables.read(stack) == {"name": "a", "size": 1}
    (stack / "terraform.tfvars").write_text("size = 2\n")
    (stack / "b.auto.tfvars.json").write_text('{"size": 3}')
    (stack / "c.auto.tfvars").write_text("size = 4\n")
    assert variables.read(stack)["size"] == 4
    assert variables.read(stack, skip=lambda text: "4" in text)["size"] == 3


def test_what_is_said_for_one_run(tmp_path: Path) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    first.write_text(json.dumps({"name": "x", "size": 1}))
    second.write_text(json.dumps({"size": 2}))
    assert variables.chosen("") == {}
    assert variables.chosen(f":{first}:{second}") == {"name": "x", "size": 2}


@pytest.mark.parametrize("text", ["[1]", "{"])
def test_damaged_and_missing_files_are_one_line(tmp_path: Path, text: str) -> None:
    broken = tmp_path / "x.json"
    broken.write_text(text)
    for setting in (str(broken), str(tmp_path / "absent.json"), str(tmp_path / "pools.tfvars")):
        with pytest.raises(BadInput) as caught:
            variables.chosen(setting)
        assert len(str(caught.value).splitlines()) == 1
