"""Tokens (JWT, ES256): who somebody is, for a limited time and for one service, signed by the controller.

A token says who it is, and which grant it belongs to; what that allows is the store's to know. So rights that are taken
away are gone for tokens, too, at once. The key lies beside the authority's, and leaves the controller never.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from dualtrack.core.files import locked, read_secret, write_atomically
from dualtrack.security.opensearch.security_config import AUDIENCE, ISSUER
from dualtrack.security.pki.authority import MAX_KEY, TOKEN_KEY


def key(folder: Path) -> ECKey:
    """Return the key that signs tokens, from an authority's directory; made where there is none."""
    path = folder / TOKEN_KEY
    with locked(path):
        if not path.is_file():
            write_atomically(path, ECKey.generate_key("P-256", private=True).as_pem(private=True), 0o600)
        return ECKey.import_key(read_secret(path, MAX_KEY, given=False))


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
