"""The caller: a token says a name, and the file of people what that name may see now.

So rights that are taken away are gone for tokens that are still good, as soon as the file is another one.
"""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dualtrack.core.errors import DualtrackError, External
from dualtrack.core.files import read_whole

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

#: In tokens: for whom they are. A token for the search store is none for the knowledge base.
AUDIENCE, ISSUER = "dualtrack-knowledge", "dualtrack"
#: Who issued a token that people got on this host (own_token.py).
HERE = "dualtrack-host"
#: Of a token and of the file of people.
TOKEN_BYTES, FILE_BYTES = 4096, 16 << 20
#: Letters of an operator's name.
NAME_LENGTH = 256
#: Seconds that two clocks may differ.
LEEWAY_S = 30


class Person(msgspec.Struct, frozen=True):
    """A caller, and the labels of what they may see. ``operator`` asks in their place; '' where they ask themselves."""

    name: str
    labels: frozenset[str]
    operator: str = ""


class Unknown(Exception):
    """A token that is none: why, for the log and not for who sent it."""


def _operator(act: object) -> str:
    """Return who uses a token in the place of its person (RFC 8693, section 4.1); Unknown where the claim is wrong."""
    if act is None:
        return ""
    name = act.get("sub") if isinstance(act, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= NAME_LENGTH:
        raise Unknown("who acts is not a name")
    return name


class People:
    """The people of a file, and the keys that sign their tokens; the file is read again when it changes.

    ``token_key`` is the controller's, ``own_key`` that of this host, each the public half (PEM).
    """

    def __init__(self, path: Path, token_key: Path, own_key: Path | None = None) -> None:
        """Read all; External where one cannot be read or is not what it should be."""
        from joserfc.errors import JoseError
        from joserfc.jwk import ECKey

        self._path, self._lock = path, threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._labels: dict[str, frozenset[str]] = {}
        self._keys: list[tuple[ECKey, str]] = []
        for file, issuer in ((token_key, ISSUER), (own_key, HERE)):
            if file is not None:
                try:
                    self._keys.append((ECKey.import_key(read_whole(file, TOKEN_BYTES)), issuer))
                except (OSError, ValueError, JoseError) as error:
                    raise External(f"{file} is not a key of tokens: {error}") from None
        self._read()

    def known(self, token: str) -> Person:
        """Return whose token this is; Unknown where it is nobody's, too old, for something else, or forged."""
        if not token or len(token) > TOKEN_BYTES:
            raise Unknown("there is none" if not token else "it is too long")
        claims = self._claims(token)
        self._read()
        name = claims["sub"]
        if not isinstance(name, str) or name not in self._labels:
            raise Unknown("nobody of that name")
        return Person(name, self._labels[name], _operator(claims.get("act")))

    def _claims(self, token: str) -> dict[str, Any]:
        """Return what a token says; Unknown where neither key has signed it, or it is not for this service and now."""
        from joserfc import jwt
        from joserfc.errors import BadSignatureError, JoseError

        why = ""
        for key, issuer in self._keys:
            try:
                claims = jwt.decode(token, key, algorithms=["ES256"]).claims
                jwt.JWTClaimsRegistry(
                    leeway=LEEWAY_S, iss={"essential": True, "value": issuer}, exp={"essential": True},
                    aud={"essential": True, "value": AUDIENCE}, sub={"essential": True},
                ).validate(claims)  # fmt: skip
                return dict(claims)
            except BadSignatureError as error:
                why = why or type(error).__name__
            except (JoseError, ValueError, TypeError, RecursionError) as error:
                why = type(error).__name__
        raise Unknown(why)

    def kinds(self) -> list[frozenset[str]]:
        """Return the different labels that people have, those of the most people first."""
        return [it for it, _ in Counter(self._labels.values()).most_common()]

    def _read(self) -> None:
        with self._lock:
            try:
                found = self._path.stat()
                seen = (found.st_ino, found.st_mtime_ns, found.st_size)
                if seen == self._seen:
                    return
                labels = msgspec.json.decode(read_whole(self._path, FILE_BYTES), type=dict[str, frozenset[str]])
            except (OSError, ValueError, DualtrackError, msgspec.MsgspecError) as error:
                # Nobody is let in by a file that cannot be read: it may have taken rights away.
                self._labels, self._seen = {}, None
                raise External(f"{self._path} is not a file of people: {error}") from None
            self._labels, self._seen = labels, seen
