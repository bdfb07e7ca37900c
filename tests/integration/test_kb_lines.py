"""Lines of pages and of mails in HTML: a line break that is written in a page is a line of its text, wherever it is."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.integration.test_kb_tables import read
from tests.unit.knowledge.parsing.layouts import NAMED
from tests.unit.knowledge.pii.test_beside import found_in

MAIL = "From: a@b.cn\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n"
#: Elements with lines in them, and what begins a line there.
ELEMENTS = dict.fromkeys((
    "{}", "<div>{}</div>", "<p>{}</p>", "<p class=MsoNormal><span lang=EN-US>{}</span></p>", "<b>{}</b>", "<h3>{}</h3>",
    "<div><div><font>{}</font></div></div>", "<ul><li>{}</ul>", "<blockquote>{}</blockquote>", "<center>{}</center>",
    "<section>{}</section>", "<address>{}</address>", "<label>{}</label>", "<dl><dd>{}</dl>",
    "<table><tr><td>{}<td>x</table>", "<table><tr><td><p>{}</p><td>x</table>", "<table><tr><td>{}</table>",
    "<table><tr><td><h2>x</h2><td><div>{}</div></table>", "<fieldset><legend>x</legend>{}</fieldset>",
), "<br>")  # fmt: skip
ELEMENTS |= {"<p>{}<br/></p>": "<br/>", "<div dir=ltr>{}</div>": "<br />\n"}
ELEMENTS |= dict.fromkeys((
    "<pre>{}</pre>", "<textarea>{}</textarea>", "<p style='white-space:pre-line'>{}</p>",
    "<div style='white-space:pre-wrap'>{}</div>", "<div style='WHITE-SPACE: pre'>{}</div>",
    "<div style='white-space:break-spaces'>{}</div>", "<div style='white-space-collapse:preserve-breaks'>{}</div>",
    "<div style='white-space:pre-line'><p><span>{}</span></p></div>",
    "<table><tr><td style='white-space:pre-wrap'>{}<td>x</table>",
), "\n")  # fmt: skip
#: A rule of a page, for the same.
RULE = "<style>.lines{white-space:pre-line}</style>"
ELEMENTS["<div class=lines><p>{}</p></div>"] = "\n"
MARKS = (("1.", "2."), ("1. ", "2. "), ("1、", "2、"), ("- ", "- "), ("（1）", "（2）"), ("① ", "② "))
#: Values that need no word before them.
ALONE = ("13912345678", "0755-23456789", "6222021234567890128", "110101199003077715")


def left(python: Path, form: str, cases: list[tuple[str, str]], count: int) -> list[str]:
    """Return those pages in which a value is found fewer times than said."""
    pages = [
        f"{MAIL if form == 'eml' else ''}<meta charset=utf-8>{RULE}<p>shown</p>{page}".encode() for page, _ in cases
    ]
    read_ones = read(python, form, pages)
    found = found_in(["\n".join(said) for said, _ in read_ones])
    return [
        f"{page} {own}" for (page, value), own in zip(cases, found, strict=True)
        if sum(it.count(value) for it in own) < count
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["html", "eml"])
def test_every_item_of_a_list_of_lines_is_found(python: Path, form: str) -> None:
    cases = [
        (around.replace("{}", end.join([f"{word.rstrip('：')}：", *(f"{mark}{value}" for mark in marks)])), value)
        for (around, end), marks, (word, value) in itertools.product(ELEMENTS.items(), MARKS, NAMED.items())
    ]
    cases += [
        (around.replace("{}", end.join(["值班名单", *(f"{mark}{value}" for mark in marks)])), value)
        for (around, end), marks, value in itertools.product(ELEMENTS.items(), MARKS, ALONE)
    ]
    found = left(python, form, cases, 2)
    assert not found, f"{len(found)} of {len(cases)}\n" + "\n".join(found[:20])


TABLE = "<table><tr><th>系统<th>{}<th>备注<tr><td>OA<td>{}<td>无</table>"


@pytest.mark.parametrize("form", ["html", "eml"])
def test_every_line_of_a_cell_is_found(python: Path, form: str) -> None:
    elements = [it for it in ELEMENTS.items() if not it[0].startswith(("<table", "<ul", "<dl", "<h", "<fieldset"))]
    cases = [
        (TABLE.format(word, around.replace("{}", end.join([value] * 2))), value)
        for (around, end), (word, value) in itertools.product(elements, NAMED.items())
    ]
    found = left(python, form, cases, 2)
    assert not found, f"{len(found)} of {len(cases)}\n" + "\n".join(found[:20])


def test_other_lines_of_the_source_are_none(python: Path) -> None:
    pages = [
        "<p>one\ntwo</p>", "<div style='white-space:normal'>one\ntwo</div>", "<div style='white-space:nowrap'>one\ntwo",
        "<div style='white-space:pre'><p style='white-space:initial'>one\ntwo</p></div>",
    ]  # fmt: skip
    assert [said for said, _ in read(python, "html", [it.encode() for it in pages])] == [["one two"]] * len(pages)


def test_a_heading_is_one_line(python: Path) -> None:
    ((said, _), (listed, _)) = read(python, "html", [b"<h1>one<br>two</h1>", b"<h1>one<br>1. two<br>2. three</h1>"])
    assert said == ["one two"]
    assert listed == ["one", "1. two\n2. three"]
