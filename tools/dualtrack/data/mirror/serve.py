"""`mirror serve`: the mirror over HTTP, for a site's machines; only what is signed is given out."""

from __future__ import annotations

import hashlib
import mimetypes
import os
from collections.abc import Mapping
from datetime import date
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from dualtrack.core.characters import visible
from dualtrack.core.files import open_below
from dualtrack.core.output import echo
from dualtrack.data.mirror import check, manifest
from dualtrack.data.mirror.manifest import File

#: What a browser would show rather than save; everything else is bytes.
_TYPES = {".html": "text/html; charset=utf-8", ".asc": "text/plain; charset=utf-8"}


class Files(SimpleHTTPRequestHandler):
    """Regular files of a directory, and `index.html` for directories in it; no link is followed, nothing is listed."""

    def send_head(self) -> BinaryIO | None:
        """Send the headers of the file that was asked for, and return it; None where another answer was sent."""
        name = unquote(urlsplit(self.path).path).lstrip("/")
        if name.endswith("/") or not name:
            name += "index.html"
        try:
            file = self.opened(name)
        except (OSError, ValueError):
            self.send_error(HTTPStatus.NOT_FOUND, "not in the mirror")
            return None
        found = os.fstat(file.fileno())
        if self._known(int(found.st_mtime)):
            file.close()
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.end_headers()
            return None
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", self.guess_type(name))
        self.send_header("Content-Length", str(found.st_size))
        self.send_header("Last-Modified", self.date_time_string(found.st_mtime))
        self.end_headers()
        return file

    def opened(self, name: str) -> BufferedReader:
        """Open the file that is served under a path; OSError where there is none."""
        return open_below(Path(self.directory), name)

    def _known(self, changed: int) -> bool:
        """Tell whether the client has the file as it was changed last (seconds of the epoch)."""
        try:
            return parsedate_to_datetime(self.headers["If-Modified-Since"]).timestamp() >= changed
        except (TypeError, ValueError, OverflowError):
            return False


class Handler(Files):
    """Files that the manifest lists and that are as they were signed; each is read whole before it is given out."""

    protocol_version = "HTTP/1.1"  # apt and pip ask for hundreds of files in a row

    def __init__(
        self, *words: object, listed: Mapping[str, File], good: dict[str, tuple[int, ...]], directory: str
    ) -> None:
        self.listed, self.good = listed, good
        super().__init__(*words, directory=directory)  # type: ignore[arg-type]

    def opened(self, name: str) -> BufferedReader:
        """Open a file that is listed; OSError for another one, and for one that is not as it was signed."""
        if (wanted := self.listed.get(name)) is None:
            raise FileNotFoundError(name)
        file = super().opened(name)
        it = os.fstat(file.fileno())
        state = (it.st_dev, it.st_ino, it.st_size, it.st_mtime_ns, it.st_ctime_ns)
        if self.good.get(name) != state:
            if it.st_size != wanted.size or hashlib.file_digest(file, "sha256").hexdigest() != wanted.sha256:
                file.close()
                self.log_message("%s is not as it was signed", name)
                raise FileNotFoundError(name)
            file.seek(0)
            self.good[name] = state
        return file

    def guess_type(self, path: object) -> str:
        """Return the content type; a package is never shown as something else."""
        suffix = Path(str(path)).suffix
        return _TYPES.get(suffix) or mimetypes.guess_type(str(path))[0] or "application/octet-stream"

    def log_message(self, text: str, *words: object) -> None:
        """Say a request in a line, without control characters that a client sent."""
        line = (text % words).translate(dict.fromkeys(range(32), "?"))
        echo(f"{self.client_address[0]} {visible(line)}", err=True)


def server(folder: Path, key: Path, address: str, port: int, *, accepted: date | None = None) -> ThreadingHTTPServer:
    """Return a server for a mirror whose signature is ``key``'s, bound to an address.

    BadInput where it is not, Refused where it has expired and was not ``accepted``. The key is given out where the one
    in the mirror is the same file.
    """
    listed = dict(check.listed(folder, key, accepted))
    for name, path in ((manifest.NAME, folder / manifest.NAME), (check.KEY_NAME, key)):
        listed[name] = File(path.stat().st_size, check.sha256(path))
    handler = partial(Handler, listed=listed, good={}, directory=str(folder))
    return ThreadingHTTPServer((address, port), handler)
