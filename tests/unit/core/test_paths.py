"""Where things are, also for a user without a home directory."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from dualtrack.core import paths
from dualtrack.core.errors import Missing


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    for name in ("HOME", "DUALTRACK_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


@pytest.mark.usefixtures("homeless")
def test_where_there_is_no_home_directory_the_error_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Missing, match=r"no such home directory \(set HOME, and DUALTRACK_CACHE for the cache\)"):
        paths.cache_dir()
    with pytest.raises(Missing, match=r"~/\.ssh/id: there is no such home directory"):
        paths.expanded("~/.ssh/id")
    assert paths.expanded("/a/b") == Path("/a/b")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.cache_dir() == tmp_path / "dualtrack"
    monkeypatch.setenv("DUALTRACK_CACHE", str(tmp_path / "own"))
    assert paths.cache_dir() == tmp_path / "own"
