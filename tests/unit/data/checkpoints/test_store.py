"""The cache's pure parts: addresses, manifests, the journal, sizes; nothing that comes from outside gets outside."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core import s3
from dualtrack.core.errors import BadInput, DualtrackError
from dualtrack.data.checkpoints import actions, address, journal, manifest
from dualtrack.data.checkpoints.cache import Cache
from dualtrack.data.checkpoints.journal import Journal
from dualtrack.data.checkpoints.manifest import PART, File, Manifest, Part

DIGEST = hashlib.sha256(b"").hexdigest()


def of(*files: File, part: int = PART) -> Manifest:
    return Manifest(schema="dualtrack.checkpoint/1", part=part, files=files)


@pytest.mark.parametrize(
    "text",
    [
        "s3://weights/models/one@v1",
        "s3://weights/models/one@latest",
        "s3://b-1.c/plain/key",
        f"s3://weights/models/one@v1#sha256:{DIGEST}",
        "s3://weights/a#b@v1",
    ],
)
def test_an_address_is_what_it_was_written_as(text: str) -> None:
    assert str(address.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"s3://weights/one@v1#sha256:{DIGEST[1:]}", "is not a SHA-256"),
        (f"s3://weights/one@v1#sha256:{DIGEST.upper()}", "is not a SHA-256"),
        ("s3://weights/one@v1#sha256:", "is not a SHA-256"),
        (f"s3://weights/one@v1#sha256:{DIGEST}#sha256:{DIGEST}", "is not a version"),
        (f"s3://weights/one@latest#sha256:{DIGEST}", "only one version has a digest"),
        (f"s3://weights/one#sha256:{DIGEST}", "only one version has a digest"),
        (f"s3://weights/one@v1#md5:{DIGEST}", "is not a version"),
    ],
)
def test_a_digest_that_proves_nothing_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        address.parse(text)


@given(st.text(max_size=60))
def test_no_text_is_an_address_by_accident(text: str) -> None:
    try:
        found = address.parse(f"s3://bucket/{text}")
    except BadInput:
        return
    assert ".." not in found.prefix.split("/")
    assert not found.version or address.VERSION.fullmatch(found.version)


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../up", "a/../../b", "a//b", "a/", ".", "a\0b", "a\\b", "a\nb", "x" * 300]
)
def test_paths_that_could_leave_the_folder_are_no_files(path: str) -> None:
    with pytest.raises(BadInput, match="is not a name of a file"):
        manifest.decode(manifest.encode(of(File(path=path, size=1))), "it")


@given(st.text(min_size=1, max_size=80))
def test_a_safe_path_stays_below(path: str) -> None:
    if manifest.safe(path):
        assert os.path.normpath(f"/cache/{path}") == f"/cache/{path}"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (of(), "names no files"),
        (of(File(path="a", size=1), File(path="a", size=2)), "a is named twice"),
        (of(File(path="a", size=1), File(path="a/b", size=2)), "a/b lies in a directory that is a file"),
        (of(File(path="a", size=-1)), "has -1 bytes"),
        (of(File(path="a", size=2 * PART, parts=(DIGEST,))), "has 1 digests for"),
        (of(File(path="a", size=1, parts=("x" * 64,))), "a digest that is none"),
        (of(File(path="a", size=1), part=0), "parts of 0 bytes"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(found: Manifest, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        manifest.decode(manifest.encode(found), "it")


def test_a_pushed_version_has_all_digests() -> None:
    empty = of(File(path="empty", size=0), File(path="full", size=1, parts=(DIGEST,)))
    assert manifest.decode(manifest.encode(empty), "it", pushed=True) == empty
    without = of(File(path="full", size=1, parts=(DIGEST,)), File(path="a", size=1))
    assert manifest.decode(manifest.encode(without), "it") == without  # a listing of plain objects
    with pytest.raises(BadInput, match="a has no digests"):
        manifest.decode(manifest.encode(without), "it", pushed=True)


def test_what_is_there_agrees_in_every_digest() -> None:
    wanted = of(File(path="a", size=1, parts=(DIGEST,)), File(path="b", size=1, etag="e"))
    assert manifest.agree(
        wanted, of(File(path="a", size=1, parts=(DIGEST,)), File(path="b", size=1, parts=(DIGEST,), etag="e"))
    )
    for there in (
        of(File(path="a", size=1, parts=("0" * 64,)), File(path="b", size=1, parts=(DIGEST,), etag="e")),
        of(File(path="a", size=1, parts=(DIGEST,)), File(path="b", size=1, parts=(DIGEST,), etag="f")),
        of(File(path="a", size=1, parts=(DIGEST,))),
    ):
        assert not manifest.agree(wanted, there)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"schema": "other/1", "part": 1, "files": []}'])
def test_what_is_no_manifest_is_said(data: bytes) -> None:
    with pytest.raises(BadInput, match="is not a manifest"):
        manifest.decode(data, "it")


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=4), st.integers(1024, 2048))
def test_parts_cover_every_byte_once(sizes: list[int], part: int) -> None:
    files = of(*(File(path=f"f{n}", size=size) for n, size in enumerate(sizes)), part=part)
    for number, size in enumerate(sizes):
        mine = [it for it in manifest.parts(files) if it.file == number]
        assert [it.begin for it in mine] == list(range(0, size, part))
        assert sum(it.size for it in mine) == size
        assert all(0 < it.size <= part for it in mine)


@given(st.binary(max_size=5000), st.integers(1024, 2048))
def test_parts_are_hashed_each(data: bytes, part: int) -> None:
    found = list(manifest.hash_parts(io.BytesIO(data), len(data), part))
    assert found == [hashlib.sha256(data[begin : begin + part]).hexdigest() for begin in range(0, len(data), part)]


def test_the_same_content_is_the_same_version_whenever_it_was_pushed() -> None:
    one = of(File(path="a", size=1, parts=(DIGEST,)))
    assert Manifest(schema=one.schema, part=one.part, files=one.files, pushed="2026-11-25").digest == one.digest
    assert of(File(path="b", size=1, parts=(DIGEST,))).digest != one.digest


def test_data_is_on_the_disk_before_its_line(tmp_path: Path) -> None:
    path, synced = tmp_path / "journal", []
    with Journal(path, lambda number: synced.append((number, path.read_text()))) as record:
        record.add(Part(file=1, index=0, begin=0, size=5, sha256=""), DIGEST)
        record.add(Part(file=0, index=3, begin=0, size=5, sha256=""), DIGEST)
        assert journal.read(path) == {}
    assert synced == [(0, ""), (1, "")]
    assert journal.read(path) == {(1, 0): DIGEST, (0, 3): DIGEST}


@given(st.integers(0, 300), st.binary(max_size=20))
def test_a_torn_journal_loses_lines_and_invents_none(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("torn") / "journal"
    lines = {(12, 3): "a" * 64, (1, 2): "b" * 64, (7, 11): "c" * 64}
    whole = "".join(f"{file} {index} {digest}\n" for (file, index), digest in lines.items()).encode()
    path.write_bytes(whole[:cut] + (junk if b"\n" not in junk else b""))
    with Journal(path, lambda _: None) as record:
        record.add(Part(file=2, index=3, begin=0, size=1, sha256=""), "d" * 64)
    found = journal.read(path)
    assert found.pop((2, 3)) == "d" * 64
    assert found.items() <= lines.items()


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("1000", 1000), ("64MiB", 64 << 20), ("140 GB", 140 * 10**9), ("1.5k", None), ("1.5kB", 1500),
     ("2TiB", 2 << 40)],
)  # fmt: skip
def test_sizes(text: str, count: int | None) -> None:
    if count is None:
        with pytest.raises(BadInput):
            actions.bytes_of(text)
    else:
        assert actions.bytes_of(text) == count


@given(st.text(max_size=12))
def test_no_text_is_a_size_by_accident(text: str) -> None:
    with contextlib.suppress(BadInput):
        assert 0 <= actions.bytes_of(text) < 10**18


@pytest.mark.parametrize(
    ("code", "kind"),
    [("SlowDown", "Again"), ("500", "Again"), ("PreconditionFailed", "Changed"), ("ExpiredToken", "External"),
     ("PermanentRedirect", "BadInput"), ("AccessDenied", "Refused"), ("NoSuchKey", "External"),
     ("Weather", "External")],
)  # fmt: skip
def test_what_s3_says_means_one_thing(code: str, kind: str) -> None:
    error = ClientError({"Error": {"Code": code, "Message": "words"}}, "GetObject")
    found = s3.meaning(error, "s3://b/k", "b")
    assert type(found).__name__ == kind
    assert "\n" not in str(found)
    assert isinstance(found, DualtrackError) or kind == "Again"


def test_names_in_the_cache_are_readable_and_cannot_leave_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    found = of(File(path="a", size=1, parts=(DIGEST,)))
    assert cache.key(address.parse("s3://bucket/m/deepseek-70b@v1"), found).startswith("deepseek-70b-v1-")
    odd = cache.key(address.parse("s3://bucket/m/ü %2e@x"), found)
    assert cache.version(odd).parent == tmp_path / "versions"
    assert "/" not in odd
