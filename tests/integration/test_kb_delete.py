"""A person is deleted from the knowledge base by commands: with kills, and with a program that continues running."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import pytest

from dualtrack.core.errors import Exit
from dualtrack.data.mirror import artifacts
from dualtrack.knowledge import versions
from dualtrack.tracks import knowledge
from tests.conftest import CLI, ROOT, Cli
from tests.support.knowledge_base import forms, holding, in_memory, take_in, texts

PERSON = "欧阳青岚"
SECRET = "薪酬复核编号 QL-7781"
FILES = {
    "pay.md": f"# 薪酬\n\n{PERSON}的{SECRET}，由财务部保管。",
    "note.md": "会议记录：欧阳 青岚提出了新的预算方案。",
    "leave.md": "# 请假\n\n员工请假需要提前三天提交申请，由部门负责人批准。",
    "trip.md": "# 出差\n\n出差返回后十天内报销。",
}
PEOPLE = "people:\n  - {name: ada, uid: 4001, roles: [user]}\n"


def run(*words: str | Path, given: str | bytes | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
    data = given.encode() if isinstance(given, str) else given or b""
    done = subprocess.run([CLI, "kb", *words], input=data, capture_output=True, check=False)
    assert done.returncode == code, done.stderr.decode()
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def said(*words: str | Path, given: str | bytes | None = None, code: int = 0) -> dict[str, Any]:
    return dict(json.loads(run(*words, "--json", given=given, code=code).stdout))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A knowledge base with two versions, and the documents of the newer one."""
    folder = tmp_path_factory.mktemp("delete")
    docs = folder / "docs"
    docs.mkdir()
    (folder / "people.yml").write_text(PEOPLE)
    for name, text in FILES.items():
        (docs / name).write_text(text)
    run("ingest", docs, "--collection", "hr", "--base", folder / "base")
    (docs / "trip.md").write_text(FILES["trip.md"] + "\n\n机票需要提前申请。")
    run("ingest", docs, "--collection", "hr", "--base", folder / "base")
    return folder


@pytest.fixture
def base(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DUALTRACK_ACCESS", str(made / "people.yml"))
    place = Path(shutil.copytree(made / "base", tmp_path / "base", symlinks=True))
    monkeypatch.setenv("DUALTRACK_KB", str(place))
    return place


class Program:
    """The program of the knowledge base, as a service would keep it running."""

    def __init__(self, base: Path) -> None:
        self.base = str(base)
        self.running = subprocess.Popen(
            [artifacts.environment("knowledge"), "-P", "-m", "dualtrack.knowledge.program"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
        )  # fmt: skip

    def ask(self, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        """Ask several things at once, so that some are read before those in front of them are answered."""
        known = {"model": str(knowledge.model())}
        given, answers = cast("IO[bytes]", self.running.stdin), cast("IO[bytes]", self.running.stdout)
        given.write(b"".join(msgspec.json.encode({**known, **it}) + b"\n" for it in requests))
        given.flush()
        return [json.loads(answers.readline()) for _ in requests]

    def searching(self, question: str) -> dict[str, Any]:
        return {"type": "search", "base": self.base, "question": question, "labels": ["everyone"], "count": 10}


@pytest.fixture
def program(base: Path) -> Iterator[Program]:
    found = Program(base)
    yield found
    found.running.kill()
    found.running.communicate()


def test_no_trace_in_files_nor_in_a_program_that_reloaded(base: Path, made: Path, program: Program) -> None:
    vector = next(row for row, it in enumerate(versions.load(base).entries) if SECRET in it.text)
    numbers = versions.load(base).vectors[vector].tobytes()
    marks = [*forms(SECRET)[:3], *forms(PERSON)[:3], numbers[800:848]]
    asking = program.searching("薪酬由谁保管")
    [found] = program.ask(asking)
    assert SECRET in found["hits"][0]["text"]
    assert in_memory(program.running.pid, marks)  # it can be found there
    assert holding(base, marks) == []
    dry = said("delete-person", given=f"{PERSON}\n")
    assert [(it["source"], it["mentions"], it["versions"]) for it in dry["documents"]] == [
        ("note.md", 1, 2), ("pay.md", 1, 2),
    ]  # fmt: skip
    assert program.ask(asking) == [found]
    done = run("delete-person", "--yes", "--json", given=f"{PERSON}\n")
    receipt = json.loads(done.stdout)
    assert (receipt["deletion"], receipt["documents"], receipt["keys"], len(receipt["versions"])) == (1, 2, 2, 2)
    for word in (PERSON, SECRET, "pay", "note", "hr"):
        assert word not in done.stdout + done.stderr
    # Without a word to it the program still has it in its memory; what it answers has not.
    assert in_memory(program.running.pid, marks)
    after = program.ask(asking, {"type": "reload"}, program.searching("请假"), {"type": "reload"})
    assert {it["source"] for it in after[0]["hits"]} == {"leave.md", "trip.md"}
    assert not any(SECRET in it["text"] for answer in (after[0], after[2]) for it in answer["hits"])
    assert (after[1], after[3]) == ({}, {})
    assert in_memory(program.running.pid, marks) == ""
    assert holding(base, marks) == []
    # No version brings it back, nor do the same files.
    for version in [it["id"] for it in said("versions")["versions"]]:
        run("rollback", version, "--yes")
        hits = said("search", "薪酬由谁保管", "--as", "ada")["hits"]
        assert {it["source"] for it in hits} == {"leave.md", "trip.md"}
    again = said("ingest", made / "docs", "--collection", "hr", code=Exit.FINDINGS)
    assert {it["path"]: it["reason"] for it in again["left_out"]} == dict.fromkeys(
        ["note.md", "pay.md"], f"deleted on {receipt['time'][:10]}"
    )
    state = said("status")
    assert (state["documents"], state["deletions"], state["deleted_documents"]) == (2, 1, 2)
    [old] = [it["id"] for it in said("versions")["versions"] if it["id"] not in (again["version"], found["version"])]
    difference = said("diff", old, again["version"])
    assert [(it["source"], it["before"], it["after"]) for it in difference["changed"]] == [("trip.md", 1, 1)]
    assert (difference["unchanged"], difference["deleted_before"], difference["deleted_after"]) == (1, 2, 0)
    assert program.ask(program.searching("薪酬由谁保管"))[0]["version"] == again["version"]
    assert in_memory(program.running.pid, marks[1:2]) == ""


@pytest.mark.usefixtures("base")
def test_the_receipt_is_in_the_audit_trail(tmp_path: Path) -> None:
    trail = tmp_path / "trail"
    subprocess.run([CLI, "audit", "init", trail, "--host", "here"], check=True, capture_output=True)
    (tmp_path / "person.txt").write_text(f"{PERSON}\n13800138000\n")
    words = ("delete-person", "--identifiers", tmp_path / "person.txt", "--trail", trail, "--yes")
    receipt = said(*words)
    assert "done before" in run(*words).stdout
    records = [json.loads(it[:-65]) for it in (trail / "segments/00000001.log").read_text().splitlines()]
    found = [json.loads(it["body"]) for it in records if it["kind"] == "knowledge"]
    assert [{"schema": receipt["schema"], **it} for it in found] == [receipt, {**receipt, "repeated": True}]
    assert holding(trail, [*forms(PERSON), b"13800138000", b"pay.md"]) == []
    # Where the trail cannot be written nothing is deleted.
    no = run("delete-person", "--yes", "--trail", tmp_path / "none", given="请假", code=Exit.BAD_INPUT)
    assert "holds no trail" in no.stderr
    assert said("status")["deletions"] == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (b"", "has no identifier"), (b"\n\n", "has no identifier"), (b"x" * 70_000, "too long for identifiers"),
        (b"ab\0cd", "control character"), ("张".encode(), "too short"), ("张三丰".encode("gb18030"), "not UTF-8"),
        (os.urandom(5000) + b"\xff", "not UTF-8"),
    ],
)  # fmt: skip
def test_hostile_identifiers(base: Path, given: bytes, words: str) -> None:
    done = run("delete-person", "--yes", given=given, code=Exit.BAD_INPUT)
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (base / "deletions.ledger").exists()


def test_a_master_key_of_the_operators_own(base: Path, made: Path, tmp_path: Path) -> None:
    key = tmp_path / "own.key"
    (base / "master.key").rename(key)
    for words in (
        ("search", "请假", "--as", "ada"),
        ("delete-person", "--yes"),
        ("ingest", made / "docs", "--collection", "hr"),
    ):
        done = run(*words, given=PERSON, code=Exit.BAD_INPUT)
        assert (done.stderr.count("there is no master key"), done.stderr.count("\n")) == (1, 1)
    assert said("status", code=Exit.FINDINGS)["master_key"] == "missing"
    assert said("search", "请假", "--as", "ada", "--key-file", key)["hits"]
    assert said("status", "--key-file", key)["master_key"] == "there"
    (tmp_path / "wrong.key").write_bytes(bytes(32))
    (tmp_path / "wrong.key").chmod(0o600)
    done = run("search", "请假", "--as", "ada", "--key-file", tmp_path / "wrong.key", code=Exit.BAD_INPUT)
    assert (done.stderr.count("is not the master key of"), done.stderr.count("\n")) == (1, 1)
    assert not (base / "master.key").exists()


def test_killed_commands_are_finished_by_the_next_one(tmp_path: Path, chance: random.Random) -> None:
    """`kb delete-person` is killed; whoever asks next has all of the person or nothing, and the next run finishes."""
    docs, base = tmp_path / "docs", tmp_path / "base"
    docs.mkdir()
    for number in range(3):
        (docs / f"{number}.md").write_text(f"{PERSON} {number}")
    (docs / "rest.md").write_text("rest")
    take_in(base, docs)
    words = [CLI, "kb", "delete-person", "--yes", "--base"]
    begin = time.monotonic()
    whole = Path(shutil.copytree(base, tmp_path / "whole", symlinks=True))
    subprocess.run([*words, whole], input=PERSON.encode(), check=True, capture_output=True)
    took = time.monotonic() - begin
    counts = set()
    for number in range(5):
        place = Path(shutil.copytree(base, tmp_path / str(number), symlinks=True))
        running = subprocess.Popen(
            [*words, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        cast("IO[bytes]", running.stdin).write(PERSON.encode())
        cast("IO[bytes]", running.stdin).close()
        running.stdin = None
        time.sleep(took * chance.uniform(0.5, 1))
        running.send_signal(signal.SIGKILL)
        running.communicate()
        counts.add(len(texts(place)))
        subprocess.run([*words, place], input=PERSON.encode(), check=True, capture_output=True)
        assert texts(place) == ["rest"]
    assert counts <= {1, 4}


def test_runbook(tmp_path: Path) -> None:
    Cli(tmp_path).runbook("delete-a-person.md")
