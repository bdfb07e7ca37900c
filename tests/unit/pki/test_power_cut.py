"""An authority's folder after a power cut at any moment of its exchange: what was said to be done is done."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dualtrack.pki import authority, rotation
from tests.support.power_cut import Recorder, cuts

STEPS: tuple[rotation.Step, ...] = ("both", "new", "alone")


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "ca.pem").read_bytes()).hexdigest()


def test_power_cut_while_an_authority_is_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random
) -> None:
    """Hosts may have been told of the next authority: it is the same one after the cut, and the exchange goes on."""
    folder = tmp_path / "disk/pki"
    authority.ensure(folder, now=datetime.now(UTC))
    stated = authority.sign(folder, b"retired")
    known = []
    with Recorder(tmp_path / "disk", monkeypatch) as recorder:
        for step in STEPS:
            rotation.take(folder, step, [digest(folder)])
            known.append(authority.trusted(folder / "ca.pem"))
            recorder.acknowledge()
    for moment, left in cuts(recorder, tmp_path, chance):
        pki = left / "pki"
        now = authority.trusted(pki / "ca.pem")
        assert authority.signed(pki / "ca.pem", b"retired", stated), left
        if done := moment.acknowledged:
            assert now in known[done - 1 : done + 1], left
        for step in STEPS[max(done, 1) :] if len(now) > 1 else ():
            rotation.take(pki, step, [digest(pki)])
        issued = authority.issue(pki, "shipper", "gpu-1", [])
        assert authority.issued_by(Path(issued.certificate), authority.trusted(pki / "ca.pem")[0]), left


def test_power_cut_after_an_authority_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random
) -> None:
    """At every moment: what is left goes on, or begins anew where nobody was told of it."""
    (tmp_path / "disk").mkdir()
    with Recorder(tmp_path / "disk", monkeypatch) as recorder:
        made = authority.ensure(tmp_path / "disk/var/pki")
        recorder.acknowledge()
    halves = 0
    for moment, left in cuts(recorder, tmp_path, chance):
        pki = left / "var/pki"
        halves += (pki / "ca.key").is_file() and not (pki / "ca.pem").is_file()
        found = authority.ensure(pki)
        assert (pki / "ca.pem").read_bytes() == Path(found.certificate).read_bytes()
        if moment.acknowledged:
            assert (pki / "ca.pem").read_bytes() == Path(made.certificate).read_bytes(), left
        issued = authority.issue(pki, "shipper", "gpu-1")
        assert authority.issued_by(Path(issued.certificate), authority.trusted(pki / "ca.pem")[0]), left
        assert not authority.ensure(pki).changed
    assert halves, "no cut fell between the key and its certificate"
