"""Pages: what browsers show is read, and what they do not show is reported or has no text of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.data.mirror import artifacts
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
    "<video>word</video>", "<canvas>word</canvas>", "<input type=hidden value=word>",
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


@pytest.fixture(scope="session")
def python() -> Path:
    return artifacts.environment("knowledge")


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
