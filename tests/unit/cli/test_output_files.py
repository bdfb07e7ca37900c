"""`--output` and its like write regular files: links, devices, pipes and directories stay as they are, in one line."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualtrack import cli
from dualtrack.cli import commands, options
from dualtrack.core import files
from dualtrack.core.errors import Refused


def linked_twice(place: Path) -> None:
    place.with_name("next").symlink_to("kept")
    place.symlink_to("next")


def linked_pipe(place: Path) -> None:
    os.mkfifo(place.with_name("pipe"))
    place.symlink_to("pipe")


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "link to a file": lambda place: place.symlink_to("kept"),
    "link to nothing": lambda place: place.symlink_to("nowhere"),
    "link to a link": linked_twice,
    "link to stdout": lambda place: place.symlink_to("/proc/self/fd/1"),
    "link to a descriptor": lambda place: place.symlink_to("/dev/fd/1"),
    "link to itself": lambda place: place.symlink_to(place.name),
    "link to a directory": lambda place: place.symlink_to("."),
    "link to a device": lambda place: place.symlink_to("/dev/null"),
    "link to a pipe": linked_pipe,
    "device": lambda place: os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 3)),
    "pipe": os.mkfifo,
    "directory": lambda place: place.mkdir(),
}
#: What needs little to be called; {out} is where it writes.
CALLS = (
    "audit prove trail 1 -o {out}", "cost breakeven --write-assumptions {out}", "cost breakeven --chart {out}",
    "fabric declare -o {out}", "fabric draw fabric.yml -o {out}", "inventory -f {out}",
    "init --host a=10.0.0.1,roles=gateway --facts {out} --yes --force", "keys new -o {out}",
    "pii mask kept -o {out} --force", "serving tune m --chart {out}",
    "residency database . {out}", "serving key add anna --file {out}", "spot plan -o {out}",
)  # fmt: skip


def seen(folder: Path) -> list[tuple[str, int, int, str]]:
    return [
        (str(it), it.lstat().st_mode, it.lstat().st_ino, str(it.readlink()) if it.is_symlink() else "")
        for it in sorted(folder.rglob("*"))
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("call", CALLS, ids=lambda it: " ".join(it.split()[:2]))
def test_what_is_no_regular_file_is_left_alone(
    tmp_path: Path, call: str, layout: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").write_text("kept")
    place = tmp_path / "out"
    LAYOUTS[layout](place)
    before = seen(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dualtrack", *call.format(out=place).split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = [it for it in capsys.readouterr().err.splitlines() if it.startswith("dualtrack: ")]
    assert ended.value.code == 5, said
    assert [str(place) in it for it in said] == [True]
    assert seen(tmp_path) == before
    assert (tmp_path / "kept").read_text() == "kept"


def test_every_option_that_names_an_output_file_is_checked_before_the_command_begins() -> None:
    """The others write through `seal` (a text), or name a directory."""
    unchecked = {
        " ".join((*path, option.opts[0]))
        for path, command in commands()
        for option in command.params
        if option.type.name == "path"
        and (option.help or "").startswith(("Write ", "Draw "))
        and not checks(option.callback)
    }  # fmt: skip
    assert unchecked == {"init --facts", "init --tfvars"}  # checked with --force (`init`)


def checks(callback: Any) -> bool:
    """Tell whether a callback is `options.output_path`, as Typer wraps it."""
    found = [it.cell_contents for it in getattr(callback, "__closure__", None) or ()]
    return options.output_path in found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_written_later_is_checked_again(tmp_path: Path, layout: str) -> None:
    (tmp_path / "kept").write_text("kept")
    LAYOUTS[layout](tmp_path / "out")
    before = seen(tmp_path)
    with pytest.raises(Refused, match=r"out is (not a regular file|a symbolic link, which is not followed)"):
        files.write_output(tmp_path / "out", b"x")
    assert seen(tmp_path) == before
