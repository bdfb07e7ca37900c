"""A trail that is begun, and interrupted at any step, is begun by the next run."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.core.errors import Refused
from dualtrack.security.audit import writer
from dualtrack.security.audit.verify import judge
from dualtrack.security.audit.writer import Writer, begin
from tests.support.attack_helpers import SECOND, START, Clock

STEPS = ("make_folder", "write_atomically", "sync_path")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of one number: after so many steps comes Ctrl-C."""
    left = [1000]

    def step(real: object) -> object:
        def call(*args: object, **options: object) -> object:
            done = real(*args, **options)  # type: ignore[operator]
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            return done

        return call

    for name in STEPS:
        monkeypatch.setattr(writer, name, step(getattr(writer, name)))
    monkeypatch.setattr(writer.keys, "new", step(writer.keys.new))
    return left


def test_interrupted_after_any_step(tmp_path: Path, counted: list[int]) -> None:
    for number in range(1, 100):
        folder, counted[0] = tmp_path / str(number), number
        try:
            begin(folder, "vault-1")
            break
        except KeyboardInterrupt:
            counted[0] = 1000
        root = begin(folder, "vault-1").pem()
        assert begin(folder, "vault-1").pem() == root == (folder / "root.pem").read_bytes()
        with Writer(folder, clock=Clock(START)) as of:
            of.append("event", "test", b"something")
            of.seal()
        assert judge(folder, root, now=START + 9 * SECOND).findings == ()
    assert number > len(STEPS)


@pytest.mark.parametrize("what", ["another host", "a record", "another root", "no key"])
def test_what_is_not_just_begun_is_refused(tmp_path: Path, what: str) -> None:
    begin(tmp_path / "t", "vault-1")
    if what == "a record":
        with Writer(tmp_path / "t", clock=Clock(START)) as of:
            of.append("event", "test", b"something")
    elif what == "another root":
        (tmp_path / "t/root.pem").write_bytes(begin(tmp_path / "u", "vault-1").pem())
    elif what == "no key":
        (tmp_path / "t/keys/000000.pem").unlink()
    before = {it: it.read_bytes() for it in tmp_path.rglob("*") if it.is_file()}
    with pytest.raises(Refused, match="holds a trail"):
        begin(tmp_path / "t", "vault-2" if what == "another host" else "vault-1")
    assert {it: it.read_bytes() for it in tmp_path.rglob("*") if it.is_file()} == before
