"""Tokens (JWT, ES256): who somebody is, for a limited time and for one service, signed by the controller.

A token says who it is, and which grant it belongs to; what that allows is the store's to know. So rights that are taken
away are gone for tokens, too, at once. The key lies beside the authority's, and leaves the controller never.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from dualtrack.core.errors import BadInput, External
from dualtrack.core.files import locked, read_secret, write_atomically
from dualtrack.security.opensearch.security_config import AUDIENCE, ISSUER
from dualtrack.security.pki.authority import MAX_KEY, TOKEN_KEY


def key(folder: Path) -> ECKey:
    """Return the key that signs tokens, from an authority's directory; made where there is none.

    BadInput where another thing is in its place, Refused where others may read it, External where it cannot be made.
    """
    path = folder / TOKEN_KEY
    try:
        with locked(path):
            if not os.path.lexists(path):  # a link that leads nowhere may be to a key that is away
                write_atomically(path, ECKey.generate_key("P-256", private=True).as_pem(private=True), 0o600)
            data = read_secret(path, MAX_KEY, given=False)
    except OSError as error:
        raise External(f"cannot make or read {path}: {error.strerror}") from None
    try:
        found = ECKey.import_key(data)
        right = found.is_private and found.curve_name == "P-256"
    except (ValueError, TypeError, JoseError):
        right = False
    if not right:
        raise BadInput(
            f"{path} is not the key of tokens (a private one of P-256)",
            hint="restore it from a backup; without it a new one is made, which services know after `dualtrack play`",
        )
    return found


def public(folder: Path) -> str:
    """Return the public half (PEM), by which the store checks tokens."""
    return key(folder).as_pem(private=False).decode()


def issue(
    folder: Path, name: str, backend_roles: Sequence[str], *, until: datetime, now: datetime | None = None,
    audience: str = AUDIENCE, operator: str = "",
) -> str:  # fmt: skip
    """Return a token of ``name`` with ``backend_roles`` that ends at ``until``, for the store or another audience.

    ``operator`` uses it in the place of ``name``: the claim `act` of RFC 8693, section 4.1.
    """
    now = now or datetime.now(UTC)
    claims: dict[str, Any] = {
        "iss": ISSUER, "aud": audience, "sub": name, "roles": list(backend_roles), "nbf": int(now.timestamp()) - 60,
        "iat": int(now.timestamp()), "exp": int(until.timestamp()),
    }  # fmt: skip
    if operator:
        claims["act"] = {"sub": operator}
    return jwt.encode({"alg": "ES256", "typ": "JWT"}, claims, key(folder))
