"""Answers people: finds what they may see, notes it, and has a model say it in sentences where one is named."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from dualtrack.errors import BadInput, DualtrackError
from dualtrack.knowledge import ledger, retrieval, versions
from dualtrack.knowledge.answering import Answered, Message, answers
from dualtrack.knowledge.embedding import BGE_SMALL_ZH, Model
from dualtrack.knowledge.pii.mask import mask
from dualtrack.knowledge.search import Hit, Searcher
from dualtrack.knowledge.service import records
from dualtrack.knowledge.service.people import Person
from dualtrack.knowledge.service.settings import Settings
from dualtrack.serving.client import Client, End

QUESTION_CHARACTERS = 4000
#: Of a chat, what was said before: it is the model's to read, and not looked for.
MOST_MESSAGES = 40
#: Seconds that somebody waits while others are answered.
PATIENCE_S = 10.0


class Busy(DualtrackError):
    """Too much is asked at once."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was found for somebody, the nearest first, and in which version."""

    version: str
    hits: list[Hit]


class Desk:
    """A knowledge base that is asked. The journal takes a record of each answer, before it is given."""

    def __init__(self, settings: Settings, gateway_key: str = "") -> None:
        """Load the model and the version that is current; the errors of `versions.load`."""
        self._settings = settings
        self._base = Path(settings.base)
        self._key_file = Path(settings.key_file) if settings.key_file else None
        self._deletions = ledger.size(self._base)
        self._model = Model(Path(settings.model), BGE_SMALL_ZH)
        self._lock = threading.Lock()
        self._searches = threading.Semaphore(settings.searches)
        self._answers = threading.Semaphore(settings.answers)
        self._client = None
        if at := settings.gateway:
            self._client = Client(at.url, Path(at.ca_file), gateway_key)
        self._searcher: Searcher | None = None
        self._seen = ""
        self.version()

    def version(self) -> versions.Version:
        """Return the version that answers now."""
        return self._now().version

    def _now(self) -> Searcher:
        """Return the version that is current now, loaded and checked once."""
        with self._lock:
            if ledger.size(self._base) != self._deletions:
                # What was read stays in a process's memory here and there: systemd starts another one.
                os.kill(os.getpid(), signal.SIGTERM)
                raise Busy("documents were deleted, and the service begins anew")
            at = str((self._base / versions.CURRENT).resolve())
            if self._searcher is None or at != self._seen:
                self._searcher = None  # two of them at once may be more than there is memory
                self._searcher = Searcher(versions.load(self._base, self._key_file), self._model)
                self._seen = at
            return self._searcher

    def search(self, person: Person, question: str, count: int, way: str) -> Found:
        """Return what is found for a person; BadInput for a question that is none, Busy where too many are asked."""
        found, _ = self._found(person, question, count, way)
        return found

    def _found(self, person: Person, question: str, count: int, way: str) -> tuple[Found, str]:
        """Return what is found, and the question without personal data."""
        if not question.strip() or len(question) > QUESTION_CHARACTERS:
            raise BadInput(f"a question has 1 to {QUESTION_CHARACTERS} characters")
        clean = _cleaned(question)
        with _place(self._searches):
            searcher = self._now()
            fitted, _ = retrieval.load(self._base, self._model.digest)
            hits = searcher.search(clean, person.labels, count, fitted)
        version = searcher.version.id
        records.give(records.record(person.name, way, version, hits, question), Path(self._settings.journal))
        return Found(version=version, hits=hits), clean

    def ask(
        self, person: Person, question: str, before: Sequence[Message] = (), way: str = "ask"
    ) -> tuple[str, Iterator[str | Answered]]:
        """Return the version that is asked, and the answer in sentences as it comes, at last its sources.

        Busy, or the gateway's errors, while it is read.
        """
        client, at = self._client, self._settings.gateway
        if client is None or at is None:
            raise BadInput("no model is named for answers in sentences: search, or set knowledge_base_gateway_url")
        found, clean = self._found(person, question, self._settings.sources, way)
        said = [Message(it.role, _cleaned(it.content)) for it in before[-MOST_MESSAGES:]]

        def ask(messages: Sequence[Message]) -> Iterator[str | End]:
            with _place(self._answers):
                yield from client.chat(at.model, messages, self._settings.answer_tokens)

        return found.version, answers(ask, clean, found.hits, before=said, characters=self._settings.source_characters)


def _cleaned(text: str) -> str:
    """Return a text without personal data; BadInput where it cannot be cleaned."""
    try:
        return mask(text.encode()).data.decode()
    except (DualtrackError, UnicodeError) as error:
        raise BadInput(f"the question cannot be cleaned of personal data: {error}") from None


@contextmanager
def _place(among: threading.Semaphore) -> Iterator[None]:
    if not among.acquire(timeout=PATIENCE_S):
        raise Busy("too many questions are worked on now")
    try:
        yield
    finally:
        among.release()
