"""What vLLM does as far as its host's program sees it: API, key from the environment, metrics, and its end.

The environment says how it behaves: ANSWER, LOAD_S (seconds before it listens), DIES (instead of listening), SLOTS (the
others wait), FROZEN (a file: while it is there, no step is done).
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import sys
import threading
import time

PORT = int(sys.argv[sys.argv.index("--port") + 1])
KEY, ANSWER = os.environ["VLLM_API_KEY"], os.environ.get("ANSWER", " Paris")
busy, steps = [0], [0]
slots = threading.Semaphore(int(os.environ.get("SLOTS", "128")))


class Asked(http.server.BaseHTTPRequestHandler):
    """One request; a body's `seconds` are how long its answer takes."""

    def say(self, body: bytes) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Show the metrics."""
        self.say(
            f'vllm:num_requests_running{{engine="0"}} {busy[0]}.0\nvllm:num_requests_waiting 0.0\n'
            f'vllm:iteration_tokens_total_count{{engine="0"}} {steps[0]}.0\n'.encode()
        )

    def do_POST(self) -> None:
        """Answer a prompt."""
        assert self.headers["Authorization"] == f"Bearer {KEY}"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        busy[0] += 1
        with slots:
            end = time.monotonic() + body.get("seconds", 0)
            while time.monotonic() < end or os.path.exists(os.environ.get("FROZEN", "")):  # noqa: PTH110
                time.sleep(0.02)
                steps[0] += not os.path.exists(os.environ.get("FROZEN", ""))  # noqa: PTH110
        self.say(json.dumps({"choices": [{"text": ANSWER}]}).encode())
        busy[0] -= 1

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def end(*_: object) -> None:
    """End at once, as vLLM does to what runs where nobody gave it time."""
    print("engine: SIGTERM", busy[0], flush=True)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    time.sleep(float(os.environ.get("LOAD_S", "0.2")))
    if os.environ.get("DIES"):
        sys.exit(3)
    http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Asked).serve_forever()
