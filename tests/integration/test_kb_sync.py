"""A copy of a knowledge base whose runs are killed, whose disk is full, and the page about it."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from dualtrack.knowledge import deletion, versions
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.sync import copy, offer
from dualtrack.knowledge.sync.source import Source
from tests.conftest import CLI, Cli
from tests.support.killing import killed
from tests.support.knowledge_base import take_in, texts


def written(docs: Path, chance: random.Random, count: int) -> None:
    """Write documents of some kilobytes, each of which mentions somebody of its own."""
    docs.mkdir(exist_ok=True)
    for number in range(count):
        words = " ".join(f"{chance.getrandbits(64):x}" for _ in range(400))
        (docs / f"{number:03}.md").write_text(f"# {number}\n\nmention{number:03}x {words}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A knowledge base of six versions, half of whose documents differ from one to the next, and their ids."""
    folder, chance = tmp_path_factory.mktemp("source"), random.Random(1)
    written(folder / "docs", chance, 200)
    names = [take_in(folder / "base", folder / "docs", keep=9).version]
    for _ in range(5):
        written(folder / "docs", chance, 100)
        names.append(take_in(folder / "base", folder / "docs", keep=9).version)
    return folder / "base", names


@pytest.fixture
def place(made: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """An empty copy, which has the master key."""
    (tmp_path / "copy").mkdir(mode=0o700)
    shutil.copy2(made[0] / "master.key", tmp_path / "copy" / "master.key")
    return tmp_path / "copy"


def sync(source: Path, place: Path) -> copy.Copied:
    return copy.run(place, Source(place=str(source)), keep=3, say=lambda _: None)


def test_killed_it_leaves_whole_versions(made: tuple[Path, list[str]], place: Path, tmp_path: Path) -> None:
    """Killed 50 times or more at any moment, while versions and documents go: a whole version answers always.

    How far a run has come when it is killed depends on the machine: it is killed until all of it has been seen.
    """
    source = Path(shutil.copytree(made[0], tmp_path / "source", symlinks=True))
    names, chance = made[1], random.Random(2)
    sync(source, place)
    versions.roll_back(source, names[1])
    began = time.monotonic()
    sync(source, place)
    seconds, seen = time.monotonic() - began, Counter[str]()
    for number in range(200):
        if number >= 50 and min(seen["switched"], seen["staged"]) > 3:
            break
        versions.roll_back(source, names[number % len(names)])
        if number in range(5, 50, 10):
            deletion.delete(source, [f"mention{100 + number}x"], [])
        before = (place / "current").resolve().name
        killed(partial(sync, source, place), chance.uniform(0, 1.2) * seconds)
        after = (place / "current").resolve().name
        assert after in {before, names[number % len(names)]}
        versions.load(place)
        left = [it for it in (place / "versions").iterdir() if not it.name.startswith(".")]
        for it in left:
            with Keys(place) as keys:
                assert versions.check(it, keys).id == it.name
        seen["switched" if after != before else "staged" if list(place.glob("staging/*/*")) else "before"] += 1
    print(f"killed {number} times: {dict(seen)}")
    assert seen["switched"] > 3
    assert seen["staged"] > 3
    for name in names[-3:]:  # which of the versions have come whole meanwhile is chance
        versions.roll_back(source, name)
        sync(source, place)
    assert texts(place) == texts(source)
    assert not (place / "staging").exists()
    assert not list((place / "versions").glob(".*"))
    kept = [it.id for it in versions.listed(place)]
    assert len(kept) == 3
    with Keys(place) as keys, Keys(source) as others:
        used = {number for it in kept for number, _ in versions.numbers(place / "versions" / it)}
        assert keys.documents() == used & others.documents()
        assert len(used - others.documents()) == 5
    assert (place / "deletions.ledger").read_bytes() == offer.deletions(source)


def test_what_rsync_still_writes_is_waited_for(made: tuple[Path, list[str]], place: Path) -> None:
    """The command alone is killed: the next run begins when its rsync has ended."""
    lock = subprocess.Popen(["flock", place / ".sync.lock", "cat"], stdin=subprocess.PIPE)
    running = subprocess.Popen([CLI, "sync", "run", "--from", made[0], "--base", place], stderr=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(timeout=3)
    assert not (place / "staging").exists()
    lock.communicate(b"")
    running.communicate(timeout=120)
    assert running.returncode == 0


def test_a_part_that_came_is_not_moved_again(made: tuple[Path, list[str]], place: Path) -> None:
    """The first version of all, cut off in the middle."""
    whole = made[0] / "current" / versions.SEALED
    name, size = (made[0] / "current").resolve().name, whole.stat().st_size
    (place / "staging" / name).mkdir(parents=True)
    (place / "sync.json").write_text('{"source": "x"}')
    (place / "staging" / name / versions.SEALED).write_bytes(whole.read_bytes()[: size * 3 // 4])
    found = copy.run(place, Source(place=str(made[0])), keep=5, say=lambda _: None)
    assert found.moved < size * 0.3
    assert texts(place) == texts(made[0])


@pytest.mark.parametrize("page", ["copy-the-knowledge-base.md"])
def test_runbook(tmp_path: Path, page: str) -> None:
    Cli(tmp_path).runbook(page)
