"""The chain: whatever is done to its files is found and named, whoever did it; a crash loses nothing that was safe."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from dualtrack.core.errors import BadInput, External, Findings, Refused
from dualtrack.security.audit import keys, proof, record
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.layout import Place
from dualtrack.security.audit.record import Record
from dualtrack.security.audit.verify import TrailReport, judge
from dualtrack.security.audit.writer import Writer, begin
from tests.support import reference_audit as audit_judge
from tests.support.attack_helpers import SECOND, START, Clock, anchors, fill, steal


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trail of 33 records: six segments of five, signed by one key after the other, and three that are not signed."""
    folder = tmp_path_factory.mktemp("trail") / "host"
    begin(folder, "vault-1")
    fill(folder, 33, Clock())
    return folder


def test_a_trail_as_it_was_written_is_in_order(trail: Path, root: bytes) -> None:
    report = judge(trail, root, anchors(trail))
    assert report.findings == ()
    assert (report.host, report.records, report.segments, report.signed) == ("vault-1", 33, 6, 30)
    epochs = {heads.decode(heads.split(it)[0]).epoch for it in (trail / "heads.log").read_bytes().splitlines(True)}
    assert len(epochs) >= 3
    assert len(list((trail / "keys").iterdir())) == 1  # yesterday's keys are gone


#: `make drill-audit` flips every byte; here every 17th, from another one each time.
STEP = 1 if os.environ.get("DUALTRACK_WHOLE") else 17


def test_every_byte_counts(trail: Path, root: bytes, chance: random.Random) -> None:
    """Bytes of a segment and of the heads, flipped: found each time, and in a record its number is named."""
    begin = chance.randrange(STEP)
    known = anchors(trail)
    for path in (trail / "segments/00000003.log", trail / "heads.log"):
        whole = path.read_bytes()
        number, wrong = 11, []
        for place, byte in enumerate(whole):
            if place % STEP != begin:
                number += byte == 10
                continue
            path.write_bytes(whole[:place] + bytes([byte ^ 1]) + whole[place + 1 :])
            found = judge(trail, root, known).findings
            if not found or (path.parent.name == "segments" and found[0].first not in (number, number + 1)):
                wrong.append((place, found))
            number += byte == 10
        path.write_bytes(whole)
        assert wrong == []


def shuffled(lines: list[bytes], how: str, at: int, first: int) -> list[bytes]:
    """Return the lines after somebody removed, repeated, swapped, inserted or added one."""
    before, after = lines[:at], lines[at + 1 :]
    if how == "remove":
        return before + after
    if how == "repeat":
        return [*before, lines[at], lines[at], *after]
    if how == "swap":
        other = at + 1 if at + 1 < len(lines) else at - 1
        changed = list(lines)
        changed[at], changed[other] = changed[other], changed[at]
        return changed
    data = record.encode(Record(n=at + first, t=START, kind="sudo", source="nobody", body="innocent"))
    made = record.line(data, record.link(bytes(32), data))
    return [*before, made, *(lines[at:] if how == "insert" else after)]


@pytest.mark.parametrize("how", ["remove", "repeat", "swap", "insert", "replace"])
@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("file", ["segments/00000003.log", "segments/00000007.log"])
def test_lines_that_are_moved_about_are_found(trail: Path, root: bytes, file: str, how: str, at: int) -> None:
    path = trail / file
    lines = path.read_bytes().splitlines(keepends=True)
    if at >= len(lines):
        pytest.skip("the unsigned segment has three records")
    first = 11 if "3" in file else 31
    path.write_bytes(b"".join(shuffled(lines, how, at, first)))
    report = judge(trail, root)
    if how == "remove" and at == len(lines) - 1 and file.endswith("7.log"):
        assert report.findings == ()  # the last, which nothing signs yet: only silence tells, later
        kinds = [it.kind for it in judge(trail, root, now=report.ended + 3600 * SECOND).findings]
        assert kinds == ["not signed", "silent"]
    else:
        assert report.findings != (), how
        assert min(it.first for it in report.findings) in range(first + at - 1, first + at + 2)


@pytest.mark.parametrize("number", range(1, 8))
def test_files_that_are_gone_or_swapped_are_found(trail: Path, root: bytes, number: int) -> None:
    place, known = Place(trail), anchors(trail)
    kept = place.segment(number).read_bytes()
    place.segment(number).unlink()
    gone = judge(trail, root, known, now=START + 3600 * SECOND).findings
    assert gone[0].kind == ("silent" if number == 7 else "removed")
    other = place.segment(1 if number != 1 else 2)
    place.segment(number).write_bytes(other.read_bytes())
    assert judge(trail, root, known).findings != ()
    place.segment(number).write_bytes(kept)
    assert judge(trail, root, known).findings == ()


@pytest.mark.parametrize("keep", range(6))
def test_a_clean_cut_is_found_through_an_anchor(trail: Path, root: bytes, keep: int) -> None:
    """Whole segments and their heads taken off the end: on its own the rest looks like a trail that ended there."""
    known = anchors(trail)
    place = Place(trail)
    place.heads.write_bytes(b"".join(place.heads.read_bytes().splitlines(keepends=True)[:keep]))
    for number in range(keep + 1, 8):
        place.segment(number).unlink()
    kinds = {it.kind for it in judge(trail, root).findings}
    assert kinds == (set() if keep else {"not signed"})
    assert "rolled back" in {it.kind for it in judge(trail, root, known[keep : keep + 1]).findings}
    assert "rolled back" in {it.kind for it in judge(trail, root, known[-1:]).findings}


def test_a_thief_of_todays_key_cannot_rewrite_yesterday(trail: Path, root: bytes) -> None:
    steal(trail, 3)
    [found] = judge(trail, root).findings
    assert (found.kind, found.first, found.last) == ("wrong key", 1, 5)


def test_a_new_key_for_a_whole_new_trail_is_refused(trail: Path, root: bytes) -> None:
    """All of it replaced and signed by a key of the forger's own: its root is not the one that was registered."""
    shutil.rmtree(trail)
    begin(trail, "vault-1")
    fill(trail, 33, Clock())
    assert judge(trail, (trail / "root.pem").read_bytes()).findings == ()
    assert judge(trail, root).findings[0].kind == "wrong key"


def test_a_fork_within_the_epoch_is_found_through_an_anchor(tmp_path: Path) -> None:
    """With the present key in hand the present epoch can be rewritten; what was anchored of it cannot."""
    folder = tmp_path / "trail"
    begin(folder, "vault-1")
    fill(folder, 33, Clock(), epoch_s=10**6)
    known, root = anchors(folder), (folder / "root.pem").read_bytes()
    steal(folder, 28)
    assert judge(folder, root).findings == ()
    [found] = judge(folder, root, known).findings
    assert (found.kind, found.last) == ("rewritten", 30)


@pytest.mark.parametrize("change", [{"first": 5}, {"before": "00" * 32}])
def test_a_head_that_does_not_go_on_is_found_though_it_is_signed(tmp_path: Path, change: dict[str, object]) -> None:
    folder = tmp_path / "trail"
    begin(folder, "h")
    fill(folder, 10, Clock(), epoch_s=10**6)
    one, two = (folder / "heads.log").read_bytes().splitlines(keepends=True)
    [key] = (folder / "keys").iterdir()
    data = heads.encode(msgspec.structs.replace(heads.decode(heads.split(two)[0]), **change))
    (folder / "heads.log").write_bytes(one + heads.line(data, keys.load(key).sign(heads.signed(data))))
    [found] = judge(folder, (folder / "root.pem").read_bytes()).findings
    assert "after segment 1" in found.detail


def test_the_independent_judge_agrees(trail: Path, root: bytes) -> None:
    """Another implementation, in another library's arithmetic; also after the trail was moved."""
    assert audit_judge.verdict(trail, root) == []
    moved = trail.rename(trail.with_name("elsewhere"))
    path = moved / "segments/00000002.log"
    path.write_bytes(path.read_bytes().replace(b"event 7", b"event 8"))
    assert audit_judge.verdict(moved, root) == ["record 8"]
    assert judge(moved, root).findings[0].first == 8


@pytest.mark.parametrize("number", [1, 5, 6, 17, 30])
def test_one_event_is_proven_to_a_stranger(trail: Path, root: bytes, number: int) -> None:
    made = msgspec.json.encode(proof.prove(trail, number))
    found, head = proof.check(made, root)
    assert (found.n, found.body) == (number, f"event {number - 1}: ls -l /root")
    assert head.first <= number <= head.last
    with pytest.raises(Findings):
        proof.check(made.replace(b": ls -l", b": rm -r"), root)
    other = keys.libcrypto.generate().pem()
    with pytest.raises(Findings, match="not signed by the host's key"):
        proof.check(made, other)


def test_what_is_not_signed_yet_has_no_proof(trail: Path) -> None:
    for number in (0, 31, 34):
        with pytest.raises(BadInput, match="not signed yet"):
            proof.prove(trail, number)


@pytest.mark.parametrize("seed", range(40))
def test_torn_at_any_byte_it_goes_on_without_a_word(trail: Path, root: bytes, seed: int) -> None:
    """A power cut leaves a part of the last write: all that was acknowledged is there, and nobody has to act."""
    path = trail / "segments/00000007.log"
    whole = path.read_bytes()
    cut = random.Random(seed).randrange(len(whole))
    path.write_bytes(whole[:cut])
    fill(trail, 9, Clock(START + 100 * SECOND))
    report = judge(trail, root)
    assert report.findings == ()
    assert report.records == 30 + whole[:cut].count(b"\n") + 9


def test_torn_head_is_written_again(trail: Path, root: bytes) -> None:
    whole = (trail / "heads.log").read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in (last, last + 1, last + 100, len(whole) - 1):
        (trail / "heads.log").write_bytes(whole[:cut])
        # Its key was not destroyed yet, or it was: a head that ends an epoch is on the disk before its key goes.
        if heads.decode(heads.split(whole[last:])[0]).next_key:
            pytest.skip("this head ends an epoch")
        (trail / "segments/00000007.log").unlink(missing_ok=True)
        fill(trail, 3, Clock(START + 100 * SECOND))
        assert judge(trail, root).findings == ()


def test_a_key_that_was_made_and_never_announced_goes(trail: Path, root: bytes) -> None:
    [path] = (trail / "keys").iterdir()
    keys.new(path.with_name(f"{int(path.stem) + 1:06d}.pem"))
    fill(trail, 3, Clock(START + 100 * SECOND))
    assert judge(trail, root).findings == ()
    assert len(list((trail / "keys").iterdir())) == 1


def test_what_was_changed_is_put_aside_and_told(trail: Path, root: bytes) -> None:
    path = trail / "segments/00000007.log"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"event 31", b"event 99") + lines[2])
    fill(trail, 3, Clock(START + 100 * SECOND))
    report = judge(trail, root)
    assert {it.kind for it in report.findings} == {"damaged"}
    [aside] = (it for it in (trail / "segments").iterdir() if ".damaged-" in it.name)
    assert b"event 99" in aside.read_bytes()


def test_a_clock_that_goes_back_and_silence_are_findings(trail: Path, root: bytes) -> None:
    clock = Clock(START - 3600 * SECOND)
    fill(trail, 2, clock)
    clock.now += 1800 * SECOND
    fill(trail, 2, clock)
    report = judge(trail, root)
    assert [it.kind for it in report.findings] == ["clock", "silent"]
    assert "set back by 36" in report.findings[0].detail


def test_any_body_is_kept_byte_for_byte(tmp_path: Path) -> None:
    begin(tmp_path / "trail", "h")
    bodies = [b"", b"\xff\xfe broken", b"a\nb\x00c", "审计 \u2028".encode(), b"x" * (3 * record.LONGEST + 1), b'"}{']
    with Writer(tmp_path / "trail") as writer:
        for body in bodies:
            writer.append("journal", "unit", body)
    report = judge(tmp_path / "trail", (tmp_path / "trail/root.pem").read_bytes())
    assert [it.kind for it in report.findings] == ["not signed"]
    assert list(read_back(tmp_path / "trail")) == bodies


def read_back(folder: Path) -> Iterator[bytes]:
    import base64

    whole = b""
    for text in (folder / "segments/00000001.log").read_bytes().splitlines(keepends=True):
        found = record.decode(record.split(text)[0])
        whole += base64.b64decode(found.raw) if found.raw else found.body.encode()
        if not found.more:
            yield whole
            whole = b""


def test_two_writers_are_one_too_many(trail: Path) -> None:
    with Writer(trail), pytest.raises(Refused, match="another process"):
        Writer(trail)


def test_a_trail_is_begun_once(trail: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="holds a trail"):
        begin(trail, "vault-1")
    with pytest.raises(BadInput, match="holds no trail"):
        Writer(tmp_path / "nothing")


def test_full_disk_leaves_no_half_head(trail: Path, root: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    real, left = os.write, [120]

    def write(handle: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real(handle, data[: left[0]])
        left[0] -= count
        return count

    with Writer(trail, clock=Clock(START + 100 * SECOND)) as writer:
        with monkeypatch.context() as full:
            full.setattr(os, "write", write)
            with pytest.raises(External, match="cannot be written"):
                writer.seal()
        writer.append("sudo", "ops", b"there is room again")
    fill(trail, 3, Clock(START + 200 * SECOND))
    assert judge(trail, root).findings == ()


def test_full_disk_is_said_and_the_same_events_are_written_later(
    trail: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_write = os.write

    def short(handle: int, data: bytes) -> int:
        if len(data) > 40:
            return true_write(handle, data[:40])  # a part goes in, then there is no room
        raise OSError(28, "No space left on device")

    writer = Writer(trail, clock=Clock(START + 100 * SECOND))
    writer.append("sudo", "ops", b"one" * 30)
    with monkeypatch.context() as patch:
        patch.setattr("dualtrack.security.audit.writer.os.write", short)
        with pytest.raises(External, match="No space left"):
            writer.commit()
    writer.commit()
    writer.close()
    report = judge(trail, root)
    assert (report.findings, report.records) == ((), 34)


def test_no_false_alarm_while_it_is_written(tmp_path: Path) -> None:
    """Verified between any two writes, also in the middle of one."""
    folder = tmp_path / "trail"
    begin(folder, "h")
    root, clock, reports = (folder / "root.pem").read_bytes(), Clock(), list[TrailReport]()
    with Writer(folder, clock=clock, records=4, epoch_ns=10 * SECOND) as writer:
        for number in range(60):
            writer.append("sudo", "ops", f"{number}".encode())
            writer.commit()
            path = folder / f"segments/{writer.segment:08d}.log"
            if path.exists():
                whole = path.read_bytes()
                path.write_bytes(whole + b'{"n":')  # what a reader may see of a write that continues
                reports.append(judge(folder, root))
                path.write_bytes(whole)
            reports.append(judge(folder, root))
    signed = [it for it in reports if it.signed]
    assert len(signed) > 50
    assert [it.findings for it in signed] == [()] * len(signed)
