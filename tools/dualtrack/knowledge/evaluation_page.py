"""What an evaluation looks like: a picture (SVG), and a page (HTML) with the picture and each question (pure)."""

from __future__ import annotations

from html import escape

from dualtrack.core import svg
from dualtrack.core.characters import visible
from dualtrack.knowledge.evaluation import Evaluation, QuestionResult, Used
from dualtrack.knowledge.fitting import FEWEST, FEWEST_WITHOUT
from dualtrack.knowledge.metrics import Quality
from dualtrack.knowledge.retrieval import Refusals

#: Ways of search with their colours, which also differ in how dark they are.
COLOURS = {"vectors": "#a3c4dc", "words (BM25)": "#5b8db8", "both (held out)": "#1f4e79"}
WIDTH, HEIGHT, LEFT, TOP, GROUP, BAR = 760, 330, 50, 50, 135, 36
STYLE = (
    "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
    "td,th{border-bottom:1px solid #ccc;padding:.3em .8em;text-align:left;vertical-align:top}"
)


def ways(done: Evaluation) -> dict[str, Quality]:
    """Return what was measured, by the way of search; none where no question has an answer."""
    found = zip(COLOURS, (done.vectors, done.lexical, done.fused), strict=True)
    return {name: it for name, it in found if it.questions}


def measures(it: Quality) -> dict[str, float]:
    """Return the measures by their names."""
    return {
        "recall@1": it.recall_at_1, "recall@5": it.recall_at_5, "recall@10": it.recall_at_10, "MRR": it.mrr,
        "nDCG@10": it.ndcg_at_10,
    }  # fmt: skip


def said(done: Evaluation) -> list[str]:
    """Return in sentences what follows from the figures."""
    lines = [_fusion(done), *_refusing(done), _used(done.used)]
    if done.used.note:
        lines.append(done.used.note)
    if done.unseen:
        more = f" and {len(done.unseen) - 5} more" if len(done.unseen) > 5 else ""
        lines.append(f"not there, or not to be seen: {', '.join(done.unseen[:5])}{more}")
    return lines


def _fusion(done: Evaluation) -> str:
    tried = ", ".join(f"{it:g}" for it in done.weights)
    gain = f"fusion changes nDCG@10 by {done.gain:+.3f} (standard error {done.error:.3f}; weights {tried}): "
    if done.vectors.questions < FEWEST:
        return gain + f"too few questions to tell, {FEWEST} with an answer at least"
    return gain + (f"it wins, with the weight {done.weight:g}" if done.wins else "it does not win, vectors alone count")


def _refusing(done: Evaluation) -> list[str]:
    if done.vectors.questions == done.questions:
        return []
    if (it := done.refusals) is None:
        return [f"no score tells what has no answer ({FEWEST_WITHOUT} such questions at least)"]
    limit = "a fit that does not hold" if done.least is None else f"the least score {done.least:g}"
    return [f"{limit} refuses {_refused(it)} (held out)"]


def _used(it: Used) -> str:
    found = it.quality
    figures = f": recall@10 {found.recall_at_10:.3f}, nDCG@10 {found.ndcg_at_10:.3f}" if found.questions else ""
    least = "" if it.least is None else f" and the least score {it.least:g}"
    refused = f"; it refuses {_refused(it.refusals)}" if it.refusals and it.least is not None else ""
    return f"kb search goes by the weight {it.weight:g}{least} now{figures}{refused}"


def _refused(it: Refusals) -> str:
    return (
        f"{it.rightly:.0%} of {it.without_answer} questions without an answer,"
        f" {it.wrongly:.0%} of {it.with_answer} with one"
    )


def picture(done: Evaluation) -> str:
    """Return bars: each measure by each way of search."""
    bottom = HEIGHT - 40
    scale = bottom - TOP
    parts = []
    for tenth in range(0, 11, 2):
        y = bottom - scale * tenth / 10
        parts.append(svg.tag("line", x1=LEFT, x2=WIDTH - 10, y1=y, y2=y, stroke="#dddddd"))
        parts.append(svg.text(LEFT - 8, y + 4, f"{tenth / 10:.1f}", 11, text_anchor="end"))
    for number, (name, found) in enumerate(ways(done).items()):
        colour = COLOURS[name]
        parts.append(svg.tag("rect", x=LEFT + 190 * number, y=16, width=14, height=14, fill=colour))
        parts.append(svg.text(LEFT + 20 + 190 * number, 28, name, 13))
        for group, (measure, value) in enumerate(measures(found).items()):
            x, high = LEFT + 12 + GROUP * group + BAR * number, scale * value
            about = svg.title(f"{measure}, {name}: {value:.4f}")
            parts.append(svg.tag("rect", about, x=x, y=bottom - high, width=BAR - 3, height=high, fill=colour))
            parts.append(svg.text(x + BAR / 2, bottom - high - 4, f"{value:.2f}", 10, text_anchor="middle"))
    for group, measure in enumerate(measures(done.vectors)):
        parts.append(svg.text(LEFT + 66 + GROUP * group, bottom + 20, measure, 13, text_anchor="middle"))
    return svg.document(WIDTH, HEIGHT, parts)


def page(done: Evaluation) -> str:
    """Return the page; it needs nothing from elsewhere."""
    names = list(measures(done.vectors))
    figures = [[name, *(f"{it:.3f}" for it in measures(found).values())] for name, found in ways(done).items()]
    asked = [_row(it) for it in sorted(done.rows, key=lambda it: (it.sources == (), -(it.fused or 1000)))]
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>How well questions are answered</title>',
        f"<style>{STYLE}</style></head><body><h1>How well questions are answered</h1>",
        f"<p>{done.questions} questions, {done.vectors.questions} with an answer; version {_text(done.version)}</p>",
        picture(done), _table(["", *names], figures), *(f"<p>{_text(it)}</p>" for it in said(done)),
        "<h2>Questions</h2><p>The place of the first right source by each way, the worst first; – is not found.</p>",
        _table(["question", "right sources", "vectors", "words", "both", "best score", ""], asked), "</body></html>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _row(it: QuestionResult) -> list[str]:
    found = [str(place or "–") if it.sources else "" for place in (it.vectors, it.lexical, it.fused)]
    return [it.question, "\n".join(it.sources) or "none", *found, f"{it.score:.2f}", "refused" * it.refused]


def _table(head: list[str], rows: list[list[str]]) -> str:
    cells = "".join(f"<th>{_text(it)}</th>" for it in head)
    lines = ["<tr>" + "".join(f"<td>{_text(it)}</td>" for it in row) + "</tr>" for row in rows]
    return "\n".join([f"<table><tr>{cells}</tr>", *lines, "</table>"])


def _text(it: str) -> str:
    return escape(visible(it, keep="\n")).replace("\n", "<br>")
