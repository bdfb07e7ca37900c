"""Mutations of the verifier: without any one of its checks, some vector slips through. So each check is needed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.crypto import kdf, sm4
from dualtrack.crypto.sm4 import Gcm
from dualtrack.security.seal import actions, archive, chunks, header, links, slots, stream, unwrap
from dualtrack.security.seal.pipeline import Piece
from tests.support import seal_vectors

_, _, VECTORS = seal_vectors.load()
NAMED = {vector.name: vector for vector in VECTORS}
Patch = pytest.MonkeyPatch


class Blind:
    """A cipher that decrypts, and never looks at the tag."""

    def __init__(self, key: bytes) -> None:
        self._gcm = _gcm(key)

    def open(self, nonce: bytes, data: bytearray, size: int) -> bool:
        self._gcm.seal(nonce, data, size)  # counter mode: the same as decrypting
        return True

    def seal(self, nonce: bytes, data: bytearray, size: int) -> None:
        self._gcm.seal(nonce, data, size)

    def close(self) -> None:
        self._gcm.close()


_gcm = sm4.gcm


def no_tags(patch: Patch) -> None:
    patch.setattr(sm4, "gcm", Blind)


def no_final_flag(patch: Patch) -> None:
    def verify(gcm: Gcm, prefix: bytes, chunk: int, piece: Piece) -> None:
        size = piece.size - chunks.TAG
        for final in (False, True):
            if size >= 0 and gcm.open(chunks.nonce(prefix, piece.index, final), piece.data, size):
                return
        raise stream.damage(piece.index, chunk)

    patch.setattr(stream, "open_piece", verify)


def no_counter(patch: Patch) -> None:
    def verify(gcm: Gcm, prefix: bytes, chunk: int, piece: Piece) -> None:
        size = piece.size - chunks.TAG
        for index in range(4):
            if size >= 0 and gcm.open(chunks.nonce(prefix, index, piece.final), piece.data, size):
                return
        raise stream.damage(piece.index, chunk)

    patch.setattr(stream, "open_piece", verify)


def no_rule_for_empty_chunks(patch: Patch) -> None:
    def verify(gcm: Gcm, prefix: bytes, chunk: int, piece: Piece) -> None:
        if not gcm.open(chunks.nonce(prefix, piece.index, piece.final), piece.data, piece.size - chunks.TAG):
            raise stream.damage(piece.index, chunk)

    patch.setattr(stream, "open_piece", verify)


def no_header_mac(patch: Patch) -> None:
    patch.setattr(kdf, "mac_is", lambda *_: True)


def no_binding_of_the_header(patch: Patch) -> None:
    bound = kdf.payload_key

    def unbound(data_key: bytes, immutable: bytes) -> kdf.PayloadKey:
        return bound(data_key, immutable[:9] + b"\0" + immutable[10:])  # as if the kind of content were left out

    patch.setattr(kdf, "payload_key", unbound)


def no_look_at_what_must_be_zero(patch: Patch) -> None:
    class Anything(bytes):
        def __ne__(self, other: object) -> bool:
            return False

        __hash__ = bytes.__hash__

    encode = header.encode
    patch.setattr(header, "encode", lambda found: Anything(encode(found)))


def no_bounds_for_scrypt(patch: Patch) -> None:
    patch.setattr(header, "MAX_P", 255)


def no_limit_of_passphrases(patch: Patch) -> None:
    patch.setattr(header, "sum", lambda _: 1, raising=False)


def no_look_at_the_version(patch: Patch) -> None:
    patch.setattr(header, "VERSION", 2)


def no_look_at_the_other_copy(patch: Patch) -> None:
    patch.setattr(actions, "Damaged", type("Nothing", (), {"__new__": lambda *_, **__: None}))


def no_look_at_links(patch: Patch) -> None:
    patch.setattr(links.Links, "astray", lambda _: None)


def links_by_their_names_alone(patch: Patch) -> None:
    add = links.Links.add

    def alone(of: links.Links, name: bytes, target: bytes) -> None:
        add(of, b"/".join(b"\1" for _ in name.split(b"/")), target)  # as if no link led through another

    patch.setattr(links.Links, "add", alone)


def no_look_at_the_other_mac(patch: Patch) -> None:
    patch.setattr(unwrap, "_rivals", lambda *_: False)


def no_look_at_a_slots_encoding(patch: Patch) -> None:
    patch.setattr(slots, "_is_sm2_cipher", lambda _: True)


def numbers_as_python_reads_them(patch: Patch) -> None:
    patch.setattr(archive, "_SIZE", re.compile(rb".*"))
    patch.setattr(archive, "_TIME", re.compile(rb".*"))


def no_look_at_extended_headers(patch: Patch) -> None:
    patch.setattr(archive, "_RECORD", re.compile(rb"([0-9]+) ([A-Za-z.]+)="))


def no_order_of_names(patch: Patch) -> None:
    def place(of: archive.Archive, _: archive.Member) -> None:
        of._last = ()

    patch.setattr(archive.Archive, "_place", place)


MUTATIONS: list[tuple[Callable[[Patch], None], str]] = [
    (no_tags, "chunk-1-middle-flipped"),
    (no_tags, "all-chunks-of-another-file"),
    (no_final_flag, "cut-last-chunk"),
    (no_final_flag, "exact-cut-at-border"),
    (no_final_flag, "writer-final-too-early"),
    (no_counter, "chunks-swapped-0-1"),
    (no_counter, "chunks-doubled-0"),
    (no_counter, "chunks-first-removed"),
    (no_rule_for_empty_chunks, "writer-empty-last"),
    (no_header_mac, "header-generation"),
    (no_header_mac, "header-mac-last"),
    (no_header_mac, "header-slots-swapped"),
    (no_binding_of_the_header, "hostile-other-content"),
    (no_look_at_what_must_be_zero, "hostile-reserved"),
    (no_limit_of_passphrases, "parameters-two-passphrases"),
    (no_look_at_the_other_copy, "copy-2-zero"),
    (no_look_at_links, "folder-link-outside"),
    (no_look_at_links, "folder-link-absolute"),
    (no_look_at_extended_headers, "folder-unknown-extended-header"),
    (no_order_of_names, "folder-dot"),
    (no_order_of_names, "archive-order-backwards"),
    (no_look_at_links, "archive-link-to-itself"),
    (links_by_their_names_alone, "archive-link-outside-through-a-link"),
    (links_by_their_names_alone, "archive-link-through-41"),
    (no_look_at_the_other_mac, "two-contents-a-slot-each-alice"),
    (no_look_at_the_other_mac, "two-contents-both-slots-in-both-bob"),
    (no_look_at_a_slots_encoding, "slot-trailing-byte"),
    (numbers_as_python_reads_them, "archive-mtime-with-sign"),
    (numbers_as_python_reads_them, "archive-mtime-minus-zero"),
]
#: Here another check stands behind the one that is taken away: the verdict changes, and is still one.
BACKED: list[tuple[Callable[[Patch], None], str]] = [
    (no_bounds_for_scrypt, "parameters-scrypt-p-17"),
    (no_look_at_the_version, "version-2"),
]


def judgement(name: str, folder: Path) -> tuple[str, ...]:
    """Return all that is said of a vector."""
    vector = NAMED[name]
    keys = [vector.identity]
    to_place, _ = seal_vectors.to_place(vector.data, keys, folder)
    return (
        seal_vectors.to_pipe(vector.data, keys).reason,
        seal_vectors.verified(vector.data, keys, folder),
        to_place.reason,
    )


@pytest.mark.parametrize(("mutate", "name"), MUTATIONS + BACKED, ids=lambda value: getattr(value, "__name__", value))
def test_each_check_is_needed(tmp_path: Path, monkeypatch: Patch, mutate: Callable[[Patch], None], name: str) -> None:
    vector = NAMED[name]
    (tmp_path / "sound").mkdir()
    (tmp_path / "mutated").mkdir()
    before = judgement(name, tmp_path / "sound")
    assert before == (vector.reason, vector.verify, vector.folder or vector.reason)
    mutate(monkeypatch)
    after = judgement(name, tmp_path / "mutated")
    assert after != before
    slipped = any(old and not new for old, new in zip(before, after, strict=True))
    assert slipped != ((mutate, name) in BACKED)
