"""What is not written as the format says is found, by both implementations alike, and ends neither of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dualtrack.core.errors import BadInput, Refused
from dualtrack.security.audit import anchors as kept
from dualtrack.security.audit import keys, proof, record, verify
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.record import Record
from dualtrack.security.audit.verify import MOST, judge
from dualtrack.security.audit.writer import Writer, begin
from tests.support import reference_audit
from tests.support.attack_helpers import MINUTE, SECOND, START, Clock, anchors, both, line


def refused(trail: Path, root: bytes) -> None:
    report, fault = both(trail, root)
    assert report is None or report.findings
    assert fault


@pytest.mark.attack("root on the host", "numbers records below 1 or beyond 2^63", "found", "audit verify")
@pytest.mark.attack("root on the host", "adds files that verify would not look at", "found", "audit verify")
@pytest.mark.attack("root on the host", "puts a link or a directory in a segment's place", "found", "audit verify")
@pytest.mark.attack("root on the host", "empties the file of anchors", "found", "audit verify")
@pytest.mark.attack("root on the host", "gives the trail a name that is none", "found", "audit verify")
@pytest.mark.attack("root on the host", "spells a record in another way", "found", "audit verify")
@pytest.mark.attack("root on the host", "spells a head in another way", "found", "audit verify")
@pytest.mark.attack("root on the host", "spells a signature in another way", "found", "audit verify")
@pytest.mark.parametrize("n", [0, -1, -(2**63), 1 << 63, 10**400])
@pytest.mark.parametrize("signed", [True, False])
def test_number_that_no_record_has(trail: Path, root: bytes, n: int, signed: bool) -> None:
    """Once it was passed over, in a segment that is signed and anchored, and shown among the others."""
    path = trail / ("segments/00000001.log" if signed else "segments/00000003.log")
    rows = path.read_bytes().splitlines(keepends=True)
    body = b'{"n":%d,"t":1,"kind":"sudo","source":"ops","body":"FORGED"} ' % n
    rows.insert(2, body + b"0" * 64 + b"\n")
    path.write_bytes(b"".join(rows))
    refused(trail, root)
    assert judge(trail, root, anchors(trail)).findings[0].kind == "altered"


@pytest.mark.parametrize("name", ["00000000.log", "٠٠٠٠٠٠٠١.log", "00000003.LOG", "3.log", "000000003.log", "a\nb"])
@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_name_that_no_segment_has(trail: Path, root: bytes, name: str, kind: str) -> None:
    path, first = trail / "segments" / name, trail / "segments/00000001.log"
    {"file": lambda: shutil.copy(first, path), "directory": path.mkdir, "link": lambda: path.symlink_to(first)}[kind]()
    refused(trail, root)


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("kind", ["directory", "link"])
def test_segment_that_is_no_file(trail: Path, root: bytes, number: int, kind: str) -> None:
    path = trail / f"segments/{number:08d}.log"
    away = path.rename(trail / "away")
    path.mkdir() if kind == "directory" else path.symlink_to(away)
    refused(trail, root)


@pytest.mark.attack("root on the host", "has the newest records never signed", "found", "audit verify")
def test_records_that_are_never_signed_are_found(trail: Path, root: bytes) -> None:
    """Segments cut off, heads and all, and heartbeats in their place up to now: it needs no key."""
    text = (trail / "heads.log").read_bytes().splitlines(keepends=True)[0]
    (trail / "heads.log").write_bytes(text)
    head = heads.parse(text)[0]
    (trail / "segments/00000003.log").unlink()
    chain, now, rows = bytes.fromhex(head.chain), head.ended, []
    for n in range(6, 60):
        now += MINUTE
        row, chain = line(n, chain, t=now, kind="heartbeat", source="audit")
        rows.append(row)
    path = trail / "segments/00000002.log"
    path.write_bytes(b"".join(rows))
    refused(trail, root)
    assert [it.kind for it in judge(trail, root, now=now).findings] == ["not signed"]
    path.write_bytes(b"".join(rows[:3]))
    assert both(trail, root)[1] == []
    [found] = judge(trail, root, now=now).findings[:1]
    assert (found.kind, found.first, found.last) == ("not signed", 6, 8)


@pytest.mark.attack("root on the host", "dates the last of hours of unsigned records back", "found", "audit verify")
@pytest.mark.parametrize("back", [SECOND, 180 * MINUTE])
def test_unsigned_records_are_as_old_as_the_oldest_and_as_new_as_the_newest(
    trail: Path, root: bytes, back: int
) -> None:
    text = (trail / "heads.log").read_bytes().splitlines(keepends=True)[-1]
    head = heads.parse(text)[0]
    chain, now, rows = bytes.fromhex(head.chain), head.ended, []
    for n in range(180):
        now += MINUTE
        row, chain = line(head.last + 1 + n, chain, t=now, kind="heartbeat", source="audit")
        rows.append(row)
    row, chain = line(head.last + 181, chain, t=now - back, kind="heartbeat", source="audit")
    (trail / f"segments/{head.segment + 1:08d}.log").write_bytes(b"".join([*rows, row]))
    refused(trail, root)
    found = [it.kind for it in judge(trail, root).findings]
    assert found == (["not signed"] if back == SECOND else ["clock", "not signed"])


@pytest.mark.attack("root on the host", "dates a record back without a word", "found", "audit verify")
def test_time_that_goes_back_without_a_word(trail: Path, root: bytes) -> None:
    text = (trail / "heads.log").read_bytes().splitlines(keepends=True)[-1]
    head = heads.parse(text)[0]
    first, chain = line(head.last + 1, bytes.fromhex(head.chain), t=head.ended + 2 * SECOND, kind="sudo")
    for back, kinds in ((SECOND, []), (SECOND + 1, ["clock"])):
        second, _ = line(head.last + 2, chain, t=head.ended + 2 * SECOND - back, kind="sudo")
        (trail / f"segments/{head.segment + 1:08d}.log").write_bytes(first + second)
        assert [it.kind for it in judge(trail, root).findings] == kinds
        assert bool(both(trail, root)[1]) == bool(kinds)


@pytest.mark.attack("root on the host", "names a pipe or a link as the trail's host", "found", "audit verify")
@pytest.mark.parametrize("how", ["pipe", "link", "words", "gone"])
def test_file_of_the_host_is_a_file_with_its_name(trail: Path, root: bytes, how: str) -> None:
    path = trail / "host"
    if how == "words":
        path.write_text("evil\nmore\x1b[31m")
    else:
        path.rename(trail / "elsewhere")
        {"pipe": lambda: os.mkfifo(path), "link": lambda: path.symlink_to("elsewhere"), "gone": lambda: None}[how]()
    for known in ((), anchors(trail)):
        with pytest.raises((BadInput, Refused)):
            judge(trail, root, known)


@pytest.mark.attack("root on the host", "hides silence by a time to come", "found", "audit verify --live")
def test_time_that_has_not_come_yet_does_not_hide_silence(trail: Path, root: bytes) -> None:
    report = judge(trail, root)
    assert judge(trail, root, now=report.ended).findings == ()
    assert [it.kind for it in judge(trail, root, now=report.ended - 6 * MINUTE).findings] == ["clock"]


def test_writer_signs_what_waits_before_it_goes_on(trail: Path, root: bytes) -> None:
    """Off for an hour, or by a clock that was set back: what waits is signed before anything new is there."""
    for later in (3600 * SECOND, -7200 * SECOND):
        with Writer(trail, clock=Clock(START + later)) as writer:
            assert writer.last == judge(trail, root).signed
            writer.append("sudo", "ops", b"later")


@pytest.mark.parametrize(
    "what",
    [
        "",
        "\n",
        '{"n":1,"previous":"x"} 00\n',
        "x" * (2 << 20),
        '{"host":"h","segment":1,"digest":"X","digest":"X","last":1,"ended":1}\n'.replace("X", "0" * 64),
    ],
)
def test_place_without_anchors_is_no_agreement(trail: Path, root: bytes, tmp_path: Path, what: str) -> None:
    (tmp_path / "anchors").write_text(what)
    with pytest.raises(BadInput):
        list(kept.read([str(tmp_path / "anchors")]))
    assert judge(trail, root, anchors(trail)).anchors == 2


def test_anchor_of_a_time_that_no_clock_shows_is_refused(tmp_path: Path) -> None:
    data = msgspec.json.encode({"host": "h", "segment": 1, "digest": "0" * 64, "last": 1, "ended": 1 << 63})
    (tmp_path / "anchors").write_bytes(data + b"\n")
    with pytest.raises(BadInput, match="number 1 is not an anchor"):
        list(kept.read([str(tmp_path / "anchors")]))


@pytest.mark.parametrize("host", [b"\xff\n", b"", b"vault-1", b" vault-1\n", b"vault-1\r\n", b"a" * 300 + b"\n"])
def test_host_that_is_no_name(trail: Path, root: bytes, host: bytes) -> None:
    (trail / "host").write_bytes(host)
    with pytest.raises(BadInput, match="not a name of a host"):
        judge(trail, root)
    assert reference_audit.verdict(trail, root)


@pytest.mark.parametrize("host", [" a ", "a\rb", "a\nb", "", "-a", "ä", "a" * 254])
def test_trail_is_not_begun_for_a_name_that_is_none(tmp_path: Path, host: str) -> None:
    with pytest.raises(BadInput, match="not a name of a host"):
        begin(tmp_path / "trail", host)
    assert not (tmp_path / "trail").exists()


@pytest.mark.attack("root on the host", "drowns the verifier in findings", "prevented", "a bound")
def test_findings_are_bounded(trail: Path, root: bytes) -> None:
    with (trail / "segments/00000002.log").open("ab") as file:
        file.write(b"\n" * 3_000_000)
    report = judge(trail, root)
    assert len(report.findings) == MOST
    assert "verified no further" in report.findings[-1].detail


@pytest.mark.attack("root on the host", "leaves a file of terabytes", "prevented", "a bound")
def test_sparse_files_are_not_read_whole(trail: Path, root: bytes) -> None:
    os.truncate(trail / "host", 5 << 30)
    with pytest.raises(BadInput):
        judge(trail, root)
    (trail / "host").write_bytes(b"vault-1\n")
    os.truncate(trail / "heads.log", 1 << 30)
    assert judge(trail, root).findings[0].kind == "altered"


def resigned(trail: Path, change: Callable[[dict[str, object]], object]) -> None:
    """The last head changed and signed anew by the present key; the fields may be anything."""
    rows = (trail / "heads.log").read_bytes().splitlines(keepends=True)
    fields = msgspec.json.decode(heads.split(rows[-1])[0])
    changed = change(fields)
    data = changed if isinstance(changed, bytes) else msgspec.json.encode(fields)
    [key] = (trail / "keys").iterdir()
    rows[-1] = heads.line(data, keys.load(key).sign(heads.signed(data)))
    (trail / "heads.log").write_bytes(b"".join(rows))


@pytest.mark.parametrize(
    "fields",
    [{"chain": "zz"}, {"chain": "0" * 63}, {"ended": 1 << 63}, {"ended": -1}, {"segment": 0}, {"last": 5},
     {"next_key": "no key"}, {"more": 1}, {"host": "a b"}, {"epoch": 1.0}],
)  # fmt: skip
def test_head_that_is_none_though_the_present_key_signed_it(
    trail: Path, root: bytes, fields: dict[str, object]
) -> None:
    resigned(trail, lambda found: found.update(fields))
    report = judge(trail, root)
    assert report.findings[0].kind in ("altered", "wrong key")
    if "next_key" not in fields:  # the reference reads a key only when it needs it
        assert reference_audit.verdict(trail, root)


OTHER_SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "space": lambda data: data.replace(b",", b", ", 1),
    "around": lambda data: b" " + data,
    "twice": lambda data: data[:-1] + b"," + data[1:],
    "escape": lambda data: data.replace(b"s", b"\\u0073", 1),
    "slash": lambda data: data.replace(b"/", b"\\/", 1),
    "exponent": lambda data: data.replace(b'"t":1', b'"t":0.1e1', 1).replace(b'"begun":1', b'"begun":0.1e1', 1),
    "zero": lambda data: data.replace(b'"n":', b'"n":0', 1).replace(b'"segment":', b'"segment":0', 1),
    "order": lambda data: msgspec.json.encode(dict(reversed(msgspec.json.decode(data).items()))),
}


@pytest.mark.parametrize("how", OTHER_SPELLINGS)
def test_other_spelling_of_a_record_is_none(trail: Path, root: bytes, how: str) -> None:
    """With a right hash: another reader may read another event in it."""
    path = trail / "segments/00000003.log"
    rows = path.read_bytes().splitlines(keepends=True)
    before = bytes.fromhex(heads.parse((trail / "heads.log").read_bytes().splitlines(keepends=True)[-1])[0].chain)
    for index, row in enumerate(rows):
        data = record.split(row)[0]
        changed = OTHER_SPELLINGS[how](data) if index == 1 else data
        assert index != 1 or changed != data
        before = record.link(before, changed)
        rows[index] = record.line(changed, before)
    path.write_bytes(b"".join(rows))
    refused(trail, root)


@pytest.mark.parametrize("how", [it for it in OTHER_SPELLINGS if it != "slash"])
def test_other_spelling_of_a_head_is_none(trail: Path, root: bytes, how: str) -> None:
    resigned(trail, lambda found: OTHER_SPELLINGS[how](msgspec.json.encode(found)))
    refused(trail, root)


@pytest.mark.parametrize(
    "change",
    [lambda text: text.replace(b"\n", b"\r\n"), lambda text: text.replace(b" 30", b"\t 30"),
     lambda text: text[:-65] + text[-65:].upper(), lambda text: text.rstrip(b"\n") + b" \n"],
)  # fmt: skip
def test_other_spelling_of_a_signature_is_none(trail: Path, root: bytes, change: Callable[[bytes], bytes]) -> None:
    path = trail / "heads.log"
    assert change(path.read_bytes()) != path.read_bytes()
    path.write_bytes(change(path.read_bytes()))
    refused(trail, root)


@pytest.mark.parametrize("raw", ["%%%%", "YQ", "YQ==\n", "YR=="])
@pytest.mark.parametrize("body", ["", "beside"])
def test_raw_body_is_base64_and_alone(raw: str, body: str) -> None:
    data = msgspec.json.encode({"n": 1, "t": 1, "kind": "x", **({"body": body} if body else {}), "raw": raw})
    with pytest.raises(BadInput):
        record.decode(data)
    good = msgspec.json.encode({"n": 1, "t": 1, "kind": "x", "raw": "YQ=="})
    assert record.decode(good).raw == "YQ=="


@pytest.mark.attack("a thief", "spells a proof in another way", "found", "audit check-proof")
def test_proof_is_spelled_in_one_way(trail: Path, root: bytes) -> None:
    made = proof.prove(trail, 3)
    proof.check(msgspec.json.encode(made), root)
    for changed in (
        msgspec.structs.replace(made, before=made.before.upper()),
        msgspec.structs.replace(made, after=(f"{made.after[0]} ", *made.after[1:])),
        msgspec.structs.replace(made, head=msgspec.structs.replace(made.head, signature=made.head.signature.upper())),
    ):
        with pytest.raises(BadInput):
            proof.check(msgspec.json.encode(changed), root)


def test_line_that_is_finished_while_it_is_judged_is_no_finding(
    trail: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer's write ends between two looks at the file."""
    path = trail / "segments/00000003.log"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    parse = record.parse

    def late(text: bytes) -> object:
        if not text.endswith(b"\n"):
            path.write_bytes(whole)
        return parse(text)

    monkeypatch.setattr(verify.record, "parse", late)
    assert judge(trail, root).findings == ()
    assert judge(trail, root).records == 13


def test_record_of_every_kind_is_spelled_as_the_format_says(tmp_path: Path) -> None:
    begin(tmp_path / "trail", "h")
    with Writer(tmp_path / "trail") as writer:
        for body in (b"", b"\xff", b"\x00\x1f\x7f", "审计 \u2028 \U0001f600".encode(), b'"\\/'):
            writer.append("journal", "", body)
        writer.seal()
    assert both(tmp_path / "trail", (tmp_path / "trail/root.pem").read_bytes()) == (
        judge(tmp_path / "trail", (tmp_path / "trail/root.pem").read_bytes()), [],
    )  # fmt: skip
    assert Record(n=1, t=1, kind="x") == record.decode(record.encode(Record(n=1, t=1, kind="x")))
