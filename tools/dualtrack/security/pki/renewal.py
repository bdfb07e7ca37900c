"""Which certificates of machines are due, which host holds each, and whether it has come there.

That a certificate was renewed in the authority's directory does not say that its host has it: a host may have been away
at that moment. A record says which certificate was brought to its host last; any other one is brought again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from dualtrack.core import files
from dualtrack.security.pki import authority, lifetimes, rotation

#: The group whose hosts hold certificates of a kind.
GROUPS = {
    "node": "role_log", "keeper": "role_log", "shipper": "audited", "witness": "audited", "logger": "audited",
    "engine": "role_serving", "gateway": "role_gateway", "knowledge": "role_knowledge_base",
}  # fmt: skip
#: A certificate that no host holds is kept this long after its end; then it and its key are removed.
KEPT = timedelta(days=30)
#: In the record: it was being brought, and whether the host has it, and its service has read it, is not known.
BEGUN = "begun"
#: In the record, before the digest: it was due, and no role of its host renewed it.
UNUSED = "unused "


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's certificate: ``host`` is the one that holds it, '' for none of those that are up.

    ``brought`` is the digest on record; '' where there is none.
    """

    kind: str
    name: str
    host: str
    ends: datetime
    state: lifetimes.State
    certificate: str
    brought: str

    @property
    def wanted(self) -> bool:
        """Whether a renewal is to bring it: it is due, or its host may not have it."""
        return bool(self.host) and (self.state != "" or self.brought != _digest(Path(self.certificate)))

    @property
    def line(self) -> str:
        """What is to be done about it, for people."""
        if self.state:
            return f"{self.kind} {self.name}: ends {self.ends:%Y-%m-%d %H:%M} UTC"
        known = "an earlier renewal did not finish" if self.brought == BEGUN else "not known to be on its host"
        return f"{self.kind} {self.name}: {known}"


class Brought(msgspec.Struct, frozen=True):
    """The record: the SHA-256 of the certificate that was brought to its host last, by the certificate's path."""

    certificates: dict[str, str] = {}


def standings(folder: Path, hosts: Mapping[str, Collection[str]], record: Brought, now: datetime) -> list[Standing]:
    """Return the machines' certificates of an authority; ``hosts`` is group to its hosts, of the tracks that are up.

    Those under which `dualtrack verify` asks lie on no host, and are made when they are needed. One that the roles of
    its host no longer use is held by nobody, until a role renews it.
    """
    if not (folder / "ca.pem").is_file():
        return []
    found = [it for it in authority.listed(folder) if it.kind in lifetimes.MACHINES]
    unused = {path for path, it in record.certificates.items() if it == UNUSED + _digest(Path(path))}
    holding = holders(((it.kind, it.name) for it in found if it.certificate not in unused), hosts)
    return [
        Standing(
            kind=it.kind, name=it.name, host=holding.get((it.kind, it.name), ""), ends=it.ends,
            state=lifetimes.state(it.kind, lifetimes.Life(it.begins, it.ends), now), certificate=it.certificate,
            brought=record.certificates.get(it.certificate, ""),
        )
        for it in found if not it.name.startswith(rotation.OWN)
    ]  # fmt: skip


def holders(
    certificates: Iterable[tuple[str, str]], hosts: Mapping[str, Collection[str]]
) -> dict[tuple[str, str], str]:
    """Return which host holds each certificate (kind and name); one that no host holds is left out.

    A host that was made anew ships its trail under another name, HOST.2 (inventories/common, `audit_host`): it holds
    the last of them.
    """
    found: dict[tuple[str, str], str] = {}
    lives: dict[tuple[str, str], int] = {}
    for kind, name in certificates:
        called = {it.lower(): it for it in hosts.get(GROUPS.get(kind, ""), ())}
        base, life = name, 1
        if name not in called and (again := re.fullmatch(r"(.+)\.(\d+)", name)) and GROUPS.get(kind) == "audited":
            base, life = again[1], int(again[2])
        host = called.get(base, "")
        if host and life >= lives.get((kind, host), 1):
            for other in [key for key, holder in found.items() if key[0] == kind and holder == host]:
                del found[other]
            found[kind, name], lives[kind, host] = host, life
    return found


def failing(found: Iterable[Standing]) -> list[Standing]:
    """Return those of the hosts' certificates that should have been renewed long ago."""
    return [it for it in found if it.host and it.state in ("late", "over")]


def complaint(found: Iterable[Standing]) -> str:
    """Return one line about certificates whose renewal evidently fails; '' where none does."""
    late = sorted(failing(found), key=lambda it: it.ends)
    if not late:
        return ""
    first, more = late[0], f", and {len(late) - 1} more" if late[1:] else ""
    when = "ended" if first.state == "over" else "ends"
    return f"the certificate {first.kind} {first.name} {when} on {first.ends:%Y-%m-%d}{more}"


def gone(found: Iterable[Standing], now: datetime) -> list[Standing]:
    """Return those that no host holds, and that ended so long ago that nobody asks for them."""
    return [it for it in found if not it.host and it.ends + KEPT < now]


def remove(found: Iterable[Standing]) -> None:
    """Remove certificates and their keys from the authority's directory."""
    for it in found:
        path = Path(it.certificate)
        path.unlink(missing_ok=True)
        files.destroy(path.with_suffix(".key"))


def read(path: Path) -> Brought:
    """Return the record; an empty one where there is none."""
    return files.read(path, Brought) or Brought()


def write(path: Path, certificates: Iterable[Standing], what: Literal["begun", "brought", "unused"]) -> None:
    """Note in the record that certificates are being brought, that hosts have them as they are, or do not use them."""
    with files.locked(path):
        kept = {name: it for name, it in read(path).certificates.items() if Path(name).is_file()}
        before = UNUSED if what == "unused" else ""
        new = {
            it.certificate: BEGUN if what == "begun" else before + _digest(Path(it.certificate)) for it in certificates
        }
        files.write_atomically(path, msgspec.json.encode(Brought(kept | new), order="sorted"))


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
