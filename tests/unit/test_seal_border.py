"""C libraries are called in two modules, files appear in few, and the format's arithmetic touches nothing."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from dualtrack import paths

SEAL = paths.ROOT / "tools" / "dualtrack" / "seal"
MODULES = {path.stem for path in SEAL.glob("*.py")}
#: These decide, and touch nothing: no file, no process, no C library.
PURE = ("chunks", "header", "opening", "escrow", "errors")
OUTSIDE = {"ctypes", "os", "pathlib", "subprocess", "socket", "shutil", "tempfile", "fcntl"}


def imports(module: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse((SEAL / f"{module}.py").read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("module", PURE)
def test_decisions_touch_nothing(module: str) -> None:
    assert imports(module) & OUTSIDE == set()


def users(library: str) -> set[str]:
    return {module for module in MODULES if library in imports(module)}


def test_c_libraries_stay_behind_two_modules() -> None:
    assert users("ctypes") == {"libgcrypt", "libcrypto"}


def test_only_some_modules_make_files() -> None:
    assert users("tempfile") | users("shutil") == {"place"}
    assert users("fcntl") == {"place", "rekey"}


def test_no_secret_can_be_in_an_argument_list() -> None:
    assert users("subprocess") == set()


def test_shares_come_from_a_kept_library() -> None:
    assert users("Cryptodome") == {"escrow"}


def test_the_command_line_loads_no_cipher_before_it_needs_one() -> None:
    code = "import sys, dualtrack.cli; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {name for name in loaded if name.startswith(("dualtrack.seal", "ctypes", "Cryptodome", "cryptography"))}
