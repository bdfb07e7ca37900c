"""Pinned files from Maven and wheels: from the mirror alone where there is one, fetched once, never another one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from dualtrack.core.errors import BadInput, External
from dualtrack.core.paths import pins
from dualtrack.data.mirror import artifacts, fetchers, offline

CONTENT = b"a zip"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = "org.example.things:thing:1.2:zip"
PLACE = "org/example/things/thing/1.2/thing-1.2.zip"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """One pin, a Maven that brings ``content``, and no mirror; how often Maven was asked."""
    known: dict[str, Any] = {"content": CONTENT, "asked": 0, "mirror": None}

    def run(words: list[Any], **_: Any) -> None:
        known["asked"] += 1
        folder = Path(words[-1].removeprefix("-DoutputDirectory="))
        folder.mkdir(parents=True)
        (folder / "thing-1.2.zip").write_bytes(known["content"])

    monkeypatch.setattr(artifacts, "run", run)
    monkeypatch.setattr(artifacts, "pins", lambda: {"maven": {NAME: DIGEST}})
    monkeypatch.setattr(artifacts, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(offline, "folder", lambda: known["mirror"])
    return known


def test_fetched_once(world: dict[str, Any]) -> None:
    path, digest = artifacts.maven("thing")
    assert (path.read_bytes(), digest) == (CONTENT, DIGEST)
    assert artifacts.maven("thing") == (path, digest)
    assert world["asked"] == 1


def test_another_file_is_refused_and_not_kept(world: dict[str, Any]) -> None:
    world["content"] = b"another"
    with pytest.raises(External, match="is not the pinned file"):
        artifacts.maven("thing")
    world["content"] = CONTENT
    assert artifacts.maven("thing")[0].read_bytes() == CONTENT


def test_what_is_not_pinned_is_refused(world: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="no artifact other is pinned"):
        artifacts.maven("other")
    assert world["asked"] == 0


def test_a_mirror_is_the_only_source(world: dict[str, Any], tmp_path: Path) -> None:
    world["mirror"] = tmp_path / "mirror"
    with pytest.raises(External, match=r"has no thing-1\.2\.zip"):
        artifacts.maven("thing")
    carried_in = tmp_path / "mirror/maven" / PLACE
    carried_in.parent.mkdir(parents=True)
    carried_in.write_bytes(CONTENT)
    assert artifacts.maven("thing") == (carried_in, DIGEST)
    carried_in.write_bytes(b"another")
    with pytest.raises(External, match="is not the pinned file"):
        artifacts.maven("thing")
    assert world["asked"] == 0


def test_the_mirror_is_made_by_the_same_code(
    world: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetchers, "pins", lambda: {"maven": {NAME: DIGEST}})
    (found,) = fetchers.maven(tmp_path / "work", lambda _: None).items()
    assert found[0] == f"maven/{PLACE}"
    assert found[1].path.read_bytes() == CONTENT
    assert found[1].allowed == {DIGEST}
    assert world["asked"] == 1


def test_what_the_role_opensearch_needs_is_pinned() -> None:
    assert {it.split(":")[1] for it in pins()["maven"]} >= {"opensearch", "opensearch-security"}


@pytest.mark.parametrize("mirror", [None, "/media/mirror"])
def test_wheel_is_fetched_once_by_its_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mirror: str | None) -> None:
    asked: list[list[str]] = []

    def run(words: list[Any], **_: Any) -> None:
        asked.append([str(it) for it in words])
        folder = Path(asked[-1][-1].removeprefix("--dest="))
        folder.mkdir(parents=True)
        (folder / "xllamacpp-1-cp310-abi3-manylinux_2_17_x86_64.whl").touch()

    monkeypatch.setattr(artifacts, "run", run)
    monkeypatch.setattr(artifacts, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(offline, "folder", lambda: Path(mirror) if mirror else None)
    [found] = artifacts.wheels("llamacpp", "3.11", "x86_64")
    assert artifacts.wheels("llamacpp", "3.11", "x86_64") == [found]
    assert artifacts.wheels("llamacpp", "3.11", "aarch64")[0].parent != found.parent
    assert len(asked) == 2
    assert "--require-hashes" in asked[0]
    assert [it for it in asked[0] if "index" in it] == (
        ["--index-url=file:///media/mirror/wheels/simple/"] if mirror else []
    )


def test_lock_that_is_none_and_a_wheel_that_did_not_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(artifacts, "run", lambda words, **_: Path(str(words[-1])[7:]).mkdir(parents=True))
    monkeypatch.setattr(artifacts, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(offline, "folder", lambda: None)
    with pytest.raises(BadInput, match="no lock"):
        artifacts.wheels("../../etc/passwd", "3.11", "x86_64")
    with pytest.raises(External, match="brought no wheel"):
        artifacts.wheels("llamacpp", "3.11", "x86_64")


def test_several_wheels_of_a_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(words: list[Any], **_: Any) -> None:
        folder = Path(str(words[-1]).removeprefix("--dest="))
        folder.mkdir(parents=True)
        for name in ("b-1-py3-none-any.whl", "a-1-py3-none-any.whl", "a note.txt"):
            (folder / name).touch()

    monkeypatch.setattr(artifacts, "run", run)
    monkeypatch.setattr(artifacts, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(offline, "folder", lambda: None)
    found = artifacts.wheels("triton", "3.11", "x86_64")
    assert [it.name for it in found] == ["a-1-py3-none-any.whl", "b-1-py3-none-any.whl"]
