"""C libraries are called in two modules, files appear in few, and the format's arithmetic touches nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dualtrack.core import paths
from tests.support.imports import imports

SEAL = paths.ROOT / "tools" / "dualtrack" / "seal"
MODULES = {path.stem for path in SEAL.glob("*.py")}
#: These decide, and touch nothing: no file, no process, no C library.
PURE = ("archive", "chunks", "header", "links", "opening", "escrow", "errors")
OUTSIDE = {"ctypes", "os", "pathlib", "subprocess", "socket", "shutil", "tempfile", "fcntl"}


@pytest.mark.parametrize("module", PURE)
def test_decisions_touch_nothing(module: str) -> None:
    assert imports(SEAL / f"{module}.py") & OUTSIDE == set()


def users(library: str) -> set[str]:
    return {module for module in MODULES if library in imports(SEAL / f"{module}.py")}


def test_c_libraries_stay_behind_two_modules() -> None:
    assert users("ctypes") == {"libgcrypt", "libcrypto"}


def test_only_some_modules_make_files() -> None:
    assert users("tempfile") == {"place"}
    assert users("shutil") == set()  # its rmtree calls itself once per level: `removal` does not
    assert users("fcntl") == {"place", "rekey"}


def test_no_secret_can_be_in_an_argument_list() -> None:
    assert users("subprocess") == set()


def test_shares_come_from_a_kept_library() -> None:
    assert users("Cryptodome") == {"escrow"}


def test_the_command_line_loads_no_cipher_before_it_needs_one() -> None:
    code = "import sys, dualtrack.cli; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {
        name for name in loaded if name.startswith(("dualtrack.security.seal", "ctypes", "Cryptodome", "cryptography"))
    }
