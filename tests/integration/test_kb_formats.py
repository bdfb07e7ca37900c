"""Each format of a document, whole and hostile, in the process that reads it; and what that process can reach."""

from __future__ import annotations

import os
import random
import subprocess
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from dualtrack.knowledge.parsing.blocks import Parsed
from tests.conftest import ROOT


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
        "html": [("text", "x"), ("heading", "A b"), ("text", "one\ntwo"), ("text", "kv")],
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
