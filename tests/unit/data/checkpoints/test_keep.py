"""What a list names stays in the cache, also where the reference that leads from its address to it is damaged."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.data.checkpoints import actions
from dualtrack.data.checkpoints.address import Address, parse
from dualtrack.data.checkpoints.cache import FORMS, Cache
from tests.unit.data.checkpoints.test_named import TWO, has

BYTES = 1 << 14
Act = Callable[[Path, str], object]


def _instead(make: Callable[[Path], object]) -> Act:
    def act(path: Path, _: str) -> None:
        path.unlink()
        make(path)

    return act


#: What may become of a reference; the other version's key is the second argument.
DAMAGE: dict[str, Act] = {
    "none": lambda _, __: None,
    "missing": lambda path, _: path.unlink(),
    "all missing": lambda path, _: shutil.rmtree(path.parent),
    "empty": lambda path, _: path.write_bytes(b""),
    "half": lambda path, _: path.write_bytes(path.read_bytes()[:9]),
    "zeros": lambda path, _: path.write_bytes(bytes(40)),
    "not text": lambda path, _: path.write_bytes(b"\xff\x00" * 9),
    "another version": lambda path, other: path.write_text(other),
    "a version that is not there": lambda path, _: path.write_text("one-v1-0123456789abcdef"),
    "directory": _instead(Path.mkdir),
    "link to nowhere": _instead(lambda path: path.symlink_to("nowhere")),
    "link to itself": _instead(lambda path: path.symlink_to(path.name)),
}
DIGEST = f"#sha256:{'a' * 64}"


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(("pulled", "named"), [("", ""), (DIGEST, ""), (DIGEST, DIGEST)])
@pytest.mark.parametrize("forms", [it for n in (1, 2) for it in itertools.combinations(FORMS, n)])
def test_a_version_is_kept_by_what_it_says_of_itself(
    tmp_path: Path, forms: tuple[str, ...], pulled: str, named: str, damage: str
) -> None:
    one = "s3://weights/models/one@v1"
    cache, keep = Cache(tmp_path), parse(one + named)
    other = has(cache, TWO, b"2" * BYTES)
    # The content in another form is another version of the cache.
    keys = {has(cache, parse(one + pulled), f"{form}1".encode() * BYTES, form=form) for form in forms}
    for key in keys:
        os.utime(cache.version(key) / "entry.json", (0, 0))
    for form in forms:
        if (path := cache._ref(keep, form)).exists():
            DAMAGE[damage](path, other)
    gone = actions.gc(cache, budget=0, free=0, stale_days=7, dry_run=False, keep=[keep]).evicted
    assert not keys & set(gone), gone
    assert set(gone) == ({other} if damage != "another version" else set())


@pytest.mark.parametrize("damage", [it for it in DAMAGE if it not in ("none", "another version")])
def test_of_plain_objects_all_content_stays_without_a_reference(tmp_path: Path, damage: str) -> None:
    cache, address = Cache(tmp_path), Address(bucket="weights", path="models/one")
    other = has(cache, TWO, b"2" * BYTES)
    keys = {has(cache, address, b"1" * (BYTES + it)) for it in range(2)}
    kept = actions.gc(cache, budget=0, free=0, stale_days=7, dry_run=True, keep=[address])
    assert len(kept.evicted) == 2  # the older content goes
    DAMAGE[damage](cache._ref(address, ""), other)
    assert actions.gc(cache, budget=0, free=0, stale_days=7, dry_run=False, keep=[address]).evicted == (other,)
    assert {it.name for it in (tmp_path / "versions").iterdir()} == keys
