"""Every file of a trail emptied, removed, or a directory: each command says so in one line, or needs none of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dualtrack import cli
from dualtrack.core.errors import BadInput, Findings
from dualtrack.security.audit import proof
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.writer import Writer
from dualtrack.security.pki import authority
from tests.support.attack_helpers import SECOND, START, Clock

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Return what calls `dualtrack audit` and returns its exit code and what it said; a traceback fails the test."""

    def called(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["dualtrack", "audit", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        code, said = int(caught.value.code or 0), capfd.readouterr().err
        assert said.count("\n") == (code != 0), said
        return code, said

    return called


def emptied(path: Path) -> None:
    if not path.is_dir():
        path.write_bytes(b"")
        return
    shutil.rmtree(path)
    path.mkdir()


def removed(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def other(path: Path) -> None:
    """A directory becomes a file, a file a directory."""
    was_one = path.is_dir()
    removed(path)
    path.touch() if was_one else path.mkdir()


HOW: dict[str, Callable[[Path], None]] = {"emptied": emptied, "removed": removed, "other": other}
FILES = ("host", "heads.log", "root.pem", "segments", "segments/00000001.log", "segments/00000002.log",
         "segments/00000003.log", "keys", "keys/*", "lock")  # fmt: skip
#: The words of each command on a trail, its key and its proof's file, and which files it does not need, in which state.
NOT_NEEDED = ("keys", "keys/*", "lock")
UNSIGNED = (("segments/00000003.log", "emptied"), ("segments/00000003.log", "removed"))
COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "verify": (("verify", "TRAIL", "--key", "KEY"), (*NOT_NEEDED, "root.pem"), UNSIGNED),
    "show": (("show", "TRAIL"), (*NOT_NEEDED, "host"), (*UNSIGNED, ("root.pem", "emptied"), ("root.pem", "other"))),
    "prove": (
        ("prove", "TRAIL", "7", "-o", "PROOF"),
        (*NOT_NEEDED, "host", "segments/00000001.log", "segments/00000003.log"),
        (("root.pem", "removed"),),
    ),
    "anchor": (
        ("anchor", "TRAIL"),
        (*NOT_NEEDED, "host", "root.pem", *(it for it in FILES if it.startswith("segments"))),
        (),
    ),
}


@pytest.mark.attack("root on the host", "empties or removes a file of the trail", "found", "audit verify, show, prove")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("command", COMMANDS)
def test_each_file_of_a_trail(
    trail: Path, root: bytes, tmp_path: Path, call: Call, command: str, name: str, how: str
) -> None:
    words, not_needed, passes = COMMANDS[command]
    named = {"TRAIL": trail, "KEY": tmp_path / "key.pem", "PROOF": tmp_path / "proof"}
    named["KEY"].write_bytes(root)
    assert call(*(named.get(it, it) for it in words)) == (0, "")
    named["PROOF"].unlink(missing_ok=True)
    [path] = trail.glob(name)
    HOW[how](path)
    code, said = call(*(named.get(it, it) for it in words))
    assert (code == 0) == (name in not_needed or (name, how) in passes), said
    assert (path.name in said or trail.name in said or "vault-1" in said) == (code != 0), said
    if command == "prove":
        assert named["PROOF"].exists() == (code == 0)
        if code == 0:
            assert call("check-proof", named["PROOF"], "--key", named["KEY"]) == (0, "")


@pytest.mark.parametrize(
    ("how", "bad"), [("emptied", 5), ("cut", 5), ("altered", 4), ("another", 5), ("longer", 4), ("words", 5)]
)
def test_no_proof_of_a_segment_that_is_not_as_it_was_signed(
    trail: Path, root: bytes, tmp_path: Path, call: Call, how: str, bad: int
) -> None:
    """Once it was written all the same, and nobody could have believed it. Of five records the first ``bad`` have none.

    What comes before a record is in its proof as one hash: a proof of the last one may still be good.
    """
    path, key = trail / "segments/00000001.log", tmp_path / "key.pem"
    key.write_bytes(root)
    rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes({
        "emptied": b"", "cut": b"".join(rows[:-1]), "altered": b"".join(rows).replace(b"event 3", b"event 4"),
        "another": (trail / "segments/00000002.log").read_bytes(), "longer": b"".join([*rows, rows[-1]]),
        "words": b"no record\n",
    }[how])  # fmt: skip
    for number in range(1, 7):
        code, said = call("prove", trail, number, "-o", tmp_path / f"{number}.proof")
        assert (code, f"{path} is not as it was signed" in said) == ((1, True) if number <= bad else (0, False)), said
        assert (tmp_path / f"{number}.proof").exists() == (number > bad)
        if number > bad:
            assert call("check-proof", tmp_path / f"{number}.proof", "--key", key) == (0, "")


def test_no_proof_where_a_head_is_not_as_it_was_signed(trail: Path, tmp_path: Path, call: Call) -> None:
    with Writer(trail, clock=Clock(START + 100 * SECOND)) as writer:
        writer.seal()
    rows = (trail / "heads.log").read_bytes().splitlines(keepends=True)
    assert [bool(heads.parse(it)[0].next_key) for it in rows] == [False, True, False]
    for found, code, what in (
        (rows[:1] + rows[2:], 1, "is not signed by the host's key of epoch 0"),  # who names the next key is gone
        ([*rows[:2], b"no head\n", rows[2]], 1, f"{trail / 'heads.log'} holds a line that is not a head"),
        ([*rows[:2], rows[2][:-20]], 2, "not signed yet"),  # it is being written
    ):
        (trail / "heads.log").write_bytes(b"".join(found))
        done, said = call("prove", trail, 12, "-o", tmp_path / "proof")
        assert (done, what in said) == (code, True), said
        assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", ["proof", "key.pem", "anchors"])
def test_each_file_that_a_judge_is_given(
    trail: Path, root: bytes, tmp_path: Path, call: Call, name: str, how: str
) -> None:
    key, made, kept = (tmp_path / it for it in ("key.pem", "proof", "anchors"))
    key.write_bytes(root)
    assert call("prove", trail, 2, "-o", made) == (0, "")
    assert call("anchor", trail, "--to", kept) == (0, "")
    HOW[how](tmp_path / name)
    checked = call("check-proof", made, "--key", key)
    verified = call("verify", trail, "--key", key, "--anchors", kept)
    assert (checked[0] != 0, verified[0] != 0) == (name != "anchors", name != "proof")


def test_proof_that_was_cut_or_changed_anywhere(trail: Path, root: bytes) -> None:
    whole = msgspec.json.encode(proof.prove(trail, 7))
    for at in range(len(whole)):
        for changed in (whole[:at], whole[:at] + b"\\ud800" + whole[at:], whole[:at] + b"\xff" + whole[at + 1 :]):
            with pytest.raises((BadInput, Findings)):
                proof.check(changed, root)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", ["ca.pem", "cert.pem", "cert.key", "password", "token"])
def test_each_file_that_a_search_is_given(tmp_path: Path, call: Call, name: str, how: str) -> None:
    """Nobody answers there; it comes to that only with files that are in order."""
    mine = authority.issue(tmp_path / "pki", "person", "auditor")
    for given, path in (("ca.pem", mine.authority), ("cert.pem", mine.certificate), ("cert.key", mine.key)):
        shutil.copy(path, tmp_path / given)
    for given in ("password", "token"):
        (tmp_path / given).write_text("secret\n")
    who = {
        "password": ("--user", "auditor", "--password-file", tmp_path / "password"),
        "token": ("--token-file", tmp_path / "token"),
    }.get(name, ("--cert", tmp_path / "cert.pem", "--cert-key", tmp_path / "cert.key"))
    words = ("search", "--store", "https://127.0.0.1:1", "--ca", tmp_path / "ca.pem", *who)
    code, said = call(*words)
    assert (code, "the store cannot be had" in said) == (4, True)
    HOW[how](tmp_path / name)
    code, said = call(*words)
    assert (code, str(tmp_path) in said) == (2, True), said


def test_true_trail_is_shown_whole_while_it_is_written(trail: Path, call: Call) -> None:
    assert call("show", trail) == (0, "")
    (trail / "segments/00000003.log.damaged-1").write_bytes(b"put aside by the writer")
    assert call("show", trail) == (0, "")
