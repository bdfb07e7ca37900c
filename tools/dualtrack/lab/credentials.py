"""The keys of the emulated AWS API: the operator's, in a file of the lab, and those of instances, derived from them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from pathlib import Path

from dualtrack.core import aws
from dualtrack.core.aws import Keys
from dualtrack.core.files import write_atomically

#: How the ids begin, as AWS's do: lasting keys, and those that the metadata service hands out.
LASTING, ROLE = "AKIA", "ASIA"


def ensure(file: Path) -> None:
    """Make the operator's keys, in the format of AWS's programs and for root alone, unless they are there."""
    if not file.exists():
        write_atomically(file, text(Keys(LASTING + _word(secrets.token_bytes(10)), secrets.token_urlsafe(30))), 0o600)


def text(keys: Keys) -> bytes:
    """Return a file of credentials as AWS's programs read it."""
    return f"[default]\naws_access_key_id = {keys.id}\naws_secret_access_key = {keys.secret}\n".encode()


def of_instance(keys: Keys, instance: str) -> Keys:
    """Return the keys of an instance's role, of which nobody keeps a list: the id alone leads to the secret.

    The second half of the id is derived from its first half and the operator's secret: nobody else makes up an id.
    """
    name = _role_id(keys, _word(hashlib.sha256(instance.encode()).digest()[:5]))
    return Keys(name, _derived(keys, name))


def secret_of(keys: Keys, name: str) -> str | None:
    """Return the secret that belongs to a key's id; None for an id that the lab has not given to anybody."""
    if name == keys.id:
        return keys.secret
    issued = hmac.compare_digest(_role_id(keys, name[len(ROLE) : len(ROLE) + 8]).encode(), name.encode())
    return _derived(keys, name) if issued else None


def read(file: Path) -> Keys:
    """Return the operator's keys; External where there are none."""
    return aws.read_keys(file)


def _derived(keys: Keys, name: str) -> str:
    digest = hmac.new(keys.secret.encode(), name.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _role_id(keys: Keys, instance: str) -> str:
    """Return the id of a role's keys, given the 8 characters that stand for the instance."""
    digest = hmac.new(keys.secret.encode(), f"id {instance}".encode(), hashlib.sha256).digest()
    return f"{ROLE}{instance}{_word(digest[:5])}"


def _word(data: bytes) -> str:
    """Return 8 capital letters and digits for each 5 bytes."""
    return base64.b32encode(data).decode()
