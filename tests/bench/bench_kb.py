"""How well the knowledge base answers: vectors, words (BM25) and both, on labels that come with documentation.

Two of Debian's packages are taken in, each into a base of its own: libreoffice-help-zh-cn (the question is a page's
title, which is removed from the page) and manpages-zh (what the first section says of a program; the section is
removed). What has no answer is asked of each base as well: questions of the other package, and of pages that were left
out.
    bench_kb.py [questions with an answer] [questions without one]
"""

from __future__ import annotations

import gzip
import html
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from debian_texts import unpacked

from dualtrack.core.paths import ROOT, cache_dir

HAVING, LACKING = (int(it) for it in (*sys.argv[1:], *("400", "100")[len(sys.argv) - 1 :]))
PACKAGES = {"help": "libreoffice-help-zh-cn", "man": "manpages-zh"}
#: Chinese characters that a document has at least, and characters that are taken of it: the model makes 50 vectors a
#: second.
FEWEST, MOST = 100, 4000
CLI = ROOT / ".venv/bin/dualtrack"
HAN = re.compile("[\u4e00-\u9fff]")


def help_pages(place: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the title, and the text without the title of each page."""
    for path in sorted(place.rglob("text/**/*.html")):
        whole = path.read_text()
        title = re.search(r"<title>(.*?)</title>", whole, re.S)
        body = whole.partition('id="DisplayArea"')[2]
        body = re.sub(r"<h1.*?</h1>", "", body[body.find(">") + 1 :], flags=re.S)
        text = html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"</(p|h\d|td|li)>", "\n", body)))
        yield "-".join(path.parts[-3:]), html.unescape(title[1]) if title else "", text


def man_pages(place: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the name, what the first section says, and the other sections of each page."""
    for path in sorted(it for it in place.rglob("*.gz") if "zh_CN" in it.parts and not it.is_symlink()):
        text = gzip.decompress(path.read_bytes()).decode()
        sections = re.split(r"^\.S[Hh] *", text, flags=re.M)
        if len(sections) < 3:
            continue
        said = re.search(r"\S\s+(?:\\-|-|—)\s+(.*)", plain(sections[1]))
        yield path.name.removesuffix(".gz"), said[1] if said else "", plain("\n".join(sections[2:]))


def plain(roff: str) -> str:
    """Return the text of a page without its marks."""
    text = re.sub(r'^[.\'](\\"|\w).*$', "", re.sub(r"^\.([BI]|[BIR]{2}) ", "", roff, flags=re.M), flags=re.M)
    return re.sub(r"\\f\(?\w|\\[,/&|]", "", text).replace("\\-", "-")


def documents(kind: str) -> list[tuple[str, str, str]]:
    """Return the pages of a kind with a question of their own, in Chinese."""
    place = unpacked([PACKAGES[kind]]) / PACKAGES[kind]
    pages = [
        (name, " ".join(question.split()), re.sub(r"\s*\n\s*", "\n", text).strip()[:MOST])
        for name, question, text in (help_pages if kind == "help" else man_pages)(place)
    ]
    often = Counter(question for _, question, _ in pages)
    return [
        it for it in pages if often[it[1]] == 1 and len(HAN.findall(it[1])) >= 2 and len(HAN.findall(it[2])) >= FEWEST
    ]


def main() -> None:
    """Take both in and print how they are answered."""
    chance = random.Random(1)
    pages = {kind: documents(kind) for kind in PACKAGES}
    for found in pages.values():
        chance.shuffle(found)
    with tempfile.TemporaryDirectory() as held:
        people = Path(held, "people.yml")
        people.write_text("people:\n  - {name: ada, uid: 4001, roles: [user]}\n")
        for kind, other in (("help", "man"), ("man", "help")):
            source, base = Path(held, kind), cache_dir() / "bench-kb" / kind
            source.mkdir()
            near, kept = pages[kind][:LACKING], pages[kind][LACKING:]
            for name, _, text in kept:
                (source / f"{name}.txt").write_text(text)
            begin = time.monotonic()
            subprocess.run(
                [CLI, "kb", "ingest", source, "--collection", kind, "--base", base, "--remove-missing"], check=False,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            (base / "retrieval.json").unlink(missing_ok=True)
            print(f"{kind}: {len(kept)} documents, {time.monotonic() - begin:.0f} s", flush=True)
            having = [{"question": question, "sources": [f"{kind}/{name}.txt"]} for name, question, _ in kept[:HAVING]]
            for what, lacking in (("the other package", pages[other][LACKING:][:LACKING]), ("pages left out", near)):
                asked = having + [{"question": question, "sources": []} for _, question, _ in lacking]
                questions = Path(held, f"{kind}.jsonl")
                questions.write_text("".join(json.dumps(it, ensure_ascii=False) + "\n" for it in asked))
                begin = time.monotonic()
                print(f"without an answer: questions of {what}", flush=True)
                subprocess.run(
                    [CLI, "kb", "eval", questions, "--as", "ada", "--people", people, "--base", base, "--page",
                     base / "page.html"], check=True,
                )  # fmt: skip
                print(f"{len(asked)} questions, {time.monotonic() - begin:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
