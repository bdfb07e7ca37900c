"""HTML in the process that reads it: what is shown is read, what is hidden is told and not read."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path

import msgspec
import pytest

from dualtrack.knowledge.parsing.blocks import Parsed
from tests.integration.test_kb_formats import child, pdf

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


def read(python: Path, page: str) -> Parsed:
    found = child(python, "html", page.encode())
    assert isinstance(found, Parsed), found
    return found


#: Declarations that hide an element, and some that look like them.
HIDDEN_STYLES = [
    "display:none", "visibility:hidden", "visibility:collapse", "content-visibility:hidden", "opacity:0", "opacity:.0",
    "opacity:0%", "opacity:0.01", "font-size:0", "font-size:0px", "font-size:1px", "font-size:0.1pt", "font-size:0%",
    "font:0/0 a", "text-indent:-9999px", "text-indent:-100em", "position:absolute;left:-9999px",
    "position:fixed;top:-1000px", "position:absolute;right:-200vw", "position:relative;left:calc(-9999px)",
    "margin-left:-9999px", "transform:translateX(-9999px)", "transform:translate(-10000px, 0)", "transform:scale(0)",
    "position:absolute;clip:rect(0,0,0,0)", "position:absolute;clip:rect(1px 1px 1px 1px)", "clip-path:inset(100%)",
    "clip-path:inset(50%)", "clip-path:circle(0)", "height:0;overflow:hidden", "max-width:0;overflow:hidden",
    "width:1px;height:1px;overflow:hidden", "color:transparent", "color:rgba(0,0,0,0)", "filter:opacity(0)", "scale:0",
    "display:block;display:none", "display:none!important;display:block",
]  # fmt: skip
SHOWN_STYLES = [
    "display:block", "visibility:visible", "opacity:1", "opacity:0.5", "font-size:12px", "font-size:0.9em",
    "text-indent:2em", "text-indent:-20px", "left:-9999px", "position:absolute;left:-10px", "margin-left:-20px",
    "transform:none", "transform:translateX(20px)", "transform:scale(0.9)", "clip:rect(0,0,0,0)",
    "clip-path:inset(5%)", "height:0", "overflow:hidden", "width:600px;overflow:hidden", "color:black",
    "color:rgba(0,0,0,0.5)", "display:none;display:block", "display:block!important;display:none",
    "x-display:none", "--display:none", "background:url(display:none)", "content:'display:none'", "margin:0 auto",
    "font:12px/1.5 a", "margin-left:50%", "top:100%;position:absolute",
]  # fmt: skip


def escaped(text: str, which: str) -> str:
    """Return a declaration in which a letter of each name, or of each word of a value, is an escape."""

    def of(word: re.Match[str]) -> str:
        place = min(1, len(word[0]) - 1)
        return f"{word[0][:place]}\\{ord(word[0][place]):06x}{word[0][place + 1 :]}"

    pattern = r"(?<![\w-])[a-z][a-z-]*(?=\s*:)" if which == "name" else r"(?<=[:\s])[a-z][a-z-]*(?![\w(-])"
    return re.sub(pattern, of, text)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda it: it,
    "upper": str.upper,
    "blanks": lambda it: re.sub("([:;])", " \\1\t\n ", it),
    "comments": lambda it: re.sub("([:;])", "/* x;:} */\\1/**/", it),
    "escaped name": lambda it: escaped(it, "name"),
    "escaped value": lambda it: escaped(it, "value"),
    "broken before": lambda it: f"color:;!x:y;{it}",
}
#: Where a style is: in the element, or in a sheet by each of these selectors, in a page with an element of it.
PLACES = {
    "attribute": ("", '<div style="{style}">{mark}</div>'),
    "class": (".c{n}{{{style}}}", '<div class="x c{n}">{mark}</div>'),
    "id": ("#i{n}{{{style}}}", '<div id="i{n}">{mark}</div>'),
    "name": ("x-e{n}{{{style}}}", "<x-e{n}>{mark}</x-e{n}>"),
    "list": ("nav,.c{n} > p , #no{{{style}}}", '<div class="c{n}"><p>{mark}</p></div>'),
    "attribute selector": ("[data-n='{n}']{{{style}}}", '<div data-n="{n}">{mark}</div>'),
    "media": ("@media screen{{.c{n}{{{style}}}}}", '<div class="c{n}">{mark}</div>'),
    "escaped": ("\\2e c{n}, .\\63 {n}{{{style}}}", '<div class="c{n}">{mark}</div>'),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_style_that_hides_in_every_spelling(python: Path, place: str) -> None:
    rule, element = PLACES[place]
    cases = list(product([*HIDDEN_STYLES, *SHOWN_STYLES], SPELLINGS))
    sheet, body = "", ""
    for n, (style, spelling) in enumerate(cases):
        written = SPELLINGS[spelling](style)
        if place == "attribute":
            written = written.replace('"', "&quot;")
        sheet += rule.format(n=n, style=written) + "\n"
        body += element.format(n=n, style=written, mark=f"MARK{n}-")
    parsed = read(python, f"<style>{sheet}</style><body><p>START{body}")
    text = " ".join(it.text for it in parsed.blocks)
    wrong = [
        f"{style}, {spelling}: {SPELLINGS[spelling](style)}"
        for n, (style, spelling) in enumerate(cases)
        if (f"MARK{n}-" in text) == (style in HIDDEN_STYLES)
    ]
    assert wrong == []
    assert "START" in text
    assert parsed.left_out == ["hidden text"]


@pytest.mark.parametrize(
    ("page", "texts"),
    [
        # What an element inherits, it may undo; what hides all of it, it may not.
        ("<ul style='font-size:0'>A<li style='font-size:14px'>B<li style='font-size:2em'>C", ["B"]),
        ("<div style='visibility:hidden'>A<p style='visibility:visible'>B", ["B"]),
        ("<div style='opacity:0'>A<p style='opacity:1'>B</div><p>C", ["C"]),
        ("<div style='text-indent:-9999px'>A<p style='text-indent:0'>B", ["B"]),
        ("<div style='color:transparent'>A<p style='color:#000'>B", ["B"]),
        # The cascade: importance, the attribute, specificity, order.
        ("<style>.a{display:none}</style><p class=a style='display:block'>A", ["A"]),
        ("<style>.a{display:none!important}</style><p class=a style='display:block'>A<p>B", ["B"]),
        ("<style>#i{display:block} p{display:none}</style><p id=i>A<p>B<div>C</div>", ["A", "C"]),
        ("<style>.m.o{display:block} .m{display:none}</style><p class='m o'>A<p class=m>B", ["A"]),
        ("<style>p{display:none} p{display:block}</style><p>A", ["A"]),
        # No rule of these hides anything on a screen.
        ("<style media=print>p{display:none}</style><p>A", ["A"]),
        ("<style>@media print{p{display:none}}</style><p>A", ["A"]),
        ("<style>p::before{display:none} p:hover{display:none}</style><p>A", ["A"]),
        ("<style>p{display:none</style><p>A<div>B</div>", ["B"]),
        ("<style>((( {} } p[{{ p{display:none}</style><p>A", ["A"]),
        ("<style>/* p{display:none} */</style><p>A", ["A"]),
        ("<template><p hidden>A</p><style>p{display:none}</style></template><p>B", ["B"]),
        ("<dialog>A</dialog><dialog open>B</dialog>", ["B"]),
        ("<p>A <img alt=B src=x style='opacity:0'> <img alt=C src=x>", ["A C"]),
        ("<html hidden><body><p>A", []),
    ],
)
def test_styles_are_inherited_and_cascade(python: Path, page: str, texts: list[str]) -> None:
    found = child(python, "html", page.encode())
    assert [it.text for it in found.blocks] == texts if isinstance(found, Parsed) else not texts, found


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
        ("<p>x<svg><title>t</title><text>drawn</text></svg>", [("text", "x t drawn")], []),
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
