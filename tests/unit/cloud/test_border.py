"""The outside world is touched in few places: these."""

from __future__ import annotations

import pytest

from dualtrack.core import paths
from tests.support.imports import imports

CLOUD = paths.ROOT / "tools" / "dualtrack" / "cloud"
PURE = ("plan", "diagnose", "clock")
OUTSIDE = {"subprocess", "boto3", "botocore", "socket", "urllib", "python_terraform", "shutil", "os"}


@pytest.mark.parametrize("module", PURE)
def test_decisions_touch_nothing(module: str) -> None:
    assert imports(CLOUD / f"{module}.py") & OUTSIDE == set()


def test_python_terraform_stays_behind_one_module() -> None:
    users = [p for p in paths.ROOT.glob("tools/dualtrack/**/*.py") if "python_terraform" in p.read_text()]
    assert [p.relative_to(CLOUD).as_posix() for p in users] == ["tofu.py"]


def test_boto3_stays_behind_one_module() -> None:
    users = {path.stem for path in CLOUD.glob("*.py") if "boto3" in imports(path)}
    assert users == {"account"}
