"""Copies of a knowledge base: a version comes whole or not at all, deletions always, and nothing else is believed."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import pytest

from dualtrack import cli
from dualtrack.core.errors import BadInput, DualtrackError, External, Refused
from dualtrack.knowledge import deletion, ingest, retrieval, versions
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.ledger import Ledger
from dualtrack.knowledge.sync import copy, offer
from dualtrack.knowledge.sync.source import Source
from tests.support.knowledge_base import Digests, forms, holding, take_in, texts


class Site:
    """A knowledge base, its documents, and a copy that has its master key."""

    def __init__(self, folder: Path) -> None:
        self.docs, self.source, self.copy = (folder / it for it in ("docs", "source", "copy"))
        self.docs.mkdir()
        self.write(marigold="# heliotrope\n\ngeranium", b="petunia", c="begonia")

    def write(self, **documents: str) -> str:
        """Change documents, and return the version with them."""
        for name, text in documents.items():
            (self.docs / f"{name}.md").write_text(text)
        return take_in(self.source, self.docs).version

    def bring_key(self) -> None:
        self.copy.mkdir(mode=0o700, exist_ok=True)
        shutil.copy2(self.source / "master.key", self.copy / "master.key")

    def sync(self, *, keep: int = 5, check: bool = False) -> copy.Copied:
        return copy.run(self.copy, Source(place=str(self.source)), keep=keep, check=check, say=lambda _: None)

    @property
    def current(self) -> str:
        return (self.copy / "current").resolve().name


@pytest.fixture
def site(tmp_path: Path) -> Site:
    found = Site(tmp_path)
    found.bring_key()
    return found


def test_a_copy_answers_as_its_source(site: Site) -> None:
    first = site.sync()
    assert (first.version, first.changed) == ((site.source / "current").resolve().name, True)
    assert texts(site.copy) == texts(site.source) == ["petunia", "begonia", "geranium"]
    assert not site.sync().changed
    second = site.write(b="petunia", d="dahlia")
    assert site.sync().version == site.current == second
    assert texts(site.copy) == texts(site.source)
    assert {it.id for it in versions.listed(site.copy)} == {first.version, second}
    assert not (site.copy / "staging").exists()
    state = copy.status(site.copy)
    assert (state.version, state.failed, state.source) == (second, "", str(site.source))
    assert state.lag_s is not None
    assert state.lag_s >= 0


def test_nothing_on_its_way_is_in_plain(site: Site) -> None:
    site.sync()
    words = ("marigold", "heliotrope", "geranium", "petunia", "everyone")
    marks = [form for it in words for form in forms(it)]
    assert holding(site.copy, marks) == []
    offered = offer.make(site.source)
    assert not [it for it in marks if it in offered]
    keys = Keys(site.source)
    assert not [it for it in keys.wrapped(keys.documents()).values() if it in offered]


def test_what_did_not_change_is_not_moved(site: Site) -> None:
    """Documents in the middle change, and some come in before others: what is behind them is in another place."""
    chance = random.Random(5)

    def text(number: int) -> str:
        return f"# {number}\n\n" + " ".join(f"{chance.getrandbits(64):x}" for _ in range(200))

    site.write(**{f"n{it:03}": text(it) for it in range(300)})
    whole = site.sync()
    assert whole.moved > whole.bytes
    site.write(n100=text(1), n150x=text(2), n200="short")
    part = site.sync()
    assert part.moved < part.bytes * 0.03, f"{part.moved} of {part.bytes}"
    assert texts(site.copy) == texts(site.source)


def test_versions_that_stay(site: Site) -> None:
    made = [site.write(b=f"petunia {it}") for it in range(4) if site.sync(keep=2)]
    site.sync(keep=2)
    assert {it.id for it in versions.listed(site.copy)} == set(made[-2:])
    with Keys(site.copy) as keys:
        used = {number for it in made[-2:] for number, _ in versions.numbers(site.copy / "versions" / it)}
        assert keys.documents() == used


def test_what_was_deleted_at_the_source(site: Site) -> None:
    """It is gone from all versions of the copy with the next run, its key also; and from those that come back."""
    site.sync()
    site.write(b="petunia and begonia")
    site.sync()
    before = [it.id for it in versions.listed(site.copy)]
    with Keys(site.copy) as keys:
        had = keys.documents()
    deletion.delete(site.source, ["geranium"], [])
    site.sync()
    assert "geranium" not in texts(site.copy)
    with Keys(site.copy) as keys:
        assert len(had - keys.documents()) == 1
        assert len(Ledger(site.copy, keys).deletions) == 1
    copy.roll_back(site.copy, next(it for it in before if it != site.current))
    assert "geranium" not in texts(site.copy)


def test_a_source_that_forgot_a_deletion_is_refused(site: Site, tmp_path: Path) -> None:
    old = Path(shutil.copytree(site.source, tmp_path / "old", symlinks=True))
    deletion.delete(site.source, ["geranium"], [])
    site.sync()
    shutil.rmtree(site.source)
    old.rename(site.source)
    for change in (dict(b="petunia"), dict(d="dahlia")):  # noqa: C408
        site.write(**change)
        with pytest.raises(Refused, match="does not know all deletions"):
            site.sync()
    assert "geranium" not in texts(site.copy)
    assert "does not know" in copy.status(site.copy).failed


def test_rolled_back_until_the_source_has_another(site: Site) -> None:
    first = site.sync().version
    second = site.write(b="petunia 2")
    site.sync()
    copy.roll_back(site.copy, first)
    assert site.sync().held
    assert site.current == first
    third = site.write(b="petunia 3")
    assert (site.sync().version, site.current, copy.status(site.copy).held) == (third, third, "")
    versions.roll_back(site.source, second)
    assert site.sync().version == site.current == second
    with pytest.raises(BadInput, match="no version"):
        copy.roll_back(site.copy, "f" * 16)


def test_a_copy_is_changed_at_its_source(site: Site) -> None:
    site.sync()
    with pytest.raises(Refused, match="is a copy"):
        take_in(site.copy, site.docs)
    with pytest.raises(Refused, match="is a copy"):
        deletion.delete(site.copy, ["geranium"], [])
    with pytest.raises(Refused, match="has something of its own"):
        copy.run(site.source, Source(place=str(site.copy)), keep=5, say=lambda _: None)
    with pytest.raises(BadInput, match="is not a copy"):
        copy.status(site.source)


def test_another_master_key_and_none(site: Site) -> None:
    """The right one may come later: nothing stays of the wrong one."""
    (site.copy / "master.key").unlink()
    with pytest.raises(BadInput, match="no master key"):
        site.sync()
    (site.copy / "master.key").write_bytes(bytes(32))
    (site.copy / "master.key").chmod(0o600)
    with pytest.raises(BadInput, match="was not made under the master key"):
        site.sync()
    site.bring_key()
    assert site.sync().changed


def test_what_is_on_its_way_may_be_anything(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that were changed, cut or exchanged: the copy keeps what it has, says so, and the next run is well."""
    site.sync()
    before = texts(site.copy)
    site.write(d="dahlia")
    whole, chance = offer.make(site.source), random.Random(7)
    places = [0, 11, 12, len(whole) - 1, *(chance.randrange(len(whole)) for _ in range(20))]
    flipped = [whole[:it] + bytes([whole[it] ^ 1 << chance.randrange(8)]) + whole[it + 1 :] for it in places]
    for data in (*flipped, whole[:-1], whole + b"x", b""):
        with monkeypatch.context() as patch:
            patch.setattr(Source, "offer", lambda _, __, data=data: data)
            with pytest.raises(BadInput, match="was not made under"):
                site.sync()
    fetch = Source.fetch
    for damage in (lambda it: it[:-1], lambda it: it + b"x", lambda it: it[:40] + b"x" + it[41:], lambda _: b""):

        def lies(self: Source, version: str, folder: Path, *rest: object, damage: object = damage) -> int:
            moved = fetch(self, version, folder, *rest)  # type: ignore[arg-type]
            path = folder / versions.SEALED
            path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
            return moved

        with monkeypatch.context() as patch:
            patch.setattr(Source, "fetch", lies)
            with pytest.raises(External, match="not what its card says"):
                site.sync()
        assert texts(site.copy) == before
        assert copy.status(site.copy).failed
    assert site.sync().changed
    assert texts(site.copy) == texts(site.source)
    assert copy.status(site.copy).failed == ""


def test_a_damaged_version_is_brought_again(site: Site) -> None:
    site.sync()
    path = site.copy / "current" / versions.SEALED
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(External, match="is damaged"):
        texts(site.copy)
    assert site.sync(check=True).moved
    assert texts(site.copy) == texts(site.source)


def test_a_version_that_is_pruned_while_it_comes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch, changes = Source.fetch, iter(["petunia 2", "petunia 3"])

    def late(self: Source, version: str, *rest: object) -> int:
        if text := next(changes, ""):
            site.write(b=text)
            versions.prune(site.source, 1)
        return fetch(self, version, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Source, "fetch", late)
    assert site.sync().version == (site.source / "current").resolve().name
    assert "petunia 3" in texts(site.copy)


def test_the_weights_of_scores_come_too(site: Site) -> None:
    path = site.source / retrieval.NAME
    path.write_text("{}")
    site.sync()
    assert (site.copy / retrieval.NAME).read_text() == "{}"
    path.unlink()
    site.write(d="dahlia")
    site.sync()
    assert not (site.copy / retrieval.NAME).exists()


@pytest.mark.parametrize(
    "place", ["", "nowhere", "-oProxyCommand=x:", "a b:", "host:dir", "user@@host:", "[::1]:", "host"]
)
def test_sources_that_are_none(site: Site, place: str) -> None:
    with pytest.raises(BadInput, match="no directory"):
        copy.run(site.copy, Source(place=place), keep=5, say=lambda _: None)


def test_a_host_that_does_not_answer(site: Site) -> None:
    site.sync()
    away = Source(place="127.0.0.1:", port=1)
    with pytest.raises(DualtrackError, match="ssh failed with exit code 255"):
        copy.run(site.copy, away, keep=5, say=lambda _: None)
    assert "ssh failed" in copy.status(site.copy).failed


def rewritten(site: Site) -> None:
    """Have the source's version under the same id with other numbers and keys, as when documents went and came back."""
    kept = {it.name: it.read_text() for it in site.docs.iterdir()}
    (site.docs / "b.md").unlink()
    take_in(site.source, site.docs, keep=1, remove_missing=True)
    for name, text in kept.items():
        (site.docs / name).write_text(text)
    take_in(site.source, site.docs, keep=1)


def test_another_file_of_the_same_version(site: Site) -> None:
    """What is deleted at the source afterwards is deleted in the copy as well."""
    first = site.sync()
    rewritten(site)
    again = site.sync()
    assert (again.version, again.moved > 0) == (first.version, True)
    assert (site.copy / "current/documents.sealed").read_bytes() == (
        site.source / "current/documents.sealed"
    ).read_bytes()
    deletion.delete(site.source, ["petunia"], [])
    site.sync()
    assert "petunia" not in texts(site.copy)


def test_versions_that_the_source_has_no_more(site: Site) -> None:
    """Nobody could delete in them: they go, also one that was rolled back to."""
    first = site.sync().version
    site.write(b="somebody else")
    site.sync()
    assert {it.id for it in versions.listed(site.copy)} > {first}
    copy.roll_back(site.copy, first)
    assert site.sync().held
    for number in range(5):
        site.write(c=f"begonia {number}")
    assert first not in {it.id for it in versions.listed(site.source)}
    site.sync()
    assert first not in {it.id for it in versions.listed(site.copy)}
    with Keys(site.copy) as keys, Keys(site.source) as others:
        assert keys.documents() <= others.documents()


def test_held_while_the_source_forgets_it(site: Site) -> None:
    first, second = site.sync().version, site.write(b="petunia 2")
    site.sync()
    copy.roll_back(site.copy, first)
    versions.prune(site.source, 1)
    assert (site.sync().held, site.current) == (False, second)


def test_what_is_in_the_way(site: Site, tmp_path: Path) -> None:
    """Nothing of the operator's is touched, and a run that could not begin leaves nothing behind."""
    own = tmp_path / "own"
    (own / "staging").mkdir(parents=True)
    for base, said in (
        (own, "has something of its own: staging"),
        (site.source, "copy of itself"),
        (site.docs / "b.md", "not a dir"),
    ):
        with pytest.raises(DualtrackError, match=said):
            copy.run(base, Source(place=str(site.source)), keep=5, say=lambda _: None)
    assert (own / "staging").is_dir()
    (site.copy / "master.key").unlink()
    with pytest.raises(BadInput, match="no master key"):
        site.sync()
    assert not (site.copy / "sync.json").exists()
    take_in(site.copy, site.docs)


def test_a_run_that_ends_early_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each step: the directory is a copy from its beginning, and documents are not taken in there."""
    deletion.delete(site.source, ["geranium"], [])
    for place in ("deletion.finish", "versions.switch", "versions.prune", "deletion.tidy"):
        with monkeypatch.context() as patch:

            def fails(*_: object) -> None:
                raise KeyboardInterrupt

            patch.setattr(f"dualtrack.knowledge.sync.copy.{place}", fails)
            with pytest.raises(KeyboardInterrupt):
                site.sync()
        with pytest.raises(Refused, match="is a copy"):
            take_in(site.copy, site.docs)
        assert copy.status(site.copy).failed
    site.sync()
    assert texts(site.copy) == texts(site.source)
    (site.copy / "sync.json").write_text("{")
    site.sync()
    assert copy.status(site.copy).failed == ""


def test_keep_one_after_a_roll_back(site: Site) -> None:
    first = site.sync().version
    site.write(b="petunia 2")
    site.sync()
    copy.roll_back(site.copy, first)
    for _ in range(2):
        assert site.sync(keep=1).held
    assert [it.id for it in versions.listed(site.copy)] == [first]


def test_a_damaged_card_is_brought_again(site: Site) -> None:
    site.sync()
    with (site.copy / "current/card.json").open("ab") as file:
        file.write(b"x")
    site.sync()
    assert texts(site.copy) == texts(site.source)


@pytest.mark.parametrize("words", [["--dry-run"], ["--yes"]])
def test_a_roll_back_says_whose_documents_others_may_see_then(
    site: Site, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = site.sync().version
    ingest.ingest(site.source, site.docs, "hr", ["group:hr"], Digests(), say=lambda _: None)
    site.sync()
    monkeypatch.setattr(sys, "argv", ["dualtrack", "sync", "rollback", first, "--base", str(site.copy), *words])
    with pytest.raises(SystemExit):
        cli.main()
    shown = capsys.readouterr()
    assert "documents of hr that would be for everyone, and are for group:hr now: 3" in shown.out + shown.err
