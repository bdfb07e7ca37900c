"""The search store that trails are shipped to: an answer of one of its nodes, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.remote.opensearch import Answer, Opener, Store, basic, straight, through

#: Seconds for an answer: a bulk request waits for the disk of every copy.
ANSWER_S = 120
#: What a store says that will take the same later: too busy, or no node that leads.
LATER = frozenset({429, 502, 503, 504})


class Away(External):
    """Nobody answers, or the store cannot take it now: worth another try."""


class SearchStore:
    """A cluster by the addresses of its nodes (https://HOST:PORT); each request goes to one that answers.

    ``ca`` is the only authority that is believed. Who asks is known by ``cert`` and ``key`` or, a person, by the first
    line of a file: of ``token``, or of ``password`` together with ``user``. ``opener`` opens a stream to a name and
    port.
    """

    def __init__(
        self, addresses: Sequence[str], *, ca: Path, cert: Path | None = None, key: Path | None = None, user: str = "",
        password: Path | None = None, token: Path | None = None, opener: Callable[[str, int], Opener] = straight,
    ) -> None:  # fmt: skip
        if bool(cert) != bool(key) or bool(user) != bool(password) or sum(map(bool, (cert, user, token))) != 1:
            raise BadInput("name --cert and --cert-key, or --user and --password-file, or --token-file")
        self._headers = basic(user, _first_line(password, "password")) if password is not None else {}
        if token is not None:
            self._headers = {"Authorization": f"Bearer {_first_line(token, 'token')}"}
        self._nodes = [node(it, ca, cert, key, opener) for it in addresses]

    def identity(self) -> str:
        """Return what tells this store from one that was built in its place; '' where it does not say."""
        try:
            found = str(self.ask("GET", "/").get("cluster_uuid", ""))
        except Refused:
            return ""
        return "" if found == "_na_" else found

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer's document; ``body`` is as in `Store.call`. Away when a later try may succeed."""
        said = ""
        for _ in range(len(self._nodes) + 1):  # once more: a connection that was idle may be closed by now
            asked = self._nodes[0]
            try:
                answer = asked.call(method, path, body, self._headers)
            except External as error:
                said = str(error)
            else:
                if answer.status not in LATER:
                    return _document(answer, asked.name)
                said = f"{asked.name} answers {answer.status}: {answer.reason[:200]}"
            self._nodes.append(self._nodes.pop(0))  # another node may be well
        raise Away(f"the store cannot be had: {said}")


def by_way_of(host: str) -> Callable[[str, int], Opener]:
    """Return what opens streams through the ssh server of ``host``: encrypted from here to the store all the same."""
    # A name that begins with a hyphen is none of a host.
    return lambda name, port: through(["ssh", "-W", f"{name}:{port}", "--", host])


def node(
    address: str, ca: Path, cert: Path | None, key: Path | None, opener: Callable[[str, int], Opener],
    timeout: float = ANSWER_S,
) -> Store:  # fmt: skip
    """Return a node by its address."""
    parts = urlsplit(address)
    try:
        name, port = parts.hostname, parts.port or 9200
    except ValueError:
        name, port = None, 0
    if parts.scheme != "https" or not name or parts.path.strip("/") or parts.query or parts.username:
        raise BadInput(f"{address} is no address of a store", hint="https://HOST:9200, without a path")
    try:
        return Store(name, opener(name, port), ca, certificate=cert, key=key, timeout=timeout)
    except FileNotFoundError:
        missing = next((it for it in (ca, cert, key) if it is not None and not it.exists()), ca)
        raise BadInput(f"there is no {missing}", hint="certificates come from `dualtrack pki`") from None
    except OSError as error:  # ssl.SSLError is one
        raise BadInput(f"{cert or ca} or its key cannot be used: {error}") from None


def _first_line(file: Path, what: str) -> str:
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    if not lines or not lines[0]:
        raise BadInput(f"{file} holds no {what}")
    return lines[0]


def _document(answer: Answer, name: str) -> Any:
    if answer.status in (401, 403):
        raise Refused(f"{name} refuses: {answer.reason[:200] or answer.status}")
    if answer.status >= 400:
        raise External(f"{name} answers {answer.status}: {answer.reason[:200]}")
    if not isinstance(answer.body, dict):
        raise External(f"{name} answers with no JSON: is it a search store?")
    return answer.body
