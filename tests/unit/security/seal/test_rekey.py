"""Rekeying: the content stays where it is, and a crash at any point leaves a file that opens."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.crypto import libcrypto
from dualtrack.security.seal import actions, blob, rekey
from dualtrack.security.seal.chunks import COPY, START
from dualtrack.security.seal.errors import Damaged, NotOpened, SealError
from dualtrack.security.seal.header import MAX_GENERATION
from dualtrack.security.seal.slots import Passphrase, Sm2Identity, Sm2Recipient
from dualtrack.security.seal.unwrap import Opened, closed, open_header, renewed

ALICE, BOB, CAROL = (libcrypto.generate() for _ in range(3))
CONTENT = secrets.token_bytes(3000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "sealed"
    path.write_bytes(blob.seal(CONTENT, [Sm2Recipient(ALICE)]))
    return path


def opens(data: bytes, key: libcrypto.PrivateKey) -> bool:
    try:
        return blob.unseal(data, [Sm2Identity(key)]) == CONTENT
    except SealError:
        return False


def test_only_the_header_changes_and_only_the_new_key_opens(path: Path) -> None:
    before = path.read_bytes()
    rekey.rekey(path, [Sm2Identity(ALICE)], [Sm2Recipient(BOB), Sm2Recipient(CAROL)])
    after = path.read_bytes()
    assert after[START:] == before[START:]
    assert [opens(after, key) for key in (ALICE, BOB, CAROL)] == [False, True, True]
    assert actions.show(path).generation == 2
    assert actions.verify(str(path), [Sm2Identity(BOB)], lambda _: None).ok


def test_to_a_passphrase_and_back(path: Path) -> None:
    words = Passphrase(b"correct horse battery")
    rekey.rekey(path, [Sm2Identity(ALICE)], [words])
    rekey.rekey(path, [words], [Sm2Recipient(ALICE)])
    assert opens(path.read_bytes(), ALICE)
    with pytest.raises(NotOpened):
        blob.unseal(path.read_bytes(), [words])


@pytest.mark.parametrize("damaged", [None, 0, 1], ids=["both-whole", "first-damaged", "second-damaged"])
def test_a_crash_anywhere_leaves_a_file_that_opens(path: Path, damaged: int | None) -> None:
    """Torn at every sector and at odd places, each copy in turn, also when one copy was bad to begin with."""
    data = bytearray(path.read_bytes())
    if damaged is not None:
        data[damaged * COPY : (damaged + 1) * COPY] = bytes(COPY)
    old = open_header(bytes(data[:START]), [Sm2Identity(ALICE)])
    writes: list[tuple[bytes, int]] = []
    rekey.replace_copies(lambda copy, place: writes.append((copy, place)), renewed(old, [Sm2Recipient(BOB)]))
    assert len(writes) == 4
    seen = set()
    for number, (copy, place) in enumerate(writes):
        for cut in [*range(0, COPY + 1, 512), 1, 13, 33, 100, *range(COPY - 33, COPY)]:
            torn = bytearray(data)
            for done, there in writes[:number]:
                torn[there : there + COPY] = done
            torn[place : place + cut] = copy[:cut]
            state = (opens(bytes(torn), ALICE), opens(bytes(torn), BOB))
            assert any(state), f"write {number} torn after {cut} bytes"
            seen.add(state)
    assert (False, True) in seen
    assert (True, False) in seen


def test_a_rekey_that_was_cut_short_is_seen_and_finished_by_the_next(path: Path) -> None:
    data = path.read_bytes()
    old = open_header(data[:START], [Sm2Identity(ALICE)])
    path.write_bytes(data[:COPY] + closed(renewed(old, [Sm2Recipient(BOB)])) + data[START:])
    check = actions.verify(str(path), [Sm2Identity(BOB)], lambda _: None)
    assert (check.ok, check.reason) == (False, "header")
    rekey.rekey(path, [Sm2Identity(BOB)], [Sm2Recipient(BOB)])
    assert actions.verify(str(path), [Sm2Identity(BOB)], lambda _: None).ok
    assert not opens(path.read_bytes(), ALICE)


@pytest.mark.parametrize("sectors", range(1, 255, 7))
def test_a_disk_may_write_the_sectors_of_a_copy_in_any_order(path: Path, sectors: int) -> None:
    data = path.read_bytes()
    many = [Sm2Recipient(libcrypto.generate()) for _ in range(24)]  # up to the last sector
    for start in (data, rekeyed(data, [Sm2Recipient(ALICE), *many])):
        old = open_header(start[:START], [Sm2Identity(ALICE)])
        writes: list[tuple[bytes, int]] = []
        rekey.replace_copies(
            lambda copy, place, to=writes: to.append((copy, place)), renewed(old, [Sm2Recipient(BOB), *many])
        )
        for number, (copy, place) in enumerate(writes):
            torn = bytearray(start)
            for done, there in writes[:number]:
                torn[there : there + COPY] = done
            for sector in range(8):
                if sectors >> sector & 1:
                    torn[place + 512 * sector : place + 512 * sector + 512] = copy[512 * sector : 512 * sector + 512]
            assert opens(bytes(torn), ALICE) or opens(bytes(torn), BOB), (number, sectors)


def rekeyed(data: bytes, to: list[Sm2Recipient]) -> bytes:
    return closed(renewed(open_header(data[:START], [Sm2Identity(ALICE)]), to)) * 2 + data[START:]


@pytest.mark.parametrize("number", [0, 1])
def test_two_whole_headers_of_one_generation_are_refused(path: Path, number: int) -> None:
    """With another data key in it the second opens to another content, for whoever has its key."""
    data = bytearray(path.read_bytes())
    data[number * COPY : (number + 1) * COPY] = blob.seal(b"another content", [Sm2Recipient(BOB)])[:COPY]
    for key in (ALICE, BOB):
        with pytest.raises(Damaged, match="for others it may open to another content"):
            open_header(bytes(data[:START]), [Sm2Identity(key)])
    path.write_bytes(data)
    with pytest.raises(Damaged):
        rekey.rekey(path, [Sm2Identity(ALICE)], [Sm2Recipient(ALICE)])
    with pytest.raises(Damaged):
        actions.verify(str(path), [Sm2Identity(ALICE)], lambda _: None)
    assert path.read_bytes() == data


def test_two_at_a_time_are_refused(path: Path) -> None:
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Refused, match="somebody else"):
            rekey.rekey(path, [Sm2Identity(ALICE)], [Sm2Recipient(BOB)])


def test_a_wrong_key_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(NotOpened):
        rekey.rekey(path, [Sm2Identity(BOB)], [Sm2Recipient(BOB)])
    with pytest.raises(BadInput, match="nobody"):
        rekey.rekey(path, [Sm2Identity(ALICE)], [])
    with pytest.raises(BadInput, match="twice"):
        rekey.rekey(path, [Sm2Identity(ALICE)], [Sm2Recipient(BOB), Sm2Recipient(BOB)])
    assert path.read_bytes() == before


def test_a_failing_disk_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pwrite", broken)
    with pytest.raises(External, match="old keys or the new"):
        rekey.rekey(path, [Sm2Identity(ALICE)], [Sm2Recipient(BOB)])


def test_generations_do_not_wrap(path: Path) -> None:
    from dataclasses import replace

    old = open_header(path.read_bytes()[:START], [Sm2Identity(ALICE)])
    last = Opened(replace(old.header, generation=MAX_GENERATION), old.data_key, 0, True)
    with pytest.raises(Refused):
        renewed(last, [Sm2Recipient(BOB)])
