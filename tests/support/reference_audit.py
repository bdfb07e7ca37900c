"""A second implementation of the trail's rules, for the tests: by docs/formats/audit.md, in gmssl's arithmetic.

It shares no code with dualtrack.audit. Slow: a signature takes it a tenth of a second.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from gmssl import sm2, sm3


def hashed(data: bytes) -> str:
    """SM3 in hexadecimal digits."""
    return str(sm3.sm3_hash(list(data)))


def point(pem: str) -> str:
    """The key's x and y: the last 64 bytes of a SubjectPublicKeyInfo."""
    body = "".join(line for line in pem.splitlines() if not line.startswith("-"))
    return base64.b64decode(body)[-64:].hex()


def verdict(folder: Path, root: bytes) -> list[str]:
    """Say what is wrong with the signed part of a trail: nothing, or its first fault."""
    host = (folder / "host").read_text().strip()
    chain = hashed(f"dualtrack audit 1\n{host}\n".encode())
    previous = hashed(f"dualtrack audit heads 1\n{host}\n".encode())
    key, epoch, number = root.decode(), 0, 0
    for index, line in enumerate((folder / "heads.log").read_text().splitlines(), start=1):
        text, signature = line.rsplit(" ", 1)
        head = json.loads(text)
        judge = sm2.CryptSM2(private_key=None, public_key=point(key), asn1=True)
        if not judge.verify_with_sm3(signature, b"dualtrack audit head 1\n" + text.encode()):
            return [f"head {index}"]
        if (head["segment"], head["epoch"], head["previous"], head["before"]) != (index, epoch, previous, chain):
            return [f"head {index}"]
        for row in (folder / f"segments/{index:08d}.log").read_text().splitlines():
            data, found = row.rsplit(" ", 1)
            number += 1
            chain = hashed(bytes.fromhex(chain + hashed(data.encode())))
            if chain != found or json.loads(data)["n"] != number:
                return [f"record {number}"]
        if (number, chain) != (head["last"], head["chain"]):
            return [f"segment {index}"]
        previous = hashed(b"dualtrack audit head 1\n" + text.encode())
        if head.get("next_key"):
            key, epoch = head["next_key"], epoch + 1
    return []
