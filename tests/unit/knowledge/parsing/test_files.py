"""What is in a directory of documents: files are read by their own name, and nothing else is followed or opened."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.knowledge.ingest import _content, _files

MAKERS: dict[str, Callable[[Path], object]] = {
    "it is a symbolic link, which is not followed": lambda it: it.symlink_to("/etc/hostname"),
    "it is a named pipe": os.mkfifo,
    "it is a socket": lambda it: socket.socket(socket.AF_UNIX).bind(str(it)),
}


@pytest.mark.parametrize("reason", [*MAKERS])
@pytest.mark.parametrize("name", ["a.md", ".a.md", "sub/a.md", "a"])
def test_what_is_no_file_is_told_by_its_kind(tmp_path: Path, reason: str, name: str) -> None:
    (tmp_path / "sub").mkdir()
    MAKERS[reason](tmp_path / name)
    assert _files(tmp_path) == ({}, {name: reason})


@pytest.mark.parametrize("name", [".a.md", "sub/.a.md", ".a"])
def test_hidden_files_and_directories_are_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.md").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "c.md").touch()
    (tmp_path / name).touch()
    wanted = {".git": "it is a hidden directory", name: "it is a hidden file"}
    assert _files(tmp_path) == ({"sub/b.md": tmp_path / "sub/b.md"}, wanted)


@pytest.mark.parametrize("kind", [*MAKERS, "a directory on the way"])
def test_what_replaces_a_file_is_not_read(tmp_path: Path, kind: str) -> None:
    """Between the look and the read: also where a directory on the way has become a link."""
    place = tmp_path / "docs"
    place.mkdir()
    (place / "a.md").write_text("x")
    assert _content(place / "a.md") == b"x"
    if kind in MAKERS:
        (place / "a.md").unlink()
        MAKERS[kind](place / "a.md")
    else:
        place.rename(tmp_path / "elsewhere")
        place.symlink_to("elsewhere")
    with pytest.raises(OSError, match=r"link|kind of file|No such device|symbolic"):
        _content(place / "a.md")
