"""Clients that stream from the real model while something fails, and how many of their streams broke off."""

from __future__ import annotations

from pathlib import Path

from dualtrack.core.errors import DualtrackError
from dualtrack.lab.scenarios.load import Clients
from dualtrack.serving.client import Client
from dualtrack.serving.gateway import Endpoint

#: How many at once, and tokens of each: seconds of work for the lab's engine.
CLIENTS, TOKENS = 2, 48


class Streams(Clients):
    """Streams one after the other; ``ended`` came to their end, ``cut`` broke off after they had begun.

    ``refused`` were not begun: their client would ask again.
    """

    def __init__(self, endpoint: Endpoint, key: str) -> None:
        self.client = Client(endpoint.url, Path(endpoint.ca_file), key)
        self.model = endpoint.models[0]
        self.ended = self.cut = self.refused = 0
        super().__init__(CLIENTS)

    def ask(self, number: int) -> None:  # noqa: ARG002 - all are alike
        """Be one client until it is over."""
        while not self.over.is_set():
            begun = False
            try:
                for _ in self.client.chat(self.model, "Tell me about the sea.", TOKENS):
                    begun = True
                self.ended += 1
            except DualtrackError:
                if begun:
                    self.cut += 1
                else:
                    self.refused += 1
                    self.over.wait(0.5)
