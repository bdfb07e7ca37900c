"""What hosts get of the checkpoint cache: the program, the versions that they must have, and who may do what."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dualtrack.hosts import bundle
from tests.conftest import CLI, ROOT, wait
from tests.support.store_testbed import Store, checkpoint, same, store

BUCKET = "weights"
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
MACHINE = os.uname().machine
#: Python itself, without this environment's packages.
PYTHON = Path(sys.executable).resolve()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An S3 with the versions one, two and three, of 300 kB each."""
    with store(tmp_path_factory.mktemp("store")) as bed:
        bed.client().create_bucket(Bucket=BUCKET)
        for number, name in enumerate(("one", "two", "three")):
            source = checkpoint(tmp_path_factory.mktemp("source") / name, {"model": 300_000}, seed=number)
            bed.run("push", source, f"s3://{BUCKET}/models/{name}@v1")
        yield bed


@pytest.fixture
def bed(server: Store, tmp_path: Path) -> Store:
    """The server with an empty cache."""
    server.folder = tmp_path
    server.gets.clear()
    return server


def versions(folder: Path, *names: str) -> Path:
    """Return a file that names versions."""
    path = folder / "versions"
    path.write_text("".join(f"s3://{BUCKET}/models/{name}@v1\n" for name in names))
    return path


def test_all_that_is_named_comes_and_a_second_run_asks_nobody(bed: Store, tmp_path: Path) -> None:
    listed = versions(tmp_path, "one", "two")
    assert [it["state"] for it in bed.json("prefetch", listed, "--dry-run", code=1)["versions"]] == [
        "missing",
        "missing",
    ]
    found = bed.json("prefetch", listed)["versions"]
    assert [(it["state"], it["size"]) for it in found] == [("complete", 300_000)] * 2
    bed.gets.clear()
    bed.run("prefetch", listed, "--endpoint", "http://127.0.0.1:9")
    assert bed.gets == []
    bed.run("prefetch", listed, "--dry-run")


def test_one_that_cannot_be_had_does_not_stop_the_others(bed: Store, tmp_path: Path) -> None:
    done = bed.run("prefetch", versions(tmp_path, "one", "absent", "two"), code=4)
    assert "1 of 3 versions are not there" in done.stderr
    assert f"s3://{BUCKET}/models/absent@v1: failed: " in done.stderr
    assert [it["address"] for it in bed.json("list")["versions"]] == [
        f"s3://{BUCKET}/models/{name}@v1" for name in ("two", "one")
    ]


def test_what_does_not_fit_together_is_an_error_and_none_makes_another_go(bed: Store, tmp_path: Path) -> None:
    done = bed.run("prefetch", versions(tmp_path, "one", "two", "three"), "--budget", "700kB", code=4)
    assert "do not fit" in done.stderr
    assert {it["address"].rsplit("/", 1)[1] for it in bed.json("list")["versions"]} == {"one@v1", "two@v1"}


def test_what_is_named_stays_when_room_is_made(bed: Store, tmp_path: Path) -> None:
    bed.run("prefetch", versions(tmp_path, "one", "two"))
    bed.run("gc", "--budget", "0", "--keep", versions(tmp_path, "one"), code=1)
    assert [it["address"] for it in bed.json("list")["versions"]] == [f"s3://{BUCKET}/models/one@v1"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bundle.Program:
    """The program for a host with this machine's Python, packed for this test alone."""
    return packed(tmp_path_factory.mktemp("cache"), HERE, MACHINE)


def packed(cache: Path, python: str, machine: str) -> bundle.Program:
    """Have the program packed into an empty cache, as the role does."""
    code = (
        "import sys; from dualtrack.hosts import bundle; it = bundle.ensure(*sys.argv[1:]);"
        " print(it.digest, it.archive)"
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, python, machine], env={**os.environ, "DUALTRACK_CACHE": str(cache)}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return bundle.Program(*done.stdout.split())


def test_the_same_content_is_the_same_archive(archive: bundle.Program, tmp_path: Path) -> None:
    again = packed(tmp_path, HERE, MACHINE)
    assert again.digest == archive.digest == bundle.digest(HERE, MACHINE)
    digests = {hashlib.sha256(Path(it.archive).read_bytes()).hexdigest() for it in (archive, again)}
    assert len(digests) == 1


def test_a_host_of_another_kind_gets_packages_of_its_own(tmp_path: Path) -> None:
    other = ("3.12", "aarch64") if HERE != "3.12" else ("3.13", "aarch64")
    with tarfile.open(packed(tmp_path, *other).archive) as tar:
        names = tar.getnames()
    assert any(f"cpython-{other[0].replace('.', '')}-aarch64" in name for name in names)
    assert not any(MACHINE in name.rsplit("/", 1)[-1] for name in names)
    assert not any("__pycache__" in name for name in names), "compiled for another Python than the host's"


class Host:
    """A host's directory of programs, changed by the role's module as Ansible runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "programs"
        self.folder.mkdir()
        self.start = folder / "dualtrack-store"

    def module(self, digest: str, archive: str = "", *, check: bool = False) -> dict[str, Any]:
        """Run the module and return its result."""
        copy = self.folder / "sent.tar.gz"
        if archive:
            copy.write_bytes(Path(archive).read_bytes())
        more = ["--check"] if check else []
        given = f"start={self.start} folder={self.folder} digest={digest}" + (f" archive={copy}" if archive else "")
        done = subprocess.run(
            [CLI.parent / "ansible", "localhost", "-c", "local", "-i", "localhost,", "--module-path",
             ROOT / "plugins/modules", "-m", "host_program", "-a", given, *more,
             "-e", f"ansible_python_interpreter={PYTHON}"],
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline", "ANSIBLE_NOCOLOR": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
        return found

    def names(self) -> set[str]:
        """Return what lies in the directory."""
        return {it.name for it in self.folder.iterdir()}


def test_program_comes_is_used_and_makes_way_for_the_next(archive: bundle.Program, bed: Store, tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert not host.module(archive.digest)["there"]
    assert host.module(archive.digest, archive.archive, check=True)["changed"]
    assert host.module(archive.digest, archive.archive)["changed"]
    assert host.names() == {archive.digest, "current"}
    assert host.module(archive.digest)["settled"]

    # It runs on its own: without this environment's packages, with the system's own Python.
    start = host.start
    env = {name: value for name, value in bed.env().items() if name.startswith(("AWS_", "DUALTRACK_STORE", "PATH"))}
    pulled = subprocess.run(
        [PYTHON, "-I", start, "pull", f"s3://{BUCKET}/models/one@v1"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert same(Path(pulled.stdout.strip()), Path(bed.run("pull", f"s3://{BUCKET}/models/one@v1").stdout.strip()))

    # Another one comes while somebody runs the first (it waits for a list): that one stays until its run has ended.
    waits = tmp_path / "list"
    os.mkfifo(waits)
    running = subprocess.Popen([PYTHON, "-I", start, "prefetch", waits], env=env, stdout=subprocess.DEVNULL)
    free = ["flock", "--nonblock", host.folder / archive.digest, "true"]
    wait(lambda: subprocess.run(free, check=False).returncode != 0, 20, "the program's start")
    host.module("newer", archive.archive)
    assert host.names() == {archive.digest, "newer", "current"}
    assert (host.folder / "current").resolve().name == "newer"
    assert not host.module("newer")["settled"]
    waits.write_text(f"s3://{BUCKET}/models/one@v1\n")
    assert running.wait(30) == 0
    assert host.module("newer", archive.archive)["removed"] == [archive.digest]
    assert host.names() == {"newer", "current"}


def test_torn_program_is_replaced(archive: bundle.Program, tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.module(archive.digest, archive.archive)
    torn = host.folder / archive.digest / "lib/dualtrack/data/checkpoints/pull.py"
    torn.write_bytes(b"")
    assert not host.module(archive.digest)["there"]
    assert host.module(archive.digest, archive.archive)["changed"]
    assert torn.stat().st_size > 0
    assert host.module(archive.digest)["settled"]
