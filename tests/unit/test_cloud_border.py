"""The outside world is touched in few places: these."""

from __future__ import annotations

import ast

import pytest

from dualtrack import paths

CLOUD = paths.ROOT / "tools" / "dualtrack" / "cloud"
PURE = ("plan", "diagnose", "clock")
OUTSIDE = {"subprocess", "boto3", "botocore", "socket", "urllib", "python_terraform", "shutil", "os"}


def imports(module: str) -> set[str]:
    tree = ast.parse((CLOUD / f"{module}.py").read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("module", PURE)
def test_decisions_touch_nothing(module: str) -> None:
    assert imports(module) & OUTSIDE == set()


def test_python_terraform_stays_behind_one_module() -> None:
    users = [p for p in paths.ROOT.glob("tools/dualtrack/**/*.py") if "python_terraform" in p.read_text()]
    assert [p.relative_to(CLOUD).as_posix() for p in users] == ["tofu.py"]


def test_boto3_stays_behind_one_module() -> None:
    users = {path.stem for path in CLOUD.glob("*.py") if "boto3" in imports(path.stem)}
    assert users == {"account"}
