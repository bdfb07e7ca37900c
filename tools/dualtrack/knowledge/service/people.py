"""The caller: a token says a name, and the file of people what that name may see now.

So rights that are taken away are gone for tokens that are still good, as soon as the file is another one.
"""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import msgspec

from dualtrack.core.errors import DualtrackError, External
from dualtrack.core.files import read_whole

#: In tokens: for whom they are. A token for the search store is none for the knowledge base.
AUDIENCE, ISSUER = "dualtrack-knowledge", "dualtrack"
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
    """The people of a file, and the key that signs their tokens; the file is read again when it changes."""

    def __init__(self, path: Path, token_key: Path) -> None:
        """Read both; External where one cannot be read or is not what it should be."""
        from joserfc.errors import JoseError
        from joserfc.jwk import ECKey

        self._path, self._lock = path, threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._labels: dict[str, frozenset[str]] = {}
        try:
            self._key = ECKey.import_key(read_whole(token_key, TOKEN_BYTES))
        except (OSError, ValueError, JoseError) as error:
            raise External(f"{token_key} is not a key of tokens: {error}") from None
        self._read()

    def known(self, token: str) -> Person:
        """Return whose token this is; Unknown where it is nobody's, too old, for something else, or forged."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        if not token or len(token) > TOKEN_BYTES:
            raise Unknown("there is none" if not token else "it is too long")
        try:
            claims = jwt.decode(token, self._key, algorithms=["ES256"]).claims
            jwt.JWTClaimsRegistry(
                leeway=LEEWAY_S, iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": AUDIENCE},
                exp={"essential": True}, sub={"essential": True},
            ).validate(claims)  # fmt: skip
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise Unknown(type(error).__name__) from None
        self._read()
        name = claims["sub"]
        if not isinstance(name, str) or name not in self._labels:
            raise Unknown("nobody of that name")
        return Person(name, self._labels[name], _operator(claims.get("act")))

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
