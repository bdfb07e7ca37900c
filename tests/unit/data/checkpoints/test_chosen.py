"""Which version of the cache a name means: all of a key, eight characters of one at least, or a whole address."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.data.checkpoints import actions
from dualtrack.data.checkpoints.address import parse
from dualtrack.data.checkpoints.cache import Cache
from dualtrack.data.checkpoints.manifest import File, Manifest
from tests.conftest import CLI

ADDRESS = parse("s3://weights/models/one@v1")
DIGEST = "1" * 64


@pytest.fixture
def key(tmp_path: Path) -> str:
    of = Manifest(schema="dualtrack.checkpoint/1", part=1 << 20, files=(File(path="a", size=1, parts=("0" * 64,)),))
    cache = Cache(tmp_path)
    found = cache.key(ADDRESS, of)
    (cache.staging(found) / "files").mkdir(parents=True)
    (cache.staging(found) / "files/a").write_bytes(b"a")
    cache.publish(found, parse(f"{ADDRESS}#sha256:{DIGEST}"), of)
    return found


def test_a_version_is_named_by_its_key_a_beginning_or_its_address(tmp_path: Path, key: str) -> None:
    for name in (key, key[:8], str(ADDRESS), f"{ADDRESS}#sha256:{DIGEST}"):
        assert [it.key for it in actions.chosen(Cache(tmp_path), [name])] == [key], name


def test_too_little_names_nothing(tmp_path: Path, key: str) -> None:
    for name in ("", "o", key[:7], str(ADDRESS)[:-1], f"{ADDRESS}#sha256:", f"{ADDRESS}#sha256:{'0' * 64}", "#sha256:"):
        with pytest.raises(BadInput, match="no version is named"):
            actions.chosen(Cache(tmp_path), [name])
    with pytest.raises(BadInput, match="named ''") as wrong:
        actions.chosen(Cache(tmp_path), [""])
    assert "at least 8 characters" in wrong.value.hint


@pytest.mark.parametrize("words", [("remove", "", "--yes"), ("verify", ""), ("hold", "", "--", "true")])
def test_an_empty_name_is_bad_input(tmp_path: Path, key: str, words: tuple[str, ...]) -> None:
    environment = {**os.environ, "DUALTRACK_STORE": str(tmp_path)}
    done = subprocess.run([CLI, "store", *words], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, Cache(tmp_path).held()[0].key) == (2, key), done.stderr
