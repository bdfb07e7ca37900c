"""A gateway's API on loopback, with a real certificate, that answers as a test tells it."""

from __future__ import annotations

import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dualtrack.security.pki import authority
from dualtrack.serving.client import Client, End

HEADERS = {"x-dualtrack-track": "local", "x-dualtrack-engine": "sovereign-1"}
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Gateway:
    """An API that answers as it is told, and notes what it was asked."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.folder = folder / "pki"
        issued = authority.issue(self.folder, "node", "gateway-1", [host])
        self.answer: Answer = lambda _: None
        self.asked: list[tuple[str, str, Any]] = []
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = json.loads(data) if data else None
                gateway.asked.append((self.path, self.headers["Authorization"], body))
                gateway.answer(self)
                self.close_connection = True

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        self.server = Server((host, 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued.certificate, issued.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.01,)).start()
        self.url = f"https://{f'[{host}]' if ':' in host else host}:{self.server.server_address[1]}"

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def client(self, **more: Any) -> Client:
        return Client(self.url, self.folder / "ca.pem", "dt-secret", **more)

    def chat(self, answer: Answer, **more: Any) -> list[str | End]:
        self.answer = answer
        return list(self.client().chat("smollm2", "Hello", **more))


def whole(body: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> Answer:
    def answer(to: http.server.BaseHTTPRequestHandler) -> None:
        to.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)

    return answer


def streamed(*parts: bytes, complete: bool = True) -> Answer:
    """Answer in chunks (HTTP's), each of them written on its own."""

    def answer(to: http.server.BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        for name, value in {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **HEADERS}.items():
            to.send_header(name, value)
        to.end_headers()
        for part in parts:
            to.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        if complete:
            to.wfile.write(b"0\r\n\r\n")

    return answer


def event(**body: Any) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def piece(text: str | None, finish: str | None = None) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}])


USAGE = event(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7})
DONE = b"data: [DONE]\n\n"
