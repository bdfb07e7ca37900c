"""`dualtrack init`: files that the other commands read, from options or answers, and none replaced by accident."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dualtrack.cloud import variables
from dualtrack.core.errors import BadInput
from dualtrack.inventory import facts
from dualtrack.tracks import initial
from tests.conftest import CLI

HOST = ("--host", "gpu-1=192.0.2.11,roles=gpu+serving,gpus=8", "--host", "gateway-1=192.0.2.12,roles=gateway,port=2222")
CLOUD = ("--region", "eu-central-1", "--operator-cidr", "203.0.113.7/32", "--image", "ami-0123456789abcdef0")


def call(folder: Path, *words: str, answers: str = "") -> subprocess.CompletedProcess[str]:
    command = [CLI, "init", "--tfvars", "aws.tfvars", *words]
    return subprocess.run(command, cwd=folder, input=answers, capture_output=True, text=True, check=False, timeout=60)


def test_options_become_files_that_are_read(tmp_path: Path) -> None:
    done = call(tmp_path, *HOST, *CLOUD, "--user", "admin", "--yes")
    assert done.returncode == 0, done.stderr
    found = facts.load(tmp_path / "facts.yml")
    assert (found.provider, found.user) == ("machines", "admin")
    assert [(it.name, it.roles, it.gpus, it.port) for it in found.hosts] == [
        ("gpu-1", ("gpu", "serving"), 8, 22), ("gateway-1", ("gateway",), 0, 2222),
    ]  # fmt: skip
    values = variables.values_of(tmp_path / "aws.tfvars")
    assert values["region"] == "eu-central-1"
    assert values["operator_cidrs"] == ["203.0.113.7/32"]
    assert values["image"] == {"id": "ami-0123456789abcdef0"}
    assert "next: dualtrack cloud plan --stack aws" in done.stderr


def test_answers_become_files(tmp_path: Path) -> None:
    answers = ["y", "ops", "", "gpu-1", "192.0.2.11", "gpu", "4", "", "y", "us-east-1", "203.0.113.0/24",
               "ami-0123456789abcdef0", "y"]  # fmt: skip
    done = call(tmp_path, answers="\n".join(answers) + "\n")
    assert done.returncode == 0, done.stderr
    assert facts.load(tmp_path / "facts.yml").hosts[0].gpus == 4
    assert "network" not in variables.values_of(tmp_path / "aws.tfvars")


@pytest.mark.parametrize(
    ("words", "answers", "code"),
    [
        ((), "", 5),
        ((), "n\nn\n", 0),
        (HOST, "n\n", 5),
        (HOST, "", 5),
        ((*HOST, "--dry-run"), "", 0),
        (("--yes",), "", 2),
        (("--host", "gpu-1", "--yes"), "", 2),
        (("--host", "gpu-1=192.0.2.11,roles=gpu", "--yes"), "", 2),
        (("--host", "-x=192.0.2.11", "--yes"), "", 2),
        (("--host", "a=192.0.2.11,roles=nonsense", "--yes"), "", 2),
        (("--host", "a=192.0.2.11,disks=x", "--yes"), "", 2),
        *(
            (("--host", f"a={it}", "--yes"), "", 2)
            for it in ("0.0.0.0", "224.0.0.1", "255.255.255.255", "0.1.2.3", "::1")
        ),
        (("--operator-cidr", "0.0.0.0/0", "--image", "ami-0123456789abcdef0", "--yes"), "", 2),
        (("--operator-cidr", "203.0.113.7/32", "--yes"), "", 2),
    ],
)
def test_nothing_is_written(tmp_path: Path, words: tuple[str, ...], answers: str, code: int) -> None:
    done = call(tmp_path, *words, answers=answers)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "answers",
    [
        "y\n" * 99, "x\n" * 99, "y\n" + "\n" * 2 + "web\n" * 99, "y\n\n\nweb\n" + "\n" * 99,
        "y\n\n\nweb\n192.0.2.1\n\n" + "web\n" * 99, "y\n\n\nweb\n192.0.2.1\ngpu\n" + "many\n" * 99,
        "y\n\n\nweb\n192.0.2.1\n" + "nonsense\n" * 99, "y\n\n\n" + "-\n" * 99,
    ],
    ids=range(8),
)  # fmt: skip
def test_a_program_that_answers_does_not_do_so_for_ever(tmp_path: Path, answers: str) -> None:
    done = call(tmp_path, answers=answers)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("Error: ") == 2
    assert not list(tmp_path.iterdir())


def test_a_wrong_answer_is_asked_for_again(tmp_path: Path) -> None:
    answers = ["y", "", "", "web", "0.0.0.0", "192.0.2.1", "cook", "gateway", "", "n", "y"]
    done = call(tmp_path, answers="\n".join(answers) + "\n")
    assert done.returncode == 0, done.stderr
    assert "'0.0.0.0' is not the IPv4 address of a host (write it as 10.30.0.11)" in done.stderr
    assert [(it.address, it.roles) for it in facts.load(tmp_path / "facts.yml").hosts] == [("192.0.2.1", ("gateway",))]


def test_what_was_given_is_not_repeated_whole(tmp_path: Path) -> None:
    done = call(tmp_path, "--host", f"a={'9' * 5000}", "--yes")
    assert (done.returncode, len(done.stderr) < 500, "…" in done.stderr) == (2, True, True)
    assert "(write it as 10.30.0.11)" in done.stderr


def test_files_are_not_replaced_without_being_told(tmp_path: Path) -> None:
    (tmp_path / "facts.yml").write_text("mine")
    done = call(tmp_path, *HOST, *CLOUD, "--yes")
    assert (done.returncode, "facts.yml is there already" in done.stderr) == (5, True)
    assert (tmp_path / "facts.yml").read_text() == "mine"
    assert not (tmp_path / "aws.tfvars").exists()
    assert call(tmp_path, *HOST, "--yes", "--force").returncode == 0
    assert facts.load(tmp_path / "facts.yml").hosts


def test_values_are_literals() -> None:
    assert initial._hcl("${x} %{y}") == '"$${x} %%{y}"'
    with pytest.raises(BadInput):
        initial.Cloud(region='x"', operator_cidrs=("203.0.113.7/32",), image="ami-0123456789abcdef0")


@pytest.mark.parametrize("old", ["", "provider: machines\n"])
def test_both_files_are_written_or_none(tmp_path: Path, old: str) -> None:
    (tmp_path / "file").write_text("in the place of a directory\n")
    if old:
        (tmp_path / "facts.yml").write_text(old)
        (tmp_path / "facts.yml").chmod(0o600)
    words = (*HOST, *CLOUD, "--tfvars", "file/aws.tfvars", "--yes", *(["--force"] if old else []))
    done = call(tmp_path, *words)
    assert done.returncode not in (0, 1), done.stderr
    assert "written" not in done.stderr
    assert ((tmp_path / "facts.yml").read_text() if old else (tmp_path / "facts.yml").exists()) == (old or False)
    assert not old or (tmp_path / "facts.yml").stat().st_mode & 0o777 == 0o600
    (tmp_path / "file").unlink()
    done = call(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert facts.load(tmp_path / "facts.yml").hosts
    assert variables.values_of(tmp_path / "file/aws.tfvars")["region"] == "eu-central-1"
