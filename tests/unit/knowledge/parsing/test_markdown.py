"""Markdown: headings, texts, tables, comments, and code, in which nothing is a comment or HTML."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

import pytest

from dualtrack.knowledge.parsing import markdown
from dualtrack.knowledge.pii.mask import mask_parts


def test_markdown() -> None:
    found = markdown.read("# 一\n正文\n续行\n\n```sh\n# no heading\n\nx\n```\n## 二 ##\n末".encode()).blocks
    assert [(it.kind, it.level, it.text) for it in found] == [
        ("heading", 1, "一"), ("text", 0, "正文\n续行"), ("text", 0, "```sh\n# no heading\n\nx\n```"),
        ("heading", 2, "二"), ("text", 0, "末"),
    ]  # fmt: skip


SIGNS = "!\"#$%&'()*+,-./:;<=>?@[]^_{}~"


def test_signs_with_a_backslash_are_the_signs() -> None:
    for sign in SIGNS:
        (found,) = markdown.read(f"a\\{sign}b `c\\{sign}d` e".encode()).blocks
        assert found.text == f"a{sign}b `c\\{sign}d` e"
    assert markdown.read(b"```\na\\_b\n```").blocks[0].text == "```\na\\_b\n```"
    assert markdown.read("# 一\\_二".encode()).blocks[0].text == "一_二"
    clean = mask_parts(
        [it.text for it in markdown.read("微信号：liwei\\_88\n\n手机 139\\-1234\\-5678".encode()).blocks]
    )[0]
    assert clean == ["微信号：[messenger]", "手机 [phone]"]


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("a<!-- x -->b", ["ab"]), ("a\n<!-- x\n\ny -->\nb", ["a", "b"]), ("a<!-- x --><!-- y -->b<!--z", ["ab<!--z"]),
        ("<!-- x -->", []), ("a<!-->b-->c", ["ab-->c"]), ("<!--->b", ["b"]),
        ("- <!-- x\n\n  y --> b", ["-  b"]), ("a <!-- x\ny --> b", ["a \n b"]),
    ],
)  # fmt: skip
def test_comments_in_markdown_are_told_and_not_read(said: str, read: list[str]) -> None:
    found = markdown.read(said.encode())
    assert ([it.text.strip() for it in found.blocks], found.left_out) == (read, ["a comment"])


@pytest.mark.parametrize("said", ["```\n<!-- x -->\n```", "a -- b", "a --> b", "a <!-- b", "    <!-- x -->"])
def test_what_is_no_comment_stays(said: str) -> None:
    found = markdown.read(said.encode())
    assert ([it.text for it in found.blocks], found.left_out) == ([said], [])


@pytest.mark.parametrize("how", ["hidden", "style='display:none'", 'style="a:b;visibility : hidden"', "id=a hidden=''"])
def test_elements_in_markdown_that_may_be_hidden_are_told(how: str) -> None:
    found = markdown.read(f"a\n\n<div {how}>word</div>".encode())
    assert found.left_out == ["elements of HTML that may be hidden, whose text is read"]
    assert markdown.read(b"<div class=hidden>word</div>").left_out == []


def test_a_comment_that_nothing_ends_is_told() -> None:
    found = markdown.read("一\n\n<!-- x\n\n# y".encode())
    assert ([it.text for it in found.blocks], found.left_out) == (["一"], ["a comment that nothing ends"])


#: What is HTML, a comment or a mark of Markdown where it is not in code.
SIGNS_IN_CODE = ["<table>", "</table>", "<tr>", "<td>", "<!--", "-->", "<!-- a -->", "<div hidden>", "# 一", "|", "\\"]


class _Written:
    """A text of Markdown that chance makes, the words in it that must be read, and those in comments."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.numbers = itertools.count(1000)
        self.read: list[str] = []
        self.hidden: list[str] = []
        self.headings: list[str] = []
        kinds: list[Callable[[], str]] = [
            self.paragraph, self.paragraph, self.fence, self.indented, self.comment, self.table, self.heading,
        ]  # fmt: skip
        self.text = "\n\n".join(self.chance.choice(kinds)() for _ in range(self.chance.randint(1, 12)))

    def word(self) -> str:
        self.read.append(f"w{next(self.numbers)}")
        return self.read[-1]

    def code(self, ticks: int) -> Iterator[str]:
        """Yield words and signs that may be in code between so many backticks."""
        for _ in range(self.chance.randint(1, 4)):
            yield self.chance.choice([*SIGNS_IN_CODE, "`" * (ticks - 1) or "|"])
            yield self.word()

    def span(self) -> str:
        ticks = self.chance.randint(1, 3)
        return f"{'`' * ticks} {' '.join(self.code(ticks))} {'`' * ticks}"

    def in_comment(self, blank: str = " ") -> str:
        self.hidden.append(f"h{next(self.numbers)}")
        return f"<!--{blank}{self.hidden[-1]} ` <table> {blank}-->"

    def paragraph(self) -> str:
        parts: list[Callable[[], str]] = [
            self.word, self.word, self.span, self.in_comment, lambda: "<table>", lambda: "</table>",
            lambda: "\\<!--", lambda: "a <b>", lambda: "\\`",
        ]  # fmt: skip
        said = [self.word()]
        for _ in range(self.chance.randint(0, 8)):
            said.append(self.chance.choice([" ", " ", "\n"]) + self.word())
            said.append(" " + self.chance.choice(parts)())
        return "".join(said)

    def fence(self) -> str:
        mark = self.chance.choice(["```", "````", "~~~", "~~~~~"])
        before, within = self.chance.choice([("", ""), ("> ", "> "), ("- ", "  "), ("1. > ", "   > ")])
        inside = [" ".join(self.code(3)) for _ in range(self.chance.randint(1, 4))]
        inside.insert(self.chance.randint(0, len(inside)), self.chance.choice([within.strip(), f"{within}```sh"]))
        lines = [f"{before}{mark}html", *(within + it for it in inside), within + mark]
        return "一\n\n" * (before != "") + "\n".join(lines)

    def indented(self) -> str:
        return "结束\n\n" + "\n".join(f"    {' '.join(self.code(1))}" for _ in range(self.chance.randint(1, 3)))

    def comment(self) -> str:
        return self.in_comment(self.chance.choice([" ", "\n", "\n\n# x\n\n"]))

    def table(self) -> str:
        between: list[Callable[[], str]] = [
            lambda: f"<caption>{self.word()}</caption>", lambda: "", lambda: "\n", lambda: "\n\n", self.word,
            lambda: f"<p>{self.word()}</p>", self.span,
        ]  # fmt: skip
        parts = ["<table border=1>", self.chance.choice(between)()]
        for _ in range(self.chance.randint(1, 3)):
            parts += ["<tr>", self.chance.choice(between)()]
            for _ in range(self.chance.randint(1, 3)):
                inside = "" if self.chance.randrange(8) else f"<table><tr><td>{self.word()}</td></tr></table>"
                parts += [f"<td>{self.word()} {self.chance.choice(between)()}{inside}", "</td>"]
                parts.append(self.chance.choice(between)())
            parts += ["</tr>", self.chance.choice(between)()]
        return "".join([*parts, "</table>"])

    def heading(self) -> str:
        said = f"{self.word()} {self.span()}"
        self.headings.append(said)
        return f"## {said}"


@pytest.mark.parametrize("seed", range(4))
def test_every_word_is_read_but_those_of_comments(seed: int) -> None:
    for number in range(150):
        written = _Written(1000 * seed + number)
        found = markdown.read(written.text.encode())
        said = "\n".join(it.text for it in found.blocks)
        assert [it for it in written.read if it not in said] == [], written.text
        assert [it for it in written.hidden if it in said] == [], written.text
        assert found.left_out == ["a comment"] * bool(written.hidden), written.text
        assert [it.text for it in found.blocks if it.kind == "heading"] == written.headings, written.text


def test_no_text_takes_long() -> None:
    units = ("`", "`` ` ", "<!--", "<!-- -->", "<table>", "<td>", "</table>", "- ", "> ", " ", "\t", "\\`", "~~~", "# ")
    for unit in units:
        assert markdown.read(b"a" + unit.encode() * 5_000).blocks
        assert markdown.read(f"a{unit}\n".encode() * 1_000).blocks
        assert markdown.read(f"a{unit}\n\n".encode() * 1_000).blocks
    assert markdown.read("".join("`" * it + " " for it in range(1, 200)).encode()).blocks
