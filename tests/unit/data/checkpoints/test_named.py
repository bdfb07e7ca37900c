"""The versions that a host must have: which may be named, how far they are, and that nothing makes them go."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.data.checkpoints import actions, prefetch, prefetch_list
from dualtrack.data.checkpoints import cache as caches
from dualtrack.data.checkpoints import manifest as manifests
from dualtrack.data.checkpoints.address import Address, parse
from dualtrack.data.checkpoints.cache import Cache
from dualtrack.data.checkpoints.manifest import File, Manifest
from tests.conftest import wait
from tests.support.child import read_until

ONE, TWO = parse("s3://weights/models/one@v1"), parse("s3://weights/models/two@v1")


def has(cache: Cache, address: Address, content: bytes, *, begun: int | None = None, form: str = "") -> str:
    """Let a cache hold a version of one file, or the first bytes of it; return its key."""
    of = Manifest(schema="dualtrack.checkpoint/1", part=manifests.PART, files=(File(path="model", size=len(content)),))
    key = cache.key(address, of)
    files = cache.staging(key) / "files"
    files.mkdir(parents=True)
    (cache.staging(key) / "plan.json").write_bytes(manifests.encode(of))
    (files / "model").write_bytes(content if begun is None else content[:begun])
    if begun is None:
        cache.publish(key, address, of, form)
    return key


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("s3://weights/models/one@latest", "hosts would differ"),
        ("s3://weights/models/one", "names no version"),
        ("weights/models/one@v1", "is not an address"),
        ("s3://weights/models/one@", "is not a version"),
    ],
)
def test_what_is_not_one_version_for_good_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        prefetch_list.exact(text)
    [problem] = prefetch_list.problems([text])
    assert text in problem


def test_a_list_says_all_that_is_wrong_with_it() -> None:
    good = "s3://weights/models/one@v1"
    assert prefetch_list.problems([good, "s3://weights/models/two@v1"]) == []
    assert len(prefetch_list.problems([good, good, "x", "s3://weights/models/one@latest"])) == 3


def test_a_file_names_versions_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "versions"
    path.write_text(f"# a comment\n\n{TWO}\n  {ONE}  \n{TWO}\n")
    assert prefetch_list.read(path) == [TWO, ONE]
    path.write_text("nonsense\n")
    with pytest.raises(BadInput, match="is not an address"):
        prefetch_list.read(path)
    with pytest.raises(BadInput, match="cannot be read"):
        prefetch_list.read(tmp_path / "absent")


def test_how_far_each_version_is(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    has(cache, ONE, b"1" * 10)
    unfinished = has(cache, TWO, b"2" * 9000, begun=4096)
    three = parse("s3://weights/models/three@v1")
    found = prefetch.look(cache, [ONE, TWO, three])
    assert [(it.address, it.state, it.size) for it in found] == [
        (str(ONE), "complete", 10), (str(TWO), "unfinished", 9000), (str(three), "missing", 0)
    ]  # fmt: skip
    assert 0 < found[1].done < 9000
    with cache.pulling(unfinished):
        assert prefetch.look(cache, [TWO])[0].state == "pulling"


def test_what_is_named_stays_when_room_is_made(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    keys = [has(cache, it, b"x" * 100) for it in (ONE, TWO)]
    os.utime(cache.version(keys[0]) / "entry.json", (0, 0))
    found = actions.gc(cache, budget=0, free=0, stale_days=7, dry_run=False, keep=[ONE])
    assert (found.evicted, found.kept) == ((keys[1],), 100)
    assert cache.known(ONE) is not None
    assert cache.known(TWO) is None


@pytest.fixture(params=["open", "mapped"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A directory, one file of which another process has open, or only in its memory."""
    (tmp_path / "model").write_bytes(b"x" * 5000)
    code = (
        "import mmap, sys, time; f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ);"
        " sys.argv[2] == 'mapped' and f.close(); print(flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "model"), request.param], stdout=subprocess.PIPE
    )
    read_until(process, process.stdout)
    yield tmp_path, process
    process.kill()
    process.wait()


@pytest.mark.parametrize("look", [caches.opened, caches._seen_open])
def test_who_has_a_file_open_is_seen(reader: tuple[Path, subprocess.Popen[bytes]], look: object) -> None:
    """By the kernel's leases, which also tell of other users and containers, and by /proc where there are none."""
    assert callable(look)
    folder, process = reader
    assert look(folder)
    process.kill()
    process.wait()
    wait(lambda: not look(folder), 5, "the kernel to let go")  # a moment after the end


def test_who_looks_does_not_stop_who_opens(tmp_path: Path) -> None:
    """A lease that is asked for while others open the file is given back at once: nobody waits, nobody is ended."""
    (tmp_path / "model").write_bytes(b"x")
    code = "import sys\nfor _ in range(3000): open(sys.argv[1], 'rb').close()"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "model")])
    while process.poll() is None:
        caches.opened(tmp_path)
    assert process.returncode == 0


def as_user(number: int, act: Callable[[], object]) -> bool:
    """Return whether ``act`` returns something true to another user, in a process of its own."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(number)
            os.setuid(number)
            os._exit(0 if act() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
def test_readers_hold_what_the_owner_then_keeps() -> None:
    """The cache is user 990's: 65534 may read it, holds a version or has one open, and 990 makes no room of those."""
    owner, reader = 990, 65534
    with tempfile.TemporaryDirectory() as folder:  # not pytest's, which are root's alone
        Path(folder).chmod(0o755)
        cache = Cache(Path(folder, "cache"))
        cache.root.mkdir()
        os.chown(cache.root, owner, owner)
        assert as_user(owner, lambda: has(cache, ONE, b"1" * 5000))
        known = cache.known(ONE)
        assert known is not None
        [path] = cache.version(known[0]).rglob("model")

        assert not as_user(reader, lambda: cache.evict(known[0]))
        go, going = os.pipe(), os.pipe()
        for use in (lambda: cache.use(known[0]), path.open):
            process = os.fork()
            if process == 0:
                os.close(go[1])
                held = as_user(reader, lambda use=use: (use(), os.write(going[1], b"x"), os.read(go[0], 1)))
                os._exit(not held)
            os.read(going[0], 1)
            assert as_user(owner, lambda: cache.in_use(known[0]))
            assert as_user(owner, lambda: not cache.evict(known[0]))
            os.write(go[1], b"x")
            assert os.waitpid(process, 0)[1] == 0
            assert path.exists()
        assert as_user(owner, lambda: cache.evict(known[0]))
        assert not path.exists()
