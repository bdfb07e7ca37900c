"""Both implementations of the trail's rules over files changed by chance: none accepts what the other refuses."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from dualtrack.crypto import libcrypto
from dualtrack.security.audit import signed_head as heads
from tests.support import reference_audit
from tests.support.attack_helpers import MINUTE, SECOND, both, line

#: `make drill-audit` tries more.
MUTATIONS = 20_000 if os.environ.get("DUALTRACK_WHOLE") else 500


class Mutation:
    """Changes a trail's files in one way, by chance."""

    TEXT = (b" ", b"\n", b"\r", b"\t", b"0", b"-", b"}", b'"', b"\\", b",", b"e", b"A", b"\x00", b"\xff", "é".encode())
    NUMBERS = (0, 1, -1, 2, 13, 14, 2**31, 2**63 - 1, 2**63, 10**30)

    def __init__(self, folder: Path, original: Path, chance: random.Random) -> None:
        self.folder, self.original, self.chance = folder, original, chance
        self.files = [folder / "heads.log", folder / "host", *sorted((folder / "segments").iterdir())]

    def __call__(self) -> str:
        how = self.chance.choice(
            [self.flip, self.insert, self.delete, self.cut, self.repeat, self.swap, self.drop, self.number, self.move,
             self.stranger, self.relink, self.case]
        )  # fmt: skip
        return f"{how.__name__} {how()}"

    def path(self) -> Path:
        return self.chance.choice([it for it in self.files if it.is_file() and it.stat().st_size])

    def at(self) -> tuple[Path, bytes, int]:
        path = self.path()
        data = path.read_bytes()
        return path, data, self.chance.randrange(len(data))

    def flip(self) -> str:
        path, data, at = self.at()
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << self.chance.randrange(8))]) + data[at + 1 :])
        return f"{path.name} {at}"

    def insert(self) -> str:
        path, data, at = self.at()
        text = self.chance.choice(self.TEXT)
        at = self.chance.choice([at, len(data), 0])
        path.write_bytes(data[:at] + text + data[at:])
        return f"{path.name} {at} {text!r}"

    def delete(self) -> str:
        path, data, at = self.at()
        path.write_bytes(data[:at] + data[at + 1 :])
        return f"{path.name} {at}"

    def cut(self) -> str:
        path, data, at = self.at()
        path.write_bytes(data[:at])
        return f"{path.name} {at}"

    def rows(self) -> tuple[Path, list[bytes], int]:
        path = self.path()
        rows = path.read_bytes().splitlines(keepends=True)
        return path, rows, self.chance.randrange(len(rows))

    def repeat(self) -> str:
        path, rows, at = self.rows()
        rows.insert(self.chance.randrange(len(rows) + 1), rows[at])
        path.write_bytes(b"".join(rows))
        return f"{path.name} {at}"

    def swap(self) -> str:
        path, rows, at = self.rows()
        other = self.chance.randrange(len(rows))
        rows[at], rows[other] = rows[other], rows[at]
        path.write_bytes(b"".join(rows))
        return f"{path.name} {at} {other}"

    def drop(self) -> str:
        path, rows, at = self.rows()
        del rows[at]
        path.write_bytes(b"".join(rows))
        return f"{path.name} {at}"

    def number(self) -> str:
        """One of the numbers in a line is another."""
        path, rows, at = self.rows()
        places = [it for it in range(len(rows[at]) - 1) if rows[at][it : it + 1] == b":" and rows[at][it + 1] < 58]
        if places:
            begin = self.chance.choice(places) + 1
            end = begin
            while rows[at][end : end + 1].isdigit():
                end += 1
            rows[at] = rows[at][:begin] + b"%d" % self.chance.choice(self.NUMBERS) + rows[at][end:]
            path.write_bytes(b"".join(rows))
        return f"{path.name} {at}"

    def move(self) -> str:
        one, other = self.path(), self.path()
        data = one.read_bytes()
        self.chance.choice([lambda: other.write_bytes(data), one.unlink])()
        return f"{one.name} {other.name}"

    def stranger(self) -> str:
        name = self.chance.choice(
            ["00000000.log", "00000004.log", "00000009.log", "x", "1.log", "00000003.log.damaged-1"]
        )
        path = self.folder / "segments" / name
        if path.is_dir():  # made by the mutation before this one
            path.rmdir()
        path.unlink(missing_ok=True)
        self.chance.choice([path.mkdir, lambda: path.write_bytes(self.path().read_bytes()), path.touch])()
        return name

    def relink(self) -> str:
        """Records of the segment that is not signed, other ones, each linked to the one before."""
        path = self.folder / "segments/00000003.log"
        text = (self.original / "heads.log").read_bytes().splitlines(keepends=True)[-1]
        head, rows = heads.parse(text)[0], []
        chain, t = bytes.fromhex(head.chain), head.ended
        for n in range(head.last + 1, head.last + self.chance.randrange(2, 9)):
            t += self.chance.choice([0, SECOND, MINUTE, 6 * MINUTE, -SECOND, -2 * SECOND, -6 * MINUTE])
            fields = {"t": t, "kind": self.chance.choice(["sudo", "clock", "damaged", "heartbeat"])}
            fields |= self.chance.choice(
                [{}, {"source": "audit"}, {"source": ""}, {"body": "x"}, {"more": True}, {"raw": "YQ=="}]
            )
            row, chain = line(self.chance.choice([n, n, n, n, n + 1]), chain, **fields)
            rows.append(row)
        path.write_bytes(b"".join(rows))
        return f"{len(rows)}"

    def case(self) -> str:
        path, rows, at = self.rows()
        rows[at] = rows[at][:-40] + rows[at][-40:].upper()
        path.write_bytes(b"".join(rows))
        return f"{path.name} {at}"


@pytest.mark.attack(
    "root on the host", "changes a trail by chance, thousands of times", "found", "audit verify, and a second reader"
)
def test_both_implementations_refuse_the_same(
    written: Path, root: bytes, tmp_path: Path, chance: random.Random
) -> None:
    accepted = 0
    for number in range(MUTATIONS):
        folder = Path(shutil.copytree(written, tmp_path / f"{number}"))
        how = [Mutation(folder, written, chance)() for _ in range(chance.choice([1, 1, 1, 2]))]
        report, fault = both(folder, root)
        fine = report is not None and not report.findings
        assert fine == (not fault), f"{how}: {report}, {fault}"
        accepted += fine
        shutil.rmtree(folder)
    print(f"{MUTATIONS} mutations, {accepted} accepted by both: nothing that is signed has changed")
    assert accepted < MUTATIONS / 4


def test_the_second_reader_reads_every_key() -> None:
    """One in 256 begins with the byte by which gmssl knows an uncompressed point."""
    key = next(it for it in iter(libcrypto.generate, None) if it.point[1] == 4)
    assert reference_audit.signed(key.pem().decode(), key.sign(b"head").hex(), b"head")
