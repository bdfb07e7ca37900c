"""The search store that trails are shipped to, over HTTPS: an answer, or the reason why there is none."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import urllib3

from dualtrack.errors import BadInput, External, Refused

#: Seconds for a connection, and for an answer: a bulk request waits for the disk of every copy.
CONNECT_S, ANSWER_S = 10, 120
#: What a store says that will take the same later: too busy, or no node that leads.
LATER = frozenset({429, 502, 503, 504})


class Away(External):
    """Nobody answers, or the store cannot take it now: worth another try."""


class SearchStore:
    """A cluster by the addresses of its nodes (https://HOST:PORT); each request goes to one that answers.

    ``ca`` is the only authority that is believed. Who asks is known by ``cert`` and ``key`` or, a person, by ``user``
    and the first line of ``password``'s file.
    """

    def __init__(
        self, addresses: Sequence[str], *, ca: Path, cert: Path | None = None, key: Path | None = None, user: str = "",
        password: Path | None = None,
    ) -> None:  # fmt: skip
        for it in addresses:
            if not it.startswith("https://") or it.count("/") > 2:
                raise BadInput(f"{it} is no address of a store", hint="https://HOST:9200, without a path")
        if not addresses:
            raise BadInput("no store was named", hint="--store https://HOST:9200")
        if bool(cert) != bool(key) or bool(user) != bool(password) or bool(cert) == bool(user):
            raise BadInput("name --cert and --key, or --user and --password-file")
        self.addresses = list(addresses)
        headers = {"accept": "application/json"}
        if password is not None:
            headers["authorization"] = _basic(user, password)
        self._pool = urllib3.PoolManager(
            ssl_context=_context(ca, cert, key), headers=headers, retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_S, read=ANSWER_S),
        )  # fmt: skip

    def ask(self, method: str, path: str, body: bytes = b"", *, kind: str = "application/json") -> Any:
        """Return the answer's document. Away when a later try may succeed, Refused for 401 and 403."""
        said = ""
        for _ in range(len(self.addresses)):
            headers = {**self._pool.headers, **({"content-type": kind} if body else {})}
            try:
                answer = self._pool.request(method, self.addresses[0] + path, body=body or None, headers=headers)
            except urllib3.exceptions.HTTPError as error:
                said = f"{self.addresses[0]}: {_reason(error)}"
            else:
                if answer.status not in LATER:
                    return _document(answer.status, answer.data, self.addresses[0])
                said = f"{self.addresses[0]} answers {answer.status}: {_why(answer.data)}"
            self.addresses.append(self.addresses.pop(0))  # another node may be well
        raise Away(f"the store cannot be had: {said}")


def _context(ca: Path, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if cert is not None:
            context.load_cert_chain(cert, key)
    except FileNotFoundError:
        missing = next((it for it in (ca, cert, key) if it is not None and not it.exists()), ca)
        raise BadInput(f"there is no {missing}", hint="certificates come from `dualtrack pki`") from None
    except OSError as error:  # ssl.SSLError is one
        raise BadInput(f"{cert or ca} or its key cannot be used: {error}") from None
    return context


def _basic(user: str, password: Path) -> str:
    try:
        lines = password.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    if not lines or not lines[0]:
        raise BadInput(f"{password} holds no password")
    return "Basic " + base64.b64encode(f"{user}:{lines[0]}".encode()).decode()


def _document(status: int, data: bytes, address: str) -> Any:
    if status in (401, 403):
        raise Refused(f"{address} refuses: {_why(data) or status}")
    if status >= 400:
        raise External(f"{address} answers {status}: {_why(data)}")
    try:
        return msgspec.json.decode(data)
    except msgspec.MsgspecError:
        raise External(f"{address} answers with no JSON: is it a search store?") from None


def _why(data: bytes) -> str:
    """Return the reason in an answer, or its beginning where it has none."""
    try:
        error = msgspec.json.decode(data).get("error", "")
        text = str(error.get("reason", error)) if isinstance(error, dict) else str(error)
    except (msgspec.MsgspecError, AttributeError):
        text = data.decode(errors="replace")
    return " ".join(text.split())[:200]


def _reason(error: Exception) -> str:
    """Return what is behind a library's error, in its own words."""
    inner = error
    while (cause := inner.__cause__ or inner.__context__) is not None and isinstance(cause, Exception):
        inner = cause
    return " ".join(str(inner).split())[:200]
