"""Answers people: finds what they may see, notes it, and has a model say it in sentences where one is named."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from dualtrack.core.errors import BadInput, DualtrackError, External
from dualtrack.core.output import echo
from dualtrack.knowledge import cluster, ledger, models, retrieval, versions
from dualtrack.knowledge.answering import Answered, Message, answers
from dualtrack.knowledge.cluster import Clustered
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.messages import Hit
from dualtrack.knowledge.pii.mask import mask
from dualtrack.knowledge.search import Searcher
from dualtrack.knowledge.service import records
from dualtrack.knowledge.service.people import Person
from dualtrack.knowledge.service.settings import Settings
from dualtrack.knowledge.sync import copy
from dualtrack.serving.client import Client, End

QUESTION_CHARACTERS = 4000
#: Of a chat, what was said before: it is the model's to read, and not looked for.
MOST_MESSAGES = 40
#: Seconds until a version that could not be loaded is tried again.
AGAIN_S = 5.0
#: Characters of an answer for each token that it may have, and seconds until it is whole.
MOST_CHARACTERS, ANSWER_S = 32, 600.0


class Busy(DualtrackError):
    """Too much is asked at once."""


class Desk:
    """A knowledge base that is asked. The journal takes a record of each answer, before it is given."""

    def __init__(
        self, settings: Settings, gateway_key: str = "", kinds: Callable[[], Iterable[frozenset[str]]] = tuple
    ) -> None:  # fmt: skip
        """Load the model and the version that is current; the errors of `versions.load`.

        ``kinds`` are the labels of people: what they need is made before they ask.
        """
        self._settings, self._kinds = settings, kinds
        self._base = Path(settings.base)
        self._key_file = Path(settings.key_file) if settings.key_file else None
        self._deletions = ledger.size(self._base)
        versions.current(self._base)  # seen before a model is loaded for nothing
        self._model = models.load(Path(settings.model))
        with Keys(self._base, self._key_file) as keys:
            self._records = keys.mac("records", b"")
        self._lock = threading.Lock()
        self._client = None
        if at := settings.gateway:
            self._client = Client(at.url, Path(at.ca_file), gateway_key)
        self._searcher: Searcher | Clustered | None = None
        self._cluster = cluster.load(Path(settings.cluster)) if settings.cluster else None
        self._seen, self._failed, self._failed_at = "", "", 0.0
        self._now()

    def version(self) -> str:
        """Return the id of the version that answers now."""
        return self._now().id

    def chunks(self) -> float:
        """Return how many chunks the version has that answers now; no number where none does."""
        searcher = self._searcher
        return searcher.chunks if searcher else math.nan

    def copied(self) -> tuple[float, float]:
        """Return when a copy asked its source last (seconds since 1970), and its lag in seconds; no numbers without."""
        try:
            found = copy.status(self._base)
        except DualtrackError:
            return math.nan, math.nan
        lag = math.nan if found.lag_s is None else found.lag_s
        return found.checked.timestamp() if found.checked else math.nan, lag

    def stale(self) -> bool:
        """Tell whether something was deleted since this process began: what it has read of that is still in memory."""
        return ledger.size(self._base) != self._deletions

    def _now(self) -> Searcher | Clustered:
        """Return the version that is current now, loaded and checked once; External where there is none."""
        if self.stale():
            raise External("documents were deleted, and the service begins anew")
        with self._lock:
            at = str((self._base / versions.CURRENT).resolve())
            if self._searcher is not None and at == self._seen:
                return self._searcher
            if at == self._failed and time.monotonic() - self._failed_at < AGAIN_S:
                raise External("the current version cannot be loaded")
            self._searcher = None  # two of them at once may be more than there is memory
            try:
                self._searcher = self._loaded()
            except DualtrackError as error:
                self._failed, self._failed_at = at, time.monotonic()
                raise External(str(error)) from None
            self._seen = at
            if isinstance(self._searcher, Searcher):
                threading.Thread(target=self._prepare, args=(self._searcher,), daemon=True).start()
            return self._searcher

    def _prepare(self, searcher: Searcher) -> None:
        """Make indexes beside the answers: whoever asks before that waits for their own alone."""
        try:
            fitted, _ = retrieval.load(self._base, self._model.digest)
            kinds = (it for it in self._kinds() if self._searcher is searcher)  # another version came: no more of this
            searcher.prepare(kinds, words=bool(fitted and fitted.weight))
        except DualtrackError as error:  # the caller is told
            echo(f"an index is not made yet: {error}", err=True)

    def _loaded(self) -> Searcher | Clustered:
        if self._cluster:
            return Clustered(self._base, self._cluster, self._model, self._key_file)
        return Searcher(versions.load(self._base, self._key_file), self._model)

    def search(self, person: Person, question: str, count: int, way: str) -> list[Hit]:
        """Return what is found for a person; BadInput for a question that is none."""
        hits, _ = self._found(person, question, count, way)
        return hits

    def _found(self, person: Person, question: str, count: int, way: str) -> tuple[list[Hit], str]:
        """Return what is found, and the question without personal data."""
        if not question.strip() or len(question) > QUESTION_CHARACTERS:
            raise BadInput(f"a question has 1 to {QUESTION_CHARACTERS} characters")
        clean = _cleaned(question)
        searcher = self._now()
        try:
            fitted, _ = retrieval.load(self._base, self._model.digest)
        except DualtrackError as error:
            raise External(str(error)) from None
        hits = searcher.search(clean, person.labels, count, fitted)
        record = records.record(person, way, searcher.id, hits, clean, self._records)
        records.give(record, Path(self._settings.journal))
        return hits, clean

    def ask(
        self, person: Person, question: str, before: Sequence[Message] = (), way: str = "ask"
    ) -> Iterator[str | Answered]:
        """Look for sources, and return the answer in sentences as it comes, at last its sources.

        External, while it is read, for whatever the gateway does not do.
        """
        client, at = self._client, self._settings.gateway
        if client is None or at is None:
            raise BadInput("no model is named for answers in sentences: search, or set knowledge_base_gateway_url")
        hits, clean = self._found(person, question, self._settings.sources, way)
        said = [Message(it.role, _cleaned(it.content)) for it in before[-MOST_MESSAGES:]]
        most, until = MOST_CHARACTERS * self._settings.answer_tokens, time.monotonic() + ANSWER_S

        def ask(messages: Sequence[Message]) -> Iterator[str | End]:
            size = 0
            try:
                for it in client.chat(at.model, messages, self._settings.answer_tokens):
                    size += len(it) if isinstance(it, str) else 0
                    if size > most or time.monotonic() > until:
                        raise External("the gateway's answer has no end")
                    yield it
            except BadInput as error:  # what it says of the service's own request is not a matter of who asked
                raise External(str(error)) from None

        return answers(ask, clean, hits, before=said, characters=self._settings.source_characters)


def _cleaned(text: str) -> str:
    """Return a text without personal data; BadInput where it cannot be cleaned."""
    try:
        return mask(text.encode()).data.decode()
    except (DualtrackError, UnicodeError) as error:
        raise BadInput(f"the question cannot be cleaned of personal data: {error}") from None
