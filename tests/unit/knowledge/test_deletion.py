"""Deleting a person: what is deleted, that it stays so, and that kills and full disks leave nothing half."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from dualtrack.core.errors import BadInput, External
from dualtrack.knowledge import deletion, embedding, overview, versions
from dualtrack.knowledge.catalog import Catalog
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.ledger import DONE, Ledger
from dualtrack.knowledge.mentions import Plain
from tests.support.knowledge_base import forms, holding, take_in, texts

WHEN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PERSON = ["张三丰"]
FILES = {
    "about.md": "# 合同\n\n张三丰的合同，编号 marigold。",
    "twice.md": "张 三 丰和张三丰。",
    "张三丰.md": "nothing else here",
    "copy.md": "# 合同\n\n张三丰的合同，编号 marigold。",
    "other.md": "请假需要提前三天申请。小张，三丰公司。",
    "more.md": "报销在每月十日。",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A knowledge base with two versions; in the older one more.md mentions the person, too."""
    folder = tmp_path_factory.mktemp("deletion")
    docs = folder / "docs"
    docs.mkdir()
    for name, text in FILES.items():
        (docs / name).write_text(text)
    (docs / "more.md").write_text("张三丰报销。")
    take_in(folder / "base", docs)
    (docs / "more.md").write_text(FILES["more.md"])
    take_in(folder / "base", docs)
    return folder


@pytest.fixture
def base(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "base", tmp_path / "base", symlinks=True))


def delete(base: Path, *named: str, people: list[str] = PERSON) -> deletion.Receipt:
    return deletion.delete(base, people, named, clock=lambda: WHEN)


def _rows(base: Path, *kinds: str) -> list[tuple[bytes, bytes]]:
    """Return documents' numbers, and their keys under the master key, or what is sealed of them."""
    with Keys(base) as keys, Catalog(base, keys) as catalog, closing(embedding._kept(base)) as vectors:
        asked = {
            "keys": keys._table.ask("SELECT document, wrapped FROM keys"),
            "bodies": catalog._table.ask("SELECT document, body FROM documents WHERE body IS NOT NULL"),
            "vectors": vectors.ask("SELECT document, sealed FROM vectors"),
        }
    return [(it[0], it[1]) for kind in kinds for it in asked[kind]]


def secrets_of(base: Path) -> list[bytes]:
    """Return what must be nowhere when the person is deleted: keys under the master key, bodies and vectors sealed."""
    with Keys(base) as keys:
        gone = deletion._look(base, keys, Ledger(base, keys), [Plain(it).text for it in PERSON], ())
    rows = _rows(base, "keys", "bodies", "vectors")
    found = [it for number, it in rows if number in gone]
    assert len(found) == 5 + 4 + 4  # of more.md as it was there is no body, of the copy no vector
    return [it[:24] for it in found]


def check_gone(base: Path, secrets: list[bytes]) -> None:
    assert holding(base, secrets) == []
    assert sorted(texts(base)) == sorted(it for it in ALL if "张三丰" not in it and "张 三" not in it)
    assert deletion.mentioned(base, PERSON, ()) == []
    for it in versions.listed(base):
        versions.roll_back(base, it.id)
        assert not any("三丰的" in text or "三丰报" in text or "张 三" in text for text in texts(base))


ALL = [*(it.split("\n\n")[-1] for it in FILES.values() if it != "nothing else here")]


def test_dry_run_lists_and_changes_nothing(base: Path) -> None:
    before = {it: it.read_bytes() for it in base.rglob("*") if it.is_file() and not it.name.endswith("-shm")}
    found = deletion.mentioned(base, PERSON, ["hr/more.md"])
    assert [(it.source, it.mentions, it.named, it.same_file, it.versions) for it in found] == [
        ("about.md", 1, False, False, 2), ("copy.md", 0, False, True, 0), ("more.md", 1, True, False, 2),
        ("twice.md", 2, False, False, 2), ("张三丰.md", 1, False, False, 2),
    ]  # fmt: skip
    assert {it: it.read_bytes() for it in before} == before


def test_deleted_stays_deleted(base: Path, made: Path, tmp_path: Path) -> None:
    secrets = secrets_of(base)
    assert set(holding(base, secrets)) == {"keys.sqlite", "catalog.sqlite", "vectors.sqlite"}
    receipt = delete(base)
    assert (receipt.deletion, receipt.documents, receipt.keys, receipt.repeated) == (1, 5, 5, False)
    assert sorted(receipt.versions) == sorted(it.id for it in versions.listed(base))
    ledger = base / "deletions.ledger"
    done = subprocess.run(["openssl", "dgst", "-sm3", ledger], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == receipt.ledger
    assert holding(base, [form for it in ("张三丰", "张3丰", "marigold", "hr/") for form in forms(it)]) == []
    check_gone(base, secrets)
    # The same files, and new ones that mention the person, stay out, in every collection; others come in.
    docs = Path(shutil.copytree(made / "docs", tmp_path / "docs"))
    (docs / "new.md").write_text("Ｚhang？ 张\u200b三·丰 also here")
    (docs / "renamed.md").write_text(FILES["about.md"])
    (docs / "fine.md").write_text("张三和李四")
    for collection in ("hr", "lab"):
        report = take_in(base, docs, collection)
        reasons = {it.path: it.reason for it in report.left_out}
        mention = "it mentions somebody who was deleted on 2026-05-04"
        assert reasons == {
            **dict.fromkeys(["about.md", "copy.md", "twice.md", "renamed.md", "张三丰.md"], "deleted on 2026-05-04"),
            "new.md": mention,
        }  # fmt: skip
    assert take_in(base, docs, "lab").new == 0
    assert "张三和李四" in texts(base)
    assert not any("三丰的" in it or "also here" in it for it in texts(base))
    again = delete(base)
    assert (again.deletion, again.keys, again.repeated, again.ledger) == (1, 5, True, receipt.ledger)


def test_documents_by_name_and_people_whom_nothing_mentions(base: Path, made: Path, tmp_path: Path) -> None:
    assert delete(base, "hr/other.md", people=[]).documents == 1
    assert not any("请假" in it for it in texts(base))
    assert delete(base, "hr/other.md", people=[]).repeated
    with pytest.raises(BadInput, match="there is no document"):
        delete(base, "hr/none.md", people=[])
    assert delete(base, people=["nobody here"]).documents == 0
    assert Keys(base).fact(DONE) == "2"
    docs = Path(shutil.copytree(made / "docs", tmp_path / "docs"))
    (docs / "late.md").write_text("from NOBODY-HERE")
    assert {it.path for it in take_in(base, docs).left_out} == {"copy.md", "other.md", "late.md"}
    found = overview.status(base)
    assert (found.deletions, found.deleted_documents, found.master_key) == (2, 1, "there")


def test_a_version_without_anything_left_answers_nothing(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("张三丰")
    take_in(tmp_path / "base", tmp_path / "docs")
    delete(tmp_path / "base")
    assert texts(tmp_path / "base") == []
    with pytest.raises(BadInput, match="nothing could be read"):
        take_in(tmp_path / "base", tmp_path / "docs")


def test_a_ledger_that_was_changed_is_seen(base: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(base, tmp_path / "other", symlinks=True))
    delete(other, people=["somebody else"])
    delete(base)
    delete(base, people=["somebody"])
    path = base / "deletions.ledger"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    chance = random.Random(5)
    flipped = [
        whole[:it] + bytes([whole[it] ^ 1]) + whole[it + 1 :]
        for it in (chance.randrange(len(whole)) for _ in range(30))
    ]
    spliced = (other / "deletions.ledger").read_bytes() + lines[1]
    for data in (spliced, b"", lines[0], lines[1], lines[1] + lines[0], whole[:-1], lines[0] + whole, *flipped):
        path.write_bytes(data)
        for what in (lambda: versions.load(base), lambda: delete(base)):
            with pytest.raises(External, match=r"deletions\.ledger"):
                what()
    path.unlink()
    with pytest.raises(External, match="has 0 deletions, and 2 were done"):
        versions.load(base)
    path.write_bytes(whole)
    assert delete(base).repeated
    # What a power cut left of a line that nobody was told of is taken off.
    path.write_bytes(whole + lines[0][:50])
    assert len(texts(base)) == 2
    assert delete(base, people=["a third one"]).deletion == 3
    assert path.read_bytes().startswith(whole + b'{"number":3')


def test_old_keys_brought_back_open_nothing(base: Path, tmp_path: Path, made: Path) -> None:
    shutil.copy(base / "keys.sqlite", tmp_path / "kept")
    delete(base)
    shutil.copy(tmp_path / "kept", base / "keys.sqlite")
    assert len(texts(base)) == 2
    take_in(base, made / "docs")
    assert len(Keys(base).documents()) == 2


def traced(base: Path, last: int = 0) -> int:
    """Delete, and return how many lines of this project ran; the process is killed before it runs line ``last``."""
    count = 0

    def look(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if "/dualtrack/" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        if last and count == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return look

    sys.settrace(look)
    try:
        delete(base)
    finally:
        sys.settrace(None)
    return count


def killed(base: Path, after: float | None = None, line: int = 0) -> int:
    """Delete in a child that is killed after some seconds, or before it runs some line; return its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        if after:
            signal.setitimer(signal.ITIMER_REAL, after)
            delete(base)
        else:
            traced(base, line)
        os._exit(0)
    finally:
        os._exit(1)


def test_killed_anywhere_it_is_finished_by_the_next_run(base: Path, tmp_path: Path, chance: random.Random) -> None:
    secrets = secrets_of(base)
    begin = datetime.now(UTC)
    assert killed(Path(shutil.copytree(base, tmp_path / "probe", symlinks=True)), after=60) == 0
    took = (datetime.now(UTC) - begin).total_seconds()
    lines = traced(Path(shutil.copytree(base, tmp_path / "count", symlinks=True)))
    before = after = 0
    for number in range(40):
        place = Path(shutil.copytree(base, tmp_path / f"{number}", symlinks=True))
        if number % 2:
            code = killed(place, after=chance.uniform(0.0005, took))
        else:
            # One line of each twentieth, so that both sides of the decisive write are met whatever is drawn.
            code = killed(place, line=1 + int(lines * (number // 2 + chance.random()) / 20))
        assert code in (0, -signal.SIGKILL, -signal.SIGALRM)
        left = sum("三丰的" in it for it in texts(place))
        assert left in ((0,) if code == 0 else (0, 1))
        before, after = before + left, after + (code != 0 and not left)
        if code == 0:
            assert holding(place, secrets) == []
        receipt = delete(place)
        assert (receipt.deletion, receipt.documents, receipt.repeated) == (1, 5, not left)
        check_gone(place, secrets)
        shutil.rmtree(place)
    assert before > 3
    assert after > 3


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system with four MiB of room."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk(base: Path, small: Path) -> None:
    """With so many pages left: it is done, or said in a line and finished when there is room."""
    secrets, failed = secrets_of(base), 0
    for pages in range(0, 40, 2):
        place = Path(shutil.copytree(base, small / "base", symlinks=True))
        with (small / "fill").open("wb", buffering=0) as file:
            room = os.statvfs(small)
            for _ in range(room.f_bavail - pages):
                file.write(bytes(4096))
        said = ""
        try:
            delete(place)
        except External as error:
            said = str(error)
        left = sum("三丰的" in it for it in texts(place))
        (small / "fill").unlink()
        if said:
            failed += 1
            assert "\n" not in said
            assert "No space left" in said or "full" in said
            assert delete(place).repeated == (not left)
        check_gone(place, secrets)
        shutil.rmtree(place)
    assert 0 < failed < 20


def test_while_others_have_the_files_open(base: Path, made: Path, tmp_path: Path) -> None:
    """A search that continues has its version whole; what others have open keeps nothing, nor do files beside it."""
    docs = Path(shutil.copytree(made / "docs", tmp_path / "docs"))
    (docs / "last.md").write_text("也是张三丰的。")
    with Keys(base) as keys, Catalog(base, keys) as catalog, closing(embedding._kept(base)) as vectors:
        catalog.documents()
        vectors.ask("SELECT count(*) FROM vectors")
        take_in(base, docs)
        [(number, wrapped)] = [it for it in _rows(base, "keys") if it[0] not in keys]
        new = [wrapped[:24], *(sealed[:24] for it, sealed in _rows(base, "vectors", "bodies") if it == number)]
        assert set(holding(base, new)) >= {"catalog.sqlite-wal", "vectors.sqlite-wal", "keys.sqlite"}
        reading = versions.load(base)
        assert delete(base).documents == 6
        assert holding(base, new) == []
        assert sum("三丰的" in it.text for it in reading.entries) == 2
        assert not any("三丰的" in it for it in texts(base))
