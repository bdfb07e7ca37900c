"""The mirror's text files, and what decides whether it is built again."""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput, External
from dualtrack.core.paths import ROOT
from dualtrack.data.mirror import apt, build, debian, fetchers, manifest, signed, toolkit
from dualtrack.data.mirror.repository import digest, write
from dualtrack.lab import doctor

DATES = signed.Dates(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 5, 30, tzinfo=UTC))
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


def test_packages_that_roles_and_inventories_name_are_found(tmp_path: Path) -> None:
    (tmp_path / "roles/a/vars").mkdir(parents=True)
    (tmp_path / "inventories/b").mkdir(parents=True)
    (tmp_path / "inventories/b/facts.yml").write_text("hosts: [{name: c, vars: {d: [{packages: [debian-faq]}]}}]\n")
    (tmp_path / "roles/a/vars/main.yml").write_text(
        "__a_by_system: {Debian: {packages: [sudo, chrony], service: cron}}\n"
        "__a_packages: \"{{ ['munge'] + (['g++-12'] if a_big else []) + a_packages }}\"\n"
        "a_other: [never]\n"
    )
    assert set(debian.named(tmp_path)) == {"sudo", "chrony", "munge", "g++-12", "debian-faq"}


def test_every_purpose_asks_for_packages_of_the_archive() -> None:
    """The archive decides what a role's word is; here all of them are."""
    words = set(debian.named(ROOT))
    assert {"slurmctld", "mariadb-server", "mdadm", "opensm", "cryptsetup", "clevis-luks", "python3-boto3"} <= words
    asked = debian.wanted(words | {"unused"}, doctor.needs())
    assert set(asked["roles"]) >= words
    assert "unused" not in asked["roles"]
    assert all(names[:2] == ["?essential", "apt"] for names in asked.values())


def test_what_apt_would_install_is_read() -> None:
    said = (
        "Inst libc6 (2.36-9+deb12u10 Debian:12.11/stable [amd64])\n"
        "Inst tzdata:all (1:2025b-0 Debian:12.11/stable, Debian-Security:12/s [all])\nConf libc6 (2.36 x [amd64])\n"
    )
    found = [debian.Package(it["name"], it["version"], it["arch"]) for it in debian.INST.finditer(said)]
    assert [it.archive for it in found] == ["libc6_2.36-9+deb12u10_amd64.deb", "tzdata_1%3a2025b-0_all.deb"]
    assert [it.pool for it in found] == ["pool/libc/libc6_2.36-9+deb12u10_amd64.deb", "pool/t/tzdata_2025b-0_all.deb"]


@pytest.mark.parametrize(
    ("wheel", "project"),
    [("PyYAML-6.0-cp311-x.whl", "pyyaml"), ("ruamel.yaml-1-py3-none-any.whl", "ruamel-yaml"), ("a_b-1.tar.gz", "a-b")],
)
def test_projects_are_called_as_pip_asks_for_them(wheel: str, project: str) -> None:
    assert fetchers.normalized(wheel) == project


def test_pip_that_brings_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a-1.whl").touch()
    said = "Collecting a\n  Saved ./files/a-1.whl\n"
    assert fetchers.brought(said, tmp_path) == ["a-1.whl"]
    with pytest.raises(External, match="did not say"):
        fetchers.brought("Collecting a\n", tmp_path)


@pytest.mark.parametrize(
    "line", [f"{'0' * 64}  1  ../x", f"{'0' * 64}  1  /x", f"{'0' * 64}  x  a", "0  1  a", f"{'0' * 64}  1  ", "x"]
)
def test_manifest_refuses_what_it_cannot_mean(line: str) -> None:
    with pytest.raises(BadInput, match="line 4 is not understood"):
        manifest.decode(manifest.encode({}, DATES) + f"{line}\n")


def test_manifest_comes_back_as_it_was_written() -> None:
    files = {"a b/c  d.deb": manifest.File(7, "ab" * 32), "a": manifest.File(0, "cd" * 32)}
    assert manifest.decode(manifest.encode(files, DATES)) == manifest.Manifest(DATES, files)


def test_manifest_without_a_date_until_which_it_is_valid_is_none() -> None:
    text = manifest.encode({}, DATES)
    with pytest.raises(BadInput, match="none of a version"):
        manifest.decode(text.replace("mirror 2", "mirror 1"))
    for spoilt in (text.replace("until", "til"), text.replace("Z\n", "\n"), text.split("until")[0], ""):
        with pytest.raises(BadInput, match=r"line [23] is not understood|none of a version"):
            manifest.decode(spoilt)


@pytest.mark.parametrize("name", ["a ", "a\t", "a\nb", "a\rb", "a\x00", "a\x7f", ""])
def test_a_name_that_a_signature_in_the_clear_would_not_cover_is_never_signed(name: str) -> None:
    with pytest.raises(BadInput, match="cannot be in a mirror"):
        manifest.encode({name: manifest.File(0, "0" * 64)}, DATES)
