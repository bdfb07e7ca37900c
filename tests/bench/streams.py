"""Streams from a model, some at once: how many tokens a second they bring. It runs on hosts, too, by Python alone.

Reads what to ask as JSON on stdin, and the key from a file where it is run on a host.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit


def one(given: dict[str, Any]) -> int:
    """Stream one answer of a fixed length; return its events with text, which are its tokens."""
    url = urlsplit(given["url"])
    if given["ca"]:
        trusted = ssl.create_default_context(cafile=given["ca"])
        link: http.client.HTTPConnection = http.client.HTTPSConnection(
            url.hostname, url.port, context=trusted, timeout=600
        )
    else:
        link = http.client.HTTPConnection(url.hostname or "", url.port, timeout=600)
    body = {
        "model": given["model"], "prompt": "Once upon a time", "max_tokens": given["tokens"], "ignore_eos": True,
        "stream": True, "temperature": 0,
    }  # fmt: skip
    link.request("POST", "/v1/completions", json.dumps(body), {"Authorization": f"Bearer {given['key']}"})
    answer = link.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {answer.read()[:200]!r}")
    count = sum(line.startswith(b"data: {") for line in answer)
    link.close()
    return count


def rate(given: dict[str, Any]) -> float:
    """Return tokens a second of all streams together."""
    begin = time.monotonic()
    with ThreadPoolExecutor(given["at_once"]) as pool:
        tokens = sum(pool.map(lambda _: one(given), range(given["streams"])))
    return tokens / (time.monotonic() - begin)


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    with open(sys.argv[1]) as file:  # noqa: PTH123 - as on any host
        asked["key"] = file.read().strip()
    print(rate(asked))
