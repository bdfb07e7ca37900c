"""Identifiers beside numerals, names of files and letters, through every entry to the scan."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from dualtrack.knowledge.pii import body
from dualtrack.knowledge.pii.mask import mask, mask_parts
from dualtrack.knowledge.pii.worker import FOUND, Worker
from dualtrack.knowledge.service import desk
from tests.support.personal_data import Maker

MADE = Maker(36)
VALUES = (MADE.mobile(), MADE.id_card(), MADE.card())
FORMS = (
    "张三{}", "李四{}", "王五{}", "周三{}来", "{}一直打不通", "{}一份", "{}三次", "打{}两次", "{}四川", "合同_{}.pdf",
    "file_{}", "{}_张伟",
)  # fmt: skip
CASES = [(form.format(value), value) for value in VALUES for form in FORMS]


def test_there_are_as_many_as_were_reported() -> None:
    assert len(CASES) == 36


@pytest.mark.parametrize(("text", "value"), CASES)
def test_a_text_is_masked(text: str, value: str) -> None:
    before, after = text.split(value)
    found = mask(text.encode())
    assert found.data.decode().startswith(before)
    assert found.data.decode().endswith(after)
    assert found.kinds.keys() <= {"phone", "id_card", "bank_card"}
    assert value not in found.data.decode()


def test_documents_that_are_ingested_or_written_back() -> None:
    parts, kinds = mask_parts([text for text, _ in CASES])
    assert not [part for part, (_, value) in zip(parts, CASES, strict=True) if value in part]
    assert kinds == {"phone": 12, "id_card": 12, "bank_card": 12}


def test_questions_to_the_knowledge_base() -> None:
    assert not [text for text, value in CASES if value in desk._cleaned(text)]


def test_requests_at_the_gateway() -> None:
    async def asked() -> list[bytes]:
        worker = Worker()
        try:
            return [await worker.ask(it) for it in sent]
        finally:
            await worker.end()

    sent = [
        json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}, ensure_ascii=plain).encode()
        for text, _ in CASES
        for plain in (True, False)
    ]
    assert all(map(body.holds, sent))
    assert set(asyncio.run(asked())) == {FOUND}


def test_one_value_has_one_pseudonym_beside_whatever_it_is() -> None:
    for value in VALUES:
        kept = {"key": bytes(32), "tenant": "a"}
        codes = {mask(form.format(value).encode(), "pseudonym", **kept).data.decode() for form in FORMS}
        code = mask(value.encode(), "pseudonym", **kept).data.decode()
        assert all(code in it for it in codes)


def test_one_value_has_one_pseudonym_however_it_is_disguised() -> None:
    def code(text: str) -> str:
        return mask(text.encode(), "pseudonym", key=bytes(32), tenant="a").data.decode()

    assert code("139O2345678") == code("13902345678") == code("l39o2345678")
    assert code("li.wei (at) corp.cn") == code("li.wei@corp.cn") == code("li.wei[AT]corp(dot)cn")
    assert code("0755-23456789").lstrip("(") == code("(0755)2345 6789").lstrip("(")
    assert code("DE89370400440532013000") == code("DE89 3704 0044 0532 0130 00")


@pytest.mark.parametrize(
    ("closed", "code", "said"),
    [
        ("mask - < {text} >&-", 2, "stdout is closed"),
        ("mask {text} >&-", 2, "stdout is closed"),
        ("mask - --policy pseudonym --key-file {text} --tenant a < {text} >&-", 2, "stdout is closed"),
        ("mask - <&-", 2, "stdin is closed"),
        ("scan - <&-", 2, "stdin is closed"),
        ("mask {text} -o {out} >&-", 0, "took out 1 phone"),
    ],
)
def test_a_closed_stream_is_said_before_anything_is_done(tmp_path: Path, closed: str, code: int, said: str) -> None:
    """Without a check, the number of the stream is that of the next file which is opened."""
    text, out = tmp_path / "text", tmp_path / "out"
    text.write_text(f"电话 {VALUES[0]}\n")
    before = text.read_bytes()
    program = Path(sys.executable).with_name("dualtrack")
    command = f"exec {program} pii " + closed.format(text=text, out=out)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert text.read_bytes() == before
    assert out.exists() == (code == 0)
