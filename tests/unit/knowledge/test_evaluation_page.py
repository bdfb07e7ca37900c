"""An evaluation as words, picture and page: nothing of a question breaks out of them."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree

from msgspec.structs import replace

from dualtrack.core import svg
from dualtrack.knowledge.evaluation import Evaluation, QuestionResult, Used
from dualtrack.knowledge.evaluation_page import page, picture, said
from dualtrack.knowledge.metrics import Judged, quality
from dualtrack.knowledge.retrieval import Refusals

NASTY = "<script>alert(1)</script>\u202e\x00&\"'"
GOOD, BAD = quality([Judged((1,), 1)] * 30), quality([Judged((4,), 1)] * 30)
REFUSALS = Refusals(without_answer=10, with_answer=30, rightly=0.9, wrongly=0.1)
DONE = Evaluation(
    version="0123456789abcdef", questions=40, vectors=BAD, lexical=BAD, fused=GOOD, weights=(0.3,) * 5, gain=0.5,
    error=0.02, wins=True, weight=0.3, least=0.4, refusals=REFUSALS,
    used=Used(weight=0, least=None, quality=BAD, refusals=None), unseen=(NASTY,),
    rows=(
        QuestionResult(
            question=NASTY, sources=("c/" + NASTY,), vectors=4, lexical=0, fused=1, score=0.5, refused=False,
        ),
        QuestionResult(question="nothing", sources=(), vectors=0, lexical=0, fused=0, score=0.3, refused=True),
    ),
)  # fmt: skip


class Tags(HTMLParser):
    """The tags of a page, with what is between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - its name is the parser's
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_page() -> None:
    found = Tags()
    found.feed(page(DONE))
    assert "script" not in found.tags
    assert {"svg", "table"} <= found.tags
    whole = "".join(found.text)
    assert "<script>alert(1)</script>\\u202e\\x00&\"'" in whole
    assert "\u202e" not in whole
    assert "refused" in whole


def test_picture_is_well_formed_and_has_all_bars() -> None:
    tree = ElementTree.fromstring(picture(DONE))
    bars = [it for it in tree.iter(f"{{{svg.NAMESPACE}}}rect") if len(it)]
    assert len(bars) == 15
    assert max(float(it.get("height", 0)) for it in bars) == 240
    # Without any question that has an answer there is nothing to draw, and no failure.
    none = quality([])
    empty = replace(DONE, vectors=none, lexical=none, fused=none, rows=DONE.rows[1:])
    assert ElementTree.fromstring(picture(empty)) is not None
    assert "<svg" in page(empty)


def test_sentences() -> None:
    assert said(DONE)[:3] == [
        "fusion changes nDCG@10 by +0.500 (standard error 0.020; weights 0.3, 0.3, 0.3, 0.3, 0.3): it wins, with the"
        " weight 0.3",
        "the least score 0.4 refuses 90% of 10 questions without an answer, 10% of 30 with one (held out)",
        "kb search goes by the weight 0 now: recall@10 1.000, nDCG@10 0.431",
    ]
    off = replace(DONE, wins=False, refusals=None, used=replace(DONE.used, note="of another model"), unseen=())
    assert "vectors alone count" in said(off)[0]
    assert said(off)[1] == "no score tells what has no answer (10 such questions at least)"
    assert said(off)[-1] == "of another model"
    few = replace(DONE, vectors=quality([Judged((1,), 1)]))
    assert "too few questions" in said(few)[0]


def test_attributes_and_texts_cannot_break_out() -> None:
    made = svg.document(10, 10, [svg.text(1, 2.0, '<b>"&', 3, font_weight='"/><b>'), svg.tag("g", svg.title("<i>"))])
    tree = ElementTree.fromstring(made)
    text = tree.find(f"{{{svg.NAMESPACE}}}text")
    assert text is not None
    assert (text.text, text.get("font-weight"), text.get("y")) == ('<b>"&', '"/><b>', "2.0")
