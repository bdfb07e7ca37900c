"""Long prompts are read while gateways' probes are answered: probes.py PORT KEY-FILE MODEL PID, on the engine's host.

Prints one line: how many probes were answered beside the prompts, and how long one waits that is asked of the engine
itself. Fails where a probe is not answered rightly in the longest time that gateways may give it (10 s; a shared
machine is slow), or where it is while the engine, the process PID, is frozen.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from http.client import HTTPResponse
from pathlib import Path

PORT, KEY, MODEL, PID = sys.argv[1], Path(sys.argv[2]).read_text().strip(), sys.argv[3], int(sys.argv[4])
PROBE = {"model": MODEL, "prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
WAIT_S = 10


def ask(path: str, body: object = None) -> str:
    """Ask the engine and return what it says."""
    wanted = urllib.request.Request(
        f"http://127.0.0.1:{PORT}{path}", json.dumps(body).encode() if body else None,
        {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(wanted, timeout=300) as answer:
        return str(answer.read().decode())


def probe() -> tuple[int, str]:
    """Ask as gateways do, by the host's HAProxy, and return the status and the answer."""
    body = json.dumps(PROBE).encode()
    head = f"Host: engine\r\nAuthorization: Bearer {KEY}\r\nPrefer: wait={WAIT_S}\r\nContent-Length: {len(body)}"
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(WAIT_S)
        link.connect(f"/run/dualtrack-engines/probes/{PORT}.sock")
        link.sendall(f"POST /v1/completions HTTP/1.1\r\n{head}\r\n\r\n".encode() + body)
        answer = HTTPResponse(link)
        answer.begin()
        return answer.status, answer.read().decode()


def right() -> bool:
    """Return whether a probe is answered rightly."""
    status, text = probe()
    return status == 200 and "Paris" in text


def beside_prompts() -> None:
    """Have the engine read three long prompts, and ask it beside them."""
    failed, took = [], []

    def read(number: int) -> None:
        try:
            ask(
                "/v1/completions",
                {"model": MODEL, "prompt": f"{number} {time.time_ns()} " + "word " * 950, "max_tokens": 1},
            )
        except OSError as error:
            failed.append(error)

    def itself() -> None:
        began = time.monotonic()
        ask("/v1/completions", PROBE)
        took.append(time.monotonic() - began)

    readers = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    for reader in readers:
        reader.start()
    while "llamacpp:requests_processing 3\n" not in ask("/metrics") and any(it.is_alive() for it in readers):
        time.sleep(0.02)
    other = threading.Thread(target=itself)
    other.start()
    count = 0
    while any(it.is_alive() for it in readers):
        assert right(), "a probe is not answered rightly while prompts are read"
        count += 1
    other.join()
    assert not failed, failed
    print(f"{count} probes were answered in time; the engine itself took {took[0]:.1f} s for one")


def frozen() -> None:
    """Stop the process, ask, and have it continue."""
    os.kill(PID, signal.SIGSTOP)
    try:
        assert not right()
        sys.exit("a frozen engine's probe is answered, if wrongly")
    except TimeoutError:
        pass
    finally:
        os.kill(PID, signal.SIGCONT)
    assert right()


assert right()
beside_prompts()
frozen()
