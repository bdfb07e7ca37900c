"""Mails of any structure: every text in them is read, or reported as left out."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from dualtrack.data.mirror import artifacts
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


@pytest.fixture(scope="session")
def python() -> Path:
    return artifacts.environment("knowledge")


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
