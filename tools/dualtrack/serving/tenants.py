"""Who may ask which models: tenants, their API keys, and the maps by which gateways know them.

The file of tenants lies on the controller. It holds digests of keys, never a key.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.core.files import locked, read_secret, sync_path, write_atomically

#: Where a tenant's requests may be answered: on the local track alone, there if it can, anywhere, or on the
#: cloud track alone.
Residency = Literal["local", "prefer-local", "any", "cloud"]

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
KEY_ID = re.compile(r"k-[a-z0-9]{1,32}")
DIGEST = re.compile(r"[0-9a-f]{64}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
ALL = "*"
#: The most that each limit may be. HAProxy counts requests in 32 bits.
LIMITS = {"requests_per_minute": 1_000_000, "tokens_per_minute": 10**9, "tokens_per_month": 10**15}
#: Of the file; 40,000 keys are 5 MB.
LIMIT_BYTES = 64 << 20


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key by the SHA-256 of its text (hexadecimal); ``added`` is ISO 8601 in UTC."""

    id: str
    sha256: str
    added: str


class Tenant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The caller: with which keys, for which models (``*`` for all), how often, and for how many tokens.

    None for no limit. Tokens are those read and those written together. ``sensitive`` says that its requests may hold
    sensitive personal data, which is counted apart when it leaves the country; ``screened``, that a request with any
    personal data in it does not go to the cloud track.
    """

    name: str
    models: tuple[str, ...] = (ALL,)
    residency: Residency = "local"
    sensitive: bool = False
    screened: bool = False
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_month: int | None = None
    keys: tuple[Key, ...] = ()


class Tenants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All tenants, in the order in which they were added."""

    tenants: tuple[Tenant, ...] = ()


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What adding a key says of its tenant: None leaves it as it is, 0 ends a limit."""

    models: tuple[str, ...] | None = None
    residency: Residency | None = None
    sensitive: bool | None = None
    screened: bool | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_month: int | None = None


class Revoked(msgspec.Struct, frozen=True):
    """A key that is good no more."""

    tenant: str
    id: str


def check(found: Tenants, where: str) -> Tenants:
    """Return tenants that are as they must be; BadInput otherwise. ``where`` begins the message."""
    names = [it.name for it in found.tenants]
    keys = [key for it in found.tenants for key in it.keys]
    for tenant in found.tenants:
        at = f"{where}: tenant {tenant.name!r}"
        if not NAME.fullmatch(tenant.name):
            raise BadInput(
                f"{at} has a bad name", hint="63 lower-case letters, digits, dots and hyphens, no hyphen at either end"
            )
        for model in tenant.models:
            if model != ALL and not NAME.fullmatch(model):
                raise BadInput(f"{at}: {model!r} is not a name of a model", hint="lower-case, or * for all")
        if not tenant.models or (ALL in tenant.models and len(tenant.models) > 1):
            raise BadInput(f"{at}: models must be names, or * alone")
        _distinct(tenant.models, f"{at}: the model")
        if tenant.residency not in get_args(Residency):
            raise BadInput(f"{at}: residency {tenant.residency!r} is none of {', '.join(get_args(Residency))}")
        for limit, most in LIMITS.items():
            if (value := getattr(tenant, limit)) is not None and not 1 <= value <= most:
                raise BadInput(f"{at}: {limit} must be null or between 1 and {most}")
        for key in tenant.keys:
            if not KEY_ID.fullmatch(key.id):
                raise BadInput(f"{at}: {key.id!r} is not an id of a key", hint="k- and lower-case letters or digits")
            if not DIGEST.fullmatch(key.sha256):
                raise BadInput(f"{at}: key {key.id} has no SHA-256", hint="64 hexadecimal digits, lower-case")
            if not _is_time(key.added):
                raise BadInput(f"{at}: key {key.id} was added at no time", hint="2026-11-27T10:00:00Z")
    # `key revoke` takes either.
    _distinct([*names, *(it.id for it in keys)], f"{where}: the name or key id")
    _distinct([it.sha256 for it in keys], f"{where}: the key with the digest")
    return found


def _distinct(words: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for word in words:
        if word in seen:
            raise BadInput(f"{what} {word} is there twice")
        seen.add(word)


def _is_time(text: str) -> bool:
    if not TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def parse(data: bytes, where: str) -> Tenants:
    """Return the tenants in a file's JSON; BadInput in one line where it is not as described."""
    try:
        return check(msgspec.json.decode(data, type=Tenants), where)
    except msgspec.ValidationError as error:
        raise BadInput(f"{where}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON: {error}") from None


def load(path: Path) -> Tenants:
    """Return the tenants of a file, none where there is no file; Refused when others may read it, BadInput else."""
    if not path.exists():
        return Tenants()
    return parse(read_secret(path, LIMIT_BYTES, given=False), str(path))


def change(path: Path, how: Callable[[Tenants], Tenants]) -> Tenants:
    """Read, change and write the file under its lock; return what it holds then, on the disk."""
    with locked(path):
        after = check(how(load(path)), str(path))
        write_atomically(path, msgspec.json.format(msgspec.json.encode(after), indent=2) + b"\n", 0o600)
        sync_path(path.parent)
    return after


def new_key() -> str:
    """Return the text of a new API key: 256 random bits."""
    return f"dt-{secrets.token_urlsafe(32)}"


def digest(key: str) -> str:
    """Return what stands for a key in files and maps: its SHA-256, hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


def add_key(found: Tenants, tenant: str, text: str, changes: Changes, now: datetime) -> tuple[Tenants, Key]:
    """Return the tenants with one key more, and what is kept of it; a tenant that is not there is made."""
    used = {word for it in found.tenants for word in (it.name, *(key.id for key in it.keys))}
    name = next(it for it in iter(lambda: f"k-{secrets.token_hex(4)}", "") if it not in used)
    key = Key(id=name, sha256=digest(text), added=now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    before = next((it for it in found.tenants if it.name == tenant), Tenant(name=tenant))
    limits = {
        name: getattr(before, name) if (value := getattr(changes, name)) is None else value or None for name in LIMITS
    }
    after = Tenant(
        name=tenant,
        models=before.models if changes.models is None else changes.models,
        residency=changes.residency or before.residency,
        sensitive=before.sensitive if changes.sensitive is None else changes.sensitive,
        screened=before.screened if changes.screened is None else changes.screened,
        keys=(*before.keys, key),
        **limits,
    )
    if before in found.tenants:
        return Tenants(tuple(after if it is before else it for it in found.tenants)), key
    return Tenants((*found.tenants, after)), key


def revoke(found: Tenants, name: str) -> tuple[Tenants, tuple[Revoked, ...]]:
    """Return the tenants without one key, by its id, or without one tenant, and which keys that are.

    BadInput where there is neither. A tenant stays when its last key goes, with what it may.
    """
    gone = tuple(Revoked(it.name, key.id) for it in found.tenants for key in it.keys if name in (it.name, key.id))
    left = [
        msgspec.structs.replace(it, keys=tuple(key for key in it.keys if key.id != name))
        for it in found.tenants
        if it.name != name
    ]
    if not gone and len(left) == len(found.tenants):
        raise BadInput(f"there is no tenant and no key {name!r}", hint="dualtrack serving key list")
    return Tenants(tuple(left)), gone


def add(path: Path, tenant: str, changes: Changes) -> tuple[str, Key]:
    """Add a new key to the file of tenants; return its text, which is kept nowhere, and what is kept of it."""
    text = new_key()
    added: list[Key] = []

    def how(found: Tenants) -> Tenants:
        after, key = add_key(found, tenant, text, changes, datetime.now(UTC))
        added.append(key)
        return after

    change(path, how)
    return text, added[0]


def remove(path: Path, name: str) -> tuple[Revoked, ...]:
    """Remove a key, by its id, or a tenant from the file of tenants; return the keys that are good no more."""
    gone: list[Revoked] = []

    def how(found: Tenants) -> Tenants:
        after, some = revoke(found, name)
        gone.extend(some)
        return after

    change(path, how)
    return tuple(gone)


def maps(found: Tenants) -> dict[str, dict[str, str]]:
    """Return the maps of a gateway.

    keys (digest to tenant), limits (tenant to requests per minute), allowed models, routes (tenant to residency),
    sensitive (tenants whose requests may hold sensitive data), screened (those whose personal data stays), budgets
    (tenant to tokens of a minute and of a month, 0 for any number). Allowed models are TENANT/MODEL, or TENANT/* for
    all. Tenants without a key are in none.
    """
    asking: Sequence[Tenant] = [it for it in found.tenants if it.keys]
    return {
        "keys": {key.sha256: it.name for it in asking for key in it.keys},
        "limits": {it.name: str(it.requests_per_minute) for it in asking if it.requests_per_minute is not None},
        "allowed": {f"{it.name}/{model}": "1" for it in asking for model in it.models},
        "routes": {it.name: it.residency for it in asking},
        "sensitive": {it.name: "1" for it in asking if it.sensitive},
        "screened": {it.name: "1" for it in asking if it.screened},
        "budgets": {
            it.name: f"{it.tokens_per_minute or 0}:{it.tokens_per_month or 0}"
            for it in asking
            if it.tokens_per_minute or it.tokens_per_month
        },
    }
