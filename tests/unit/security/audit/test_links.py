"""No link in a trail, or in a witness's directory, leads a reader, a verifier or a writer to another place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualtrack.core.errors import DualtrackError, Refused
from dualtrack.security.audit import anchors as kept
from dualtrack.security.audit import fetch, journal, keys, proof, query, witness
from dualtrack.security.audit.layout import Place
from dualtrack.security.audit.ship import Shipper
from dualtrack.security.audit.verify import judge
from dualtrack.security.audit.witness import Witness
from dualtrack.security.audit.writer import Writer, begin
from tests.support import reference_audit
from tests.support.attack_helpers import START, Clock

#: What is verified, and what lies beside it.
JUDGED = ("host", "heads.log", "segments", "segments/00000001.log", "segments/00000003.log")
#: How else a name may not lead to its file.
PUT: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda path, away: path.symlink_to(away),
    "pipe": lambda path, _: os.mkfifo(path),
}


def replaced(trail: Path, name: str, how: str = "link") -> Path:
    """Move a file or directory of a trail away and put something in its place; return where it is."""
    path, away = trail / name, trail.with_name("elsewhere")
    path.rename(away)
    PUT[how](path, away)
    return away


def content(path: Path) -> dict[str, bytes]:
    """Everything below a path, or the one file that it is."""
    found = [it for it in path.rglob("*") if it.is_file()] if path.is_dir() else [path]
    return {str(it): it.read_bytes() for it in found}


def names(error: DualtrackError, path: Path) -> bool:
    """Tell whether an error is one line that says what is wrong with a file."""
    said = str(error)
    return "\n" not in said and f"{path} is not a " in said


def write(trail: Path) -> None:
    """Continue with a trail, up to another head and another key."""
    with Writer(trail, clock=Clock(START + 10**12)) as writer:
        writer.append("sudo", "ops", b"and on")
        writer.turn()


@pytest.mark.attack("a user", "puts a link in the place of a trail's file", "found", "audit verify")
@pytest.mark.parametrize("how", PUT)
@pytest.mark.parametrize("name", JUDGED)
def test_what_lies_elsewhere_is_not_judged_as_the_trail(trail: Path, root: bytes, name: str, how: str) -> None:
    replaced(trail, name, how)
    assert reference_audit.verdict(trail, root)
    if name == "host":
        with pytest.raises(Refused) as caught:
            judge(trail, root)
        assert names(caught.value, trail / name)
        return
    found = judge(trail, root).findings
    assert found
    assert any(Path(name).name in it.detail for it in found), found


READERS: dict[str, Callable[[Path], object]] = {
    "prove": lambda trail: proof.prove(trail, 2),
    "show": lambda trail: list(query.matching(trail)),
    "anchor": kept.newest,
    "ship": lambda trail: Shipper(trail, None, trail / "shipped.json", alarm=1, tell=print)._group(1, 0),  # type: ignore[arg-type]
    "collect": lambda trail: journal.last_cursor(Place(trail)),
    "witness": lambda trail: witness.carried(trail.parent)(trail.name, 0),
}
READ = {
    "host": {"ship"}, "heads.log": {"prove", "anchor", "witness"}, "segments": {"prove", "show", "ship", "collect"},
    "segments/00000001.log": {"prove", "ship"},
}  # fmt: skip


@pytest.mark.attack("a user", "has what lies elsewhere read as a trail", "prevented", "audit: no link is followed")
@pytest.mark.parametrize("how", PUT)
@pytest.mark.parametrize(("name", "reader"), [(name, it) for name, found in READ.items() for it in sorted(found)])
def test_nobody_reads_through_a_link(trail: Path, name: str, reader: str, how: str) -> None:
    replaced(trail, name, how)
    with pytest.raises(Refused) as caught:
        READERS[reader](trail)
    assert names(caught.value, trail / name)
    assert caught.value.code == 5


@pytest.mark.attack("a user", "has the recorder write elsewhere", "prevented", "audit: no link is followed")
@pytest.mark.parametrize("how", PUT)
@pytest.mark.parametrize("name", ["host", "heads.log", "segments", "segments/00000003.log", "keys", "key", "lock"])
def test_nobody_writes_through_a_link(trail: Path, name: str, how: str) -> None:
    """Neither events nor heads nor keys, and nothing there is cut off, written over or removed."""
    if name == "key":
        name = str(next((trail / "keys").iterdir()).relative_to(trail))
    away = replaced(trail, name, how)
    before = content(away)
    with pytest.raises(DualtrackError) as caught:
        write(trail)
    assert names(caught.value, trail / name)
    assert content(away) == before


@pytest.mark.parametrize("name", ["heads.log", "lock", "segments/00000001.log"])
def test_nothing_is_made_where_a_link_leads(tmp_path: Path, name: str) -> None:
    """A new trail, whose files are not there yet."""
    begin(tmp_path / "trail", "vault-1")
    (tmp_path / "trail" / name).symlink_to(tmp_path / "made")
    with pytest.raises(DualtrackError) as caught:
        write(tmp_path / "trail")
    assert names(caught.value, tmp_path / "trail" / name)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["segments", "keys", "heads.log", "root.pem"])
def test_no_trail_is_begun_behind_a_link(tmp_path: Path, name: str) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "trail").mkdir()
    (tmp_path / "trail" / name).symlink_to(tmp_path / ("made" if name in ("segments", "keys") else "nothing"))
    with pytest.raises(Refused):
        begin(tmp_path / "trail", "vault-1")
    assert list((tmp_path / "made").iterdir()) == []
    assert not (tmp_path / "nothing").exists()


def test_other_keys_that_are_links_are_not_written_over(trail: Path, tmp_path: Path) -> None:
    """What is not a key of the present epoch is destroyed: of what lies elsewhere not a byte is."""
    (tmp_path / "precious").write_bytes(b"precious")
    (trail / "keys/000099.pem").symlink_to(tmp_path / "precious")
    with pytest.raises(Refused) as caught:
        write(trail)
    assert names(caught.value, trail / "keys/000099.pem")
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_what_was_shipped_is_not_read_from_elsewhere(trail: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text('{"segment":3,"offset":0,"heads":10}')
    (trail / "shipped.json").symlink_to(tmp_path / "state")
    with pytest.raises(Refused) as caught:
        READERS["ship"](trail)
    assert names(caught.value, trail / "shipped.json")


@pytest.mark.parametrize("name", ["key.pem", "seen.log", "statements.log", "lock"])
@pytest.mark.parametrize("there", [True, False])
def test_a_witness_follows_no_link(tmp_path: Path, name: str, there: bool) -> None:
    folder = tmp_path / "w"
    witness.begin(folder, "w-1")
    for _ in range(2):  # its lock and its statements are there then
        with Witness(folder):
            pass
    (folder / name).rename(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").read_bytes()
    if not there:
        (tmp_path / "elsewhere").unlink()
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DualtrackError) as caught, Witness(folder):
        pass
    assert names(caught.value, folder / name)
    assert (tmp_path / "elsewhere").exists() == there
    assert not there or (tmp_path / "elsewhere").read_bytes() == before


class Meddling:
    """A store in whose answers somebody puts links into the new directory."""

    def __init__(self, folder: Path, name: str, target: Path) -> None:
        self.put = lambda: (folder / name).symlink_to(target)

    def ask(self, *_: object) -> dict[str, Any]:
        self.put()
        self.put = lambda: None
        return {"hits": {"hits": []}}


def test_a_trail_is_not_fetched_through_a_link(tmp_path: Path) -> None:
    store = Meddling(tmp_path / "trail", "segments/00000001.log", tmp_path / "made")
    with pytest.raises(FileExistsError, match=r"trail/segments/00000001\.log"):
        fetch.fetch(store, "vault-1", tmp_path / "trail", lambda _: None)  # type: ignore[arg-type]
    assert not (tmp_path / "made").exists()


def test_a_trail_may_itself_lie_behind_a_link(trail: Path, root: bytes, tmp_path: Path) -> None:
    """Whoever names it has named the link; what leads on from there is the trail's own."""
    (tmp_path / "link").symlink_to(trail)
    assert judge(tmp_path / "link", root).findings == ()
    write(tmp_path / "link")
    assert keys.load(next((tmp_path / "link/keys").iterdir()))
    shutil.copytree(tmp_path / "link", tmp_path / "copy")
    assert judge(tmp_path / "copy", root).records == judge(trail, root).records
