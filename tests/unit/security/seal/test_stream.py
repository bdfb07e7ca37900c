"""Streams and ranges: every size comes back, however it is read; memory is bounded; the counter does not wrap."""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtrack.core.errors import BadInput, Refused
from dualtrack.crypto import kdf, libcrypto
from dualtrack.crypto.sizes import TAG
from dualtrack.security.seal import blob, chunks, stream
from dualtrack.security.seal.chunks import START, Layout, nonce, sealed_size
from dualtrack.security.seal.errors import Damaged, SealError
from dualtrack.security.seal.pipeline import ordered, window
from dualtrack.security.seal.reader import SealedFile
from dualtrack.security.seal.slots import Sm2Identity, Sm2Recipient

CHUNK = 4096
KEY = kdf.PayloadKey(bytes(range(16)), b"prefix7")
#: Sizes around the borders of chunks, where off-by-one lives.
sizes = st.one_of(
    st.integers(0, 40000),
    st.builds(lambda n, d: max(0, n * CHUNK + d), st.integers(0, 8), st.sampled_from([-17, -16, -1, 0, 1, 16, 17])),
)
quick = settings(deadline=None, max_examples=60)
ALICE = libcrypto.generate()


def sealed(content: bytes, step: int = 1 << 30, threads: int = 2) -> bytes:
    out = bytearray()
    assert stream.seal(dripping(content, step), out.extend, KEY, CHUNK, threads=threads) == len(content)
    return bytes(out)


def unsealed(data: bytes, step: int = 1 << 30, threads: int = 2) -> bytes:
    with stream.unseal(dripping(data, step), KEY, CHUNK, threads=threads) as pieces:
        return b"".join(bytes(piece) for piece in pieces)


def dripping(data: bytes, step: int) -> stream.Read:
    """Read as from a pipe: never more than ``step`` bytes at a time."""
    whole = blob.reading(data)
    return lambda view: whole(view[:step])


@quick
@given(size=sizes, step=st.sampled_from([7, 1000, 4096, 5000, 1 << 30]), threads=st.integers(1, 4))
def test_every_size_comes_back(size: int, step: int, threads: int) -> None:
    content = secrets.token_bytes(size)
    data = sealed(content, max(step, size // 50), threads)
    assert len(data) == sealed_size(size, CHUNK) - START
    assert unsealed(data, max(step, size // 50), threads) == content


@quick
@given(size=sizes, data=st.data())
def test_any_one_flipped_bit_is_found_and_only_what_is_before_it_released(size: int, data: st.DataObject) -> None:
    content = secrets.token_bytes(size)
    whole = bytearray(sealed(content))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    out = bytearray()

    def release() -> None:
        with stream.unseal(blob.reading(bytes(whole)), KEY, CHUNK) as pieces:
            for piece in pieces:
                out.extend(piece)

    with pytest.raises(SealError) as caught:
        release()
    assert caught.value.chunk == place // (CHUNK + TAG)
    assert out == content[: caught.value.chunk * CHUNK]


@quick
@given(size=sizes, data=st.data())
def test_any_cut_is_found(size: int, data: st.DataObject) -> None:
    whole = sealed(secrets.token_bytes(size))
    with pytest.raises(Damaged):
        unsealed(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    content = secrets.token_bytes(5 * CHUNK + 100)
    path = tmp_path_factory.mktemp("reader") / "sealed"
    path.write_bytes(blob.seal(content, [Sm2Recipient(ALICE)], exponent=12))
    return path, content


def test_any_range_reads_as_the_content_does(file: tuple[Path, bytes]) -> None:
    path, content = file
    with SealedFile(path, [Sm2Identity(ALICE)]) as opened:
        assert opened.size == len(content)

        @quick
        @given(offset=st.integers(0, len(content)), length=st.integers(0, len(content)))
        def check(offset: int, length: int) -> None:
            if offset + length > len(content):
                with pytest.raises(BadInput):
                    opened.read(offset, length)
            else:
                assert opened.read(offset, length) == content[offset : offset + length]

        check()


def test_a_range_reads_no_more_than_it_must(file: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    path, content = file
    with SealedFile(path, [Sm2Identity(ALICE)]) as opened:
        read: list[int] = []
        into = SealedFile._read_into
        monkeypatch.setattr(
            SealedFile, "_read_into", lambda self, view, place: (read.append(len(view)), into(self, view, place))[1]
        )
        assert opened.read(CHUNK - 1, 2) == content[CHUNK - 1 : CHUNK + 1]
    assert read == [CHUNK + TAG] * 2


def test_a_piece_that_is_kept_too_long_is_an_error_and_not_other_bytes(file: tuple[Path, bytes]) -> None:
    path, content = file
    with SealedFile(path, [Sm2Identity(ALICE)]) as opened, opened.pieces(10, 3 * CHUNK) as pieces:
        kept = list(pieces)
        with pytest.raises(ValueError, match="released"):
            bytes(kept[0])
    with stream.unseal(blob.reading(sealed(content)), KEY, CHUNK) as pieces:
        kept = list(pieces)
        with pytest.raises(ValueError, match="released"):
            bytes(kept[0])


def test_a_reader_that_stops_early_leaves_no_threads(file: tuple[Path, bytes]) -> None:
    path, _ = file
    before = threading.active_count()
    with SealedFile(path, [Sm2Identity(ALICE)]) as opened, opened.pieces(0, opened.size) as pieces:
        assert next(pieces)
        assert threading.active_count() > before
    assert threading.active_count() == before


def test_a_cut_file_is_found_by_who_reads_its_beginning(file: tuple[Path, bytes], tmp_path: Path) -> None:
    path, _ = file
    for size in (START + 3 * (CHUNK + TAG), START + 3 * (CHUNK + TAG) + 5, START):
        cut = tmp_path / "cut"
        cut.write_bytes(path.read_bytes()[:size])
        with pytest.raises(Damaged, match="the end is missing"):
            SealedFile(cut, [Sm2Identity(ALICE)])


def test_the_counter_does_not_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nonce(b"prefix7", chunks.MAX_CHUNKS - 1, True).hex().endswith("ffffffff01")
    for index in (chunks.MAX_CHUNKS, -1):
        with pytest.raises(Refused, match="counter"):
            nonce(b"prefix7", index, False)
    monkeypatch.setattr(chunks, "MAX_CHUNKS", 3)
    unsealed(sealed(bytes(3 * CHUNK)))
    with pytest.raises(Refused):
        sealed(bytes(3 * CHUNK + 1))
    monkeypatch.undo()
    data = sealed(bytes(3 * CHUNK + 1))
    monkeypatch.setattr(chunks, "MAX_CHUNKS", 3)
    with pytest.raises(Refused):
        unsealed(data)


@quick
@given(size=sizes)
def test_the_layout_agrees_with_the_writer(size: int) -> None:
    layout = Layout(CHUNK, sealed_size(size, CHUNK))
    assert layout.size == size
    assert sum(layout.place(index)[1] for index in range(layout.count)) == layout.total - START


def test_work_in_order_is_bounded_and_not_held_back() -> None:
    begun: list[int] = []
    taken = 0

    def source() -> object:
        for number in range(50):
            assert number - taken <= 4
            begun.append(number)
            yield number

    def work(number: int) -> int:
        time.sleep(0.002 if number % 7 == 0 else 0)
        return number * number

    for number, result in enumerate(ordered(source(), work, threads=3, ahead=4)):  # type: ignore[arg-type]
        assert result == number * number
        taken += 1
    assert taken == 50
    assert window(2, 1 << 20) == 4
    assert window(64, 4 << 20) == 4
    assert window(1, 64 << 20) == 2


def test_an_error_comes_in_its_turn() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ValueError(number)
        time.sleep(0.005)
        return number

    got: list[int] = []
    with pytest.raises(ValueError, match="3"):
        got.extend(ordered(range(10), work, threads=4, ahead=8))
    assert got == [0, 1, 2]
