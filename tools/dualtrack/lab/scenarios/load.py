"""Clients that ask a gateway at a steady rate, and what became of what they asked.

Standard library alone: the test of the role gateway brings this file to a host, and runs it there.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Self

#: Seconds until a client of OpenAI's repeats a request, where it does.
PAUSES_S = (0.5, 1.0)
#: What is asked, and what is in every right answer.
QUESTION, RIGHT = "The capital of France is", "Paris"


class Clients(ABC):
    """Threads that each are a client until the block ends."""

    def __init__(self, count: int) -> None:
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(count)]

    def __enter__(self) -> Self:
        for it in self.threads:
            it.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for it in self.threads:
            it.join()

    @abstractmethod
    def ask(self, number: int) -> None:
        """Be the client ``number``, from 0 on, until ``over`` is set."""


class Load(Clients):
    """Clients at ``rate`` requests a second in all, each on a connection that it keeps.

    ``answers`` counts requests by what became of them in the end: `right`, `wrong`, `status N`, or the name of an
    error; ``tracks`` the right ones by the track that answered. ``pauses`` are the seconds before each repeat of a
    request that was not answered; ``repeated`` counts those. ``slowest`` is in seconds, repeats included.
    """

    def __init__(
        self, connect: Callable[[], http.client.HTTPConnection], key: str, *, model: str, rate: float,
        clients: int = 10, pauses: Sequence[float] = (), question: str = QUESTION,
    ) -> None:  # fmt: skip
        self.connect, self.rate, self.clients, self.pauses = connect, rate, clients, pauses
        self.headers = {"Authorization": f"Bearer {key}"}
        self.body = json.dumps({"model": model, "prompt": question, "max_tokens": 1, "temperature": 0})
        self.answers: Counter[str] = Counter()
        self.tracks: Counter[str] = Counter()
        self.repeated, self.slowest = 0, 0.0
        super().__init__(clients)

    @property
    def failed(self) -> Counter[str]:
        """What was neither right nor wrong, by what it was."""
        return Counter({kind: count for kind, count in self.answers.items() if kind not in ("right", "wrong")})

    def ask(self, number: int) -> None:
        """Be one client until it is over; a client that is late asks at once, and makes up for a second at most."""
        link = self.connect()
        due = time.monotonic() + number / self.rate
        while not self.over.wait(max(0.0, due - time.monotonic())):
            begin = time.monotonic()
            due = max(due + self.clients / self.rate, begin - 1)
            kind = self.once(link)
            for pause in self.pauses:
                if kind in ("right", "wrong"):
                    break
                time.sleep(pause)
                self.repeated += 1
                kind = self.once(link)
            self.answers[kind] += 1
            self.slowest = max(self.slowest, time.monotonic() - begin)
        link.close()

    def once(self, link: http.client.HTTPConnection) -> str:
        """Ask once; return what became of it."""
        try:
            link.request("POST", "/v1/completions", self.body, self.headers)
            answer = link.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            link.close()
            return type(error).__name__
        if answer.status != 200:
            return f"status {answer.status}"
        if RIGHT not in text:
            return "wrong"
        self.tracks[answer.headers.get("X-Dualtrack-Track", "")] += 1
        return "right"
