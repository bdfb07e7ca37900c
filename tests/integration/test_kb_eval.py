"""Words beside vectors: what is fitted changes what is found, and nobody's answer shows what others have."""

from __future__ import annotations

import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from dualtrack.core.errors import Exit
from dualtrack.knowledge.metrics import quality
from dualtrack.knowledge.retrieval import NAME, Figures, Fitted, save
from dualtrack.knowledge.terms import terms
from dualtrack.security.access.model import Access
from dualtrack.tracks import knowledge
from tests.conftest import CLI, ROOT, Cli
from tests.integration.test_kb import PEOPLE, TOPICS, asked, kb, people, taking, written

__all__ = ["people"]  # a fixture
#: What all documents about machines say: the model hardly sees the number of one in it.
SAME = (
    "设备每月检查一次，由运维部登记。发现异响或者高温应当停机，并通知值班人员。更换的零件放入仓库，旧零件按规定处理。"
    "检查的结果写入系统，保存三年。"
)


def fitted(place: Path, weight: float, least: float | None, model: str = "") -> None:
    """Write a fit into a base."""
    none = quality([])
    figures = Figures(version="", vectors=none, lexical=none, fused=none, gain=0, error=0, refusals=None)
    model = model or json.loads((place / "current/card.json").read_bytes())["model"]
    save(place, Fitted(model=model, weight=weight, least=least, figures=figures))


def looking(place: Path, question: str, person: str, count: int = 12) -> dict[str, Any]:
    labels = msgspec.yaml.decode(PEOPLE, type=Access).person(person).labels
    return {"type": "search", "base": str(place), "question": question, "labels": labels, "count": count}


def test_with_words_too_what_somebody_gets_is_as_if_the_rest_was_not_there(tmp_path: Path, python: Path) -> None:
    """Others' documents say the same words: how rare these are must not show."""
    acls = {"hr": "group:hr", "lab": "group:lab", "all": "everyone"}
    sees = {"ada": ["hr", "all"], "dong": ["all"]}
    for number, name in enumerate(acls):
        written(tmp_path / name, 3 + number, seed=number)
    places = {"whole": list(acls), **sees}
    asked(python, *(taking(tmp_path / at, tmp_path / it, it, acls[it]) for at, names in places.items() for it in names))
    questions = ("请假要谁批准", "报销第1条", "没有人写过的东西", "xyzzy")
    looks = [looking(tmp_path / at, it, person) for person in sees for at in ("whole", person) for it in questions]
    ways = set()
    for weight, least in ((0.0, None), (0.4, None), (1.0, None), (0.4, 0.3)):
        for place in places:
            fitted(tmp_path / place, weight, least)
        found = [json.dumps(it["hits"], ensure_ascii=False) for it in asked(python, *looks)]
        ways.add(tuple(found))
        for names in sees.values():
            whole, alone, found = found[:4], found[4:8], found[8:]
            assert whole == alone, (weight, names)
            assert {it["collection"] for hits in whole for it in json.loads(hits)} <= set(names)
    # Each way of search gave other answers, so all of them were tried.
    assert len(ways) == 4


INSIDE = """
import json, sys
from pathlib import Path
from dualtrack.knowledge import program, search, versions
from dualtrack.knowledge.lexical import Lexical
base, model, texts, questions = json.loads(sys.stdin.read())
scores = [Lexical(texts).scores(it).tolist() for it in questions]
it = search.Searcher(versions.load(Path(base)), program._model(model))
hr, both = frozenset({"group:hr"}), frozenset({"group:hr", "person:ada"})
same = it._permitted(hr) is it._permitted(both) is it._permitted(hr)
everything = it._permitted(frozenset({"group:hr", "everyone"}))
kept = len(it._kept)
search.KEPT_ROWS = 1
it._permitted(hr), it._permitted(frozenset({"everyone"}))
bounded = len(it._kept)
# An index that gives out what it should not.
it._permitted = lambda labels: everything
leaked = {hit.collection for _, hit in it.candidates("请假", hr, words=True).ranked(0.5)}
print(json.dumps([scores, same, kept, bounded, sorted(leaked)]))
"""


def inside(python: Path, given: object) -> Any:
    """Run INSIDE in the environment of the knowledge base."""
    done = subprocess.run(
        [python, "-P", "-c", INSIDE], input=json.dumps(given), capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT / "tools")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def bm25(texts: list[str], question: str) -> list[float]:
    """Return what the formula says, as a part of the most that there is."""
    rows = [list(terms(it)) for it in texts]
    average = sum(map(len, rows)) / len(rows)
    wanted = set(terms(question))
    rare = {
        it: math.log(1 + (len(rows) - n + 0.5) / (n + 0.5)) for it in wanted if (n := sum(it in r for r in rows)) >= 0
    }
    whole = sum(rare.values())

    def score(row: list[str]) -> float:
        norm = 1.5 * (0.25 + 0.75 * len(row) / average)
        return sum(rare[it] * row.count(it) / (row.count(it) + norm) for it in wanted if it in row)

    return [score(row) / whole if whole else 0.0 for row in rows]


def test_indexes_are_those_of_the_permitted(tmp_path: Path, python: Path) -> None:
    place = tmp_path / "base"
    acls = {"hr": "group:hr", "all": "everyone"}
    asked(python, *(taking(place, written(tmp_path / it, 2), it, acl) for it, acl in acls.items()))
    texts = ["磁盘阵列的更换，磁盘要登记", "更换 RAID 控制器", "", "raid raid 阵列", "年假"]
    questions = ["磁盘阵列", "RAID阵列怎么更换", "量子", "", "年假 zzz"]
    scores, same, kept, bounded, leaked = inside(python, [str(place), str(knowledge.model()), texts, questions])
    for question, found in zip(questions, scores, strict=True):
        assert found == pytest.approx(bm25(texts, question), abs=1e-6), question
    # Who may see the same shares an index; what is kept is bounded; an index that leaks is not a leak.
    assert (same, kept, bounded, leaked) == (True, 2, 1, ["hr"])
    assert inside(python, [str(place), str(knowledge.model()), ["…", ""], ["x"]])[0] == [[0, 0]]


@pytest.mark.usefixtures("people")
def test_what_is_fitted_is_what_search_goes_by(tmp_path: Path) -> None:
    place, source, questions = tmp_path / "base", tmp_path / "docs", tmp_path / "questions.jsonl"
    source.mkdir()
    codes = [f"KX-{1000 + 37 * it}" for it in range(20)]
    for it in codes:
        (source / f"{it}.md").write_text(f"# 检查\n{SAME}{SAME}本页适用于设备 {it}。\n")
    kb(place, "ingest", source, "--collection", "rack")
    lines = [{"question": f"检查设备 {it} 要注意什么", "sources": [f"rack/{it}.md"]} for it in codes]
    lines += [{"question": f"{it}的规定", "sources": []} for it in TOPICS]
    questions.write_text("".join(json.dumps(it) + "\n" for it in lines))
    page, picture = tmp_path / "page.html", tmp_path / "picture.svg"
    measured = kb(place, "eval", questions, "--as", "ada", "--page", page, "--picture", picture)
    assert (measured["questions"], measured["vectors"]["questions"], measured["unseen"]) == (30, 20, [])
    assert measured["lexical"]["recall_at_1"] == measured["fused"]["recall_at_1"] == 1
    assert measured["vectors"]["recall_at_1"] < 0.9
    assert measured["used"]["quality"] == measured["vectors"]
    assert len(re.findall("<tr>", page.read_text())) == 4 + 31
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    # Nothing is kept without --fit; with it search goes by what was fitted.
    assert not (place / NAME).exists()
    worst = next(it for it in measured["rows"] if it["vectors"] > 1)
    before = kb(place, "search", worst["question"], "--as", "ada")
    assert (before["weight"], before["least"], before["note"]) == (0, None, "")
    assert f"rack/{before['hits'][0]['source']}" not in worst["sources"]
    done = kb(place, "eval", questions, "--as", "ada", "--fit")
    assert done["wins"]
    assert done["rows"] == measured["rows"]
    after = kb(place, "search", worst["question"], "--as", "ada")
    assert (after["weight"], after["least"]) == (done["weight"], done["least"])
    assert f"rack/{after['hits'][0]['source']}" in worst["sources"]
    assert kb(place, "search", "发票的规定", "--as", "ada")["hits"] == []
    again = kb(place, "eval", questions, "--as", "ada")
    assert (again["used"]["weight"], again["used"]["quality"]["recall_at_1"]) == (done["weight"], 1)
    # Of another model it is not used, and that is said.
    fitted(place, 0.9, 0.9, model="another")
    other = kb(place, "search", worst["question"], "--as", "ada")
    assert other["hits"] == before["hits"]
    assert "fitted for another model and is not used" in other["note"]
    (place / NAME).write_text("{")
    assert "retrieval.json is damaged" in kb(place, "search", "x", "--as", "ada", code=Exit.BAD_INPUT)["stderr"]
    # Too few questions, and questions that are none.
    questions.write_text(json.dumps(lines[0]))
    few = kb(place, "eval", questions, "--as", "ada", "--fit", code=Exit.BAD_INPUT)["stderr"]
    assert "1 questions with an answer are too few to fit on (20 at least)" in few
    questions.write_text('{"question": 7}')
    said = kb(place, "eval", questions, "--as", "ada", code=Exit.BAD_INPUT)["stderr"]
    assert re.fullmatch(r"dualtrack: .*questions\.jsonl, line 1: .*\n", said)


@pytest.mark.usefixtures("people")
def test_who_may_see_nothing_gets_nothing(tmp_path: Path) -> None:
    place, questions = tmp_path / "base", tmp_path / "questions.yml"
    kb(place, "ingest", written(tmp_path / "docs", 2), "--collection", "rules", "--acl", "group:lab")
    questions.write_text("- question: 请假\n  sources: [rules/rule-000.md]\n- question: 月亮\n  sources: []\n")
    # An answer that is longer than a pipe holds.
    long = tmp_path / "long.yml"
    more = [f"- {{question: {it} {'长' * 1990}, sources: []}}\n" for it in range(60)]
    long.write_text(questions.read_text() + "".join(more))
    found = kb(place, "eval", long, "--as", "dong")
    assert (found["vectors"]["recall_at_10"], found["unseen"]) == (0, ["rules/rule-000.md"])
    assert [it["refused"] for it in found["rows"]] == [True] * 62
    shown = subprocess.run(
        [CLI, "kb", "eval", questions, "--as", "bo", "--base", place], capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert "words (BM25)" in shown.stdout
    assert "not there" not in shown.stdout


def test_runbook(tmp_path: Path) -> None:
    Cli(tmp_path).runbook("measure-the-knowledge-base.md")
