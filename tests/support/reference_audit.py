"""A second implementation of the trail's rules, for the tests: by docs/reference/audit.md, in gmssl's arithmetic.

It shares no code with dualtrack.security.audit. Slow: a signature takes it a tenth of a second.
"""

from __future__ import annotations

import base64
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from gmssl import sm2, sm3

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}"
LARGEST = 2**63 - 1
MINUTE_NS = 60 * 10**9
SECOND_NS = 10**9
#: Fields in their order: what they are, and (of records) what is left out when it is empty.
RECORD = {
    "n": "from1",
    "t": "from0",
    "kind": "text",
    "source": "text?",
    "body": "text?",
    "raw": "text?",
    "more": "bool?",
}
HEAD = {
    "host": "name", "segment": "from1", "first": "from1", "last": "from1", "before": "hash", "chain": "hash",
    "previous": "hash", "begun": "from0", "ended": "from0", "epoch": "from0", "next_key": "text",
}  # fmt: skip


class Fault(Exception):
    """What is wrong."""


@cache
def hashed(data: bytes) -> str:
    """SM3 in hexadecimal digits."""
    return str(sm3.sm3_hash(list(data)))


def point(pem: str) -> str:
    """The key's x and y: the last 64 bytes of a SubjectPublicKeyInfo."""
    body = "".join(line for line in pem.splitlines() if not line.startswith("-"))
    return base64.b64decode(body)[-64:].hex()


@cache
def signed(pem: str, signature: str, text: bytes) -> bool:
    try:
        judge = sm2.CryptSM2(private_key=None, public_key=point(pem), asn1=True)
        judge.public_key = point(pem)  # gmssl strips each leading 0 and 4 of one that begins with 04: x may, too
        return bool(judge.verify_with_sm3(signature, text))
    except Exception:
        return False


def value_fits(value: Any, kind: str) -> bool:
    match kind.rstrip("?"):
        case "from1" | "from0":
            return type(value) is int and int(kind[4]) <= value <= LARGEST
        case "bool":
            return type(value) is bool
        case "name":
            return isinstance(value, str) and re.fullmatch(NAME, value) is not None
        case "hash":
            return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
        case _:
            return isinstance(value, str)


def parsed(data: bytes, fields: dict[str, str]) -> dict[str, Any]:
    """The fields of a JSON text that is spelled in the one way."""
    try:
        found = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise Fault("no JSON") from None
    if not isinstance(found, dict) or not set(found) <= set(fields):
        raise Fault("fields")
    for name, kind in fields.items():
        if name not in found:
            if not kind.endswith("?"):
                raise Fault(name)
        elif not value_fits(found[name], kind) or (kind.endswith("?") and not found[name]):
            raise Fault(name)
    ordered = {name: found[name] for name in fields if name in found}
    try:
        if json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode() != data:
            raise Fault("spelling")
    except UnicodeEncodeError:
        raise Fault("spelling") from None
    return found


def regular(path: Path) -> bool:
    """Whether a file is one itself: nothing of a trail is a link."""
    return path.is_file() and not path.is_symlink()


def lines(path: Path, longest: int) -> list[bytes]:
    """The whole lines of a file; the last one may be being written."""
    *whole, rest = path.read_bytes().split(b"\n")
    if len(rest) >= longest:
        raise Fault(f"{path.name}: no end of a line")
    return whole


def record_of(line: bytes) -> tuple[dict[str, Any], bytes, str]:
    data, gap, chain = line[:-65], line[-65:-64], line[-64:]
    if gap != b" " or not re.fullmatch(rb"[0-9a-f]{64}", chain):
        raise Fault("record")
    found = parsed(data, RECORD)
    if "raw" in found:
        try:
            plain = base64.b64encode(base64.b64decode(found["raw"], validate=True)).decode() == found["raw"]
        except ValueError:
            plain = False
        if not plain or "body" in found:
            raise Fault("raw")
    return found, data, chain.decode()


class Trail:
    """How far the judging is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "host"
        match = re.fullmatch(f"({NAME})\n".encode(), path.read_bytes() if regular(path) else b"")
        if match is None:
            raise Fault("host")
        self.host = match[1].decode()
        self.chain = hashed(f"dualtrack audit 1\n{self.host}\n".encode())
        self.number, self.time, self.latest = 0, 0, 0

    def records(self, path: Path) -> list[int]:
        """Verify the records of a segment; return their times."""
        times = []
        for line in lines(path, 512 << 10):
            found, data, chain = record_of(line)
            self.number += 1
            self.chain = hashed(bytes.fromhex(self.chain + hashed(data)))
            if chain != self.chain or found["n"] != self.number:
                raise Fault(f"record {self.number}")
            if found["kind"] == "clock" and "source" not in found:
                raise Fault("clock")
            if (found["kind"], found.get("source")) == ("damaged", "audit"):
                raise Fault("damaged")
            if self.time and found["t"] - self.time > 5 * MINUTE_NS:
                raise Fault("silent")
            if found["t"] < self.latest - SECOND_NS:
                raise Fault("clock")
            self.time = self.latest = found["t"]
            times.append(found["t"])
        return times


def verdict(folder: Path, root: bytes) -> list[str]:
    """Say what is wrong with a trail: nothing, or its first fault."""
    try:
        judged(folder, root.decode())
    except Fault as fault:
        return [str(fault)]
    return []


def judged(folder: Path, key: str) -> None:
    trail = Trail(folder)
    present = set()
    segments = folder / "segments"
    if segments.is_symlink() or (segments.exists() and not segments.is_dir()):
        raise Fault("segments is not a directory")
    for path in segments.iterdir() if segments.exists() else ():
        if not re.fullmatch("(?!0{8})[0-9]{8}[.]log", path.name) or not regular(path):
            raise Fault(f"{path.name} is not a segment")
        present.add(path.name)
    previous = hashed(f"dualtrack audit heads 1\n{trail.host}\n".encode())
    epoch, index = 0, 0
    text_of = folder / "heads.log"
    if os.path.lexists(text_of) and not regular(text_of):
        raise Fault("heads.log is not a regular file")
    for index, line in enumerate(lines(text_of, (16 << 10) + 1) if text_of.exists() else [], start=1):
        text, _, signature = line.rpartition(b" ")
        if not re.fullmatch(rb"([0-9a-f]{2})+", signature):
            raise Fault(f"head {index}")
        head = parsed(text, HEAD)
        if head["last"] < head["first"] or not signed(key, signature.decode(), b"dualtrack audit head 1\n" + text):
            raise Fault(f"head {index}")
        goes_on = (index, epoch, previous, trail.chain, trail.number + 1, trail.host)
        if tuple(head[it] for it in ("segment", "epoch", "previous", "before", "first", "host")) != goes_on:
            raise Fault(f"head {index}")
        name = f"{index:08d}.log"
        if name not in present:
            raise Fault(f"segment {index}")
        trail.records(folder / "segments" / name)
        if not (folder / "segments" / name).read_bytes().endswith(b"\n"):
            raise Fault(f"segment {index}")  # nobody writes to it any more
        if (trail.number, trail.chain) != (head["last"], head["chain"]):
            raise Fault(f"segment {index}")
        trail.time = max(trail.time, head["ended"])
        previous = hashed(b"dualtrack audit head 1\n" + text)
        if head["next_key"]:
            key, epoch = head["next_key"], epoch + 1
    if index == 0:
        raise Fault("nothing is signed")
    name = f"{index + 1:08d}.log"
    times = trail.records(folder / "segments" / name) if name in present else []
    if times and max(times) - min(times) > 3 * MINUTE_NS:
        raise Fault("not signed for long")
    if any(int(name[:8]) > index + 1 for name in present):
        raise Fault("a segment without a head")
