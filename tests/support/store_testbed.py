"""An S3 on loopback (moto's server), and between it and its callers somebody who spoils answers.

Who is in between also refuses what the buckets' policy refuses: the server enforces no policy.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3

from tests.conftest import CLI
from tests.support.child import read_until

SERVER = """
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""
OF_THE_HOP = {"content-length", "connection", "date", "server", "transfer-encoding"}
REFUSAL = "<Error><Code>{code}</Code><Message>spoilt</Message>{more}</Error>"


@dataclass
class Fault:
    """What happens to the answers to GETs of objects, ``times`` times (for ever without): see `Spoiler`."""

    kind: str
    times: float = float("inf")
    code: str = "SlowDown"
    status: int = 503
    more: str = ""
    act: Callable[[], None] | None = None
    after: int = 0  # answers that are left alone first


@dataclass
class Store:
    """The server, as seen directly and through the spoiler."""

    folder: Path
    direct: str
    through: str
    faults: list[Fault] = field(default_factory=list)
    gets: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # writes that the bucket's policy denies

    def client(self) -> Any:
        """Return a client that nobody spoils."""
        return boto3.client(
            "s3", endpoint_url=self.direct, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )

    def env(self) -> dict[str, str]:
        """Return the environment of a program that goes through the spoiler."""
        return {
            **os.environ, "AWS_ENDPOINT_URL": self.through, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1", "DUALTRACK_STORE": str(self.folder / "cache"),
        }  # fmt: skip

    def run(self, *words: object, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `dualtrack store …` and compare its exit code."""
        done = subprocess.run(
            [CLI, "store", *map(str, words)], env={**self.env(), **env}, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    def start(self, *words: object) -> subprocess.Popen[str]:
        """Start `dualtrack store …`."""
        return subprocess.Popen(
            [CLI, "store", *map(str, words)], env=self.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def json(self, *words: object, code: int = 0) -> dict[str, Any]:
        """Run it with --json and return the document."""
        found: dict[str, Any] = json.loads(self.run(*words, "--json", code=code).stdout)
        return found


@contextmanager
def store(folder: Path) -> Iterator[Store]:
    """The server and the spoiler, which run and are stopped at the end."""
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            port = int(read_until(server, server.stdout))
            bed = Store(folder, f"http://127.0.0.1:{port}", "")
            spoiler = _Quiet(("127.0.0.1", 0), _handler(bed, port))
            spoiler.daemon_threads = True
            bed.through = f"http://127.0.0.1:{spoiler.server_port}"
            threading.Thread(target=spoiler.serve_forever, daemon=True).start()
            yield bed
            spoiler.shutdown()
        finally:
            server.terminate()
            server.wait(10)


class _Quiet(ThreadingHTTPServer):
    """Says nothing of clients that were killed: that is what they are here for."""

    def handle_error(self, *_: object) -> None:
        pass


def _handler(bed: Store, port: int) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    def fault(key: str) -> Fault | None:
        with lock:
            bed.gets.append(key)
            for it in bed.faults:
                if it.after > 0:
                    it.after -= 1
                    return None
                if it.times > 0:
                    it.times -= 1
                    return it
        return None

    class Spoiler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def forward(self) -> None:
            body = self._body()
            if self._creates() and (status := self._policy()):
                bed.refused.append(self.path)
                code = "AccessDenied" if status == 403 else "PreconditionFailed"
                self._answer(status, {}, REFUSAL.format(code=code, more="").encode())
                return
            object_ = self.command == "GET" and "Range" in self.headers
            found = fault(self.path) if object_ else None
            if found and found.act:
                found.act()
            if found and found.kind == "refuse":
                self._answer(found.status, {}, REFUSAL.format(code=found.code, more=found.more).encode())
            elif found and found.kind == "reset":
                self._reset()
            else:
                self._pass_on(body, found)

        def _pass_on(self, body: bytes, found: Fault | None) -> None:
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            upstream.request(
                self.command, self.path, body, {k: v for k, v in self.headers.items() if k.lower() != "host"}
            )
            answer = upstream.getresponse()
            data = answer.read()
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in OF_THE_HOP}
            if self.command == "HEAD":
                headers["Content-Length"] = answer.getheader("Content-Length") or "0"
            if found and found.kind == "flip":
                data = data[:-1] + bytes([data[-1] ^ 1])
            upstream.close()
            self._answer(answer.status, headers, data, found)

        def _creates(self) -> bool:
            path, _, query = self.path.partition("?")
            if self.command == "PUT":
                return path.count("/") > 1 and "uploadId=" not in query
            return self.command == "POST" and "uploadId=" in query

        def _policy(self) -> int:
            """Return the status by which S3 refuses to create an object, 0 where it does not.

            What module storage_tiers makes the bucket's policy, and If-None-Match of multipart uploads: the server
            knows neither.
            """
            if self.headers.get("If-None-Match") != "*":
                return 403
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            # The server knows by the signature which of AWS's services is meant.
            upstream.request(
                "HEAD", self.path.partition("?")[0], headers={"Authorization": self.headers["Authorization"]}
            )
            there = upstream.getresponse().status == 200
            upstream.close()
            return 412 if there else 0

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward

        def _body(self) -> bytes:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                found = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    found += self.rfile.read(size)
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                del self.headers["Transfer-Encoding"]
                self.headers["Content-Length"] = str(len(found))
                return found
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _answer(self, status: int, headers: dict[str, str], data: bytes, found: Fault | None = None) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "HEAD":
                return
            kind = found.kind if found else ""
            if kind in ("truncate", "reset-middle"):
                self.wfile.write(data[: len(data) // 2])
                (self._reset if kind == "reset-middle" else self._close)()
            elif kind == "slow":
                for begin in range(0, len(data), 64 << 10):
                    self.wfile.write(data[begin : begin + (64 << 10)])
                    time.sleep(0.02)
            else:
                self.wfile.write(data)

        def _close(self) -> None:
            self.close_connection = True

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            self.close_connection = True
            self.connection.close()

    return Spoiler


def checkpoint(folder: Path, sizes: dict[str, int], seed: int = 1) -> Path:
    """Make a directory of files with content that looks like weights: it does not repeat."""
    words = random.Random(seed)
    for name, size in sizes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(words.randbytes(size))
    return folder


def same(one: Path, other: Path) -> bool:
    """Return whether two directories hold the same files with the same content."""

    def content(folder: Path) -> dict[str, bytes]:
        return {str(it.relative_to(folder)): it.read_bytes() for it in folder.rglob("*") if it.is_file()}

    return content(one) == content(other)
