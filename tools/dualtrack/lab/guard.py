"""What stands in front of the emulated API: requests without valid credentials, or under another name, get no further.

Any account of the machine reaches loopback, any job on a node the API's address there, and any web page that the
operator opens both, by a name that leads to them. The refusal has the form of the service's own errors.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from html import escape
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import get_input_stream

from dualtrack.lab import signature
from dualtrack.lab.signature import Malformed, Mismatch, Request, Stale, TooLong, UnknownKey, Unsigned, Unverified

#: A WSGI application.
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
#: Pages of moto that are not AWS's: they show and change everything, and no client needs them.
CLOSED = re.compile(r"/+(moto-api|favicon\.ico$)")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]*")
#: How S3, and all other services, call each refusal.
S3 = {Unsigned: "AccessDenied", UnknownKey: "InvalidAccessKeyId", Stale: "RequestTimeTooSkewed",
      Mismatch: "SignatureDoesNotMatch", Malformed: "InvalidRequest", TooLong: "EntityTooLarge"}  # fmt: skip
OTHERS = {Unsigned: "MissingAuthenticationToken", UnknownKey: "InvalidClientTokenId", Stale: "RequestExpired",
          Mismatch: "SignatureDoesNotMatch", Malformed: "ValidationError",
          TooLong: "RequestEntityTooLarge"}  # fmt: skip
#: The status of a refusal; of all that are not named, FORBIDDEN.
STATUS = {Malformed: "400 Bad Request", TooLong: "413 Content Too Large"}
FORBIDDEN = "403 Forbidden"
#: Bytes of a body that are read at once.
BLOCK = 1 << 16
#: The entry of a request's environment that is called once its sender is known.
ADMIT = "dualtrack.admit"


class Denied(Unverified):
    """A request that nobody may make."""


class Guard:
    """A WSGI application that hands on what `signature.verify` accepts, and refuses everything else."""

    def __init__(self, app: App, secret_of: Callable[[str], str | None], hosts: Collection[str]) -> None:
        self._app, self._secret_of, self._hosts = app, secret_of, hosts

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request. The application finds the whole body in memory."""
        request = received(environ)
        try:
            try:
                self._check(request, environ)
            except (ValueError, OverflowError) as error:
                raise Malformed("The request is not one that HTTP and AWS define.") from error
        except Unverified as error:
            kind, body = refusal(request, error)
            start(STATUS.get(type(error), FORBIDDEN), [("Content-Type", kind), ("Content-Length", str(len(body)))])
            return [] if request.method == "HEAD" else [body]
        return self._app(environ, start)

    def _check(self, request: Request, environ: dict[str, Any]) -> None:
        """Read a request; Unverified where it is refused."""
        if not is_own(request.host, self._hosts):
            raise Denied("The API has another name.")
        if CLOSED.match(environ.get("PATH_INFO", "")):
            raise Denied("There is nothing here.")
        signature.verify(request, self._secret_of, datetime.now(UTC), environ.get(ADMIT, lambda: None))
        request.body(None)


def is_own(host: str, hosts: Collection[str]) -> bool:
    """Return whether a Host header is one of the API's own, or a bucket's name before one that is not a number."""
    return host in hosts or any(
        BUCKET.fullmatch(host.removesuffix(f".{own}")) for own in hosts if own[0].isalpha() and host.endswith(f".{own}")
    )


def received(environ: dict[str, Any]) -> Request:
    """Return what arrived; its body is read when it is asked for, and then there for the application once more."""
    kept: list[bytes] = []

    def body(most: int | None) -> bytes:
        if not kept:
            found = read(environ, most)
            environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(found), str(len(found))
            environ.pop("HTTP_TRANSFER_ENCODING", None)
            environ.pop("wsgi.input_terminated", None)
            kept.append(found)
        return kept[0]

    headers = {name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name[:5] == "HTTP_"}
    headers |= {name: environ[name.upper().replace("-", "_")] for name in ("content-type", "content-length")
                if name.upper().replace("-", "_") in environ}  # fmt: skip
    target = re.sub(r"^[a-z]+://[^/?]*", "", environ.get("REQUEST_URI") or environ.get("PATH_INFO", "/"))
    return Request(
        method=environ["REQUEST_METHOD"], host=environ.get("HTTP_HOST", ""), target=target, headers=headers, body=body
    )


def read(environ: dict[str, Any], most: int | None) -> bytes:
    """Return a body; TooLong where it has more bytes than ``most``, Malformed where it is not as it was announced."""
    said = str(environ.get("CONTENT_LENGTH") or "0")
    if most is not None and said.isdecimal() and int(said) > most:
        raise TooLong(f"A request whose body's digest is not signed has at most {most} bytes.")
    found = bytearray()
    try:
        stream = get_input_stream(environ)
        while block := stream.read(BLOCK if most is None else min(BLOCK, most + 1 - len(found))):
            found += block
    except (HTTPException, OSError) as error:
        raise Malformed("The body did not arrive in time and as it was announced.") from error
    if most is not None and len(found) > most:
        raise TooLong(f"A request whose body's digest is not signed has at most {most} bytes.")
    return bytes(found)


def refusal(request: Request, error: Unverified) -> tuple[str, bytes]:
    """Return content type and body of a refusal, as the service that was asked writes errors."""
    claim, kind = signature.claim(request), request.headers.get("content-type", "")
    service = claim.service if claim else ""
    if "x-amz-target" in request.headers or ("json" in kind and service not in {"", "s3"}):
        code, said = OTHERS.get(type(error), "AccessDenied"), str(error)
        return "application/x-amz-json-1.1", json.dumps({"__type": code, "message": said}).encode()
    form = "x-www-form-urlencoded" in kind or "Action" in request.query
    codes = OTHERS if service not in {"", "s3"} or form else S3
    words = f"<Code>{codes.get(type(error), 'AccessDenied')}</Code><Message>{escape(str(error))}</Message>"
    if service == "ec2":
        text = f"<Response><Errors><Error>{words}</Error></Errors><RequestID>0</RequestID></Response>"
    elif codes is OTHERS:
        text = f"<ErrorResponse><Error><Type>Sender</Type>{words}</Error><RequestId>0</RequestId></ErrorResponse>"
    else:
        text = f"<Error>{words}<RequestId>0</RequestId></Error>"
    return "text/xml", f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
