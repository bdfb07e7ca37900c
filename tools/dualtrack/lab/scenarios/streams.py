"""Clients that stream from the engine that fails, and how many of their streams broke off."""

from __future__ import annotations

from pathlib import Path

from dualtrack.core.errors import DualtrackError
from dualtrack.lab.scenarios.load import Clients
from dualtrack.serving.client import Client
from dualtrack.serving.gateway import Endpoint

#: How many at once, and tokens of each: seconds of the drill's engine.
CLIENTS, TOKENS = 2, 40
#: How the client begins what it says of an error event, by which the gateway ends a stream that an engine has cut.
TOLD = "the answer broke off: "


class Streams(Clients):
    """Streams one after the other; ``ended`` came to their end, ``cut`` broke off after they had begun.

    Of those, ``told`` ended with an error event. ``refused`` were not begun: their client would ask again. ``begun``
    are all that brought a token.
    """

    def __init__(self, endpoint: Endpoint, key: str, model: str) -> None:
        self.client, self.model = Client(endpoint.url, Path(endpoint.ca_file), key), model
        self.begun = self.ended = self.cut = self.told = self.refused = 0
        super().__init__(CLIENTS)

    def ask(self, number: int) -> None:  # noqa: ARG002 - all are alike
        """Be one client until it is over."""
        while not self.over.is_set():
            begun = False
            try:
                for _ in self.client.chat(self.model, "Tell me about the sea.", TOKENS):
                    self.begun += not begun
                    begun = True
                self.ended += 1
            except DualtrackError as error:
                if begun:
                    self.cut += 1
                    self.told += str(error).startswith(TOLD)
                else:
                    self.refused += 1
                    self.over.wait(0.5)
