"""The mirror's text files, and what decides whether it is built again."""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dualtrack.errors import BadInput
from dualtrack.mirror import apt, build, toolkit
from dualtrack.mirror.repository import digest, write

PACKAGE = apt.Package("Package: a\nVersion: 1\nArchitecture: amd64\n", "pool/a_1_amd64.deb", b"content")


def test_index_holds_control_place_and_digest() -> None:
    text = apt.packages_index([PACKAGE])
    assert text.startswith("Package: a\nVersion: 1\n")
    assert "Filename: pool/a_1_amd64.deb\nSize: 7\n" in text
    assert hashlib.sha256(b"content").hexdigest() in text


def test_stanzas_are_parted_by_an_empty_line() -> None:
    other = apt.Package("Package: b\n", "pool/b.deb", b"")
    assert apt.packages_index([other, PACKAGE]).count("\n\n") == 1


def test_release_names_every_index_and_its_moment_in_utc() -> None:
    text = apt.release({"Packages": b"x"}, architecture="amd64", when=datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert "Date: Sun, 01 Mar 2026 12:00:00 UTC\n" in text
    assert f" {hashlib.sha256(b'x').hexdigest()} 1 Packages\n" in text


def test_control_marks_empty_lines_of_the_description() -> None:
    assert apt.control({"Package": "a"}, "sum\none\n\ntwo") == "Package: a\nDescription: sum\n one\n .\n two\n"


def test_repository_is_signed_over_what_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "apt", [PACKAGE], lambda text: f"SIGNED {text}", "KEY")
    index = (tmp_path / "apt/Packages").read_bytes()
    signed = (tmp_path / "apt/InRelease").read_text()
    assert hashlib.sha256(index).hexdigest() in signed
    assert gzip.decompress((tmp_path / "apt/Packages.gz").read_bytes()) == index
    assert "Architectures: amd64\n" in signed


def test_digest_changes_with_any_part_and_not_with_the_order() -> None:
    assert digest({"a": b"1", "b": b"2"}) == digest({"b": b"2", "a": b"1"})
    assert digest({"a": b"1", "b": b"2"}) != digest({"a": b"12", "b": b""})


def test_version_comes_from_the_pin() -> None:
    assert toolkit.version((toolkit.SOURCE / "go.mod").read_text()).count(".") == 2
    with pytest.raises(BadInput, match="pins no version"):
        toolkit.version("module x\n")


def test_package_sorts_below_nvidias_own() -> None:
    assert "Version: 1.20.1-1~dualtrack1\n" in toolkit.control("1.20.1", "amd64")


def test_public_name() -> None:
    assert callable(build)
