"""HTML in the process that reads it: what is shown is read, what is hidden is told and not read."""

from __future__ import annotations

import subprocess
from itertools import product
from pathlib import Path

import msgspec
import pytest

from dualtrack.data.mirror import artifacts
from dualtrack.knowledge.parsing.blocks import Parsed
from tests.integration.test_kb import child, pdf

HIDING = [
    "hidden", 'hidden=""', 'HIDDEN="until-found"', 'aria-hidden="true"', "aria-hidden=TRUE", 'style="display:none"',
    'style="color: red; DISPLAY : none !important"', 'style="display:/* x */none"', 'style="visibility:hidden"',
    "style='a:b;visibility: collapse'",
]  # fmt: skip
SHOWN = ["", 'aria-hidden="false"', 'style="display:block"', 'style="x-display:nonesuch"', 'class="hidden"']
ELEMENTS = {
    "div": "<div {}>{}</div>", "p": "<p {}>{}</p>", "span": "<p>a <span {}>{}</span> b</p>",
    "li": "<ul><li {}>{}</li></ul>",
    "td": "<table><tr><td {}>{}</td></tr></table>", "h2": "<h2 {}>{}</h2>",
    "nested": "<div {}><section><p>{}</p></section></div>",
    "custom": "<x-own {}>{}</x-own>",
}  # fmt: skip


@pytest.fixture(scope="session")
def python() -> Path:
    return artifacts.environment("knowledge")


def read(python: Path, page: str) -> Parsed:
    found = child(python, "html", page.encode())
    assert isinstance(found, Parsed), found
    return found


def test_hidden_text_is_not_read_and_is_told(python: Path) -> None:
    """All ways of hiding in all elements: one page has them, each with its own mark."""
    cases = list(product(ELEMENTS.values(), [*HIDING, *SHOWN]))
    page = "".join(element.format(way, f"MARK{number}-") for number, (element, way) in enumerate(cases))
    parsed = read(python, f"<body>{page}</body>")
    text = " ".join(it.text for it in parsed.blocks)
    wrong = [case for number, case in enumerate(cases) if (f"MARK{number}-" in text) == (case[1] in HIDING)]
    assert wrong == []
    assert parsed.left_out == ["hidden text"]


@pytest.mark.parametrize(
    ("page", "blocks", "left"),
    [
        ("<title>Leave</title><p>x", [("heading", "Leave"), ("text", "x")], []),
        ("<title>Leave</title><h1>Leave</h1><p>x", [("heading", "Leave"), ("text", "x")], []),
        ("<title>Site</title><h1>Leave</h1><p>x", [("text", "Site"), ("heading", "Leave"), ("text", "x")], []),
        ("<p>see <img alt='pump A' src=x> there", [("text", "see pump A there")], []),
        ("<p><map><area alt='north'></map><input type=image alt='go'>", [("text", "north go")], []),
        ("<p>x<svg><title>t</title><text>drawn</text></svg>", [("text", "xtdrawn")], []),
        ("<nav>home</nav><p>x", [("text", "x")], ["the navigation"]),
        ("<nav></nav><p>x", [("text", "x")], []),
        ("<p>x</p><noscript>y</noscript>", [("text", "x")], ["what is shown without scripts"]),
        ("<iframe srcdoc='y'></iframe><p>x", [("text", "x")], ["an embedded page"]),
        ("<template><p>y</template><p>x", [("text", "x")], ["a template"]),
        ("<div hidden><p hidden>y</p></div><p>x", [("text", "x")], ["hidden text"]),
        ("<template><b></b></template><noscript><img></noscript><p>x", [("text", "x")], []),
        ("<div hidden></div><p>x", [("text", "x")], []),
    ],
)  # fmt: skip
def test_what_is_shown_is_read(python: Path, page: str, blocks: list[tuple[str, str]], left: list[str]) -> None:
    parsed = read(python, page)
    assert ([(it.kind, it.text) for it in parsed.blocks], parsed.left_out) == (blocks, left)


def test_mails_have_what_their_pages_have(python: Path) -> None:
    mail = b"From: a@b.cn\nContent-Type: text/html\n\n<p>x<p hidden>y"
    found = child(python, "eml", mail)
    assert isinstance(found, Parsed), found
    assert msgspec.to_builtins(found)["left_out"] == ["hidden text"]
    assert [it.text for it in found.blocks] == ["From: a@b.cn", "x"]


MAKE = """
import io, sys, openpyxl
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment
book = openpyxl.Workbook(); sheet = book.active; sheet.append(["a", "b"]); sheet.append([1, 2])
if "comment" in sys.argv: sheet["A1"].comment = Comment("secret plan", "x")
if "chart" in sys.argv:
    chart = BarChart(); chart.add_data(Reference(sheet, min_col=1, min_row=1, max_row=2)); sheet.add_chart(chart, "D1")
out = io.BytesIO(); book.save(out); sys.stdout.buffer.write(out.getvalue())
"""


@pytest.mark.parametrize(
    ("words", "left"),
    [((), []), (("comment",), ["comments of cells"]), (("comment", "chart"), ["a chart", "comments of cells"])],
)
def test_what_is_beside_the_cells_of_a_workbook_is_told(python: Path, words: tuple[str, ...], left: list[str]) -> None:
    made = subprocess.run([python, "-c", MAKE, *words], capture_output=True, check=True).stdout
    found = child(python, "xlsx", made)
    assert isinstance(found, Parsed), found
    assert ([it.text for it in found.blocks], found.left_out) == (["Sheet", "a: 1; b: 2"], left)


@pytest.mark.parametrize(
    ("annotation", "left"),
    [
        (b"/Subtype/Text/Contents(secret plan)", ["1 pages with annotations or form fields"]),
        (b"/Subtype/FreeText/Contents(x)", ["1 pages with annotations or form fields"]), (b"/Subtype/Link", []),
    ],
)  # fmt: skip
def test_annotations_of_a_page_are_told(python: Path, annotation: bytes, left: list[str]) -> None:
    annotated = b"/Annots[<</Type/Annot/Rect[0 0 9 9]" + annotation + b">>]/MediaBox"
    found = child(python, "pdf", pdf("some text").replace(b"/MediaBox", annotated))
    assert isinstance(found, Parsed), found
    assert ([it.text for it in found.blocks], found.left_out) == (["some text"], left)
