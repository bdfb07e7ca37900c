"""Asks a gateway's address five times a second until a file is there; prints for how long nobody answered.

pair.py ADDRESS KEY-FILE END-FILE     a JSON object: right answers, and each silence of more than a second, in seconds
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time
from pathlib import Path

SILENCE_S = 1.0


def main(address: str, key: str, end: Path) -> None:
    """Ask on a new connection each time, as somebody who comes does."""
    tls = ssl.create_default_context(cafile="/root/ca.pem")
    right, silences, last = 0, [], time.monotonic()
    while not end.exists():
        link = http.client.HTTPSConnection(address, context=tls, timeout=2)
        try:
            body = json.dumps(
                {"model": "smollm2", "prompt": "The capital of France is", "max_tokens": 1, "temperature": 0}
            )
            link.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {key}"})
            answer = link.getresponse()
            answer.read()
            if answer.status == 200:
                now = time.monotonic()
                if right and now - last > SILENCE_S:
                    silences.append(round(now - last, 1))
                right, last = right + 1, now
        except (OSError, http.client.HTTPException):
            pass
        finally:
            link.close()
        time.sleep(0.2)
    print(json.dumps({"right": right, "silences_s": silences}), flush=True)


main(sys.argv[1], Path(sys.argv[2]).read_text().strip(), Path(sys.argv[3]))
