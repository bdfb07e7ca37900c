"""A trail whose heads or keys do not fit together: nothing is destroyed and nothing added, until they do again."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.core.errors import External
from dualtrack.security.audit import keys, writer
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.verify import judge
from dualtrack.security.audit.writer import Writer
from tests.support.attack_helpers import SECOND, START, Clock

#: What happens to a trail, in order: a record is added, what is there is signed, the key is renewed.
HISTORIES = tuple("".join(it) for length in (2, 3) for it in itertools.product("rst", repeat=length) if "r" in it)


def written(folder: Path, history: str) -> tuple[Path, bytes]:
    """Return a trail with a history, and the key of its first epoch."""
    trail, clock = folder / "t", Clock(START)
    root = writer.begin(trail, "vault-1").pem()
    for step in history:
        clock.now += SECOND
        with Writer(trail, clock=clock) as of:
            if step == "r":
                of.append("event", "test", b"something")
            elif step == "s":
                of.seal()
            else:
                of.turn()
    return trail, root


def contents(trail: Path) -> dict[str, bytes]:
    return {it.relative_to(trail).as_posix(): it.read_bytes() for it in sorted(trail.rglob("*")) if it.is_file()}


def shortened(trail: Path) -> dict[str, bytes | None]:
    """Return what may be left of the heads: none, and all but some of the last ones."""
    rows = (trail / "heads.log").read_bytes().splitlines(keepends=True) if (trail / "heads.log").exists() else []
    return {"removed": None, "emptied": b""} | {f"-{len(rows) - it}": b"".join(rows[:it]) for it in range(1, len(rows))}


COMMANDS: dict[str, Callable[[Writer], object]] = {
    "record": lambda it: it.append("event", "test", b"more"), "sign": Writer.seal, "rotate-key": Writer.turn,
    "open": lambda _: None,
}  # fmt: skip


def used(trail: Path, command: str) -> None:
    with Writer(trail, clock=Clock(START + 30 * SECOND)) as of:
        COMMANDS[command](of)


@pytest.mark.attack("root on the host", "shortens the heads of a trail", "found", "audit record: heads against keys")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("history", HISTORIES)
def test_too_few_heads_cost_no_key(tmp_path: Path, history: str, command: str) -> None:
    """Keys and segments beyond the heads are seen. The last head of the present key may never have been there."""
    trail, root = written(tmp_path, history)
    whole = contents(trail)
    held, segments = (
        [it for it in whole if it.startswith("keys/")],
        [int(it[9:17]) for it in whole if "segments/" in it],
    )
    for how, data in shortened(trail).items():
        restored(trail, whole)
        (trail / "heads.log").unlink(missing_ok=True)
        if data is not None:
            (trail / "heads.log").write_bytes(data)
        before, known = contents(trail), len((data or b"").splitlines())
        if renewals(whole.get("heads.log", b"")) > renewals(data or b"") or max(segments, default=0) > known + 1:
            with pytest.raises(External, match=r"heads\.log lacks heads: there is (the key|segment)"):
                used(trail, command)
            assert contents(trail) == before, how
        else:
            used(trail, command)
            assert command == "rotate-key" or held == [it for it in contents(trail) if it.startswith("keys/")], how
    restored(trail, whole)
    used(trail, command)
    used(trail, "sign")
    assert judge(trail, root, now=START + 99 * SECOND).findings == ()


def restored(trail: Path, whole: dict[str, bytes]) -> None:
    shutil.rmtree(trail)
    for name, data in whole.items():
        (trail / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (trail / name).write_bytes(data)
        (trail / name).chmod(0o600)


def renewals(data: bytes) -> int:
    return sum(bool(heads.parse(it)[0].next_key) for it in data.splitlines(keepends=True))


@pytest.mark.parametrize("number", [0, 1, 2, 3, 7, 999_999])
@pytest.mark.parametrize("signed", [True, False], ids=["own head", "another's head"])
def test_only_a_key_that_is_over_or_was_never_announced_goes(tmp_path: Path, number: int, signed: bool) -> None:
    """After three epochs: of 0 to 2 the heads say that they are over, 4 may be left by a crash."""
    trail, _ = written(tmp_path, "r")
    made = {0: (trail / "keys/000000.pem").read_bytes()}
    for epoch in (1, 2, 3):
        with Writer(trail, clock=Clock(START + epoch * SECOND)) as of:
            of.turn()
        made[epoch] = (trail / f"keys/{epoch:06d}.pem").read_bytes()
    extra = trail / f"keys/{number:06d}.pem"
    if number == 3 and not signed:
        return
    if signed and number in made:
        extra.write_bytes(made[number])
        extra.chmod(0o600)
    elif number != 3:
        keys.new(extra)
    before = contents(trail)
    if number == 3 or (signed and number < 3):
        used(trail, "open")
        assert [it.name for it in (trail / "keys").iterdir()] == ["000003.pem"]
        return
    with pytest.raises(External, match=rf"there is the key {number:06d}\.pem"):
        used(trail, "open")
    assert contents(trail) == before


def test_a_key_that_a_crash_left_before_its_head_goes(tmp_path: Path) -> None:
    trail, root = written(tmp_path, "rsr")
    keys.new(trail / "keys/000001.pem")
    used(trail, "record")
    used(trail, "sign")
    assert [it.name for it in (trail / "keys").iterdir()] == ["000000.pem"]
    assert judge(trail, root, now=START + 99 * SECOND).findings == ()
