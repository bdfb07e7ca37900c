"""A trail for each test to change. Modules that want another one have a fixture `written` of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dualtrack.security.audit.writer import begin
from tests.support.attack_helpers import Clock, fill


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trail of 13 records: two segments of five, an epoch's end between them, and three that are not signed."""
    folder = tmp_path_factory.mktemp("trail") / "host"
    begin(folder, "vault-1")
    fill(folder, 13, Clock(), epoch_s=12)
    return folder


@pytest.fixture
def trail(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "trail"))


@pytest.fixture(scope="module")
def root(written: Path) -> bytes:
    return (written / "root.pem").read_bytes()
