"""apt itself accepts the mirror's signature, and refuses a mirror that somebody changed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from dualtrack.data.mirror import apt, signing
from dualtrack.data.mirror.repository import write

pytestmark = pytest.mark.skipif(not shutil.which("apt-get"), reason="apt is the reference, and this machine has none")


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    control = apt.control(
        {
            "Package": "dualtrack-probe",
            "Version": "1",
            "Architecture": "all",
            "Maintainer": "nobody <n@dualtrack.invalid>",
        },
        "probe",
    )
    (tree / "DEBIAN/control").write_text(control)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, tmp_path / "probe.deb"], check=True)
    private = signing.ensure_key(tmp_path / "key")
    package = apt.Package(control, "pool/dualtrack-probe_1_all.deb", (tmp_path / "probe.deb").read_bytes())
    write(tmp_path / "apt", [package], lambda text: signing.clear_sign(private, text), signing.public_key(private))
    return tmp_path / "apt"


def apt_get(mirror: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run apt with a state of its own, so that this machine's package lists are left alone."""
    state = mirror.parent / "state"
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    source = state / "mirror.sources"
    source.write_text(f"Types: deb\nURIs: file://{mirror}\nSuites: /\nSigned-By: {mirror / 'dualtrack-mirror.asc'}\n")
    options = {
        "Dir::State::lists": state / "lists", "Dir::State::status": state / "status", "Dir::Cache": state / "cache",
        "Dir::Etc::sourcelist": source, "Dir::Etc::sourceparts": state / "parts", "APT::Sandbox::User": "root",
    }  # fmt: skip
    settings = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return subprocess.run(["apt-get", *settings, *words], capture_output=True, text=True, check=False, cwd=state)


def test_apt_trusts_the_mirror_and_finds_the_package(mirror: Path) -> None:
    update = apt_get(mirror, "update")
    assert update.returncode == 0, update.stderr
    assert "W:" not in update.stderr
    fetched = apt_get(mirror, "download", "dualtrack-probe")
    assert fetched.returncode == 0, fetched.stderr


def test_apt_refuses_a_release_that_was_changed(mirror: Path) -> None:
    signed = mirror / "InRelease"
    signed.write_text(signed.read_text().replace("Origin: dualtrack", "Origin: mallory"))
    (mirror / "Release").unlink()
    update = apt_get(mirror, "update")
    assert "invalid" in update.stderr or "BADSIG" in update.stderr or "NO_PUBKEY" in update.stderr
    assert apt_get(mirror, "download", "dualtrack-probe").returncode != 0


def test_apt_refuses_a_package_that_was_changed(mirror: Path) -> None:
    assert apt_get(mirror, "update").returncode == 0
    package = next((mirror / "pool").iterdir())
    package.write_bytes(package.read_bytes()[:-1] + b"X")
    assert apt_get(mirror, "download", "dualtrack-probe").returncode != 0


def test_private_key_is_for_its_owner_alone_and_made_once(tmp_path: Path) -> None:
    private = signing.ensure_key(tmp_path / "key")
    before = private.read_bytes()
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    assert private.stat().st_mode & 0o077 == 0
    assert signing.ensure_key(tmp_path / "key").read_bytes() == before
