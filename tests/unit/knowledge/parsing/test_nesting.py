"""Pages that are nested too deeply are refused from their tags; others are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.knowledge.parsing import nesting
from dualtrack.knowledge.parsing.blocks import Unreadable

MANY = 200_000


@pytest.mark.parametrize("name", ["div", "DIV", "span", "b", "font", "section", "table", "ul", "x-own", "svg", "a"])
@pytest.mark.parametrize("attributes", ["", ' class="a"', "\nid=x", "/"])
def test_deep_pages_are_refused(name: str, attributes: str) -> None:
    if (name, attributes) == ("svg", "/"):  # it ends itself
        nesting.check(f"<{name}{attributes}>" * MANY)
        return
    with pytest.raises(Unreadable, match="nested too deeply"):
        nesting.check(f"<{name}{attributes}>" * MANY)


@pytest.mark.parametrize(
    "piece",
    ["<span><div></span></div>", "<b><div></b></div>", "<div><x></div", "<div></p>", "<ul><li></li>", "<i></b>"],
)
def test_end_tags_that_end_nothing_do_not_hide_it(piece: str) -> None:
    """An end tag counts where it ends an element, by the rules of HTML: not over a block, and not of another name."""
    with pytest.raises(Unreadable):
        nesting.check(piece * MANY)


@pytest.mark.parametrize(
    "piece",
    [
        "<p>", "<li>", "<br>", "<img src=x>", "<tr><td>", "<option>", "<div></div>", "<DIV></div >", "<b>x</b>",
        "<ul><li>x<li>y</ul>", "<div><p>x</div>", "<div><span>x</div>", "<!-- <div> -->", "<script>'<div>'</script>",
        "<textarea><div></textarea>", "<table><tr><td>x</table>", "< div>", "<3", "<input/>", "<!doctype x>",
    ],
)  # fmt: skip
def test_long_pages_are_not_refused(piece: str) -> None:
    nesting.check(piece * 20_000)


def test_icons_are_not_nested() -> None:
    nesting.check("<svg>" + "<path d='x'/>" * 20_000 + "</svg>" + "<div></div>" * 20_000)


@given(
    st.lists(
        st.sampled_from(["<", "/", "div", "b", ">", "<!--", "-->", "<script", "</script", " ", "svg", "x"]), max_size=60
    )
)
def test_anything_ends(pieces: list[str]) -> None:
    nesting.check("".join(pieces))
