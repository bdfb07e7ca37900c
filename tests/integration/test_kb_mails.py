"""Mails of any structure: every text in them is read, or reported as left out."""

from __future__ import annotations

import base64
import binascii
import itertools
import quopri
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_kb_tables import read

HEAD = "From: a@b.cn\nSubject: s\nMIME-Version: 1.0\n"
#: Parts without parts, with a place for their text, and how they are reported where they are not read.
LEAVES = {
    "plain": ("Content-Type: text/plain; charset=utf-8\n\n{}\n", ""),
    "page": ("Content-Type: text/html; charset=utf-8\n\n<p>{}</p>\n", ""),
    "calendar": ("Content-Type: text/calendar\n\n{}\n", "text/calendar"),
    "rich": ("Content-Type: text/rtf\n\n{}\n", "text/rtf"),
    "mail": ("Content-Type: message/rfc822\n\nSubject: x\n\n{}\n", "message/rfc822"),
    "status": ("Content-Type: message/delivery-status\n\nReporting-MTA: {}\n", "message/delivery-status"),
    "file": ("Content-Type: text/plain\nContent-Disposition: attachment; filename=f.txt\n\n{}\n", "f.txt"),
    "signature": ("Content-Type: application/pgp-signature\n\n{}\n", "application/pgp-signature"),
}
KINDS = ("mixed", "alternative", "related", "signed", "report", "parallel", "unheard-of")


def joined(kind: str, parts: list[str], boundary: str) -> str:
    inside = "".join(f"--{boundary}\n{it}" for it in parts)
    return f"Content-Type: multipart/{kind}; boundary={boundary}\n\n{inside}--{boundary}--\n"


def structures() -> list[tuple[str, dict[str, str]]]:
    """Return mails, each with the words in it and how each is reported if it is not read."""
    numbers = itertools.count(1000)
    found: list[tuple[str, dict[str, str]]] = []

    def leaf(name: str, words: dict[str, str]) -> str:
        written, reported = LEAVES[name]
        words[word := f"word{next(numbers)}"] = reported
        return written.format(word)

    for name in LEAVES:
        words: dict[str, str] = {}
        found.append((leaf(name, words), words))
    for kind, one, other in itertools.product(KINDS, LEAVES, LEAVES):
        words = {}
        found.append((joined(kind, [leaf(one, words), leaf(other, words)], "b"), words))
    chance = random.Random(20)
    for _ in range(200):
        words = {}
        inner = joined(chance.choice(KINDS), [leaf(chance.choice([*LEAVES]), words) for _ in range(2)], "in")
        parts = [inner, *(leaf(chance.choice([*LEAVES]), words) for _ in range(chance.randrange(3)))]
        chance.shuffle(parts)
        found.append((joined(chance.choice(KINDS), parts, "out"), words))
    return found


def test_every_text_of_every_part_is_read_or_reported(python: Path) -> None:
    mails = structures()
    for (mail, words), (blocks, left) in zip(
        mails, read(python, "eml", [(HEAD + it).encode() for it, _ in mails]), strict=True
    ):
        said = "\n".join(blocks)
        lost = [
            it for it, reported in words.items()
            if it not in said and not any(reason.startswith("the attachment ") and (not reported or reported in reason)
                                          for reason in left)
        ]  # fmt: skip
        assert lost == [], mail
        # A text that may be read is read, but beside the first part of related ones.
        if "related" not in mail:
            assert [it for it, reported in words.items() if not reported and it not in said] == [], mail


@pytest.mark.parametrize(
    ("mail", "texts", "left"),
    [
        ("Content-Type: text/plain\nCc: c@d.cn\nTo: e@f.cn\nTo: g@h.cn\nSubject: t\n\nx\n",
         ["s", "Subject: t", "From: a@b.cn", "To: e@f.cn", "To: g@h.cn", "Cc: c@d.cn", "x"], []),
        ("Content-Type: multipart/mixed; boundary=b\n\n--c\nContent-Type: text/plain\n\nx\n--c--\n",
         ["s", "From: a@b.cn"], ["its text, whose parts cannot be told apart"]),
        ("Content-Type: multipart/mixed; boundary=b\n\nbefore\n--b\n\nx\n--b--\n",
         ["s", "From: a@b.cn", "x"], ["text before or after its parts"]),
        ("Content-Type: multipart/mixed; boundary=b\n\nThis is a multi-part message in MIME format.\n--b\n\nx\n--b--\n",
         ["s", "From: a@b.cn", "x"], []),
        (joined("alternative", [LEAVES["plain"][0].format("one two\n\nthree"),
                                LEAVES["page"][0].format("One <b>two</b><p>THREE<p>four")], "b"),
         ["s", "From: a@b.cn", "one two", "three", "four"], []),
        (joined("mixed", [LEAVES["plain"][0].format("x"), "Content-Type: text/plain; charset=none-such\n\ny\n"], "b"),
         ["s", "From: a@b.cn", "x"], ["a part: it says that it is none-such, and is not"]),
    ],
    ids=["fields", "boundary", "before", "notice", "alternative", "charset"],
)  # fmt: skip
def test_parts_of_a_mail(python: Path, mail: str, texts: list[str], left: list[str]) -> None:
    assert read(python, "eml", [(HEAD + mail).encode()]) == [(texts, left)]


TEXT = "会议记录：请各部门于周五前提交材料。\n电话：02162345678\n" * 3


def lines_of(data: bytes, length: int) -> bytes:
    coded = base64.b64encode(data)
    return b"\n".join(coded[at : at + length] for at in range(0, len(coded), length)) + b"\n"


def uu(data: bytes) -> bytes:
    coded = b"".join(binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))
    return b"begin 644 a\n" + coded + b"`\nend\n"


CODED = {
    "base64": lines_of(TEXT.encode(), 76), "quoted-printable": quopri.encodestring(TEXT.encode()),
    "x-uuencode": uu(TEXT.encode()), "8bit": TEXT.encode(),
}  # fmt: skip
SPELLINGS = [
    "{}", "{} ", "{}\t", " {}", "{};", "{}; x=y", "{} (a comment)", "(a (b) c) {}", '"{}"', "\n {}", "{},", "<{}>",
    "'{}'",
]  # fmt: skip
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda it: it,
    "cut by 1": lambda it: it.rstrip()[:-1],
    "cut by 3": lambda it: it.rstrip()[:-3],
    "cut by 5": lambda it: it.rstrip()[:-5],
    "half": lambda it: it[: len(it) // 2],
    "footer": lambda it: it + b"\n_____\nlist mailing list\nhttp://a.cn/list\n",
    "word behind": lambda it: it + b"Best\n",
    "sign inside": lambda it: it[:40] + b"!" + it[40:],
    "escape inside": lambda it: it[:40] + b"=ZZ" + it[40:],
    "empty": lambda _: b"\n",
}


@pytest.mark.parametrize("name", CODED)
def test_every_encoding_in_every_spelling_with_every_damage(python: Path, name: str) -> None:
    """A text is there decoded, or it is said what is not; what is coded is never read as it is."""
    cases = list(itertools.product([*SPELLINGS, name.upper(), name.title()], DAMAGES, (True, False)))
    mails = []
    for spelling, damage, alone in cases:
        kind = f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {spelling.format(name)}\n\n"
        part = kind.encode() + DAMAGES[damage](CODED[name])
        if not alone:
            part = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + part + b"\n--b\n\nother\n--b--\n"
        mails.append(HEAD.encode() + part)
    for case, (blocks, left) in zip(cases, read(python, "eml", mails, refused=True), strict=True):
        said, damage = "\n".join(blocks), case[1]
        whole = "".join(TEXT.split()) in "".join(said.split())
        shorter = damage.startswith(("cut", "half")) and name in ("8bit", "quoted-printable")  # a text as any other
        assert whole or left or shorter or damage == "empty", case
        assert damage != "none" or (whole and not left), (case, left)
        if name != "8bit":
            coded = [it for it in CODED[name].decode().split("\n") if len(it) > 20]
            assert not any(it[:20] in said or it[-20:] in said for it in coded), case
            assert damage != "footer" or name == "quoted-printable" or left, case


@pytest.mark.parametrize("named", ["base-64", "BASE 64", "quoted_printable", "8-bit", "7Bit"])
def test_encodings_by_other_names(python: Path, named: str) -> None:
    of = {"b": "base64", "q": "quoted-printable"}.get(named[0].lower(), "8bit")
    mail = f"{HEAD}Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {named}\n\n".encode() + CODED[of]
    ((blocks, left),) = read(python, "eml", [mail])
    assert ("02162345678" in "".join(blocks), left) == (True, [])


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("Content-Transfer-Encoding: x-yenc\n", "its encoding is not known: xyenc"),
        ("Content-Transfer-Encoding: utf-8\n", "its encoding is not known: utf8"),
        ("Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 8bit\n", "it names several encodings"),
        ("Content-Transfer-Encoding : base64\n", "its header is broken, so its encoding is not known"),
    ],
)
def test_encodings_that_are_not_known(python: Path, head: str, why: str) -> None:
    mail = (HEAD + head + "\n").encode() + CODED["base64"]
    assert read(python, "eml", [mail], refused=True) == [([], [why])]


@pytest.mark.parametrize("charset", ["gbk", "gb18030", "utf-8", "big5"])
def test_texts_and_subjects_as_they_came(python: Path, charset: str) -> None:
    head = f"From: a@b.cn\nSubject: 會議紀錄與材料\nContent-Type: text/plain; charset={charset}\n\n會議紀錄：電話\n"
    ((blocks, left),) = read(python, "eml", [head.encode(charset)])
    if charset.startswith("gb"):  # characters that are rare in texts of GBK: not sure
        assert (blocks[-1], left) == (
            "會議紀錄：電話",
            ["the header field Subject: its encoding is not sure: convert it to UTF-8"],
        )
    else:
        assert (blocks[0], blocks[-1], left) == ("會議紀錄與材料", "會議紀錄：電話", [])


def test_subjects_of_gbk(python: Path) -> None:
    mails = [
        "From: 李雷 <a@b.cn>\nSubject: 会议记录\n\nx\n".encode("gbk"),
        b"From: a@b.cn\nSubject: =?none-such?B?YWJj?=\n\nx\n", b"From: a@b.cn\nSubject: =?utf-8?B?/////w==?=\n\nx\n",
        b"From: a@b.cn\nSubject: \xff\xfe\xfd caf\xe9\n\nx\n",
    ]  # fmt: skip
    found = read(python, "eml", mails)
    assert found[0] == (["会议记录", "From: 李雷 <a@b.cn>", "x"], [])
    for blocks, left in found[1:]:
        assert "\ufffd" not in "".join(blocks)
        assert blocks[-1] == "x"
        assert len(left) == 1 or "none-such" in "".join(blocks) or "abc" in "".join(blocks)


@pytest.mark.parametrize(
    ("plain", "page", "texts"),
    [
        ("密码：见网页版", "<p>密码：</p><p>Abc12345</p>", ["密码：见网页版", "密码：", "Abc12345"]),
        ("结论：不同意该方案。", "<p>结论：</p><p>同意</p>", ["结论：不同意该方案。", "结论：", "同意"]),
        ("100", "<p>10</p>", ["100", "10"]),
        ("密码： Abc12345", "<table><tr><td>密码<td>Abc12345</table>", ["密码： Abc12345"]),
    ],
)
def test_forms_of_one_text(python: Path, plain: str, page: str, texts: list[str]) -> None:
    written = [LEAVES["plain"][0].format(plain), LEAVES["page"][0].format(page)]
    for parts in (written, written[::-1]):
        ((blocks, left),) = read(python, "eml", [(HEAD + joined("alternative", parts, "b")).encode()])
        assert (blocks[2:], left) == (texts, [])
