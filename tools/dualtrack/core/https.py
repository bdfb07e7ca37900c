"""What is known of a service before it is asked: where it is, whom to believe there, and when to ask again.

The one place that says which URLs are taken, so that what one command takes no other one fails on.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

from dualtrack.core.errors import BadInput
from dualtrack.core.files import read_whole

#: Bytes of a file of certificates: all that a system trusts are 300 KB.
MOST_PEM = 4 << 20
_FORM = re.compile(
    r"https://(?:\[(?P<six>[^\[\]]+)\]|(?P<name>[^\[\]:/?#@\\]+))(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!-~]*)?",
    re.I | re.ASCII,  # without it ſ is an s
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_MOST_HOST = 253
_BEGIN = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----")
_BLOCK = re.compile(_BEGIN.pattern + rb"([^-]*)-----END (?:X509 )?CERTIFICATE-----")
#: Seconds that are the most to wait for, whatever a server says.
_MOST_WAIT_S = 86400.0


class Address(NamedTuple):
    """Where a service is; ``path`` begins with a slash, or is empty."""

    host: str
    port: int
    path: str

    @property
    def name(self) -> str:
        """HOST, as a URL has it."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def at(self) -> str:
        """HOST:PORT, as a URL has it."""
        return f"{self.name}:{self.port}"


def address(url: str, port: int, *, path: bool = False) -> Address:
    """Return where https://HOST:PORT is, at ``port`` where it names none; with ``path`` it may have a path.

    ValueError with the reason otherwise. The URL is never in it: it may have a password.
    """
    if not url.isprintable() or " " in url:
        raise ValueError("the URL has a blank or a control character in it")
    if "@" in url:
        raise ValueError("the URL has a user name or a password in it")
    if "?" in url or "#" in url:
        raise ValueError("the URL has a query or a fragment (? or #)")
    form = "https://HOST:PORT/PATH" if path else "https://HOST:PORT"
    found = _FORM.fullmatch(url)
    if not found or (not path and found["path"] not in (None, "/")):
        raise ValueError(f"the URL is not {form}")
    if found["port"] and not 1 <= int(found["port"]) <= 65535:
        raise ValueError("the URL's port is none from 1 to 65535")
    host = _six(found["six"]) if found["six"] else _name(found["name"])
    return Address(host, int(found["port"] or port), (found["path"] or "").rstrip("/"))


def _six(text: str) -> str:
    try:
        found = ipaddress.IPv6Address(text)
    except ValueError:
        found = None
    if found is None or found.scope_id:  # an interface's name is of one machine, and in no certificate
        raise ValueError("what is in the URL's brackets is not an IPv6 address")
    return str(found)


def _name(text: str) -> str:
    """Return a host's name as DNS and certificates have it."""
    try:
        # The codec takes a time that grows with the square of the length.
        found = text.encode("idna").decode().lower() if len(text) <= _MOST_HOST else ""
    except UnicodeError:
        found = ""
    if len(found) > _MOST_HOST or not all(map(_LABEL.fullmatch, found.removesuffix(".").split("."))):
        raise ValueError("the URL's host is none: labels of 1 to 63 letters, digits and -, 253 characters at most")
    return found


def trusted(ca_file: Path) -> ssl.SSLContext:
    """Return TLS that believes the authorities in a file, and no others; BadInput where it has none."""
    data = read_whole(ca_file, MOST_PEM, regular=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=_certificates(data))
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", "") or error
        raise BadInput(f"{ca_file} is not a certificate of an authority: {reason}", hint="it has to be PEM") from None
    return context


def _certificates(data: bytes) -> bytes:
    """Return the certificates of a PEM file as DER; what is around them is for people. ValueError where it has none.

    OpenSSL does not read the PEM itself: it would ask the terminal for the passphrase of a block that says it has one.
    """
    if not (begun := len(_BEGIN.findall(data))):
        raise ValueError("it has no certificate (BEGIN CERTIFICATE)")
    blocks = _BLOCK.findall(data)
    if len(blocks) != begun:
        raise ValueError("a certificate in it is not whole")
    return b"".join(base64.b64decode(b"".join(it.split()), validate=True) for it in blocks)


def retry_after(said: str) -> float | None:
    """Return the seconds that `Retry-After` says, a number or a date, a day at most; None where it says neither."""
    if re.fullmatch(r"[ \t]*[0-9]+[ \t]*", said):
        return min(float(said), _MOST_WAIT_S)
    try:
        when = parsedate_to_datetime(said)
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        return min(max(0.0, seconds), _MOST_WAIT_S)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
