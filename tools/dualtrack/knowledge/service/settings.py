"""What the service is told: one file in JSON, which the role knowledge_base writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from dualtrack.core.files import read_as
from dualtrack.knowledge.answering import SOURCE_CHARACTERS

Count = Annotated[int, msgspec.Meta(ge=1)]


class Gateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where models answer: its URL, the authority that it is believed by, and the model's name.

    The API key is not here: the unit's credential `gateway-key` holds it.
    """

    url: str
    ca_file: str
    model: str


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of it. Paths are the host's; without a gateway questions are not answered in sentences.

    ``key_file`` is the master key, where it is not in ``base``; ``cluster`` is the file that says where vectors are
    searched (`cluster.load`), where that is not in this process. ``socket`` is where it answers, behind the host's
    HAProxy, which has TLS. ``token_key`` is the public key of the controller's tokens (PEM), ``own_token_key`` that of
    the tokens which people get on this host (`own_token`); ``people`` is the file of who may see what, by name a list
    of labels. ``per_minute`` is how many questions a person may ask, ``searches`` and ``answers`` how many are worked
    on at once; ``source_characters`` is how much of the sources a model is given, ``answer_tokens`` how long its answer
    may be. ``journal`` is the socket that takes records of what was shown.
    """

    base: str
    model: str
    people: str
    token_key: str
    socket: str
    own_token_key: str = ""
    key_file: str = ""
    cluster: str = ""
    gateway: Gateway | None = None
    per_minute: Count = 60
    searches: Count = 8
    answers: Count = 8
    sources: Annotated[int, msgspec.Meta(ge=1, le=50)] = 5
    source_characters: Count = SOURCE_CHARACTERS
    answer_tokens: Count = 512
    journal: str = "/run/systemd/journal/socket"


def load(path: Path) -> Settings:
    """Return the settings; BadInput where they are not as they must be."""
    return read_as(path, Settings, "settings of the knowledge base", "the role knowledge_base writes them")
