"""The knowledge base from documents to answers: ingestion, searches, kills, and who sees what."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dualtrack.core.errors import Exit
from dualtrack.security.access.model import Access
from dualtrack.tracks import knowledge
from tests.conftest import CLI, ROOT, Cli

PEOPLE = """
people:
  - {name: ada, uid: 4001, roles: [user], groups: [hr]}
  - {name: bo, uid: 4002, roles: [user], groups: [lab, hr]}
  - {name: chen, uid: 4003, roles: [auditor]}
  - {name: dong, uid: 4004, roles: [user]}
"""
TOPICS = ("请假", "报销", "出差", "加班", "培训", "体检", "门禁", "采购", "合同", "发票")
RULES = ("需要提前三天提交申请", "由部门负责人批准", "每年不超过十次", "费用由公司承担", "应当保留原始凭证")


def written(folder: Path, count: int, seed: int = 1) -> Path:
    """Write documents about rules of a company; some have personal data."""
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        topic = TOPICS[number % len(TOPICS)]
        lines = [f"# 关于{topic}的规定 {number}", *(f"{topic}{chance.choice(RULES)}，第{number}条。" for _ in range(4))]
        if number % 4 == 0:
            lines.append(f"联系电话 138{number:08}。")
        (folder / f"rule-{number:03}.md").write_text("\n\n".join(lines))
    return folder


def kb(place: Path, *words: str | Path, code: int | None = 0) -> dict[str, Any]:
    done = subprocess.run([CLI, "kb", *words, "--base", place, "--json"], capture_output=True, text=True, check=False)
    assert code is None or done.returncode == code, done.stderr
    return dict(json.loads(done.stdout)) if done.stdout else {"stderr": done.stderr}


PROGRAM = ("-m", "dualtrack.knowledge.program")


def asked(
    python: Path, *requests: dict[str, Any], kill_after: int | None = None, program: Sequence[str] = PROGRAM
) -> list[dict[str, Any]]:
    """Ask the program for several things, one after the other; kill it after some lines of progress."""
    running = subprocess.Popen(
        [python, "-P", *program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
    )  # fmt: skip
    assert running.stdin is not None
    assert running.stderr is not None
    known = {"model": str(knowledge.model())}
    running.stdin.write(b"".join(msgspec.json.encode({**known, **it}) + b"\n" for it in requests))
    running.stdin.close()
    running.stdin = None
    if kill_after is not None:
        for _ in range(kill_after):
            running.stderr.readline()
        running.send_signal(signal.SIGKILL)
    out, said = running.communicate(timeout=300)
    assert kill_after is not None or running.returncode == 0, said
    return [json.loads(line) for line in out.splitlines()]


def taking(place: Path, source: Path, collection: str, *labels: str) -> dict[str, Any]:
    return {
        "type": "ingest", "base": str(place), "source": str(source), "collection": collection,
        "labels": labels or ("everyone",),
    }  # fmt: skip


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "people.yml").write_text(PEOPLE)
    monkeypatch.setenv("DUALTRACK_ACCESS", str(tmp_path / "people.yml"))


@pytest.mark.usefixtures("people")
def test_from_documents_to_hits(tmp_path: Path) -> None:
    source, place = written(tmp_path / "docs", 20), tmp_path / "base"
    (source / "odd.bin").write_bytes(b"x")
    (source / "old.txt").write_bytes("naïve café".encode("latin-1"))
    Path(os.fsdecode(os.fsencode(source) + b"/\xff.bin")).touch()
    (source / "link.md").symlink_to("/etc/hostname")
    (source / ".hidden.md").write_text("hidden")
    for name in (".git", "sub"):
        (source / name).mkdir()
        (source / name / "note.bin").write_text("x")
    (source / "sub" / "note.bin").unlink()
    (source / "away").symlink_to("/etc")
    os.mkfifo(source / "pipe.md")
    os.mknod(source / "sub" / "null.txt", stat.S_IFCHR | 0o644, os.makedev(1, 3))
    os.mknod(source / "door.md", stat.S_IFSOCK | 0o644)
    first = kb(place, "ingest", source, "--collection", "rules", "--acl", "group:hr", code=1)
    assert (first["new"], first["documents"], first["masked"]) == (23, 20, {"phone": 5})
    assert {it["path"]: it["reason"] for it in first["left_out"]} == {
        "odd.bin": "files like .bin are not read", "\\xff.bin": "files like .bin are not read",
        "old.txt": "its encoding is not sure: convert it to UTF-8", ".hidden.md": "it is a hidden file",
        "away": "it is a symbolic link, which is not followed",
        "link.md": "it is a symbolic link, which is not followed",
        ".git": "it is a hidden directory", "pipe.md": "it is a named pipe", "door.md": "it is a socket",
        "sub/null.txt": "it is a device",
    }  # fmt: skip
    # Again: nothing is read, and the version is the same.
    again = kb(place, "ingest", source, "--collection", "rules", "--acl", "group:hr", code=1)
    assert (again["new"], again["unchanged"], again["version"], again["changed"]) == (0, 23, first["version"], False)
    found = kb(place, "search", "坐飞机去外地开会有什么要求", "--as", "ada")
    assert found["version"] == first["version"]
    assert any("出差" in it["text"] for it in found["hits"][:3]), found
    assert found["hits"][0]["headings"][0].startswith("关于")
    assert kb(place, "search", "出差", "--as", "dong")["hits"] == []
    assert "there is no 'eve'" in kb(place, "search", "出差", "--as", "eve", code=Exit.BAD_INPUT)["stderr"]
    # What was masked is nowhere in it.
    for path in place.rglob("*"):
        assert not path.is_file() or b"13800000004" not in path.read_bytes(), path
    (source / "rule-000.md").unlink()
    assert kb(place, "ingest", source, "--collection", "rules", "--acl", "group:hr", code=1)["missing"] == [
        "rule-000.md"
    ]
    removed = kb(place, "ingest", source, "--collection", "rules", "--acl", "group:hr", "--remove-missing", code=1)
    assert (removed["removed"], removed["documents"]) == (1, 19)
    # Both versions are kept, and the first one can answer again.
    assert [(it["id"], it["current"]) for it in kb(place, "versions")["versions"]] == [
        (removed["version"], True), (first["version"], False),
    ]  # fmt: skip
    subprocess.run([CLI, "kb", "rollback", first["version"], "--base", place, "--yes"], check=True)
    assert kb(place, "search", "出差", "--as", "ada")["version"] == first["version"]
    wrong = subprocess.run(
        [CLI, "kb", "rollback", "../..", "--base", place], capture_output=True, text=True, check=False
    )
    assert (wrong.returncode, "there is no version" in wrong.stderr) == (Exit.BAD_INPUT, True)
    # Nobody else sees them because a word was forgotten.
    one = kb(place, "ingest", source, "--collection", "rules", "--keep", "1", code=1)
    assert one["acl"] == ["group:hr"]
    assert [it["id"] for it in kb(place, "versions")["versions"]] == [one["version"]]


def test_a_document_in_which_the_search_takes_too_long_is_left_out_and_the_others_are_not(
    tmp_path: Path, python: Path
) -> None:
    source = written(tmp_path / "docs", 3)
    (source / "slow.txt").write_text("a@b.c " * 2_000_000)
    quick = "from dualtrack.knowledge import ingest, program; ingest.MASKING_S = 2; program.main()"
    [found] = asked(python, taking(tmp_path / "base", source, "rules"), program=("-c", quick))
    assert found["documents"] == 3
    assert [it["reason"] for it in found["left_out"]] == [
        "looking for personal data in it takes more than 2 s of processor time"
    ]


@pytest.mark.usefixtures("people")
def test_name_of_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "请\n假\x1b.md").write_text("# 请假\n\n提前三天提交申请。")
    (tmp_path / "docs" / "no\nform.bin").write_text("x")
    words = [CLI, "kb", "ingest", tmp_path / "docs", "--collection", "rules", "--base", tmp_path / "base"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "left out: no\\nform.bin: files like .bin are not read\n" in done.stdout, done.stderr
    words = [CLI, "kb", "search", "请假", "--as", "ada", "--base", tmp_path / "base"]
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "rules/请\\n假\\x1b.md > 请假\n" in found


def test_what_somebody_gets_is_as_if_the_rest_was_not_there(tmp_path: Path, python: Path) -> None:
    acls = {"hr": "group:hr", "lab": "group:lab", "all": "everyone", "audit": "role:auditor", "own": "person:dong"}
    people = msgspec.yaml.decode(PEOPLE, type=Access)
    sees = {"ada": ["hr", "all"], "bo": ["hr", "lab", "all"], "chen": ["all", "audit"], "dong": ["all", "own"]}
    for number, name in enumerate(acls):
        written(tmp_path / name, 8, seed=number)
    questions = ("请假要谁批准", "发票", "没有人写过的东西")

    def looking(place: Path, person: str) -> list[dict[str, Any]]:
        labels = people.person(person).labels
        return [
            {"type": "search", "base": str(place), "question": it, "labels": labels, "count": 12} for it in questions
        ]

    def filled(place: Path, names: Iterable[str]) -> list[dict[str, Any]]:
        return [taking(place, tmp_path / it, it, acls[it]) for it in names]

    everybodys = [it for person in sees for it in looking(tmp_path / "whole", person)]
    whole = asked(python, *filled(tmp_path / "whole", acls), *everybodys)[len(acls) :]
    for person, names in sees.items():
        place = tmp_path / f"only-{person}"
        alone = asked(python, *filled(place, names), *looking(place, person))[len(names) :]
        for found in alone:
            hits = whole.pop(0)["hits"]
            assert json.dumps(hits) == json.dumps(found["hits"])
            assert {it["collection"] for it in hits} <= set(names)
            assert len(hits) == 12


@pytest.mark.usefixtures("people")
def test_damaged_versions_answer_nothing(tmp_path: Path) -> None:
    place = tmp_path / "base"
    assert "has no version" in kb(place, "search", "x", "--as", "ada", code=Exit.BAD_INPUT)["stderr"]
    kb(place, "ingest", written(tmp_path / "docs", 4), "--collection", "rules")
    for name in ("documents.sealed", "card.json"):
        path = place / "current" / name
        whole = path.read_bytes()
        for damaged in (whole[:-8], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], b""):
            path.write_bytes(damaged)
            assert "is damaged" in kb(place, "search", "x", "--as", "ada", code=Exit.EXTERNAL)["stderr"], name
        path.write_bytes(whole)
    assert kb(place, "search", "请假", "--as", "ada")["hits"]
    (place / "current" / "documents.sealed").write_bytes(b"")
    kb(place, "ingest", tmp_path / "docs", "--collection", "rules")
    assert kb(place, "search", "请假", "--as", "ada")["hits"]


def test_killed_it_ends_in_the_same_version(tmp_path: Path, python: Path) -> None:
    """Killed 50 times, each time after some words of progress; then what it made is as if nothing had happened."""
    source, chance, place = written(tmp_path / "docs", 60), random.Random(4), tmp_path / "base"
    [wanted] = asked(python, taking(tmp_path / "whole", source, "rules"))
    for _ in range(50):
        asked(python, taking(place, source, "rules"), kill_after=chance.randint(0, 3))
    [found] = asked(python, taking(place, source, "rules"))
    assert (found["version"], found["chunks"]) == (wanted["version"], wanted["chunks"])
    assert [it.name for it in (place / "versions").iterdir()] == [wanted["version"]]


@pytest.mark.parametrize("page", ["add-a-corpus.md", "roll-back-the-knowledge-base.md"])
def test_runbook(tmp_path: Path, page: str) -> None:
    Cli(tmp_path).runbook(page)
