"""The private authority: made once, renewed in time, strict about names, keys for nobody else's eyes."""

from __future__ import annotations

import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

from dualtrack.core.errors import BadInput, Refused
from dualtrack.security.access import tokens
from dualtrack.security.pki import authority

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def openssl(*words: str) -> str:
    """Run the reference verifier, which is not the program that made the certificates."""
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_openssl_finds_them_good(tmp_path: Path) -> None:
    node = authority.issue(tmp_path, "node", "log-1", ["log-1", "10.30.0.21"])
    shipper = authority.issue(tmp_path, "shipper", "gpu-1")
    for found, purpose in ((node, "sslserver"), (node, "sslclient"), (shipper, "sslclient")):
        assert "OK" in openssl(
            "verify", "-x509_strict", "-purpose", purpose, "-CAfile", found.authority, found.certificate
        )
    assert "OK" not in openssl("verify", "-purpose", "sslserver", "-CAfile", shipper.authority, shipper.certificate)
    text = openssl("x509", "-in", node.certificate, "-noout", "-text")
    assert "DNS:log-1, IP Address:10.30.0.21" in text
    assert openssl("x509", "-in", shipper.certificate, "-noout", "-subject").strip() == (
        "subject=O = dualtrack, OU = shipper, CN = gpu-1"
    )
    assert authority.distinguished("shipper", "gpu-1") == shipper.subject == "CN=gpu-1,OU=shipper,O=dualtrack"


def test_another_authority_is_another_one(tmp_path: Path) -> None:
    ours, theirs = (authority.issue(tmp_path / name, "admin", "admin") for name in ("ours", "theirs"))
    assert "OK" not in openssl("verify", "-CAfile", ours.authority, theirs.certificate)


def test_a_second_call_changes_nothing(tmp_path: Path) -> None:
    first = authority.issue(tmp_path, "node", "log-1", ["log-1"], now=NOW)
    contents = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    second = authority.issue(tmp_path, "node", "log-1", ["log-1"], now=NOW + timedelta(days=19))
    assert (first.changed, second.changed) == (True, False)
    assert contents == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("days", "renewed"), [(19, False), (20, True), (500, True)])
def test_renewed_before_a_third_is_left(tmp_path: Path, days: int, renewed: bool) -> None:
    authority.issue(tmp_path, "shipper", "gpu-1", now=NOW)
    later = NOW + timedelta(days=days)
    found = authority.issue(tmp_path, "shipper", "gpu-1", now=later)
    assert found.changed is renewed
    assert found.ends > later


def test_made_anew_for_other_addresses_a_lost_key_and_another_authority(tmp_path: Path) -> None:
    first = authority.issue(tmp_path, "node", "log-1", ["10.0.0.1"])
    assert authority.issue(tmp_path, "node", "log-1", ["10.0.0.2"]).changed
    Path(first.key).unlink()
    assert authority.issue(tmp_path, "node", "log-1", ["10.0.0.2"]).changed
    for name in ("ca.pem", "ca.key"):
        (tmp_path / name).unlink()
    assert authority.issue(tmp_path, "node", "log-1", ["10.0.0.2"]).changed


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    found = authority.issue(folder, "shipper", "gpu-1")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for key in (Path(found.key), folder / "ca.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.attack("a user", "reads a key of the authority", "prevented", "pki: modes of key files")
@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602])
def test_keys_that_others_may_read_or_write_are_refused(tmp_path: Path, mode: int) -> None:
    authority.ensure(tmp_path)
    tokens.key(tmp_path)
    for name, use in (
        ("ca.key", lambda: authority.issue(tmp_path, "shipper", "gpu-1")),
        ("ca.key", lambda: authority.sign(tmp_path, b"retired")),
        ("token.key", lambda: tokens.key(tmp_path)),
    ):
        path = tmp_path / name
        path.chmod(mode)
        with pytest.raises(Refused) as caught:
            use()
        assert str(caught.value) == f"others may read or write {path} (mode {mode:04o}) (chmod 600 {path})"
        path.chmod(0o600)  # as it says
        use()


@pytest.mark.parametrize(
    "name", ["", "*", "GPU-1", "a/b", "../a", "a,OU=admin", "a b", "-a", "a.", "x" * 64, "a\n", "ü"]
)
def test_names_that_would_mean_more_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="cannot be in a certificate"):
        authority.issue(tmp_path, "shipper", name)
    assert not (tmp_path / "ca.pem").exists()


def test_unknown_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"one of {', '.join(get_args(authority.Kind))}"):
        authority.issue(tmp_path, "root", "gpu-1")  # type: ignore[arg-type]


@pytest.mark.parametrize("used", ["shipper/gpu-1.pem", "retired/gpu-1.notes", "next.key", "former.pem"])
@pytest.mark.parametrize("lost", ["ca.pem", "ca.key"])
def test_half_an_authority_is_not_replaced(tmp_path: Path, lost: str, used: str) -> None:
    authority.ensure(tmp_path)
    (tmp_path / used).parent.mkdir(exist_ok=True)
    (tmp_path / used).touch()
    (tmp_path / lost).unlink()
    with pytest.raises(BadInput, match=f"{lost} is missing"):
        authority.issue(tmp_path, "shipper", "gpu-1")


def test_an_authority_that_ended_is_not_used(tmp_path: Path) -> None:
    authority.ensure(tmp_path, now=NOW)
    with pytest.raises(Refused, match="ended on 2036-11-22"):
        authority.issue(tmp_path, "shipper", "gpu-1", now=NOW + timedelta(days=3651))


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    found = authority.issue(tmp_path, "shipper", "gpu-1")
    Path(found.certificate).write_text("nothing")
    with pytest.raises(BadInput, match=r"gpu-1\.pem is not a certificate"):
        authority.issue(tmp_path, "shipper", "gpu-1")
    with pytest.raises(BadInput, match="holds no authority"):
        list(authority.listed(tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    "address", ["例え.jp", "*.evil", "not an address!", "10.0.0.0/8", "", "a" * 64, ".", "a..b", "-a"]
)
def test_what_is_neither_an_ip_address_nor_a_name_of_a_host_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(BadInput, match="is not an address"):
        authority.issue(tmp_path, "gateway", "gateway-1", [address])
    assert not list(tmp_path.rglob("gateway-1*"))


@pytest.mark.parametrize("address", ["gateway_1", "Gateway-1.example.org", "10.0.0.1", "2001:db8::1", "localhost"])
def test_names_of_hosts_are_taken(tmp_path: Path, address: str) -> None:
    assert authority.issue(tmp_path, "gateway", "gateway-1", [address]).changed
