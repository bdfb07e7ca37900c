"""`mirror serve`: the mirror over HTTP, for a site's machines; only what is signed is given out."""

from __future__ import annotations

import mimetypes
import sys
from datetime import date
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dualtrack.mirror import check, manifest

#: What a browser would show rather than save; everything else is bytes.
_TYPES = {".html": "text/html; charset=utf-8", ".asc": "text/plain; charset=utf-8"}


class Handler(SimpleHTTPRequestHandler):
    """Files that the manifest lists, and `index.html` for their folders; nothing else, no listings."""

    protocol_version = "HTTP/1.1"  # apt and pip ask for hundreds of files in a row

    def __init__(self, *words: object, listed: frozenset[str], directory: str) -> None:
        self.listed = listed
        super().__init__(*words, directory=directory)  # type: ignore[arg-type]

    def translate_path(self, path: str) -> str:
        """Return the file for a request's path, a path that does not exist for what is not listed."""
        name = unquote(urlsplit(path).path).lstrip("/")
        if name.endswith("/"):
            name += "index.html"
        return str(Path(self.directory) / (name if name in self.listed else "\0"))

    def send_head(self):  # type: ignore[no-untyped-def]  # noqa: D102 - the base class's own signature
        if self.translate_path(self.path).endswith("\0"):
            self.send_error(404, "not in the mirror")
            return None
        return super().send_head()

    def guess_type(self, path: object) -> str:
        """Return the content type; a package is never shown as something else."""
        suffix = Path(str(path)).suffix
        return _TYPES.get(suffix) or mimetypes.guess_type(str(path))[0] or "application/octet-stream"

    def log_message(self, text: str, *words: object) -> None:
        """Say a request in a line, without control characters that a client sent."""
        line = (text % words).translate(dict.fromkeys(range(32), "?"))
        print(f"{self.client_address[0]} {line}", file=sys.stderr)


def server(folder: Path, key: Path, address: str, port: int, *, accepted: date | None = None) -> ThreadingHTTPServer:
    """Return a server for a mirror whose signature is ``key``'s, bound to an address.

    BadInput where it is not, Refused where it has expired and was not ``accepted``.
    """
    listed = frozenset(check.listed(folder, key, accepted)) | {manifest.NAME, check.KEY_NAME}
    handler = partial(Handler, listed=listed, directory=str(folder))
    return ThreadingHTTPServer((address, port), handler)
