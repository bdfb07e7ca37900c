"""A cache in which something is damaged: all else works and says what is wrong, and nothing stays that nobody sees."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.data.checkpoints import actions, prefetch
from dualtrack.data.checkpoints import manifest as manifests
from dualtrack.data.checkpoints.address import Address, parse
from dualtrack.data.checkpoints.cache import FORMS, Cache
from dualtrack.data.checkpoints.pull import make_room, pull
from tests.conftest import CLI
from tests.unit.data.checkpoints.test_named import ONE, TWO, as_user, has

BYTES = 1 << 14


def _put(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _changed(change: Callable[[Any], object]) -> Callable[[Path], object]:
    """Return what changes an entry to another one that is JSON, too."""

    def act(path: Path) -> None:
        found = json.loads(path.read_bytes())
        change(found)
        path.write_text(json.dumps(found))

    return act


def _file(**fields: object) -> Callable[[Path], object]:
    return _changed(lambda it: it["manifest"]["files"][0].update(fields))


def _replaced(put: Callable[[Path], object]) -> Callable[[Path], object]:
    def act(path: Path) -> None:
        path.unlink()
        put(path)

    return act


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


#: What a disk, a file system or somebody with root may leave of an `entry.json`.
DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": _put(b""),
    "half": _half,
    "zeros": _put(bytes(300)),
    "not text": _put(b"\xff\xfe" * 50),
    "deep": _put(b"[" * 100_000),
    "list": _put(b"[]"),
    "other": _put(b"{}"),
    "schema": _changed(lambda it: it["manifest"].update(schema="dualtrack.checkpoint/9")),
    "outside": _file(path="../../../../etc/passwd"),
    "nul": _file(path="a\0b"),
    "negative": _file(size=-1),
    "no files": _changed(lambda it: it["manifest"].update(files=[])),
    "far future": _changed(lambda it: it.update(pulled=1e300)),
    "far past": _changed(lambda it: it.update(pulled=-1e300)),
    "missing": lambda path: path.unlink(),
    "directory": _replaced(lambda path: path.mkdir()),
    "link to nowhere": _replaced(lambda path: path.symlink_to("nowhere")),
    "link to itself": _replaced(lambda path: path.symlink_to(path.name)),
    "pipe": _replaced(lambda path: os.mkfifo(path)),
}


class Bed(SimpleNamespace):
    """A cache with the good version TWO, and ONE whose entry is damaged."""

    cache: Cache
    bad: str
    good: str

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `dualtrack store …` where no bucket can be reached."""
        env = {**os.environ, "DUALTRACK_STORE": str(self.cache.root), "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
        done = subprocess.run([CLI, "store", *words], env=env, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), (done.stdout, done.stderr)
        return done

    def said(self, text: str) -> list[str]:
        """Return the lines that name the damaged version."""
        return [it for it in text.splitlines() if self.bad in it]


@pytest.fixture(params=DAMAGE)
def bed(request: pytest.FixtureRequest, tmp_path: Path) -> Bed:
    cache = Cache(tmp_path / "cache")
    found = Bed(cache=cache, bad=has(cache, ONE, b"1" * BYTES), good=has(cache, TWO, b"2" * BYTES))
    DAMAGE[request.param](cache.version(found.bad) / "entry.json")
    return found


def nobody(*_: object) -> Any:
    raise External("the bucket was asked")


def test_the_list_shows_what_is_damaged_beside_the_others(bed: Bed) -> None:
    found = {it.key: it for it in actions.rows(bed.cache)}
    assert {key: it.state for key, it in found.items()} == {bed.bad: "damaged", bed.good: "complete"}
    assert found[bed.bad].size >= BYTES
    assert not found[bed.bad].in_use
    [line] = actions.damages(bed.cache)
    assert bed.bad in line
    assert "\n" not in line


def test_other_versions_are_pulled_and_prefetched(bed: Bed) -> None:
    words: dict[str, Any] = {"jobs": 1, "budget": None, "say": print, "show": nobody}
    found = pull(TWO, bed.cache, nobody, refresh=False, **words)
    assert (found.key, found.fetched) == (bed.good, 0)
    assert [it.state for it in prefetch.fill([TWO], bed.cache, nobody, **words)] == ["complete"]
    assert [it.state for it in prefetch.look(bed.cache, [ONE, TWO])] == ["missing", "complete"]
    with pytest.raises(External, match="the bucket was asked"):
        pull(ONE, bed.cache, nobody, refresh=False, **words)


def test_what_is_damaged_is_pulled_anew(bed: Bed) -> None:
    """A pull makes it in the staging directory, and it appears in the place of the damaged one."""
    of = manifests.Manifest(
        schema="dualtrack.checkpoint/1", part=manifests.PART, files=(manifests.File(path="model", size=BYTES),)
    )
    files = bed.cache.staging(bed.bad) / "files"
    files.mkdir(parents=True)
    (files / "model").write_bytes(b"1" * BYTES)
    bed.cache.publish(bed.bad, ONE, of)
    assert actions.damages(bed.cache) == []
    assert bed.cache.known(ONE) is not None


def test_room_is_made_of_what_is_damaged_first(bed: Bed) -> None:
    os.utime(bed.cache.version(bed.good) / "entry.json", (0, 0))
    dry = actions.gc(bed.cache, budget=BYTES, free=0, stale_days=7, dry_run=True)
    assert (dry.evicted, dry.kept) == ((bed.bad,), BYTES)
    assert dry.freed >= BYTES
    assert bed.cache.version(bed.bad).exists()
    assert actions.gc(bed.cache, budget=4 * BYTES, free=0, stale_days=7, dry_run=False).evicted == ()
    found = actions.gc(bed.cache, budget=BYTES, free=0, stale_days=7, dry_run=False)
    assert (found.evicted, found.kept, found.freed) == ((bed.bad,), BYTES, dry.freed)
    assert not bed.cache.version(bed.bad).exists()
    assert [it.key for it in bed.cache.held()] == [bed.good]


def test_a_pull_makes_room_of_what_is_damaged_first(bed: Bed) -> None:
    said: list[str] = []
    make_room(bed.cache, BYTES, BYTES, 2 * BYTES, said.append)
    assert not bed.cache.version(bed.bad).exists()
    assert [it.key for it in bed.cache.held()] == [bed.good]
    assert len(bed.said("\n".join(said))) == 1


def test_what_is_damaged_and_open_stays(bed: Bed) -> None:
    with (bed.cache.version(bed.bad) / "files/model").open("rb"):
        found = actions.gc(bed.cache, budget=0, free=0, stale_days=7, dry_run=False)
    assert found.evicted == (bed.good,)
    assert found.kept >= BYTES


def test_verify_takes_it_out_and_names_it(bed: Bed) -> None:
    wrong = actions.verify(bed.cache, [], lambda _: None)
    assert list(wrong) == [bed.bad]
    assert not bed.cache.version(bed.bad).exists()
    assert not list((bed.cache.root / "trash").iterdir())
    assert actions.verify(bed.cache, [], lambda _: None) == {}


def test_it_is_named_by_its_key_and_never_held(bed: Bed) -> None:
    assert [it.key for it in actions.chosen(bed.cache, [bed.bad])] == [bed.bad]
    with pytest.raises(BadInput, match="no version is named"):
        actions.chosen(bed.cache, [str(ONE)])
    with pytest.raises(Refused, match=r"entry\.json"):
        actions.hold(bed.cache, bed.bad, ["true"])
    with pytest.raises(Refused):
        bed.cache.use(bed.bad)


@pytest.mark.parametrize("bed", ["half", "missing"], indirect=True)
def test_the_commands_say_it_in_one_line(bed: Bed, tmp_path: Path) -> None:
    (tmp_path / "names").write_text(f"{TWO}\n")
    for words in (
        ("list",), ("list", "--json"), ("gc", "--budget", "1GB"), ("pull", str(TWO)),
        ("prefetch", str(tmp_path / "names")),
        ("prefetch", str(tmp_path / "names"), "--dry-run"), ("remove", bed.good, "--dry-run"),
        ("hold", bed.good, "--", "true"), ("hold", str(TWO), "--", "true"),
    ):  # fmt: skip
        [line] = bed.said(bed.run(*words).stderr)
        assert "store verify" in line, words
    bed.run("verify", bed.good)
    done = bed.run("verify", code=1)
    assert bed.said(done.stderr)
    assert bed.said(bed.run("list").stdout + bed.run("list").stderr) == []


@pytest.mark.parametrize("bed", ["half", "missing"], indirect=True)
def test_it_is_removed_by_name(bed: Bed) -> None:
    assert bed.run("remove", bed.bad, "--yes").stdout.splitlines()[-1] == f"removed {bed.bad}"
    assert [it.key for it in bed.cache.held()] == [bed.good]


REFS: dict[str, Callable[[Path], object]] = {
    "empty": _put(b""),
    "not text": _put(b"\xff"),
    "nul": _put(b"a\0b"),
    "long": _put(b"a" * 5000),
    "above": _put(b"../versions"),
    "dot": _put(b"."),
    "gone": _put(b"nothing-1"),
    "directory": _replaced(lambda path: path.mkdir()),
    "link to itself": _replaced(lambda path: path.symlink_to(path.name)),
}


@pytest.mark.parametrize("how", REFS)
def test_a_damaged_reference_stands_for_nothing(tmp_path: Path, how: str) -> None:
    """The next pull asks the bucket, and writes it anew."""
    cache = Cache(tmp_path)
    key = has(cache, ONE, b"1")
    [ref] = (tmp_path / "refs").iterdir()
    REFS[how](ref)
    assert cache.known(ONE) is None
    assert [it.state for it in prefetch.look(cache, [ONE])] == ["missing"]
    if how not in ("directory", "link to itself"):  # nothing is written over those
        cache.remember(ONE, key)
        assert cache.known(ONE) is not None


# --- what is named stays, in whatever form it is here


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pulled", [str(ONE), f"{ONE}#sha256:{'a' * 64}"])
@pytest.mark.parametrize("named", [str(ONE), f"{ONE}#sha256:{'a' * 64}"])
def test_a_named_version_stays_in_every_form(tmp_path: Path, form: str, pulled: str, named: str) -> None:
    cache = Cache(tmp_path)
    key, other = has(cache, parse(pulled), b"1" * BYTES, form=form), has(cache, TWO, b"2" * BYTES)
    os.utime(cache.version(key) / "entry.json", (0, 0))
    known = pulled.endswith("a") or named == pulled  # a digest that no pull compared is not known
    [found] = prefetch.look(cache, [parse(named)])
    assert (found.state, found.path != "") == (("complete", True) if known else ("missing", False))
    gone = actions.gc(cache, budget=0, free=0, stale_days=7, dry_run=False, keep=[parse(named)]).evicted
    assert gone == ((other,) if known else (key, other))


def test_all_forms_of_a_named_version_stay(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    keys = {has(cache, ONE, form.encode() * BYTES or b"x" * BYTES, form=form) for form in FORMS}
    assert len(keys) == len(FORMS)
    assert actions.gc(cache, budget=0, free=0, stale_days=7, dry_run=False, keep=[ONE]).evicted == ()


def test_prefetch_brings_nothing_twice(tmp_path: Path) -> None:
    """What was opened on the way is there: it is not pulled again as it is in the bucket, and is held."""
    cache, said = Cache(tmp_path), list[str]()
    address: Address = ONE
    has(cache, address, b"1" * BYTES, form=FORMS[-1])
    found = prefetch.fill([address], cache, nobody, jobs=1, budget=None, say=said.append, show=nobody)
    assert ([it.state for it in found], said) == (["complete"], [])
    assert [it.in_use for it in cache.held()] == [True]


# --- what an entry says is not believed where the files say otherwise


@pytest.mark.parametrize("claimed", [0, BYTES - 1, BYTES + 1, 10**15, 2**63 - 1])
def test_a_torn_version_counts_as_what_it_takes(tmp_path: Path, claimed: int) -> None:
    """Else one wrong digit in an entry makes all others go."""
    cache = Cache(tmp_path)
    torn, good = has(cache, ONE, b"1" * BYTES), has(cache, TWO, b"2" * BYTES)
    _file(size=claimed)(cache.version(torn) / "entry.json")
    os.utime(cache.version(good) / "entry.json", (0, 0))
    found = {it.key: it for it in actions.rows(cache)}
    assert (found[torn].state, found[torn].size >= BYTES, found[torn].size < 4 * BYTES) == ("torn", True, True)
    assert actions.gc(cache, budget=5 * BYTES, free=0, stale_days=7, dry_run=False).evicted == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
def test_what_somebody_may_not_read_stops_nothing_and_is_not_called_damaged() -> None:
    with tempfile.TemporaryDirectory() as folder:  # not pytest's, which are root's alone
        Path(folder).chmod(0o755)
        cache = Cache(Path(folder, "cache"))
        closed, bad = has(cache, ONE, b"1"), has(cache, TWO, b"2")
        cache.version(closed).chmod(0o700)
        (cache.version(bad) / "entry.json").unlink()
        assert as_user(65534, lambda: list(cache.damaged()) == [bad])
