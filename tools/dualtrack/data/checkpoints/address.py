"""How a checkpoint is named: `s3://bucket/path@version`, with `#sha256:…` also what it contains. Pure."""

from __future__ import annotations

import re

import msgspec

from dualtrack.core.errors import BadInput

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
#: A version is part of an object's key and of a directory's name.
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LATEST = "latest"
MANIFEST = ".dualtrack-manifest.json"
#: The digest of a version: the SHA-256 of its manifest's bytes, which has the digests of all files.
DIGEST = re.compile(r"[0-9a-f]{64}")
DIGEST_MARK = "#sha256:"
HOW = "s3://BUCKET/PATH@VERSION, or s3://BUCKET/PATH for what was not put there by `store push`"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint in a bucket. ``version`` is '' for plain objects, whose ``path`` is a key or the start of keys.

    ``digest`` is the SHA-256 of the version's manifest in hexadecimal, '' where the bucket is trusted.
    """

    bucket: str
    path: str
    version: str = ""
    digest: str = ""

    def __str__(self) -> str:
        """Return it as it is written."""
        return (
            f"s3://{self.bucket}/{self.path}"
            + (f"@{self.version}" if self.version else "")
            + (f"{DIGEST_MARK}{self.digest}" if self.digest else "")
        )

    @property
    def prefix(self) -> str:
        """Return what the keys of a version's files begin with."""
        return f"{self.path}/{self.version}/"

    @property
    def manifest(self) -> str:
        """Return the key of a version's manifest: the object that makes it whole."""
        return self.prefix + MANIFEST

    @property
    def bare(self) -> Address:
        """Return it without its digest."""
        return msgspec.structs.replace(self, digest="")

    @property
    def name(self) -> str:
        """Return the last word of the path, for people."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]


def parse(text: str) -> Address:
    """Return the address in ``text``; BadInput says how one is written."""
    scheme, _, rest = text.partition("://")
    rest, digest = _digest(text, rest)
    bucket, _, path = rest.partition("/")
    if scheme != "s3" or not BUCKET.fullmatch(bucket) or not path.strip("/"):
        raise BadInput(f"{text!r} is not an address of a checkpoint", hint=HOW)
    path, at, version = path.rpartition("@") if "@" in path else (path, "", "")
    if at and not VERSION.fullmatch(version):
        raise BadInput(f"{text!r}: {version!r} is not a version", hint="letters, digits, dots, hyphens; 64 at most")
    if any(word in ("", ".", "..") for word in path.rstrip("/").split("/")):
        raise BadInput(f"{text!r}: the path has an empty word, or dots alone", hint=HOW)
    if digest and version in ("", LATEST):
        raise BadInput(f"{text!r}: only one version has a digest", hint=f"PATH@VERSION{DIGEST_MARK}…")
    return Address(bucket=bucket, path=path.rstrip("/") if at else path, version=version, digest=digest)


def _digest(text: str, rest: str) -> tuple[str, str]:
    """Return what stands before the digest, and the digest; keys may contain a `#` of their own."""
    before, mark, digest = rest.rpartition(DIGEST_MARK)
    if not mark:
        return rest, ""
    if not DIGEST.fullmatch(digest):
        raise BadInput(f"{text!r}: {digest!r} is not a SHA-256", hint="64 hexadecimal digits in lower case")
    return before, digest
