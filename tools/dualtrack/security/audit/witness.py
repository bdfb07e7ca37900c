"""A witness: co-signs the heads of other hosts, each segment of a host once, whatever is done to it and to them.

    key.pem          its private key; witness.pem the public half, which is registered elsewhere
    seen.log         what it says, a line of JSON each: on the disk before anything of it is signed
    statements.log   the same with signatures, to be given away

What is in seen.log and not in statements.log was cut off by a crash and is signed again, the same bytes. A witness
whose seen.log is gone, or ends before its statements do, has forgotten what it signed, and signs nothing more.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.core.append_log import append, recovered
from dualtrack.core.errors import BadInput, Refused
from dualtrack.core.files import hold, make_folder, open_own, sync_path, write_atomically
from dualtrack.crypto import libcrypto
from dualtrack.security.audit import cosignature, keys, witness_log
from dualtrack.security.audit.cosignature import Found, Known
from dualtrack.security.audit.layout import Place
from dualtrack.security.audit.witness_log import Statement

#: Shows the heads of a host from a segment on, and those of earlier segments that have more than one: their lines.
Shown = Callable[[str, int], Sequence[bytes]]
#: Findings that are kept of a host: after so many nobody needs another one, and a host could fill the disk.
MOST = 100
#: Seconds after which a head that was not shown is asked for again, before that is a finding.
AGAIN_S = 2.0


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one host in one round: how far it is co-signed, how many heads were new, and new findings."""

    host: str
    segment: int
    signed: int
    found: tuple[Found, ...]


def begin(folder: Path, name: str) -> libcrypto.PublicKey:
    """Make a witness in a new directory; return the key to register with whoever verifies."""
    if folder.exists() and any(folder.iterdir()):
        raise Refused(f"{folder} is not empty", hint="a witness begins once; another one takes another directory")
    if not name or "\n" in name or len(name) > 253:
        raise BadInput(f"{name!r} is not a name of a witness")
    # Whole or not there: half a witness looks like one that has forgotten.
    draft = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)  # left by a power cut, of a process with the same number
    make_folder(draft)
    key = keys.new(draft / "key.pem")
    write_atomically(draft / "witness.pem", key.pem())
    first = Statement(
        n=1, previous=witness_log.none(name), at=time.time_ns(), kind="begun", host=name, key=key.pem().decode()
    )
    write_atomically(draft / "seen.log", witness_log.encode(first) + b"\n", mode=0o600)
    sync_path(draft)
    draft.replace(folder)
    sync_path(folder.parent)
    return key


def registered(folder: Path) -> list[tuple[str, bytes]]:
    """Return the hosts in a directory of registered keys, and the keys (PEM); BadInput where there are none."""
    found = [(path.stem, path.read_bytes()) for path in sorted(folder.glob("*.pem"))]
    if not found:
        raise BadInput(f"{folder} holds no registered keys", hint="HOST.pem, as `dualtrack audit init` printed it")
    return found


def carried(folder: Path) -> Shown:
    """Return what shows the heads in copies of `heads.log`: HOST/heads.log in a directory."""

    def shown(host: str, since: int) -> list[bytes]:
        found, none = list[tuple[int, bytes]](), 0
        for text in Place(folder / host).head_lines():
            if text.endswith(b"\n"):
                found.append((cosignature.segment_of(text), text))
                none += not found[-1][0]
            if none > MOST:  # nothing behind so much that is not a head is worth reading
                break
        twice = {number for number, count in Counter(number for number, _ in found).items() if count > 1}
        return [text for number, text in found if number >= since or number in twice]

    return shown


class Witness:
    """The one who writes a witness's directory; a context manager. ``known`` is how far each host is co-signed."""

    known: dict[str, Known]
    _found: dict[str, set[tuple[str, int, str]]]
    _count: int  # statements that were made, and the last one's digest
    _previous: str

    def __init__(self, folder: Path, *, clock: Callable[[], int] = time.time_ns) -> None:
        self.folder, self.clock = folder, clock
        self._seen, self._said = folder / "seen.log", folder / "statements.log"
        self.known, self._found = {}, {}
        if not os.path.lexists(folder / "key.pem"):
            raise BadInput(f"{folder} holds no witness", hint="dualtrack audit witness DIR --begin")
        self._lock = hold(folder / "lock", "another process is this witness")
        try:
            self.key = keys.load(folder / "key.pem")
            self._recover()
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Witness:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def register_host(self, host: str, root: bytes) -> None:
        """Take a host on, by its registered key; Refused where that differs from the one before."""
        known = self.known.get(host) or cosignature.start(host, root)
        if libcrypto.public_key(root).point != libcrypto.public_key(known.keys[0][1].encode()).point:
            raise Refused(f"the registered key of {host} differs from the one before", hint="who changed it, and why?")
        self.known[host] = known

    def round(self, host: str, shown: Shown, *, pause: Callable[[float], object] = time.sleep) -> Round:
        """Co-sign what is new of a host, and keep what was found; ``shown`` is asked until there is nothing new."""
        signed, found, asked = 0, list[Found](), 0
        while True:
            known = self.known[host]
            texts = shown(host, known.segment)
            verdict = cosignature.consider(known, texts, now=self.clock(), earlier=self._earlier(known, texts))
            if not asked and any(it.what == "rolled back" for it in verdict.found):
                asked, _ = 1, pause(AGAIN_S)  # a copy of the store may be a second behind another
                continue
            fresh = [it for it in verdict.found if self._is_new(host, it)]
            self._say(host, verdict, fresh)
            signed, found = signed + len(verdict.heads), found + fresh
            if not verdict.heads:
                return Round(host=host, segment=self.known[host].segment, signed=signed, found=tuple(found))

    def _is_new(self, host: str, found: Found) -> bool:
        known, it = self._found.setdefault(host, set()), (found.what, found.segment, found.digest)
        if it in known or len(known) >= MOST:
            return False
        known.add(it)
        return True

    def _earlier(self, known: Known, texts: Sequence[bytes]) -> dict[int, str]:
        """Return what was co-signed of the segments before the last one that are shown; empty, and cheap, for none."""
        wanted = {number for it in texts if 0 < (number := cosignature.segment_of(it)) < known.segment}
        if not wanted:
            return {}
        with os.fdopen(open_own(self.folder, self._seen.name), "rb") as file:  # no link is followed
            said = (witness_log.decode(text.rstrip(b"\n")) for text in file)
            return {it.segment: it.digest for it in said
                    if it.kind == "head" and it.host == known.host and it.segment in wanted}  # fmt: skip

    def _say(self, host: str, verdict: cosignature.Verdict, found: Sequence[Found]) -> None:
        now, root = self.clock(), verdict.known.keys[0][1]
        said: list[dict[str, Any]] = [
            {
                "kind": "head", "host": host, "segment": head.segment, "digest": digest, "last": head.last,
                "chain": head.chain, "ended": head.ended, "epoch": head.epoch, "key": head.next_key,
            }
            for head, digest in verdict.heads
        ]  # fmt: skip
        if said and said[0]["segment"] == 1:
            said.insert(0, {"kind": "host", "host": host, "key": root})
        said += [{"kind": "finding", "host": host, "segment": it.segment, "digest": it.digest, "what": it.what,
                  "evidence": it.evidence} for it in found]  # fmt: skip
        if not said:
            return
        whole = []
        for fields in said:
            data = witness_log.encode(Statement(n=self._count + 1, previous=self._previous, at=now, **fields))
            self._count, self._previous = self._count + 1, witness_log.digest(data)
            whole.append(data)
        append(self._seen, [data + b"\n" for data in whole])
        append(self._said, [self._signed(data) for data in whole], 0o644)
        self.known[host] = verdict.known

    def _signed(self, data: bytes) -> bytes:
        return witness_log.line(data, self.key.sign(witness_log.signed(data)))

    # --- after a start

    def _recover(self) -> None:
        """Read what was said; sign what a crash cut off. Refused where something is forgotten."""
        self._count, self._previous = 0, ""
        missing: list[bytes] = []
        for data, said in itertools.zip_longest(_whole(self._seen), _whole(self._said)):
            if data is None:
                raise self._forgotten("it signed more than it knows of")
            data = data.rstrip(b"\n")
            if said is not None and (missing or said.rpartition(b" ")[0] != data):
                raise self._forgotten(f"statement {self._count + 1} differs from what it signed")
            if said is None:
                missing.append(data)
            self._learn(data)
        if not self._count:
            raise self._forgotten("seen.log is gone or empty")
        sync_path(self._seen)  # a killed witness may have left what is not on the disk yet
        append(self._said, [self._signed(data) for data in missing], 0o644)

    def _learn(self, data: bytes) -> None:
        it = witness_log.decode(data)
        if self._count == 0:
            if it.kind != "begun" or it.key != self.key.pem().decode() or it.previous != witness_log.none(it.host):
                raise self._forgotten("its first statement is not the one that it began with")
        elif it.previous != self._previous:
            raise self._forgotten(f"statement {it.n} does not follow on the one before it")
        self._count, self._previous = self._count + 1, witness_log.digest(data)
        if it.n != self._count:
            raise self._forgotten(f"statement {it.n} stands in the place of {self._count}")
        if it.kind == "host":
            self.known[it.host] = cosignature.start(it.host, it.key.encode())
        elif it.kind == "head":
            self.known[it.host] = cosignature.after(
                self.known[it.host], segment=it.segment, digest=it.digest, last=it.last, chain=it.chain, key=it.key
            )
        elif it.kind == "finding":
            self._found.setdefault(it.host, set()).add((it.what, it.segment, it.digest))

    def _forgotten(self, why: str) -> Refused:
        return Refused(
            f"the witness in {self.folder} has forgotten what it signed: {why}",
            hint="it signs nothing more: find out who changed it, and begin another one with another key",
        )


def _whole(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file; a last one that is not whole is taken off: nothing of it was signed or given away."""
    if os.path.lexists(path):
        yield from recovered(open_own(path.parent, path.name, os.O_RDWR))
