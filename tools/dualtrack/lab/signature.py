"""Signature Version 4 as a server checks it: who signed a request, and whether the request is what was signed.

Calculated by botocore, which signs the same way. The parts of an upload in chunks have signatures of their own, which
are not looked at: they protect a body on its way, and this one does not leave the machine.
See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote

import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import normalize_url_path

ALGORITHM = "AWS4-HMAC-SHA256"
HEADER = re.compile(rf"{ALGORITHM} +Credential=([^, ]+), *SignedHeaders=([^, ]+), *Signature=([0-9a-f]{{64}})")
MOMENT = "%Y%m%dT%H%M%SZ"
#: How far a client's clock may be off, and how long an address that is signed may be good at most: as AWS has it.
SKEW, LONGEST = timedelta(minutes=15), timedelta(days=7)
#: Headers that a signature may name: botocore's signer takes time by the square of their number.
MOST_SIGNED = 64
#: Headers of AWS that need no signature: the length of a body that comes in chunks.
HARMLESS = {"x-amz-decoded-content-length"}
#: What S3 takes in place of a body's digest.
UNSIGNED = re.compile(r"UNSIGNED-PAYLOAD|STREAMING-[A-Z0-9-]+")
#: Bytes that are read of a body before its sender is known. Clients of S3 send a digest of the body, whatever its
#: length; the requests of all other services are small.
LONGEST_BODY = 1 << 20


class Unverified(Exception):
    """A request that is not verified; the message says why."""


class Unsigned(Unverified):
    """A request without a signature."""


class UnknownKey(Unverified):
    """Credentials whose id nobody was given."""


class Stale(Unverified):
    """A signature from another time."""


class Mismatch(Unverified):
    """A signature that is not this request's, or not by this secret."""


class Malformed(Unverified):
    """Not a request that HTTP or AWS defines."""


class TooLong(Unverified):
    """A body that would have to be read to verify its signature, and is longer than `LONGEST_BODY`."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came. ``target`` is path and query, still encoded.

    The names of ``headers`` are in lower case, and have hyphens where underscores were, as WSGI hands them over.
    ``body`` reads the body and returns it; TooLong where it has more bytes than it is given, None for any number.
    """

    method: str
    host: str
    target: str
    headers: Mapping[str, str]
    body: Callable[[int | None], bytes]

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(self.target.partition("?")[2].partition("#")[0], keep_blank_values=True))


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of its signature."""

    key: str
    date: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str
    moment: str
    lifetime: timedelta | None = None  # of an address that was signed; None for a request that was


def claim(request: Request) -> Claim | None:
    """Return the signature that a request names in its header or its address; None where it names none."""
    query, header = request.query, request.headers.get("authorization", "")
    if header:
        found = HEADER.fullmatch(header.strip())
        return _claim(found[1], found[2], found[3], request.headers.get("x-amz-date", "")) if found else None
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        return None
    names = ("Credential", "SignedHeaders", "Signature", "Date", "Expires")
    credential, signed, signature, moment, seconds = (query.get(f"X-Amz-{name}", "") for name in names)
    if not re.fullmatch("[0-9]{1,6}", seconds):
        return None
    return _claim(credential, signed, signature, moment, timedelta(seconds=int(seconds)))


def _claim(
    credential: str, signed: str, signature: str, moment: str, lifetime: timedelta | None = None
) -> Claim | None:
    match credential.split("/"):
        case [key, date, region, service, "aws4_request"] if key and signed.count(";") < MOST_SIGNED:
            return Claim(
                key=key, date=date, region=region, service=service, signed=tuple(signed.split(";")),
                signature=signature, moment=moment, lifetime=lifetime,
            )  # fmt: skip
    return None


def verify(
    request: Request, secret_of: Callable[[str], str | None], now: datetime, admit: Callable[[], None] = lambda: None
) -> None:
    """Return when a request has a signature by a known key, of now, and of what it asks; raise Unverified otherwise.

    The body comes last. Where a digest of it is signed, nothing of it is read before the signature is verified;
    otherwise `LONGEST_BODY` bytes are read at most. ``admit`` is called as soon as the signature is verified.
    """
    it = claim(request)
    if it is None:
        raise Unsigned("The request has no valid signature of version 4.")
    secret = secret_of(it.key)
    if secret is None:
        raise UnknownKey("The access key id is not one of this lab.")
    # As AWS has it: a header that changes what is asked, such as the source of a copy, is signed.
    asked = {name for name in request.headers if name.startswith("x-amz-")} - HARMLESS
    if uncovered := {"host", *asked} - {name.replace("_", "-") for name in it.signed}:
        raise Mismatch(f"The signature does not cover {min(uncovered)}.")
    _check_time(it, now)
    digest, read = _digest(request, it)
    if not hmac.compare_digest(_expected(request, it, secret, digest).encode(), it.signature.encode()):
        raise Mismatch("The signature does not match the request and the secret access key.")
    admit()
    if not read and not _unsigned(digest, it) and hashlib.sha256(request.body(None)).hexdigest() != digest:
        raise Mismatch("The body is not the one whose digest was signed.")


def _check_time(it: Claim, now: datetime) -> None:
    try:
        moment = datetime.strptime(it.moment, MOMENT).replace(tzinfo=UTC)
    except ValueError:
        raise Mismatch("The request has no date that was signed.") from None
    if not it.moment.startswith(it.date):
        raise Mismatch("The credential is of another day than the request.")
    lifetime = SKEW if it.lifetime is None else min(it.lifetime, LONGEST)
    if not -SKEW <= now - moment <= lifetime:
        raise Stale(f"The signature is of {it.moment}, and it is {now:{MOMENT}}.")


def _expected(request: Request, it: Claim, secret: str, digest: str) -> str:
    """Return the signature that a request should have."""
    signer = _Signer(Credentials(it.key, secret), it.service, it.region, digest)
    path, _, query = request.target.partition("?")
    if it.lifetime is not None:
        query = "&".join(pair for pair in query.split("&") if not pair.startswith("X-Amz-Signature="))
    headers = {name: request.headers.get(name.replace("_", "-"), "") for name in it.signed}
    plain = AWSRequest(method=request.method, url=f"http://{request.host}{path}?{query}", headers=headers)
    plain.context["timestamp"] = it.moment
    return str(signer.signature(signer.string_to_sign(plain, signer.canonical_request(plain)), plain))


def _digest(request: Request, it: Claim) -> tuple[str, bool]:
    """Return the digest of a body, or what stands in its place, as it was signed, and whether the body was read."""
    said = request.headers.get("x-amz-content-sha256", "")
    if it.service == "s3" and it.lifetime is not None:
        said = said or "UNSIGNED-PAYLOAD"
    if not said:
        return hashlib.sha256(request.body(LONGEST_BODY)).hexdigest(), True
    if not re.fullmatch("[0-9a-f]{64}", said) and not _unsigned(said, it):
        raise Mismatch("The body is not the one whose digest was signed.")
    return said, False


def _unsigned(digest: str, it: Claim) -> bool:
    """Return whether what stands in place of a digest allows any body."""
    return it.service == "s3" and UNSIGNED.fullmatch(digest) is not None


class _Signer(SigV4Auth):
    """botocore's signer for given headers and a given digest of the body.

    S3 signs paths as they are; all other services encode them again.
    """

    def __init__(self, credentials: Credentials, service: str, region: str, digest: str) -> None:
        super().__init__(credentials, service, region)
        self._digest, self._plain = digest, service == "s3"

    def headers_to_sign(self, request: Any) -> Any:
        return request.headers

    def payload(self, request: Any) -> str:  # noqa: ARG002 - known already
        return self._digest

    def _normalize_url_path(self, path: str) -> str:
        return path if self._plain else quote(normalize_url_path(path), safe="/~")
