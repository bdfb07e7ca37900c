"""Encodings that are sure, and those that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.knowledge.parsing import text
from dualtrack.knowledge.parsing.blocks import Unreadable
from dualtrack.knowledge.parsing.child import parse

CHINESE = "员工请假需要提前三天提交申请，由部门负责人批准。"
TRADITIONAL = "員工請假需要提前三天提交申請，由部門負責人批准。"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030", "gbk"])
def test_encodings(encoding: str) -> None:
    assert text.decoded(CHINESE.encode(encoding)) == CHINESE


def test_big5() -> None:
    assert text.decoded(TRADITIONAL.encode("big5")) == TRADITIONAL


@pytest.mark.parametrize(
    "data",
    [
        CHINESE.encode() + CHINESE.encode("gb18030") + b"\xff", b"\xff\xfe\x00", bytes(range(128, 256)) * 4,
        "naïve café".encode("latin-1"), "これは日本語の文章です。".encode("shift_jis"), b"\x00\x01\x02\x03" * 50,
        "\ufeff".encode() + b"\xff",
    ],
    ids=["mixed", "half", "all bytes", "latin", "shift_jis", "zeros", "false mark"],
)  # fmt: skip
def test_what_is_not_sure_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        text.decoded(data)


JAPANESE = [
    "これは日本語の文章です。", "本日の会議は午後三時から始まります。電話番号は09012345678です。",
    "カタカナ テスト データ",
    "請求書の送付について、下記のとおりご連絡いたします。", "氏名、ふりがな\n山田太郎、やまだたろう\n",
]  # fmt: skip
KOREAN = [
    "안녕하세요. 오늘 회의는 오후 세시에 시작합니다.",
    "이름,부서,전화\n김철수,영업부,0212345678\n박영희,재무부,0287654321\n",
    "서울특별시 강남구 테헤란로 일이삼번지 사무실", "이것은 한국어 문장입니다. 읽을 수 없습니다.",
]  # fmt: skip
CHINESE_PAGES = [*(Path(__file__).parents[4] / "docs/zh").rglob("*.md")]


@pytest.mark.parametrize("data", [*(it.encode("euc_jp") for it in JAPANESE), *(it.encode("euc_kr") for it in KOREAN)])
def test_texts_of_japan_and_korea_are_not_read_as_chinese(data: bytes) -> None:
    with pytest.raises(Unreadable, match="not sure"):
        text.decoded(data)


@pytest.mark.parametrize("page", CHINESE_PAGES, ids=lambda it: it.stem)
def test_chinese_texts_of_any_length_are(page: Path) -> None:
    said = "".join(it for it in page.read_text() if it.isascii() or "\u4e00" <= it <= "\u9fff")
    for length in (10, 40, 200, 2000):
        for at in range(0, len(said), length):
            part = said[at : at + length]
            if sum(not it.isascii() for it in part) < 6:
                continue  # a few characters of GB18030 may be UTF-8 as well
            assert text.decoded(part.encode("gb18030")) == part.replace("\r", "\n")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=200))
def test_any_text_in_utf8(written: str) -> None:
    assert text.decoded(written.encode()) == written.lstrip("\ufeff")


@pytest.mark.parametrize(("data", "said"), [(b"", "empty"), (b" \n\t", "empty"), (b"\xff\xff", "not sure")])
def test_in_the_child_process(data: bytes, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        parse(data, "txt")


def test_the_child_process_reads() -> None:
    assert [it.text for it in parse(CHINESE.encode("gb18030"), "txt").blocks] == [CHINESE]
