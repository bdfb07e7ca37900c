"""Break-glass access of which nobody learns does not stay, whatever fails; a key of tokens that is none is one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, RSAKey

from dualtrack import cli
from dualtrack.cli import access
from dualtrack.core.errors import External
from dualtrack.core.paths import ROOT
from dualtrack.security.access import break_glass, tokens
from dualtrack.security.pki.authority import TOKEN_KEY

REASON = "the gateway is down, ticket 4711"
Put = Callable[[Path], object]


def _key(data: bytes, mode: int = 0o600) -> Put:
    def put(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / TOKEN_KEY).write_bytes(data)
        (folder / TOKEN_KEY).chmod(mode)

    return put


GOOD = ECKey.generate_key("P-256", private=True)
#: What may be in the place of an authority's directory, or of the key of tokens in it.
PLACES: dict[str, Put] = {
    "empty": _key(b""),
    "words": _key(b"garbage\n"),
    "not text": _key(b"\xff\x00" * 99),
    "long": _key(b"-" * 100_000),
    "half": _key(GOOD.as_pem(private=True)[:100]),
    "only public": _key(GOOD.as_pem(private=False)),
    "another curve": _key(ECKey.generate_key("P-384", private=True).as_pem(private=True)),
    "another kind": _key(RSAKey.generate_key(2048, private=True).as_pem(private=True)),
    "for others to read": _key(GOOD.as_pem(private=True), 0o644),
    "a directory for a key": lambda folder: (folder / TOKEN_KEY).mkdir(parents=True),
    "a lock that is a directory": lambda folder: (folder / f".{TOKEN_KEY}.lock").mkdir(parents=True),
    "a link to nowhere": lambda folder: (folder.mkdir(), (folder / TOKEN_KEY).symlink_to("/proc/none/key")),
    "a file for a directory": lambda folder: folder.write_bytes(b""),
    "nothing": lambda _: None,
}


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., int]:
    """Return what calls `dualtrack access` and returns its exit code; more than one line on stderr fails the test."""

    def called(*words: object) -> int:
        options = ("--people", ROOT / "inventories/access.yml", "--pki", tmp_path / "pki")
        monkeypatch.setattr(sys, "argv", ["dualtrack", "access", *map(str, (*words, *options))])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        code, said = int(caught.value.code or 0), capfd.readouterr()
        assert code == 0 or (said.out, said.err.count("\n"), "Traceback" in said.err) == ("", 1, False), said
        return code

    return called


def broken(call: Callable[..., int], folder: Path) -> int:
    return call("break-glass", "chen", "--reason", REASON, "--grants", folder / "grants.json")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", ["break-glass", "token"])
def test_no_right_without_a_token(tmp_path: Path, call: Callable[..., int], command: str, place: str) -> None:
    PLACES[place](tmp_path / "pki")
    assert (broken(call, tmp_path) if command == "break-glass" else call("token", "chen")) in (2, 4, 5)
    assert break_glass.list_grants(tmp_path / "grants.json") == ()
    if place == "nothing":
        assert not (tmp_path / "pki").exists()


#: What is called on the way, and where the name is looked up.
STEPS = {
    "the grant is written": (break_glass, "write_atomically"), "the key": (tokens, "key"),
    "the token": (tokens, "issue"),
    "the answer": (access, "echo"), "who reads it": (access, "check_read"),
}  # fmt: skip
WRONG: dict[str, type[BaseException]] = {
    "Ctrl-C": KeyboardInterrupt, "a signal": cli.Terminated, "no memory": MemoryError, "a disk": OSError,
    "a program": External,
}  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("step", STEPS)
def test_no_right_stays_where_a_step_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, wrong: str, after: bool
) -> None:
    """Each step fails once, before or after it has done its work. What comes after is as always."""
    (tmp_path / "pki").mkdir()
    module, name = STEPS[step]
    real, calls = getattr(module, name), 0

    def failing(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        done = real(*args, **options) if after or calls > 1 else None
        if calls == 1:
            raise WRONG[wrong]("now")
        return done

    monkeypatch.setattr(module, name, failing)
    with pytest.raises(WRONG[wrong]):
        access.break_glass(
            "chen", "administrator", 60, REASON, ROOT / "inventories/access.yml", tmp_path / "grants.json",
            tmp_path / "pki", json=False,
        )  # fmt: skip
    assert [it for it in break_glass.list_grants(tmp_path / "grants.json") if it.until > datetime.now(UTC)] == []


def test_a_new_key_is_said(tmp_path: Path, call: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    """A directory without a key of tokens gets one, and who has asked learns that services do not know it yet."""
    (tmp_path / "pki").mkdir()
    for said in (True, False):
        access.token("chen", 60, access.Service.store, ROOT / "inventories/access.yml", tmp_path / "pki")
        assert (f"made {tmp_path / 'pki' / TOKEN_KEY}" in capfd.readouterr().err) == said
    assert broken(call, tmp_path) == 0
    assert len(json.loads((tmp_path / "grants.json").read_text())["grants"]) == 1
