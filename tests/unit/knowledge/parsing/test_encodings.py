"""What a page or a mail says of its encoding counts, unless it is another one for sure."""

from __future__ import annotations

import itertools

import pytest

from dualtrack.knowledge.parsing import markup, text
from dualtrack.knowledge.parsing.blocks import Unreadable

#: Encodings with a character for each byte: any text can be read by them, and becomes nonsense.
OF_BYTES = ("iso-8859-1", "latin1", "iso-8859-15", "windows-1252", "cp1252", "windows-1251", "koi8-r", "iso-8859-5",
            "cp437", "mac-roman")  # fmt: skip
CHINESE = "密码：Abc12345，电话：02162345678，护照：E12345678。"
TEXTS = {
    "windows-1252": "Café, naïve, Übergröße, señor – 10 €", "iso-8859-1": "Café, naïve, Übergröße, señor",
    "koi8-r": "Это русский текст для проверки кодировки", "windows-1251": "Это русский текст для проверки кодировки",
    "iso-8859-7": "Αυτό είναι ένα ελληνικό κείμενο", "iso-8859-5": "Это русский текст для проверки",
}  # fmt: skip


@pytest.mark.parametrize(("name", "real"), [*itertools.product(OF_BYTES, ("utf-8", "gb18030"))])
def test_chinese_by_another_name_is_refused(name: str, real: str) -> None:
    """In a mail, and in each of the two forms in which a page says it."""
    data = CHINESE.encode(real)
    with pytest.raises(Unreadable, match="looks like another encoding"):
        markup.decoded(data, name)
    for meta in (f'<meta charset="{name}">', f'<meta http-equiv="Content-Type" content="text/html; charset={name}">'):
        with pytest.raises(Unreadable, match="looks like another encoding"):
            markup.decoded(f"<html>{meta}<p>".encode() + data)


def test_traditional_chinese_by_another_name_is_refused() -> None:
    with pytest.raises(Unreadable, match="looks like another encoding"):
        markup.decoded("員工請假需要提前三天提交申請，由部門負責人批准。".encode("big5"), "iso-8859-1")


@pytest.mark.parametrize("name", TEXTS)
def test_texts_by_their_own_name_are_read(name: str) -> None:
    assert markup.decoded(TEXTS[name].encode(name), name) == TEXTS[name]
    assert markup.decoded(b"plain", name) == "plain"


@pytest.mark.parametrize("name", ["gbk", "gb2312", "gb18030", "utf-8"])
def test_chinese_by_its_own_name_is_read(name: str) -> None:
    assert markup.decoded(CHINESE.encode(name), name) == CHINESE


@pytest.mark.parametrize("coded", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "gb18030"])
def test_a_mark_at_the_start_is_no_text_and_counts_most(coded: str) -> None:
    """Before a mark of its encoding, whatever a mail or the page says of it, no text is read as it is not."""
    mark = "" if coded in ("utf-8-sig", "utf-16", "utf-32") else "\ufeff"
    for name in ("", "utf-8", "utf-16", "gbk", "gb18030", "iso-8859-1", "none-such"):
        for meta in ("", f'<meta charset="{name}">'):
            page = f"<?xml version='1.0'?>\n<html>{meta}<p>{CHINESE}"
            if coded == "gb18030" and name not in ("gbk", coded):
                continue
            assert markup.decoded((mark + page).encode(coded), name) == page
    if not coded.endswith(("e", "0")):
        assert text.decoded(("\ufeff" + CHINESE).encode(coded)) == CHINESE


@pytest.mark.parametrize("mark", ["\ufeff".encode(), "\ufeff".encode("utf-16-le"), "\ufeff".encode("utf-16-be")])
def test_what_a_mark_at_the_start_says_must_be_true(mark: bytes) -> None:
    with pytest.raises(Unreadable, match="it says that it is"):
        markup.decoded(mark + CHINESE.encode("gb18030") + b"\xff")
