"""`dualtrack seal`, `unseal` and `keys` as they are typed: words, exit codes, one line for each error."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dualtrack import cli
from dualtrack.core.progress import Progress, line, size
from dualtrack.security.seal import keyfiles


@dataclass
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


def private(name: str, text: str) -> None:
    """Write a file that is nobody else's."""
    Path(name).touch(0o600)
    Path(name).chmod(0o600)
    Path(name).write_text(text)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    for name in ("alice", "bob"):
        Path(f"{name}.pub").write_bytes(keyfiles.new(Path(f"{name}.key")).pem())
    Path("in").write_bytes(secrets.token_bytes(10000))
    private("words", "correct horse battery\n")

    def call(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["dualtrack", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        said = capfd.readouterr()
        return Done(int(caught.value.code or 0), said.out, said.err)

    return call


def test_seal_and_unseal(run: Run) -> None:
    assert run("seal", "in", "-o", "sealed", "-r", "alice.pub") == Done(0, "", "sealed 10.0 kB for 1 to open\n")
    assert run("unseal", "sealed", "-o", "out", "-i", "alice.key") == Done(0, "", "")
    assert Path("out").read_bytes() == Path("in").read_bytes()
    assert Path("sealed").read_bytes()[8192:] != b""


def test_the_command_need_not_be_named(run: Run) -> None:
    Path("verify").write_text("a file with a command's name")
    assert run("seal", "-o", "one", "in", "--recipient", "alice.pub").code == 0  # options first
    assert run("seal", "new", "in", "-o", "two", "-r", "alice.pub").code == 0
    assert run("seal", "./verify", "-o", "three", "-r", "alice.pub").code == 0
    assert run("seal", "verify", "one", "-i", "alice.key").code == 0
    help_ = run("seal", "--help")
    assert help_.code == 0
    assert "rekey" in help_.out


def test_passphrases(run: Run) -> None:
    assert run("seal", "in", "-o", "sealed", "--passphrase-file", "words", "-r", "bob.pub").code == 0
    assert run("unseal", "sealed", "-o", "one", "--passphrase-file", "words").code == 0
    assert run("unseal", "sealed", "-o", "two", "-i", "bob.key").code == 0
    assert Path("one").read_bytes() == Path("two").read_bytes() == Path("in").read_bytes()
    for words, count in (
        ("short", 5),
        ("ééééééé", 7),
        ("一二三四五六七八九十一", 11),
        ("  eleven letters"[:13] + "     ", 11),
    ):
        private("short", words)
        said = run("seal", "in", "-o", "x", "--passphrase-file", "short")
        assert (said.code, f"has {count} characters (12 at least" in said.err) == (2, True), said.err
    for blanks in (" " * 12, "\t" * 20, "\u3000" * 12, " " * 12 + "\r\n"):
        private("short", blanks)
        said = run("seal", "in", "-o", "x", "--passphrase-file", "short")
        assert (said.code, "holds no passphrase" in said.err) == (2, True), said.err
    private("enough", "一二三四五六七八九十一二")
    assert run("seal", "in", "-o", "x", "--passphrase-file", "enough").code == 0


def test_line_ends_of_another_system_are_no_part_of_a_passphrase(run: Run) -> None:
    assert run("seal", "in", "-o", "sealed", "--passphrase-file", "words").code == 0
    for number, end in enumerate(("", "\n", "\r\n", "\r")):
        private("theirs", f"correct horse battery{end}")
        assert run("unseal", "sealed", "-o", f"out-{number}", "--passphrase-file", "theirs").code == 0
    for other in ("correct horse battery \n", " correct horse battery\n", "correct horse battery\r\r\n"):
        private("theirs", other)  # blanks are
        assert run("unseal", "sealed", "-o", "x", "--passphrase-file", "theirs").code == 2


@pytest.mark.attack("a user", "writes to another's key file", "prevented", "seal: modes of key files")
@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o666])
def test_secrets_that_others_may_read_or_write_are_refused(run: Run, mode: int) -> None:
    assert run("seal", "in", "-o", "sealed", "-r", "alice.pub", "--passphrase-file", "words").code == 0
    run("keys", "new", "-o", "locked", "--passphrase-file", "words")
    private("secret", "to be kept")
    for name in ("alice.key", "words", "secret"):
        Path(name).chmod(mode)
    for words in (
        ("unseal", "sealed", "-o", "x", "-i", "alice.key"),
        ("unseal", "sealed", "-o", "x", "--passphrase-file", "words"),
        ("seal", "verify", "sealed", "-i", "alice.key"),
        ("seal", "rekey", "sealed", "-i", "alice.key", "-r", "bob.pub"),
        ("seal", "in", "-o", "x", "--passphrase-file", "words"),
        ("keys", "public", "alice.key"),
        ("keys", "public", "locked", "--identity-passphrase-file", "words"),
        ("keys", "new", "-o", "x", "--passphrase-file", "words"),
        ("keys", "hand-over", "sealed", "-i", "alice.key", "-r", "bob.pub", "-o", "x"),
        ("keys", "split", "alice.key", "-k", "2", "-c", "alice.pub", "-c", "bob.pub", "-o", "x"),
        ("keys", "split", "secret", "-k", "2", "-c", "alice.pub", "-c", "bob.pub", "-o", "x"),
    ):
        said = run(*words)
        assert (said.code, said.out, said.err.count("\n")) == (5, "", 1), (words, said.err)
        assert f"(mode {mode:04o}) (chmod 600 " in said.err
    assert not Path("x").exists()
    os.mkfifo("pipe")  # as the hint says: for whoever means it
    writer = subprocess.Popen(["cp", "alice.key", "pipe"])
    assert run("unseal", "sealed", "-o", "out", "-i", "pipe").code == 0
    assert writer.wait() == 0
    writer = subprocess.Popen(["cp", "secret", "pipe"])
    assert run("keys", "split", "pipe", "-k", "2", "-c", "alice.pub", "-c", "bob.pub", "-o", "shares").code == 0
    assert writer.wait() == 0


def test_keys_under_a_passphrase(run: Run) -> None:
    made = run("keys", "new", "-o", "locked", "--passphrase-file", "words")
    Path("locked.pub").write_text(made.out)
    assert "private key of sm2:" in made.err
    run("seal", "in", "-o", "sealed", "-r", "locked.pub")
    assert run("unseal", "sealed", "-o", "x", "-i", "locked").code == 2
    done = run("unseal", "sealed", "-o", "out", "-i", "locked", "--identity-passphrase-file", "words")
    assert (done.code, Path("out").read_bytes()) == (0, Path("in").read_bytes())


def test_ranges(run: Run) -> None:
    run("seal", "in", "-o", "sealed", "-r", "alice.pub")
    content = Path("in").read_bytes()
    for part, expected in (
        ("0:1", content[:1]),
        ("100:50", content[100:150]),
        ("9000:", content[9000:]),
        ("10000:", b""),
    ):
        out = f"out-{part.replace(':', '-')}"
        assert run("unseal", "sealed", "-o", out, "-i", "alice.key", "--range", part).code == 0
        assert Path(out).read_bytes() == expected
    for part in ("10000:1", "1", ":5", "-1:5", "a:b", "1:-1", "1:2:3", "10001:"):
        done = run("unseal", "sealed", "-o", "x", "-i", "alice.key", f"--range={part}")
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), part
    assert not Path("x").exists()
    assert run("unseal", "-", "-o", "x", "-i", "alice.key", "--range", "0:1").code == 2


def test_verify(run: Run) -> None:
    run("seal", "in", "-o", "sealed", "-r", "alice.pub")
    assert run("seal", "verify", "sealed", "-i", "alice.key").out.startswith(
        "sealed is as it was sealed: 10.0 kB, for sm2:"
    )
    done = run("seal", "verify", "sealed")
    assert (done.code, "without a key nothing can be verified" in done.err) == (2, True)
    assert run("seal", "verify", "sealed", "-i", "bob.key").code == 2
    data = bytearray(Path("sealed").read_bytes())
    data[9000] ^= 1
    Path("sealed").write_bytes(data)
    done = run("seal", "verify", "sealed", "-i", "alice.key", "--json")
    found = json.loads(done.out)
    assert (done.code, found["schema"], found["ok"], found["reason"]) == (1, "dualtrack.seal-check/1", False, "chunk")
    assert "chunk 0, bytes 0-1048575 of the content" in done.err
    done = run("unseal", "sealed", "-o", "out", "-i", "alice.key")
    assert (done.code, Path("out").exists()) == (1, False)


def test_show_and_rekey(run: Run) -> None:
    run("seal", "in", "-o", "sealed", "-r", "alice.pub")
    alice, bob = (run("keys", "show", f"{name}.pub").out.strip() for name in ("alice", "bob"))
    assert json.loads(run("seal", "show", "sealed", "--json").out)["recipients"] == [alice]
    assert run("seal", "rekey", "sealed", "-i", "bob.key", "-r", "bob.pub").code == 2
    done = run("seal", "rekey", "sealed", "-i", "alice.key", "-r", "bob.pub", "--json")
    assert json.loads(done.out)["recipients"] == [bob]
    assert run("unseal", "sealed", "-o", "x", "-i", "alice.key").code == 2
    assert run("unseal", "sealed", "-o", "out", "-i", "bob.key").code == 0
    assert run("seal", "show", "in").code == 2


def test_a_damaged_copy_of_the_header_is_noted(run: Run) -> None:
    run("seal", "in", "-o", "sealed", "-r", "alice.pub")
    data = bytearray(Path("sealed").read_bytes())
    data[100] ^= 1
    Path("sealed").write_bytes(data)
    done = run("unseal", "sealed", "-o", "out", "-i", "alice.key")
    assert (done.code, "two copies of its header differ" in done.err) == (0, True)
    assert run("seal", "verify", "sealed", "-i", "alice.key").code == 1
    run("seal", "rekey", "sealed", "-i", "alice.key", "-r", "alice.pub")
    assert run("seal", "verify", "sealed", "-i", "alice.key").code == 0


def test_folders(run: Run) -> None:
    Path("d").mkdir()
    Path("d/f").write_text("content")
    run("seal", "d", "-o", "sealed", "-r", "alice.pub")
    assert run("unseal", "sealed", "-o", "e", "-i", "alice.key").code == 0
    assert Path("e/f").read_text() == "content"
    assert run("unseal", "sealed", "-o", "e", "-i", "alice.key", "--force").code == 5
    assert run("unseal", "sealed", "-o", "x", "-i", "alice.key", "--range", "0:1").code == 2
    assert run("unseal", "d", "-o", "x", "-i", "alice.key").code == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("seal", "in", "-o", "x"), 2, "nobody to seal for"),
        (("seal", "nothing", "-o", "x", "-r", "alice.pub"), 2, "cannot open nothing"),
        (("seal", "in", "-o", "x", "-r", "nothing"), 2, "cannot read nothing"),
        (("seal", "in", "-o", "x", "-r", "alice.key"), 2, "is a private key"),
        (("seal", "in", "-o", "in", "-r", "alice.pub"), 2, "elsewhere"),
        (("seal", "in", "-o", "bob.pub", "-r", "alice.pub"), 5, "bob.pub exists"),
        (("seal", "in", "-o", "/dev/null", "-r", "alice.pub", "--force"), 5, "not a regular file"),
        (("unseal", "in", "-o", "x", "-i", "alice.key"), 2, "not a sealed file"),
        (("unseal", "in", "-o", "x", "-i", "alice.pub"), 2, "is a public key"),
        (("unseal", "in", "-o", "x"), 2, "nothing to open it with"),
        (("unseal", "nothing", "-o", "x", "-i", "alice.key"), 2, "cannot open nothing"),
        (("seal", "show", "nothing"), 2, "cannot open nothing"),
        (("seal", "rekey", "nothing", "-i", "alice.key", "-r", "bob.pub"), 2, "cannot open nothing"),
        (("keys", "new", "-o", "alice.key"), 5, "alice.key exists"),
        (("keys", "show", "in"), 2, "not an SM2 key"),
        (("keys", "public", "alice.pub"), 2, "is a public key"),
        (("keys", "split", "words", "-k", "3", "-c", "alice.pub", "-c", "bob.pub", "-o", "x"), 2, "3 of 2 custodians"),
        (("keys", "join", "in", "-o", "x"), 2, "holds no share"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_errors(run: Run, words: tuple[str, ...], code: int, said: str) -> None:
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    done = run(*words)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1), done.err
    assert said in done.err
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_split_and_join(run: Run) -> None:
    shown = run("keys", "split", "words", "-k", "2", "-c", "alice.pub", "-c", "bob.pub", "-o", "shares", "--json")
    found = json.loads(shown.out)
    assert (found["schema"], found["threshold"], len(found["shares"])) == ("dualtrack.escrow-set/1", 2, 2)
    assert run("keys", "new", "-o", "officer.key").code == 0
    Path("officer.pub").write_text(run("keys", "public", "officer.key").out)
    for name, one in zip(("alice", "bob"), found["shares"], strict=True):
        done = run("keys", "hand-over", one["file"], "-i", f"{name}.key", "-r", "officer.pub", "-o", f"{name}.handed")
        assert "of 2 of words" in done.err
    assert run("keys", "join", "alice.handed", "-i", "officer.key", "-o", "back").code == 2
    done = run("keys", "join", "alice.handed", "bob.handed", "-i", "officer.key", "-o", "back")
    assert (done.code, Path("back").read_text()) == (0, "correct horse battery\n")


def test_progress_is_for_terminals_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("dualtrack.core.progress.time.monotonic", iter(range(0, 100, 2)).__next__)
    with Progress("sealed", 100) as tick:
        tick(10)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Progress("sealed", 100) as tick:
        tick(10)
    assert "sealed 10 B of 100 B" in capsys.readouterr().err


def test_progress_words() -> None:
    assert line("sealed", 500_000_000, 2_000_000_000, 1.0) == "sealed 500.0 MB of 2.0 GB, 500.0 MB/s, 3 s left"
    assert line("sealed", 1500, 0, 1.0) == "sealed 1.5 kB, 1.5 kB/s"
    assert [size(n) for n in (0, 999, 1000, 140e9, 3e15)] == ["0 B", "999 B", "1.0 kB", "140.0 GB", "3000.0 TB"]
