"""The module python_environment makes real environments, from an index in a directory."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dualtrack.core.paths import ROOT

MODULE = ROOT / "plugins/modules/python_environment.py"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A package index with one package, and a lock that names it."""
    folder = tmp_path_factory.mktemp("index")
    name = "engine-1.0-py3-none-any.whl"
    (folder / "engine").mkdir()
    with zipfile.ZipFile(folder / "engine" / name, "w") as wheel:
        wheel.writestr("engine.py", "def main(): print('it runs')\n")
        wheel.writestr("engine-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: engine\nVersion: 1.0\n")
        wheel.writestr("engine-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("engine-1.0.dist-info/entry_points.txt", "[console_scripts]\nengine = engine:main\n")
        wheel.writestr("engine-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256((folder / "engine" / name).read_bytes()).hexdigest()
    (folder / "engine" / "index.html").write_text(f'<a href="{name}#sha256={digest}">{name}</a>')
    return folder.as_uri(), f"engine==1.0 \\\n    --hash=sha256:{digest}\n"


def run(place: Path, index: str = "", lock: str = "", *, check: bool = False, **more: Any) -> dict[str, Any]:
    given = {"place": str(place), "lock": lock, "index_url": index, "_ansible_check_mode": check, **more}
    done = subprocess.run(
        [sys.executable, MODULE], input=json.dumps({"ANSIBLE_MODULE_ARGS": given}), capture_output=True, text=True,
        check=False, umask=0o077,
    )  # fmt: skip
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_environment_is_made_once_and_anew_where_a_run_was_interrupted(tmp_path: Path, index: tuple[str, str]) -> None:
    place = tmp_path / "engines" / "engine-1"
    assert run(place, *index, check=True)["changed"]
    assert not place.exists()
    assert run(place, *index)["changed"]
    program = place / "bin/engine"
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "it runs\n"
    assert program.stat().st_mode & 0o777 == 0o755  # whatever root's umask is, the engines' account can read it
    assert not (place / ".work").exists()
    assert not run(place, *index)["changed"]
    # As a run that was killed leaves it.
    (place / ".whole").unlink()
    (place / "lib/left").touch()
    assert run(place, *index)["changed"]
    assert not (place / "lib/left").exists()
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "it runs\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("sha256:", "sha256:0"), "DO NOT MATCH THE HASHES"),
        ((" \\\n    --hash", "\n# "), "require"),
    ],
)
def test_what_is_not_as_the_lock_says_is_not_installed(
    tmp_path: Path, index: tuple[str, str], change: tuple[str, str], said: str
) -> None:
    place = tmp_path / "engine-1"
    lock = index[1].replace(*change)
    if change[0] == "sha256:":
        lock = lock[:-2] + "\n"
    found = run(place, index[0], lock)
    assert found["failed"]
    assert said in found["msg"]
    assert not (place / ".whole").exists()
    assert not (place / "bin/engine").exists()


def test_environments_that_are_named_or_used_stay(tmp_path: Path) -> None:
    for name in ("old", "used", "named", "no-environment"):
        (tmp_path / name / "lib").mkdir(parents=True)
        (tmp_path / name / "lib" / "module").write_bytes(b"x")
        if name != "no-environment":
            (tmp_path / name / "pyvenv.cfg").touch()
    before = sorted(it.name for it in tmp_path.iterdir())
    mapped = (
        "import mmap, sys\nfile = open(sys.argv[1])\n"
        "it = mmap.mmap(file.fileno(), 1, prot=mmap.PROT_READ)\nprint(flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", mapped, tmp_path / "used/lib/module"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as user:
        assert user.stdout
        user.stdout.readline()
        given: dict[str, Any] = {"state": "absent", "keep": [str(tmp_path / "named")]}
        assert run(tmp_path, check=True, **given)["removed"] == [str(tmp_path / "old")]
        assert sorted(it.name for it in tmp_path.iterdir()) == before
        assert run(tmp_path, **given)["changed"]
        assert not run(tmp_path, **given)["changed"]
        assert sorted(it.name for it in tmp_path.iterdir()) == ["named", "no-environment", "used"]
        user.communicate(b"\n")
    assert run(tmp_path, **given)["removed"] == [str(tmp_path / "used")]
