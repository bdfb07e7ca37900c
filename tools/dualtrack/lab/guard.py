"""What stands in front of the emulated API: requests without valid credentials, or under another name, get no further.

Any account of the machine reaches loopback, any job on a node the API's address there, and any web page that the
operator opens both, by a name that leads to them. The refusal has the form of the service's own errors.
"""

from __future__ import annotations

import contextlib
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
from dualtrack.lab.signature import Mismatch, Request, Stale, UnknownKey, Unsigned, Unverified

#: A WSGI application.
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
#: Pages of moto that are not AWS's: they show and change everything, and no client needs them.
CLOSED = re.compile(r"/+(moto-api|favicon\.ico$)")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]*")
#: How S3, and all other services, call each refusal.
S3 = {Unsigned: "AccessDenied", UnknownKey: "InvalidAccessKeyId", Stale: "RequestTimeTooSkewed",
      Mismatch: "SignatureDoesNotMatch"}  # fmt: skip
OTHERS = {Unsigned: "MissingAuthenticationToken", UnknownKey: "InvalidClientTokenId", Stale: "RequestExpired",
          Mismatch: "SignatureDoesNotMatch"}  # fmt: skip
#: What a body may have of a request that nobody read when it is refused, in bytes: the client hears why.
DRAINED = 1 << 26


class Denied(Unverified):
    """A request that nobody may make."""


class Guard:
    """A WSGI application that hands on what `signature.verify` accepts, and refuses everything else."""

    def __init__(self, app: App, secret_of: Callable[[str], str | None], hosts: Collection[str]) -> None:
        self._app, self._secret_of, self._hosts = app, secret_of, hosts

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        request = received(environ)
        try:
            if not is_own(request.host, self._hosts):
                raise Denied("The API has another name.")
            if CLOSED.match(environ.get("PATH_INFO", "")):
                raise Denied("There is nothing here.")
            signature.verify(request, self._secret_of, datetime.now(UTC))
        except Unverified as error:
            drain(environ)
            kind, body = refusal(request, error)
            start("403 Forbidden", [("Content-Type", kind), ("Content-Length", str(len(body)))])
            return [] if request.method == "HEAD" else [body]
        return self._app(environ, start)


def is_own(host: str, hosts: Collection[str]) -> bool:
    """Return whether a Host header is one of the API's own, or a bucket's name before one that is not a number."""
    return host in hosts or any(
        BUCKET.fullmatch(host.removesuffix(f".{own}")) for own in hosts if own[0].isalpha() and host.endswith(f".{own}")
    )


def received(environ: dict[str, Any]) -> Request:
    """Return what arrived; its body is read when it is asked for, and then there for the application once more."""

    def body() -> bytes:
        found = get_input_stream(environ).read()
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(found), str(len(found))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.pop("wsgi.input_terminated", None)
        return found

    headers = {name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name[:5] == "HTTP_"}
    headers |= {name: environ[name.upper().replace("-", "_")] for name in ("content-type", "content-length")
                if name.upper().replace("-", "_") in environ}  # fmt: skip
    target = re.sub(r"^[a-z]+://[^/?]*", "", environ.get("REQUEST_URI") or environ.get("PATH_INFO", "/"))
    return Request(
        method=environ["REQUEST_METHOD"], host=environ.get("HTTP_HOST", ""), target=target, headers=headers, body=body
    )


def drain(environ: dict[str, Any]) -> None:
    """Read what a client still sends: it looks for an answer afterwards only."""
    stream, left = get_input_stream(environ), DRAINED
    with contextlib.suppress(HTTPException, OSError):  # it is gone, or sends no valid chunks
        while left > 0 and (found := stream.read(1 << 16)):
            left -= len(found)


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
