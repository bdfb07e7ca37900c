"""The operator's own questions, with the sources that answer them: what search is measured by.

The file has JSON lines, or a list in YAML: {"question": "…", "sources": ["collection/path", …]}. No source at all means
that nothing must be found.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.core.files import read_whole

MOST_BYTES = 4 << 20
MOST_QUESTIONS = 10_000
#: A list of mappings with a list: what is nested deeper is not a list of questions.
DEPTH = 3
HINT = '{"question": "…", "sources": ["collection/path"]}'
FORMS = f"JSON lines like {HINT}, or a list of such in YAML"

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
Sources = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=4096)], ...], msgspec.Meta(max_length=100)
]


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question and the sources that answer it, as `dualtrack kb search` names them; none: nothing must be found."""

    question: Text
    sources: Sources


def load(path: Path) -> list[Question]:
    """Return the questions of a file; BadInput, with the line or the number, for what is not a question."""
    data = read_whole(path, MOST_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8, at byte {error.start}") from None
    read = _lines if text.lstrip()[:1] == "{" else _yaml
    found: dict[str, str] = {}
    questions = []
    for place, it in read(path, text):
        if not it.question.strip():
            raise BadInput(f"{path}, {place}: the question is empty")
        if (before := found.setdefault(it.question, place)) != place:
            raise BadInput(f"{path}, {place}: the same question as {before}", hint="name all of its sources in one")
        questions.append(it)
        if len(questions) > MOST_QUESTIONS:
            raise BadInput(f"{path} has more than {MOST_QUESTIONS:,} questions")
    if not questions:
        raise BadInput(f"{path} has no questions", hint=HINT)
    return questions


def _lines(path: Path, text: str) -> Iterator[tuple[str, Question]]:
    decoder = msgspec.json.Decoder(Question)
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            with _said(path, place := f"line {number}"):
                found = decoder.decode(line)
            yield place, found


def _yaml(path: Path, text: str) -> Iterator[tuple[str, Question]]:
    import yaml

    def items() -> Any:
        # What a name is repeated with (`&`, `*`) can make a small file endless.
        depth = 0
        for event in yaml.parse(text, Loader=yaml.CBaseLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH or isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise BadInput(f"{path}, line {line}: no list of questions", hint=FORMS)
        # Texts stay as they are written: `no` is a word, and 2024 as well.
        return yaml.load(text, Loader=yaml.CBaseLoader)  # noqa: S506 - it makes texts, lists and mappings only

    try:
        listed = items()
    except (yaml.YAMLError, RecursionError) as error:
        raise BadInput(f"{path} is neither JSON lines nor YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(listed, list):
        raise BadInput(f"{path} is not a list of questions", hint=FORMS)
    for number, it in enumerate(listed, 1):
        with _said(path, place := f"question {number}"):
            found = msgspec.convert(it, Question)
        yield place, found


@contextlib.contextmanager
def _said(path: Path, place: str) -> Iterator[None]:
    try:
        yield
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadInput(f"{path}, {place}: {' '.join(str(error).split())[:200]}", hint=HINT) from None
