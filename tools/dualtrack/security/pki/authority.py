"""The authority's directory and its certificates: made when they are asked for, renewed when their time runs out.

    ca.pem, ca.key            the authority; the key never leaves this directory. While it is replaced ca.pem has two:
                              the first one issues (`rotation`)
    former.pem                certificates of the authorities before it: what they stated stays their word
    KIND/NAME.pem, .key       a certificate with the authority's signature, and its key

The kind is the certificate's OU, and what it may do follows from it: a node of the search store, a host that ships its
audit trail, one that co-signs others' heads, one that sends ordinary logs, a keeper that takes snapshots, an engine
that answers as a model, the gateway before engines, the knowledge base, the store's own administrator, a person. Keys
are readable by their owner alone, and stand in no argument list.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dualtrack.core import directory_handles
from dualtrack.core.errors import BadInput, Refused
from dualtrack.core.files import destroy, locked, make_folder, read_secret, sync_path, write_atomically
from dualtrack.security.pki import lifetimes
from dualtrack.security.pki.lifetimes import Kind as Kind
from dualtrack.security.pki.lifetimes import Life

ORGANISATION = "dualtrack"
#: Bytes of a file with one private key at most.
MAX_KEY = 16 * 1024
#: Names become parts of index patterns, of paths and of rights: nothing in them may mean more than itself.
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
#: RFC 1123, and the underscore, which inventories allow in names of hosts.
HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*")


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate and where its files lie; times are UTC, ``changed`` when it was made or renewed just now."""

    kind: str
    name: str
    subject: str
    begins: datetime
    ends: datetime
    certificate: str
    key: str
    authority: str
    changed: bool = False


def ensure(folder: Path, *, now: datetime | None = None) -> Issued:
    """Return the authority of a directory, after making it where there is none. BadInput when only half of it is there.

    A key alone, where nothing was ever issued, is one that a power cut left: its certificate is made. Refused when the
    authority's time is over: renewing it means that everybody must learn the new one first.
    """
    now = now or datetime.now(UTC)
    path, key_path = folder / "ca.pem", folder / "ca.key"
    make_folder(folder)
    with locked(path):
        begun = key_path.is_file() and not path.is_file() and _unused(folder)
        if path.is_file() != key_path.is_file() and not begun:
            missing = key_path if path.is_file() else path
            raise BadInput(f"{missing} is missing", hint="bring it back from a backup, or name a new directory")
        if made := not path.is_file():
            directory_handles.close_to_others(folder)
            # The same key again: should the certificate be lost in another way, a backup of it still fits.
            key = _read_key(key_path) if begun else ec.generate_private_key(ec.SECP256R1())
            _write(path, key_path, _authority(key, 1, now), key)
        sync_path(folder)  # also what somebody made who was killed before this
        certificate = _read(path)
    if certificate.not_valid_after_utc <= now:
        raise Refused(
            f"the authority in {folder} ended on {certificate.not_valid_after_utc:%Y-%m-%d}",
            hint="make a new directory; before its end `dualtrack pki rotate` replaces it",
        )
    return _issued("authority", certificate, path, key_path, path, changed=made)


def issue(
    folder: Path, kind: Kind, name: str, addresses: Sequence[str] = (), *, days: int = 0, now: datetime | None = None
) -> Issued:
    """Return a certificate, after making or renewing it where need be; the authority is made with the first one.

    ``addresses`` are the names and IP addresses under which a node is called. One that is there stays as long as it is
    the authority's, names the same addresses, and is not due (`lifetimes`). ``days`` is another life than the kind's.
    BadInput for a bad name.
    """
    if kind not in get_args(Kind):
        raise BadInput(f"there are no certificates for '{kind}'", hint=f"one of {', '.join(get_args(Kind))}")
    if not NAME.fullmatch(name):
        raise BadInput(f"'{name}' cannot be in a certificate", hint="lower-case letters, digits, dots and hyphens")
    now = now or datetime.now(UTC)
    ensure(folder, now=now)
    path, key_path = folder / kind / f"{name}.pem", folder / kind / f"{name}.key"
    ca_path = folder / "ca.pem"
    with locked(path):
        with locked(ca_path):
            ca = _read(ca_path)
            secret = _key_of(folder, ca)
        if path.is_file() and key_path.is_file():
            found = _read(path)
            if _serves(found, ca, addresses) and lifetimes.lasts(kind, life(found), now):
                return _issued(kind, found, path, key_path, ca_path)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(kind, name), ca.subject, key.public_key(), now, days or lifetimes.days(kind))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_purposes(kind)), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(secret.public_key()), critical=False)
        )
        if addresses:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_address(it) for it in addresses]), critical=False
            )
        certificate = builder.sign(secret, hashes.SHA256())
        _write(path, key_path, certificate, key)
    return _issued(kind, certificate, path, key_path, ca_path, changed=True)


def sign(folder: Path, data: bytes) -> bytes:
    """Return the authority's signature on what its directory's owner states. ``data`` begins with what it is."""
    return _read_key(folder / "ca.key").sign(data, ec.ECDSA(hashes.SHA256()))


def signed(authority: Path, data: bytes, signature: bytes) -> bool:
    """Tell whether a signature is that of an authority whose certificate is in a file; it may hold more than one.

    For the ca.pem of an authority's directory those count that issued here before it (former.pem): a statement outlives
    the exchange of its authority. An auditor elsewhere, who has ca.pem only, needs one file of both for statements of
    before the last exchange: `cat ca.pem former.pem`. It is for statements alone, and nobody's list of who may
    connect. Where an authority was replaced because its key was stolen, what the thief states cannot be told apart.
    """
    try:
        known = trusted(authority)
    except FileNotFoundError:
        raise BadInput(f"there is no {authority}", hint="the authority's ca.pem") from None
    folder = authority.parent
    if authority.name == "ca.pem" and (folder / "ca.key").is_file():  # elsewhere anybody could lay it beside
        known += former(folder)
    return any(_verifies(it, data, signature) for it in known)


def listed(folder: Path) -> Iterator[Issued]:
    """Yield the authority and every certificate in its directory."""
    ca = folder / "ca.pem"
    if not ca.is_file():
        raise BadInput(f"{folder} holds no authority", hint="`dualtrack pki issue` makes one")
    for certificate in trusted(ca):
        yield _issued("authority", certificate, ca, folder / "ca.key", ca)
    for kind in get_args(Kind):
        for path in sorted((folder / kind).glob("*.pem")):
            yield _issued(kind, _read(path), path, path.with_suffix(".key"), ca)


def distinguished(kind: Kind, name: str) -> str:
    """Return a certificate's subject as the search store writes it (RFC 2253)."""
    return _name(kind, name).rfc4514_string()


# --- an authority after another one


def trusted(path: Path) -> list[x509.Certificate]:
    """Return the authorities in a file, the one that issues first."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError:
        raise BadInput(f"{path} is not a certificate", hint="bring it back from a backup") from None


def former(folder: Path) -> list[x509.Certificate]:
    """Return the authorities that issued in a directory before those in its ca.pem, the latest first."""
    path = folder / "former.pem"
    return trusted(path) if path.is_file() else []


def remember(folder: Path, gone: Sequence[x509.Certificate]) -> None:
    """Keep the certificates of authorities that are about to leave ca.pem; they are on the disk when this returns."""
    before = former(folder)
    kept = [*(it for it in gone if it not in before), *before]
    write_atomically(folder / "former.pem", b"".join(pem(it) for it in kept))
    sync_path(folder)


def generation(of: x509.Certificate) -> int:
    """Return the how-manieth authority of its directory one is: part of its name, so that no two are called alike."""
    common = str(of.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    number = common.rpartition(" ")[2]
    return int(number) if number.isdecimal() else 1


def called(of: x509.Certificate) -> str:
    """Return what people call an authority."""
    return ORGANISATION if generation(of) == 1 else f"{ORGANISATION}-{generation(of)}"


def following(folder: Path, before: x509.Certificate, now: datetime) -> x509.Certificate:
    """Make the authority that comes after one; its key waits in next.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _authority(key, generation(before) + 1, now)
    write_atomically(folder / "next.key", _private_pem(key), 0o600)
    return certificate


#: The key by which the search store checks tokens (dualtrack.security.access.tokens).
TOKEN_KEY = "token.key"  # noqa: S105 - a file's name


def tidy(folder: Path) -> None:
    """Put the key of the authority that issues in its place; the one before is written over and gone."""
    waiting, present, old = (folder / name for name in ("next.key", "ca.key", ".old.key"))
    if waiting.is_file() and _read_key(waiting).public_key() == trusted(folder / "ca.pem")[0].public_key():
        old.unlink(missing_ok=True)
        old.hardlink_to(present)  # at no moment is there no ca.key
        waiting.replace(present)
        sync_path(folder)
    destroy(old)


def issued_by(path: Path, issuing: x509.Certificate) -> bool:
    """Tell whether a certificate is signed by an authority."""
    try:
        _read(path).verify_directly_issued_by(issuing)
    except BadInput:
        raise
    except Exception:  # cryptography has three kinds of "it is another authority's"
        return False
    return True


def state(path: Path, now: datetime) -> str:
    """Return `over` for a certificate whose time is over, `due` for one to be renewed, '' for any other file."""
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        return ""
    kind = path.parent.name if path.parent.name in get_args(Kind) else ""
    return {"": "", "over": "over"}.get(lifetimes.state(kind, life(found), now), "due")


def life(of: x509.Certificate) -> Life:
    """Return when a certificate begins and ends."""
    return Life(of.not_valid_before_utc, of.not_valid_after_utc)


def pem(of: x509.Certificate) -> bytes:
    """Return a certificate as it stands in files."""
    return of.public_bytes(serialization.Encoding.PEM)


def _unused(folder: Path) -> bool:
    """Tell whether nothing says that a directory's authority was ever used: nothing issued, stated or exchanged."""
    return not any(it.is_dir() or it.name in ("next.key", "former.pem") for it in folder.iterdir())


def _verifies(by: x509.Certificate, data: bytes, signature: bytes) -> bool:
    key = by.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
            return True
    except InvalidSignature:
        pass
    return False


def _key_of(folder: Path, ca: x509.Certificate) -> ec.EllipticCurvePrivateKey:
    """Return the key of the authority that issues: in its place or, after a crash, still waiting for it."""
    for path in (folder / "ca.key", folder / "next.key"):
        if path.is_file() and (key := _read_key(path)).public_key() == ca.public_key():
            return key
    raise BadInput(f"{folder / 'ca.key'} is not the key of {folder / 'ca.pem'}", hint="bring both back from a backup")


def _authority(key: ec.EllipticCurvePrivateKey, number: int, now: datetime) -> x509.Certificate:
    name = _name("authority", f"{ORGANISATION} authority" + (f" {number}" if number > 1 else ""))
    return (
        _builder(name, name, key.public_key(), now, lifetimes.CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _serves(found: x509.Certificate, ca: x509.Certificate, addresses: Sequence[str]) -> bool:
    try:
        found.verify_directly_issued_by(ca)
        named = set(found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        named = set()
    except Exception:  # cryptography has three kinds of "it is another authority's"
        return False
    return named == {_address(it) for it in addresses}


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - lifetimes.BACKDATED)
        .not_valid_after(now + timedelta(days=days))
    )


def _name(kind: str, name: str) -> x509.Name:
    unit = f"{kind}-{name}" if kind == "person" else kind
    parts = ((NameOID.ORGANIZATION_NAME, ORGANISATION), (NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
             (NameOID.COMMON_NAME, name))  # fmt: skip
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _purposes(kind: str) -> list[x509.ObjectIdentifier]:
    client, server = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
    if kind == "engine":
        return [server]
    return [server, client] if kind in ("node", "gateway", "knowledge") else [client]


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _address(text: str) -> x509.GeneralName:
    """Return an IP address, or a host's name; BadInput for what is neither, such as a wildcard."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        if len(text) > 253 or not HOST_NAME.fullmatch(text):
            raise BadInput(f"{text!r} is not an address", hint="an IP address, or the name of a host") from None
        return x509.DNSName(text)


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        raise BadInput(f"{path} is not a certificate", hint="remove it; another is made") from None


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(read_secret(path, MAX_KEY, given=False), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadInput(f"{path} is not the authority's key", hint="bring it back from a backup")
    return key


def _write(path: Path, key_path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """Write both files, the key first: a certificate without its key is made anew."""
    path.unlink(missing_ok=True)
    write_atomically(key_path, _private_pem(key), 0o600)
    write_atomically(path, pem(certificate))


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _issued(
    kind: str, certificate: x509.Certificate, path: Path, key: Path, authority: Path, *, changed: bool = False
) -> Issued:
    return Issued(
        kind=kind,
        name=path.stem if kind != "authority" else called(certificate),
        subject=certificate.subject.rfc4514_string(),
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
        certificate=str(path),
        key=str(key),
        authority=str(authority),
        changed=changed,
    )
