"""Engines fail while clients ask 200 times a second: says for each fault what clients saw, and fails where it is too much.

No client repeats a request by itself. Two echo engines are units of this host, behind the gateway as the model `echo`.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

RATE, CLIENTS = 200, 10
FIRST, SECOND = "echo-a", "echo-b"
LIE = Path("/run/echo-a.lie")
#: Of the gateway here: three heartbeats of four seconds, and the time that one answer may take.
DETECTED_S = 3 * 4 + 2


def run(*words: str) -> str:
    """Run a command; return what it prints."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def state(name: str) -> str:
    """Return how the gateway sees an engine."""
    engines = json.loads(run("dualtrack-gateway", "status"))["engines"]
    return next(str(it["state"]) for it in engines if it["model"] == "echo" and it["engine"] == name)


def until(right: Callable[[], bool], what: str, limit_s: float = 60) -> float:
    """Wait; return the seconds that it took."""
    begin = time.monotonic()
    while not right():
        if time.monotonic() - begin > limit_s:
            sys.exit(f"not in {limit_s:.0f} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - begin


class Load:
    """Clients that ask at a steady rate, each on a connection that it keeps."""

    def __init__(self, host: str, key: str) -> None:
        self.host, self.key = host, key
        self.answers: Counter[str] = Counter()
        self.slowest = 0.0
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Load:
        for it in self.threads:
            it.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for it in self.threads:
            it.join()

    def ask(self, number: int) -> None:
        tls = ssl.create_default_context(cafile="/root/ca.pem")
        link = http.client.HTTPSConnection(self.host, context=tls, timeout=60)
        body = json.dumps({"model": "echo", "prompt": "The capital of France is", "max_tokens": 1})
        due = time.monotonic() + number / RATE
        while not self.over.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            begin = time.monotonic()
            due = max(due + CLIENTS / RATE, begin - 1)
            try:
                link.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {self.key}"})
                answer = link.getresponse()
                text = answer.read().decode()
                kind = "right" if "Paris" in text else "wrong" if answer.status == 200 else f"status {answer.status}"
            except (OSError, http.client.HTTPException) as error:
                kind = type(error).__name__
                link.close()
            self.answers[kind] += 1
            self.slowest = max(self.slowest, time.monotonic() - begin)


def kill() -> None:
    """An engine dies, and comes back."""
    run("systemctl", "kill", "--signal", "KILL", FIRST)


def freeze() -> None:
    """An engine stops in the middle of everything, and holds its connections."""
    run("systemctl", "kill", "--signal", "STOP", FIRST)


def lie() -> None:
    """An engine answers at once, and wrongly."""
    LIE.touch()


def mend() -> None:
    """End whatever is wrong."""
    LIE.unlink(missing_ok=True)
    subprocess.run(["systemctl", "kill", "--signal", "CONT", FIRST], check=False, capture_output=True)
    run("systemctl", "restart", FIRST)


def main(host: str, key: str) -> None:
    """Do all of it."""
    until(lambda: state(FIRST) == state(SECOND) == "UP", "both engines are there")
    print("fault     requests  right  wrong  failed  detected s  slowest s  back s")
    bad = []
    for fault in (kill, freeze, lie, None):
        with Load(host, key) as load:
            until(lambda: load.answers["right"] > RATE, "requests are answered")
            begin = time.monotonic()
            if fault:
                fault()
                until(lambda: state(FIRST) != "UP", "the fault is seen")
                seen = time.monotonic() - begin
                mend()
                back = until(lambda: state(FIRST) == "UP", "the engine is back")
            else:  # nothing fails: the router gets new settings, four times
                seen = back = 0.0
                for _ in range(4):
                    run("systemctl", "reload", "haproxy")
                    count = sum(load.answers.values())
                    until(lambda: sum(load.answers.values()) > count + RATE, "requests go on")  # noqa: B023
        failed = sum(count for kind, count in load.answers.items() if kind not in ("right", "wrong"))
        name = fault.__name__ if fault else "reload"
        print(
            f"{name:8}  {sum(load.answers.values()):8}  {load.answers['right']:5}  {load.answers['wrong']:5}  {failed:6}"
            f"  {seen:10.2f}  {load.slowest:9.2f}  {back:6.2f}  {dict(load.answers)}", flush=True,
        )  # fmt: skip
        if failed or (load.answers["wrong"] and fault is not lie) or seen > DETECTED_S:
            bad.append(name)
    if bad:
        sys.exit(f"too much: {', '.join(bad)}")


main(sys.argv[1], Path(sys.argv[2]).read_text().strip())
