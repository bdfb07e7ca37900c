"""`dualtrack explain`: every word is found where it is declared, and what is misspelled is suggested."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from dualtrack.core.errors import MEANING, BadInput, Exit
from dualtrack.inventory import facts, model
from dualtrack.tracks import explain
from tests.conftest import CLI, ROOT


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CLI, "explain", *words], capture_output=True, text=True, check=False, timeout=60)


def test_exit_codes_are_explained_as_the_reference_does() -> None:
    text = (ROOT / "docs/reference/exit-codes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([a-z ]+) \| (.*) \|$", text, re.M)
    assert rows == [(str(int(it)), it.name.replace("_", " ").lower(), MEANING[it]) for it in Exit]


@pytest.mark.parametrize(
    ("word", "kind", "name"),
    [
        ("5", "exit code", "5"),
        ("bad input", "exit code", "2"),
        ("slurm", "role", "slurm"),
        ("base_users", "variable of role base", "base_users"),
        ("base_users[].uid", "variable of role base", "base_users.uid"),
        ("provider", "field of the facts file", "provider"),
        ("hosts.disks", "field of the facts file", "hosts.disks"),
        ("DISKS", "field of the facts file", "hosts.disks"),
        ("aws", "stack", "aws"),
        ("operator_cidrs", "variable of a stack", "operator_cidrs"),
        ("inventory.pools.desired", "field of a stack's output", "inventory.pools.desired"),
        ("health_check", "alert", "health_check"),
        ("unhealthy", "alert", "health_check"),
        ("site-gpu-spot-missing", "alert", "missing"),
        ("gpu", "role of a host", "gpu"),
        ("knowledge_base", "role of a host", "knowledge_base"),
    ],
)
def test_a_word_is_found_where_it_is_declared(word: str, kind: str, name: str) -> None:
    found = explain.explain(word)
    assert (kind, name) in {(it.kind, it.name) for it in found}


def test_every_role_of_a_host_is_explained() -> None:
    assert set(model.ROLE_MEANING) == set(facts.ROLES)


def test_everything_is_explained() -> None:
    silent = [it.name for it in explain.entries() if not it.text]
    assert not silent


def test_what_both_stacks_declare_is_shown_once() -> None:
    (found,) = explain.explain("operator_cidrs")
    assert found.where == "terraform/stacks/aws/variables.tf, terraform/stacks/emulator/variables.tf"


def test_what_is_misspelled_is_suggested() -> None:
    with pytest.raises(BadInput, match=r"did you mean .*serving_models"):
        explain.explain("serving_modls")
    with pytest.raises(BadInput, match="an exit code, a role"):
        explain.explain("\x1b[2J")


def test_one_meaning_is_text_and_several_are_a_table() -> None:
    assert call("hosts.gpus").stdout.splitlines()[0] == "hosts.gpus: field of the facts file"
    assert "default: required" in call("hosts.address").stdout
    assert {"access_people.uid", "base_users.uid"} <= set(call("uid").stdout.split())


def test_the_document_has_all_meanings() -> None:
    found = json.loads(call("gpus", "--json").stdout)
    assert found["schema"] == "dualtrack.explain/1"
    assert {"hosts.gpus", "inventory.pools.gpus"} <= {it["name"] for it in found["entries"]}
    assert call("5", "--format", "csv").stdout.splitlines()[0] == "name,kind,type,default,text,where"


def test_what_is_not_known_is_one_line_on_stderr() -> None:
    done = call("nonsense-word")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
