"""Another authority in three steps: at each of them everybody's certificates hold before everybody's ca.pem."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from dualtrack.core.errors import BadInput, Refused
from dualtrack.security.access import tokens
from dualtrack.security.pki import authority, lifetimes, rotation
from tests.conftest import CLI

HOSTS = (("node", "log-1", ["log-1", "10.0.0.1"]), ("shipper", "gpu-1", []), ("witness", "gpu-2", []))


class Site:
    """Nodes and hosts with the files that were brought to them last."""

    def __init__(self, folder: Path) -> None:
        self.pki, self.hosts = folder / "pki", folder / "hosts"
        self.bring()

    def bring(self, *names: str) -> None:
        """Bring each host (or only these) its certificate and ca.pem, as a role does."""
        for kind, name, addresses in HOSTS:
            if not names or name in names:
                found = authority.issue(self.pki, kind, name, addresses)  # type: ignore[arg-type]
                (self.hosts / name).mkdir(parents=True, exist_ok=True)
                shutil.copy(found.authority, self.hosts / name / "ca.pem")
                shutil.copy(found.certificate, self.hosts / name / "cert.pem")

    def digests(self) -> list[str]:
        return [hashlib.sha256((self.hosts / name / "ca.pem").read_bytes()).hexdigest() for _, name, _ in HOSTS]

    def cut_off(self) -> list[tuple[str, str]]:
        """Return who does not believe whom, by the verifier's word."""
        return [
            (one, other)
            for _, one, _ in HOSTS
            for _, other, _ in HOSTS
            if not holds(self.hosts / one / "ca.pem", self.hosts / other / "cert.pem")
        ]


def holds(ca: Path, certificate: Path) -> bool:
    words = ["openssl", "verify", "-x509_strict", "-CAfile", str(ca), str(certificate)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_nobody_is_cut_off_at_any_moment(site: Site, tmp_path: Path) -> None:
    """Also when files come to one host after the other."""
    old = shutil.copytree(site.hosts, tmp_path / "old")

    def everybody() -> None:
        for _, name, _ in HOSTS:
            site.bring(name)
            assert site.cut_off() == []

    assert rotation.look(site.pki).state == "settled"
    assert rotation.take(site.pki, "both").authorities == ("dualtrack", "dualtrack-2")
    everybody()
    assert holds(old / "gpu-1/ca.pem", site.hosts / "gpu-1/cert.pem")  # the old one still issues
    found = rotation.take(site.pki, "new", site.digests())
    assert (found.authorities, len(found.old)) == (("dualtrack-2", "dualtrack"), 3)
    everybody()
    assert rotation.look(site.pki).old == ()
    assert rotation.take(site.pki, "alone").authorities == ("dualtrack-2",)
    everybody()
    for name in ("log-1", "gpu-1"):
        assert not holds(site.hosts / name / "ca.pem", old / "gpu-1/cert.pem")
        assert not holds(old / name / "ca.pem", site.hosts / "gpu-1/cert.pem")
    assert not (site.pki / "next.key").exists()
    # And once more, later.
    rotation.take(site.pki, "both")
    everybody()
    assert rotation.take(site.pki, "new", site.digests()).authorities == ("dualtrack-3", "dualtrack-2")


def test_steps_are_not_skipped_and_not_taken_twice(site: Site) -> None:
    for step in ("new",):
        with pytest.raises(Refused, match="--step both"):
            rotation.take(site.pki, step)
    assert not rotation.take(site.pki, "alone").changed  # there is one only
    assert rotation.take(site.pki, "both").changed
    contents = {path: path.read_bytes() for path in site.pki.rglob("*") if path.is_file()}
    assert not rotation.take(site.pki, "both").changed
    with pytest.raises(Refused, match="--step new"):
        rotation.take(site.pki, "alone")
    assert contents == {path: path.read_bytes() for path in site.pki.rglob("*") if path.is_file()}
    with pytest.raises(BadInput, match="one of both, new, alone"):
        rotation.take(site.pki, "back")  # type: ignore[arg-type]


def test_the_new_one_issues_only_when_everybody_trusts_it(site: Site) -> None:
    rotation.take(site.pki, "both")
    site.bring("log-1", "gpu-1")
    with pytest.raises(Refused, match="would be cut off"):
        rotation.take(site.pki, "new")
    with pytest.raises(Refused, match="somebody has another"):
        rotation.take(site.pki, "new", site.digests())
    site.bring("gpu-2")
    assert rotation.take(site.pki, "new", site.digests()).state == "new"
    assert not rotation.take(site.pki, "both").changed  # a playbook that is run again continues
    assert not rotation.take(site.pki, "new").changed


def test_the_old_one_goes_only_when_nobody_needs_it(site: Site) -> None:
    for kind, name in (("admin", "admin"), ("person", "bo"), ("shipper", "dualtrack-verify")):
        authority.issue(site.pki, kind, name)  # type: ignore[arg-type] # the controller's own
    rotation.take(site.pki, "both")
    site.bring()
    rotation.take(site.pki, "new", site.digests())
    site.bring("log-1", "gpu-1")
    with pytest.raises(Refused, match="1 certificates are the old authority's: witness gpu-2"):
        rotation.take(site.pki, "alone")
    found = rotation.take(site.pki, "alone", forget=True)
    assert (found.state, found.old) == ("settled", ())
    assert not (site.pki / "witness/gpu-2.pem").exists()
    assert {it.name for it in authority.listed(site.pki)} == {"dualtrack-2", "log-1", "gpu-1"}


def test_a_crash_between_two_writes_leaves_one_of_both_states(site: Site) -> None:
    """After the one rename that decides, before the keys are in their places; and before it, a key that waits."""
    shutil.copy(site.pki / "ca.key", site.pki / "next.key")
    rotation.take(site.pki, "both")
    site.bring()
    before = {name: (site.pki / name).read_bytes() for name in ("ca.key", "next.key")}
    old = (site.pki / "ca.key").read_bytes()
    rotation.take(site.pki, "new", site.digests())
    assert (site.pki / "ca.key").read_bytes() == before["next.key"]
    for name, content in before.items():
        (site.pki / name).touch(0o600)
        (site.pki / name).write_bytes(content)
    site.bring()  # issues by the key that still waits
    assert site.cut_off() == []
    rotation.take(site.pki, "alone")
    assert old not in {path.read_bytes() for path in site.pki.rglob("*") if path.is_file()}
    assert not (site.pki / "next.key").exists()
    site.bring()
    assert site.cut_off() == []


def test_another_key_than_the_authority_s_is_said(site: Site, tmp_path: Path) -> None:
    authority.ensure(tmp_path / "other")
    shutil.copy(tmp_path / "other/ca.key", site.pki / "ca.key")
    with pytest.raises(BadInput, match="is not the key of"):
        authority.issue(site.pki, "shipper", "gpu-7")


def test_an_authority_near_its_end_is_replaced_in_time(tmp_path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=lifetimes.CA_DAYS - 30)
    first = authority.ensure(tmp_path, now=long_ago)
    rotation.take(tmp_path, "both")
    ends = {it.name: it.ends for it in authority.listed(tmp_path)}
    assert ends["dualtrack"] == first.ends
    assert ends["dualtrack-2"] > first.ends + timedelta(days=3000)


def test_the_command_says_where_it_stands_and_what_is_next(tmp_path: Path) -> None:
    folder = str(tmp_path / "pki")
    authority.issue(Path(folder), "shipper", "gpu-1")

    def rotate(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CLI, "pki", "rotate", "--pki", folder, *words], capture_output=True, text=True, check=False
        )

    assert "next: --step both" in rotate().stdout
    for words in (("--json",), ("--json", "--step", "both"), ("--json", "--step", "both", "--yes", "--dry-run")):
        found = json.loads(rotate(*words).stdout)
        assert (found["applied"], found["changed"], found["state"]) == (False, False, "settled")
    said = rotate("--step", "both", "--yes").stdout
    assert "dualtrack issues, trusted: dualtrack, dualtrack-2" in said
    again = json.loads(rotate("--step", "both", "--yes", "--json").stdout)
    assert (again["applied"], again["changed"]) == (True, False)
    found = json.loads(rotate("--json").stdout)
    assert (found["schema"], found["state"], found["next"]) == ("dualtrack.pki-rotation/1", "both", "new")
    for words, code in ((("--step", "alone"), 5), (("--step", "new", "--yes"), 5), (("--step", "x"), 2)):
        done = rotate(*words)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    said = rotate("--step", "new", "--have", found["bundle"], "--yes").stdout
    assert "still of the old one: shipper gpu-1" in said


def test_statement_outlives_its_authority(site: Site, tmp_path: Path) -> None:
    """Through every step, of two exchanges; one of an unknown authority is nobody's word at any of them."""
    authority.ensure(tmp_path / "other")
    unknown = authority.sign(tmp_path / "other", b"words")
    ca, stated = site.pki / "ca.pem", [authority.sign(site.pki, b"words")]
    for _ in range(2):
        for step in ("both", "new", "alone"):
            rotation.take(site.pki, step, site.digests())  # type: ignore[arg-type]
            site.bring()
            stated.append(authority.sign(site.pki, b"words"))
            assert [authority.signed(ca, b"words", it) for it in stated] == [True] * len(stated), step
            assert not authority.signed(ca, b"other words", stated[0])
            assert not authority.signed(ca, b"words", unknown)
    assert [authority.called(it) for it in authority.former(site.pki)] == ["dualtrack-2", "dualtrack"]
    assert b"PRIVATE" not in (site.pki / "former.pem").read_bytes()
    # An auditor elsewhere names what is believed; what somebody lays beside it is not.
    there = tmp_path / "there"
    there.mkdir()
    shutil.copy(ca, there / "ca.pem")
    shutil.copy(site.pki / "former.pem", there / "former.pem")
    assert not authority.signed(there / "ca.pem", b"words", stated[0])
    assert authority.signed(there / "ca.pem", b"words", stated[-1])
    (there / "stated.pem").write_bytes(ca.read_bytes() + (site.pki / "former.pem").read_bytes())
    assert [authority.signed(there / "stated.pem", b"words", it) for it in (*stated, unknown)] == [True] * 7 + [False]


def test_former_authorities_issue_and_admit_nobody(site: Site) -> None:
    for step in ("both", "new", "alone"):
        rotation.take(site.pki, step, site.digests())  # type: ignore[arg-type]
        site.bring()
    assert [authority.called(it) for it in authority.trusted(site.pki / "ca.pem")] == ["dualtrack-2"]
    assert {it.name for it in authority.listed(site.pki) if it.kind == "authority"} == {"dualtrack-2"}


@pytest.mark.attack("a thief", "signs tokens after the authority was replaced", "prevented", "a new token key")
def test_who_has_a_copy_of_the_folder_signs_no_tokens_when_it_issues_anew(site: Site, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    stolen = shutil.copytree(site.pki, tmp_path / "stolen") if tokens.public(site.pki) else tmp_path
    mine, _ = tokens.public(site.pki), rotation.take(site.pki, "both")
    assert tokens.public(site.pki) == mine, "the store takes tokens as before"
    site.bring()
    rotation.take(site.pki, "new", site.digests())
    forged = tokens.issue(stolen, "bo", ["person-bo"], until=now + timedelta(hours=1))
    judge = ECKey.import_key(tokens.public(site.pki))
    with pytest.raises(JoseError):
        jwt.decode(forged, judge, algorithms=["ES256"])
    jwt.decode(tokens.issue(site.pki, "bo", [], until=now + timedelta(hours=1)), judge, algorithms=["ES256"])
    again = tokens.public(site.pki)
    rotation.take(site.pki, "new", site.digests())
    assert tokens.public(site.pki) == again, "a step that was taken is not taken again"
