"""Pages: what browsers show is read, and what they do not show is reported or has no text of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.knowledge.pii.mask import mask_parts
from tests.integration.test_kb_tables import read

STYLES_THAT_HIDE = [
    "color:rgb(0 0 0 / 0)", "color:rgb(0 0 0 / 0%)", "color:hsl(0 0% 0% / 0)", "color:oklch(0 0 0 / 0)",
    "clip-path:inset(0 100% 0 0)", "clip-path:inset(100% 0 0 0)", "clip-path:inset(60% 0 40%)",
    "clip-path:circle(0 at 50% 50%)", "clip-path:ellipse(0 50%)", "height:0;overflow:auto", "zoom:0.01", "scale:0.001",
    "max-block-size:0;overflow:hidden", "max-inline-size:0;overflow:hidden", "height:0;overflow-block:hidden",
    "transform:scale(0.01)", "text-indent:100%;overflow:hidden", "line-height:0;overflow:hidden",
    "flex:0;width:0;overflow:clip",
]  # fmt: skip
STYLES_THAT_SHOW = [
    "color:rgb(0 0 0 / 1)", "color:rgb(0 0 0 / 50%)", "clip-path:inset(10% 20%)", "clip-path:circle(50% at 0 0)",
    "overflow:hidden;line-height:1", "overflow:hidden;line-height:1.5", "flex:1;width:0;overflow:hidden",
    "flex-grow:1;width:0;overflow:hidden", "font-size:1.5", "font-size:-1px", "display:block;display:none foo",
    "display:none none", "opacity:0px", "font-size:12px;font-size:0 0", "height:-1px;overflow:hidden",
    "-webkit-background-clip:text;color:transparent", "color:transparent;text-shadow:0 0 5px #000",
    "zoom:1", "scale:0.9",
]  # fmt: skip
ELEMENTS_THAT_HIDE = [
    "<datalist><option>word</datalist>", "<div popover>word</div>", "<noframes>word</noframes>",
    "<noembed>word</noembed>",
    "<video>word</video>", "<progress>word</progress>", "<p>a<meter value=.6>word</meter>",
    "<canvas>word</canvas>", "<input type=hidden value=word>",
    "<input type=password value=word>",
    "<iframe src='data:text/html,word'></iframe>", "<embed src='data:text/html,word'>",
    "<style>@media only screen{.x{display:none}}</style><p class=x>word", "<ruby>a<rp>word</rp></ruby>",
    "<style>@media print, screen{.x{display:none}}</style><p class=x>word",
    "<style type='text/css' media='only screen'>.x{display:none}</style><p class=x>word",
]  # fmt: skip
ELEMENTS_THAT_SHOW = [
    "<input value=word>", "<input type=submit value=word>", "<input placeholder=word>", "<textarea>word</textarea>",
    "<select><option label=word></select>", "<select><optgroup label=word><option>a</select>",
    "<style type='text/less'>p{display:none}</style><p>word", "<style media='print'>p{display:none}</style><p>word",
    "<title>word</title>", "<ruby>word<rp>(</rp><rt>a</rt><rp>)</rp></ruby>",
]  # fmt: skip
XHTML = (
    '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head>{}</head><body><p>shown</p>{}</body></html>'
)
EMPTY = ("script", "style", "title", "iframe", "textarea", "noscript", "template", "xmp", "div", "p", "nav", "select")


def test_what_is_not_shown_is_reported(python: Path) -> None:
    parts = [*(f'<p style="{it}">word</p>' for it in STYLES_THAT_HIDE), *ELEMENTS_THAT_HIDE]
    found = read(python, "html", [f"<p>shown</p>{it}".encode() for it in parts])
    wrong = [it for it, (said, left) in zip(parts, found, strict=True) if "word" in "".join(said) or not left]
    assert wrong == []


def test_what_is_shown_is_read(python: Path) -> None:
    parts = [*(f'<p style="{it}">word</p>' for it in STYLES_THAT_SHOW), *ELEMENTS_THAT_SHOW]
    found = read(python, "html", [f"<p>shown</p>{it}".encode() for it in parts])
    assert [it for it, (said, left) in zip(parts, found, strict=True) if "word" not in "".join(said) or left] == []


def test_xhtml(python: Path) -> None:
    pages = [XHTML.format("", f'<{it} class="a>b"/><p>word</p>') for it in EMPTY]
    pages += [XHTML.format(f"<{it}/>", "<p>word</p>") for it in ("script", "style", "title")]
    pages.append(XHTML.format("", "<p><![CDATA[a<b & word]]></p>"))
    found = read(python, "html", [it.encode() for it in pages])
    assert [it for it, (said, _) in zip(pages, found, strict=True) if said[-1].split()[-1] != "word"] == []


def test_every_title_is_read(python: Path) -> None:
    ((said, _),) = read(python, "html", [b"<head><title>a</title><title>b</title></head><body>x"])
    assert sorted(said) == ["a", "b", "x"]


def test_a_value_is_beside_the_name_of_its_field(python: Path) -> None:
    ((said, _),) = read(python, "html", ["<label>合同编号</label><input value='HT-1'>".encode()])
    assert said == ["合同编号: HT-1"]


#: A declaration that hides, and one of the same property that shows.
PROPERTIES = {
    "display": ("none", "block"), "visibility": ("hidden", "visible"), "content-visibility": ("hidden", "visible"),
    "opacity": ("0", "1"), "filter": ("opacity(0)", "none"), "font-size": ("0", "12px"), "font": ("0/0 a", "12px a"),
    "text-indent": ("-9999px", "1em"), "transform": ("scale(0)", "none"), "clip-path": ("inset(50%)", "none"),
    "margin-left": ("-9999px", "auto"), "margin": ("-9999px 0 0", "0 auto"), "translate": ("-9999px", "none"),
    "scale": ("0", "none"), "zoom": ("0", "normal"), "color": ("transparent", "black"),
    "-webkit-text-fill-color": ("transparent", "currentcolor"),
    "height;overflow:hidden;height": ("0", "auto"), "overflow:hidden;line-height": ("0", "normal"),
    "height:0;overflow": ("hidden", "visible"), "position:absolute;left": ("-9999px", "auto"),
    "left:-9999px;position": ("absolute", "static"), "position:absolute;clip": ("rect(0,0,0,0)", "auto"),
}  # fmt: skip
#: Values that no property has.
NO_VALUES = [
    "foo", "-ms-foo", "-webkit-foo", "1foo", "1px foo", "1 2 3 4 5 6", "'x'", "foo(1)", "#12", "", "none block none",
    "inherit inherit", "1px/2px", "{}", "foo none", "initial foo",
]  # fmt: skip


def test_values_that_no_browser_takes_do_not_override(python: Path) -> None:
    cases = [(name, hides, no) for name, (hides, _) in PROPERTIES.items() for no in NO_VALUES]
    last = [name.rpartition(";")[2] for name, *_ in cases]
    numbered = [(at, name, hides, own, no) for at, ((name, hides, no), own) in enumerate(zip(cases, last, strict=True))]
    attributes = "".join(f'<p style="{name}:{hides};{own}:{no}">MARK{at}-' for at, name, hides, own, no in numbered)
    sheet = "".join(
        f".c{at}{{{name}:{hides}}}p.c{at}{{{own}:{no}}}" for at, name, hides, own, no in numbered if no != "{}"
    )
    classes = "".join(f"<p class=c{at}>MARK{at}-" for at, (*_, no) in enumerate(cases) if no != "{}")
    pages = [f"<p>shown{attributes}", f"<style>{sheet}</style><p>shown{classes}"]
    for blocks, left in read(python, "html", [it.encode() for it in pages]):
        said = " ".join(blocks)
        assert [it for at, it in enumerate(cases) if f"MARK{at}-" in said] == []
        assert left == ["hidden text"]


def test_values_that_browsers_take_do(python: Path) -> None:
    cases = [(name, hides, shows) for name, (hides, shows) in PROPERTIES.items()]
    page = "".join(
        f'<p style="{name}:{hides};{name.rpartition(";")[2]}:{shows}">MARK{at}-'
        for at, (name, hides, shows) in enumerate(cases)
    )
    ((blocks, left),) = read(python, "html", [f"<p>shown{page}".encode()])
    assert ([it for at, it in enumerate(cases) if f"MARK{at}-" not in " ".join(blocks)], left) == ([], [])


@pytest.mark.parametrize("space", [",", " "])
@pytest.mark.parametrize("alpha", ["0", "0%", "0.0", ".04", "4%", "-1"])
def test_colors_that_are_clear_in_every_form(python: Path, space: str, alpha: str) -> None:
    forms = {"rgb": ["0", "0", "0"], "rgba": ["0%", "0%", "0%"], "hsl": ["0", "0%", "0%"], "hsla": ["9deg", "1%", "1%"]}
    if space == " ":
        forms |= {it: ["1", "0", "0"] for it in ("hwb", "lab", "lch", "oklab", "oklch")} | {
            "color": ["srgb", "0", "0", "0"]
        }
        forms["hwb"] = ["0", "0%", "0%"]
    before = "," if space == "," else " / "
    colors = [f"{name}({space.join(parts)}{before}{alpha})" for name, parts in forms.items()]
    colors += ["#0000", "#00000000", "transparent", "TRANSPARENT"]
    page = "".join(f'<p style="color:{it}">MARK{at}-' for at, it in enumerate(colors))
    shown = "".join(f'<p style="color:{it.replace(alpha + ")", "1)")}">SHOWN' for it in colors[:-4])
    ((blocks, _),) = read(python, "html", [f"<p>shown{page}{shown}".encode()])
    said = " ".join(blocks)
    assert ([it for at, it in enumerate(colors) if f"MARK{at}-" in said], said.count("SHOWN")) == ([], len(colors) - 4)


@pytest.mark.parametrize("collapsed", [0, 1, 2])
@pytest.mark.parametrize(
    "columns",
    [
        "<col{}><col{}><col{}>", "<colgroup><col{}><col{}></colgroup><colgroup{}>",
        "<colgroup{}></colgroup><colgroup{} span=1></colgroup><colgroup><col{}>",
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", ["style='visibility:collapse'", "class=x"])
def test_columns_that_are_collapsed(python: Path, columns: str, how: str, collapsed: int) -> None:
    head = columns.format(*(f" {how}" if at == collapsed else "" for at in range(3)))
    rows = "<tr><th>c0<th>c1<th>c2<tr><td rowspan=2>a0<td>a1<td>a2<tr><td>b1<td>b2<tr><td colspan=3>whole"
    page = f"<style>.x{{visibility:collapse}}</style><p>shown<table>{head}{rows}</table>"
    ((blocks, left),) = read(python, "html", [page.encode()])
    said = " ".join(blocks)
    words = [f"{row}{at}" for row in "cab" for at in range(3) if (row, at) != ("b", 0)]
    assert [it for it in words if it in said] == [it for it in words if it[1] != str(collapsed)]
    assert ("whole" in said, left) == (True, ["hidden text"])


def test_columns_that_are_not(python: Path) -> None:
    page = "<table><col style='visibility:hidden'><col style='display:none'><tr><td>a<td>b<td>c<tr><td>d<td>e<td>f"
    ((blocks, left),) = read(python, "html", [page.encode()])
    assert ([it for it in "abcdef" if it not in "".join(blocks)], left) == ([], [])


#: Elements whose texts stand apart on the screen, and styles that do that to any element or to those in one.
APART = [
    "address", "center", "hgroup", "search", "dir", "menu", "listing", "xmp", "figure", "a", "label", "button",
    "textarea", "output", "marquee", "my-cell", "x-own", "time", "option",
]  # fmt: skip
DISPLAYS = ["block", "inline-block", "flex", "inline-flex", "grid", "inline-grid", "table", "inline-table",
            "table-cell", "table-row", "list-item", "flow-root", "table-caption"]  # fmt: skip
OF_ITEMS = ["flex", "inline-flex", "grid", "inline-grid"]
PLACED = ["float:left", "float:right", "position:absolute;left:9px", "position:fixed;top:9px"]
#: Values, and what must not be left of them when another text is beside.
VALUES = ["13912345678", "110101199003077715", "6222021234567890128", "li.wei@huawei.com"]
IN_LINE = ["b", "i", "em", "strong", "span", "font", "u", "s", "small", "mark", "code", "kbd", "bdi", "ins", "abbr"]


def set_apart() -> list[str]:
    """Return pages with `{}` in the first of two texts that stand apart, and have no blank between in the source."""
    found = [f"<{it}>{{}}</{it}><{it}>2024</{it}>" for it in APART]
    found += [f"<div>2024<{it}>{{}}</{it}>2024</div>" for it in APART if it not in ("a", "label", "time", "option")]
    for declaration in (*(f"display:{it}" for it in DISPLAYS), *PLACED):
        found.append(f"<span style='{declaration}'>{{}}</span><span style='{declaration}'>2024</span>")
        found.append(f"<style>.c{{{{{declaration}}}}}</style><div><i class=c>{{}}</i><i class=c>2024</i></div>")
    found += [f"<div style='display:{it}'><span>{{}}</span><span>2024</span></div>" for it in OF_ITEMS]
    found += ["<svg><text x=1>{}</text><text x=99>2024</text></svg>",
              "<svg><text><tspan x=1>{}</tspan><tspan x=99>2024</tspan></text></svg>",
              "<a>{}</a><!-- x --><a>2024</a>", "<math><mi>{}</mi><mi>2024</mi></math>"]  # fmt: skip
    return found


def test_texts_that_stand_apart_are_not_one(python: Path) -> None:
    cases = [(page.format(value), value) for page in set_apart() for value in VALUES]
    found = read(python, "html", [f"<p>shown</p>{page}".encode() for page, _ in cases])
    left = [
        page for (page, value), (said, _) in zip(cases, found, strict=True) if value in "".join(mask_parts(said)[0])
    ]
    assert left == []
    # Each was read, and the other text is there as well.
    assert [page for (page, _), (said, _) in zip(cases, found, strict=True) if "2024" not in " ".join(said)] == []


#: Styles that make room or a line beside an element, and those that look like them.
ROOM = [
    "margin-left:20px;margin-right:20px", "margin:0 1em", "margin-inline:6pt", "margin:1px 2px 3px 4px",
    "margin-inline-start:4px;margin-inline-end:4px", "padding:2px", "padding:0 8px", "padding:3px 6px 3px",
    "padding-left:.5em;padding-right:.5em", "padding-inline:4px", "padding-inline:4px 8px", "border:1px solid #ccc",
    "border:solid red", "border-left:1px dotted;border-right:thin dashed", "border-style:solid;border-width:1px",
    "border-inline:2px double", "border:1px solid;border-color:#ccc", "margin:0 10%", "PADDING : 0 3PX !important",
    "padding:0 calc(8px)",
]  # fmt: skip
NO_ROOM = [
    "margin:0", "padding:9px 0", "margin:auto", "border:0", "border:none", "border:0 solid", "border-style:solid;"
    "border-width:0", "border-top:1px solid;border-bottom:1px solid", "border:1px solid;border-style:none",
    "margin-top:9px;padding-bottom:9px", "padding:1px", "margin:0 9px;margin:0", "border-radius:4px",
    "border-width:2px", "padding:0 9px;padding-left:0;padding-right:0", "margin:0 -9px", "padding:0 foo",
]  # fmt: skip
#: Where such a style is: in the element, or in a sheet of the page.
STYLED = {
    "attribute": "<p><{tag} style='{style}'>{one}</{tag}>{other}</p>",
    "attribute behind": "<p>{other}<{tag} style='{style}'>{one}</{tag}></p>",
    "class": "<style>.c{{{style}}}</style><li>{other}<{tag} class=c>{one}</{tag}>{other}</li>",
    "cell": "<style>td .c{{{style}}}</style><table><tr><td>a<td><{tag} class=c>{one}</{tag}>{other}</table>",
    "both": "<style>p>.c{{{style}}}</style><p><{tag} class=c>{one}</{tag}><{tag} class=c>{other}</{tag}></p>",
}
#: What is between two texts of a line.
THINGS = [
    "<img src=a.png>", "<img src=a.png alt=''>", "<img alt=word>", "<input type=radio>", "<input type=checkbox>",
    "<input>", "<i class=icon></i>", "<span class='fa fa-phone'></span>", "<i class=icon><!-- x --></i>",
    "<input type=radio><b></b>", "<picture><img src=a></picture>", "<i class=x><b></b></i>", "<svg></svg>",
    "<style>.d::before{content:'·'}</style><b class=d></b>", "<style>b::after{content:url(a)}</style><b> </b>",
]  # fmt: skip
NO_THINGS = [
    "<b></b>", "<span></span>", "<a name=x></a>", "<wbr>", "<!-- x -->", "<img width=1 src=x>", "<b id=x></b>",
    "<input type=hidden>", "<style>b::before{content:''}</style><b></b>", "<style>b::after{color:red}</style><b></b>",
    "<style>b::before{content:none}</style><b></b>",
]  # fmt: skip
BEHIND = ["<style>.d::after{content:'|'}</style><b class=d>{one}</b>{other}", "{other}<a href='tel:{one}'>{one}</a>",
          "<style>.d:before{content:'A'}</style>{other}<b class=d>{one}</b>"]  # fmt: skip
#: Digits above and below the line, before and behind.
SHIFTED = ["sup", "sub", "sup><a href=x", "span style='vertical-align:super'", "i style='vertical-align:sub'",
           "small style='vertical-align:4px'", "b><sup", "sup><b"]  # fmt: skip


def beside() -> list[str]:
    """Return pages with two texts, of which one is beside the other in its line."""
    found = [place.format(tag="span" if number % 2 else "b", style=style, one="{one}", other="{other}")
             for number, style in enumerate(ROOM) for place in STYLED.values()]  # fmt: skip
    found += [f"<p>{{one}}{it}{{other}}</p>" for it in THINGS] + [f"<td>{{other}}{it}{{one}}</td>" for it in THINGS]
    found += BEHIND
    for it in SHIFTED:
        names = [part.split()[0] for part in it.split("><")]
        end = "".join(f"</{name}>" for name in reversed(names))
        found += [f"<p><{it}>{{other}}{end}{{one}}</p>", f"<p>{{one}}<{it}>{{other}}{end}</p>",
                  f"<td><b>{{one}}</b><{it}>{{other}},3{end}<i>{{one}}</i></td>"]  # fmt: skip
    return found


def test_texts_with_something_between_are_not_one(python: Path) -> None:
    cases = [
        (page.replace("{one}", value := VALUES[number % 3]).replace("{other}", "12"), value)
        for number, page in enumerate(beside())
    ]
    found = read(python, "html", [f"<p>shown</p>{page}".encode() for page, _ in cases])
    left = [
        page for (page, value), (said, _) in zip(cases, found, strict=True) if value in "".join(mask_parts(said)[0])
    ]
    assert left == []
    assert [page for (page, _), (said, _) in zip(cases, found, strict=True) if "12" not in " ".join(said)] == []


def test_texts_with_nothing_between_are_one(python: Path) -> None:
    pages = [place.format(tag="b", style=style, one="139", other="12345678")
             for style in NO_ROOM for name, place in STYLED.items() if name in ("attribute", "both")]  # fmt: skip
    pages += [f"<p>139{it}12345678</p>" for it in NO_THINGS]
    found = read(python, "html", [it.encode() for it in pages])
    assert [it for it, (said, _) in zip(pages, found, strict=True) if said != ["13912345678"]] == []


def test_a_word_in_several_parts_of_a_line_is_one(python: Path) -> None:
    pages = [f"<p><{it}>139</{it}>1234<{it}>5678</{it}></p>" for it in IN_LINE]
    pages += [f"<p><{it} style='display:inline'>139</{it}>12345678</p>" for it in IN_LINE]
    pages += ["<p>139<a href=x>1234</a>5678</p>", "<svg><text>139<tspan>12345678</tspan></text></svg>"]
    found = read(python, "html", [it.encode() for it in pages])
    assert [it for it, (said, _) in zip(pages, found, strict=True) if said != ["13912345678"]] == []


DECLARED = [
    '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml">{}</html>',
    '<?xml version="1.0"?><html>{}</html>', "<html xmlns='http://www.w3.org/1999/xhtml'>{}</html>",
    '<!DOCTYPE html><html lang="zh" xmlns="http://www.w3.org/1999/xhtml">{}</html>',
]  # fmt: skip
CLOSED = [
    '<script src="a.js"/>',
    '<div class="x"/>',
    "<textarea/>",
    '<iframe src="a"/>',
    "<title/>",
    "<style/>",
    "<p/>",
]


@pytest.mark.parametrize("coded", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_empty_element_of_xhtml_has_nothing_in_it(python: Path, coded: str) -> None:
    """Also behind a mark of the encoding before the declaration."""
    metas = ("", '<meta charset="utf-8"/>')[: 1 if coded == "utf-16" else 2]
    pages = [
        page.format(f"<head>{meta}</head><body>{empty}<h1>word</h1><p>13912345678</p></body>")
        for page in DECLARED for empty in CLOSED for meta in metas
    ]  # fmt: skip
    found = read(python, "html", [it.encode(coded) for it in pages])
    assert [it for it, (said, _) in zip(pages, found, strict=True) if said != ["word", "13912345678"]] == []


def test_powers_are_no_digits_of_their_number(python: Path) -> None:
    ((said, _),) = read(python, "html", ["<p>10<sup>6</sup>，m<sup>2</sup>，见<sup>[1]</sup>，H<sub>2</sub>O".encode()])
    assert said == ["10^6，m2，见[1]，H2O"]


def test_everything_that_is_said_of_a_term_has_it(python: Path) -> None:
    ((said, _),) = read(python, "html", ["<dl><dt>密码<dd>Abc12345<dd>Xyz98765<dt>说明<dd>a<dd>b</dl>".encode()])
    assert said == ["密码: Abc12345", "密码: Xyz98765", "说明", "a", "b"]
