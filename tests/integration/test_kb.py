"""The knowledge base from documents to answers: formats, hostile documents, kills, and who sees what."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
import zipfile
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dualtrack.core.errors import Exit
from dualtrack.data.mirror import artifacts
from dualtrack.knowledge.parsing.blocks import Parsed
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


@pytest.fixture(scope="session")
def python() -> Path:
    return artifacts.environment("knowledge")


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


def child(python: Path, form: str, data: bytes) -> Parsed | str:
    """Return what the process that reads a document makes of it, or the reason why it makes nothing."""
    done = subprocess.run(
        [python, "-P", "-m", "dualtrack.knowledge.parsing.child", form], input=data, capture_output=True, check=False,
        env={"PYTHONPATH": str(ROOT / "tools")}, timeout=120,
    )  # fmt: skip
    if done.returncode != 0:
        return f"{done.returncode} {done.stderr.decode()}"
    return msgspec.msgpack.decode(done.stdout, type=Parsed)


MAKE = """
import io, sys, docx, openpyxl
if sys.argv[1] == "docx":
    it = docx.Document(); it.add_heading("标题", 1); it.add_paragraph("正文"); table = it.add_table(2, 2)
    for row, cells in enumerate((("名称", "数量"), ("硬盘", "4"))):
        for column, text in enumerate(cells): table.cell(row, column).text = text
else:
    it = openpyxl.Workbook(); it.active.append(["名称", "数量"]); it.active.append(["硬盘", 4])
out = io.BytesIO(); it.save(out); sys.stdout.buffer.write(out.getvalue())
"""


def made(python: Path, form: str) -> bytes:
    return subprocess.run([python, "-c", MAKE, form], capture_output=True, check=True).stdout


def pdf(text: str) -> bytes:
    """Return a PDF document of one page."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    parts = [
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]  # fmt: skip
    out, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(out))
        out += b"%d 0 obj" % number + part + b"endobj\n"
    start = len(out)
    out += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % it for it in places)
    return out + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % start


MARKDOWN = "# A\n\n| Name | Count |\n| --- | --- |\n| Disk | 4 |\n"
TABBED = "姓名\t护照号\n李雷\tE12345678\n韩梅\tE12345679\n"
#: Reads documents as ingestion does, each in a process that is closed in, and prints why one was not read.
READING = """
import sys
from pathlib import Path
from dualtrack.knowledge.parsing import child
from dualtrack.knowledge.parsing.blocks import Unreadable
child.start(["md"])
for path in sys.argv[1:]:
    try:
        child.parse(Path(path).read_bytes(), "md")
    except Unreadable as error:
        print(path, error)
child.end()
"""


def test_every_page_of_the_documentation_is_read(python: Path) -> None:
    pages = sorted((ROOT / "docs").rglob("*.md"))
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tools")}
    done = subprocess.run([python, "-c", READING, *pages], env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert len(pages) > 100


def test_formats(python: Path) -> None:
    page = "<head><title>x</title></head><h1>A <b>b</b></h1><script>x()</script><p>one<br>two</p><tr><td>k<td>v</tr>"
    head = b"From: a@b.cn\nSubject: =?utf-8?b?6YCa55+l?=\nContent-Type: text/html; charset=gbk\n\n"
    mail = head + "<p>明天开会</p>".encode("gbk")
    found = {
        form: child(python, form, data)
        for form, data in (
            ("html", page.encode()), ("docx", made(python, "docx")), ("xlsx", made(python, "xlsx")), ("eml", mail),
            ("pdf", pdf("Leave needs an application")), ("md", MARKDOWN.encode()), ("txt", TABBED.encode()),
            ("csv", b"Name,Count\r\nDisk,4\r\n"),
        )
    }  # fmt: skip
    texts = {
        form: [(it.kind, it.text) for it in parsed.blocks]
        for form, parsed in found.items()
        if isinstance(parsed, Parsed)
    }
    assert texts == {
        "html": [("text", "x"), ("heading", "A b"), ("text", "one two"), ("text", "kv")],
        "docx": [("heading", "标题"), ("text", "正文"), ("row", "名称: 硬盘; 数量: 4")],
        "xlsx": [("heading", "Sheet"), ("row", "名称: 硬盘; 数量: 4")],
        "eml": [("heading", "通知"), ("text", "From: a@b.cn"), ("text", "明天开会")],
        "pdf": [("text", "Leave needs an application")],
        "md": [("heading", "A"), ("row", "Name: Disk; Count: 4")],
        "txt": [("row", "姓名: 李雷; 护照号: E12345678"), ("row", "姓名: 韩梅; 护照号: E12345679")],
        "csv": [("row", "Name: Disk; Count: 4")],
    }, found


def bomb() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("word/document.xml", b"0" * 60_000_000)
    return out.getvalue()


@pytest.mark.parametrize(
    ("form", "data", "said"),
    [
        ("docx", bomb, "times its size"),
        ("docx", lambda: b"PK\x03\x04 nothing", "not an office document"),
        ("xlsx", lambda: b"PK" + bytes(200), "not an office document"),
        ("pdf", lambda: b"%PDF-1.7\n" + b"1 0 obj<</Length 99999999999>>stream" * 50, "not a PDF"),
        ("pdf", lambda: pdf(" "), "no text"),
        ("html", lambda: b"<div>" * 2000 + b"x", "nested too deeply"),
        ("html", lambda: b"<div>" * 200_000 + b"x", "nested too deeply"),
        ("html", lambda: b'<meta charset="utf-8"><p>\xff', "and is not"),
        ("eml", lambda: b"no header here", "not a mail"),
    ],
)
def test_hostile_documents(python: Path, form: str, data: Callable[[], bytes], said: str) -> None:
    found = child(python, form, data())
    assert isinstance(found, str), found
    assert found.startswith("65 "), found
    assert said in found


@pytest.mark.parametrize("form", ["pdf", "docx", "xlsx", "html", "eml"])
def test_mutated_documents_end_in_text_or_in_a_reason(python: Path, form: str) -> None:
    chance = random.Random(form)
    whole = (
        pdf("Some text")
        if form == "pdf"
        else made(python, form)
        if form in ("docx", "xlsx")
        else b"From: a\n\n<p>x</p>"
    )
    for _ in range(4):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 30)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        found = child(python, form, bytes(data[: chance.randint(len(data) // 2, len(data))]))
        assert isinstance(found, Parsed) or found.startswith("65 "), found


def test_who_takes_over_a_parser_can_reach_nothing(python: Path, tmp_path: Path) -> None:
    """In the process as it is when it reads a document."""
    tries = f"""
import os, socket, subprocess, sys, ctypes
from dualtrack.knowledge.parsing import sandbox
sandbox.close_in(memory=1 << 29, seconds=20)
def refused(what):
    try: what()
    except (PermissionError, OSError, MemoryError) as error: return True
    return False
tries = {{
    "network": lambda: socket.socket(), "unix": lambda: socket.socketpair(),
    "program": lambda: os.execv("/bin/true", ["true"]), "spawn": lambda: subprocess.run(["/bin/true"]),
    "write": lambda: open({str(tmp_path / "new")!r}, "w").write("x" * 10),
    "remove": lambda: os.unlink({str(tmp_path / "kept")!r}), "kill": lambda: os.kill(os.getppid(), 0),
    "memory": lambda: bytearray(1 << 30), "link": lambda: os.symlink("/", {str(tmp_path / "link")!r}),
}}
print([name for name, it in tries.items() if not refused(it)])
"""
    (tmp_path / "kept").touch()
    done = subprocess.run(
        [python, "-P", "-c", tries],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT / "tools")},
    )
    assert done.stdout.strip() == "[]", (done.stdout, done.stderr)
    assert sorted(it.name for it in tmp_path.iterdir() if it.stat().st_size) == []
    assert (tmp_path / "kept").exists()


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
