"""An authority's directory after a power cut at any moment of its exchange: what was said to be done is done."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.security.access import tokens
from dualtrack.security.pki import authority, rotation
from tests.support.power_cut import Killed, Moment, Recorder, cuts

STEPS: tuple[rotation.Step, ...] = ("both", "new", "alone")
#: Names and data that a new authority brings to the disk: the directory that is there, two that are not, the key, the
#: certificate, their names.
SYNCS = 6
#: The same of the three steps of an exchange, where the second one destroys a key of tokens.
EXCHANGE_SYNCS = 19


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "ca.pem").read_bytes()).hexdigest()


@pytest.mark.parametrize("kill", range(EXCHANGE_SYNCS + 1))
def test_power_cut_while_an_authority_is_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random, kill: int
) -> None:
    """Hosts may have been told of the next authority: it is the same one after the cut, and the exchange continues.

    A step whose process was killed is taken again; ``kill`` 0: nobody killed it.
    """
    folder = tmp_path / "disk/pki"
    authority.ensure(folder, now=datetime.now(UTC))
    tokens.key(folder)
    stated = authority.sign(folder, b"retired")
    known = []
    with Recorder(tmp_path / "disk", monkeypatch, kill) as recorder:
        for step in STEPS:
            have = [digest(folder)]
            try:
                rotation.take(folder, step, have)
            except Killed:
                rotation.take(folder, step, have)
            known.append(authority.trusted(folder / "ca.pem"))
            recorder.acknowledge()
    assert (recorder.syncs > EXCHANGE_SYNCS) == (kill > 0), f"killed at {kill} of {recorder.syncs}"
    for moment, left in cuts(recorder, tmp_path, chance, each=0 if kill else 4):
        pki = left / "pki"
        now = authority.trusted(pki / "ca.pem")
        assert authority.signed(pki / "ca.pem", b"retired", stated), left
        asked = authority.issue(pki, "admin", "admin")  # before anybody continues with the exchange
        assert authority.issued_by(Path(asked.certificate), now[0]), left
        if done := moment.acknowledged:
            assert now in known[done - 1 : done + 1], left
        for step in STEPS[max(done, 1) :] if len(now) > 1 else ():
            rotation.take(pki, step, [digest(pki)])
        issued = authority.issue(pki, "shipper", "gpu-1", [])
        assert authority.issued_by(Path(issued.certificate), authority.trusted(pki / "ca.pem")[0]), left


def goes_on(moment: Moment, left: Path, made: authority.Issued) -> None:
    """Assert that what a cut left continues, as the authority that somebody was told of where somebody was."""
    pki = left / "var/pki"
    found = authority.ensure(pki)
    assert (pki / "ca.pem").read_bytes() == Path(found.certificate).read_bytes()
    if moment.acknowledged:
        assert (pki / "ca.pem").read_bytes() == Path(made.certificate).read_bytes(), left
    issued = authority.issue(pki, "shipper", "gpu-1")
    assert authority.issued_by(Path(issued.certificate), authority.trusted(pki / "ca.pem")[0]), left
    assert not authority.ensure(pki).changed


def test_power_cut_after_an_authority_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random
) -> None:
    """At every moment: what is left continues, or begins anew where nobody was told of it."""
    (tmp_path / "disk").mkdir()
    with Recorder(tmp_path / "disk", monkeypatch) as recorder:
        made = authority.ensure(tmp_path / "disk/var/pki")
        recorder.acknowledge()
    halves = 0
    for moment, left in cuts(recorder, tmp_path, chance):
        pki = left / "var/pki"
        halves += (pki / "ca.key").is_file() and not (pki / "ca.pem").is_file()
        goes_on(moment, left, made)
    assert halves, "no cut fell between the key and its certificate"


@pytest.mark.parametrize("kill", range(1, SYNCS + 1))
def test_power_cut_after_who_made_an_authority_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random, kill: int
) -> None:
    """Whoever asks next finds what the killed one left, and is told of it: it is on the disk by then."""
    (tmp_path / "disk").mkdir()
    with Recorder(tmp_path / "disk", monkeypatch, kill) as recorder:
        with pytest.raises(Killed):
            authority.ensure(tmp_path / "disk/var/pki")
        made = authority.ensure(tmp_path / "disk/var/pki")
        recorder.acknowledge()
    for moment, left in cuts(recorder, tmp_path, chance):
        goes_on(moment, left, made)


@pytest.mark.parametrize("lose", range(2, SYNCS + 1))  # the first is of what was there before
def test_each_sync_of_a_new_authority_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random, lose: int
) -> None:
    """Without any one of them a cut is found that breaks the promise: these tests can fail."""
    (tmp_path / "disk").mkdir()
    with Recorder(tmp_path / "disk", monkeypatch, lose=lose) as recorder:
        made = authority.ensure(tmp_path / "disk/var/pki")
        recorder.acknowledge()
    assert recorder.syncs == SYNCS
    broken = 0
    for moment, left in cuts(recorder, tmp_path, chance):
        try:
            goes_on(moment, left, made)
        except (AssertionError, BadInput):
            broken += 1
    assert broken, "no cut shows that it is missing"
