"""What styles inherit from those that they are made from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dualtrack.knowledge.parsing import elements, office
from tests.unit.knowledge.parsing.test_word import document

STYLES = "abcdef"


def nearest(style: str, own: dict[str, int], base: dict[str, str]) -> int | None:
    """Return what a style says, the slow way."""
    seen: set[str] = set()
    while style not in own and style not in seen:
        seen.add(style)
        style = base.get(style, "")
    return own.get(style)


@given(
    st.dictionaries(st.sampled_from(STYLES), st.integers(0, 9)),
    st.dictionaries(st.sampled_from(STYLES), st.sampled_from([*STYLES, "", "none such"])),
)
def test_the_nearest_style_that_says_something(own: dict[str, int], base: dict[str, str]) -> None:
    found = elements.inherited(own, base)
    assert {it: found.get(it) for it in {*own, *base}} == {it: nearest(it, own, base) for it in {*own, *base}}


def made_from(style: int, base: int, more: str = "") -> str:
    return f'<w:style w:type="paragraph" w:styleId="s{style}"><w:basedOn w:val="s{base}"/>{more}</w:style>'


def test_long_chains_and_circles_of_styles_are_read() -> None:
    """Each style was followed to its end: 20,000 of them in a circle took a minute, in a chain half of it."""
    body = '<w:p><w:pPr><w:pStyle w:val="s0"/></w:pPr><w:r><w:t>said</w:t></w:r></w:p>'
    many = 20_000
    chain = "".join(
        made_from(it, it + 1, '<w:pPr><w:outlineLvl w:val="1"/></w:pPr>' * (it == many)) for it in range(many + 1)
    )
    circle = "".join(made_from(it, (it + 1) % many) for it in range(many))
    found = [office.docx(document(body, styles=it)).blocks[0] for it in (chain, circle)]
    assert [(it.kind, it.level, it.text) for it in found] == [("heading", 2, "said"), ("text", 0, "said")]
