"""A knowledge base at rest: nothing of it is in plain, whatever was changed is seen, and its master key is needed."""

from __future__ import annotations

import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput, DualtrackError, External, Refused
from dualtrack.knowledge import ingest, overview, versions
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.ledger import Ledger
from tests.support.knowledge_base import Digests, forms, holding, take_in, texts


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A knowledge base of three documents, and their directory."""
    folder = tmp_path_factory.mktemp("sealed")
    docs = folder / "docs"
    docs.mkdir()
    for name, text in (("marigold.md", "# heliotrope\n\ngeranium in one"), ("b.md", "petunia"), ("c.md", "begonia")):
        (docs / name).write_text(text)
    (docs / "unread-larkspur.bin").write_bytes(b"x")
    take_in(folder / "base", docs)
    return folder


@pytest.fixture
def base(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "base", tmp_path / "base", symlinks=True))


def test_nothing_is_in_plain(base: Path) -> None:
    words = ("marigold", "heliotrope", "geranium", "petunia", "larkspur", "everyone")
    vector = Digests().question("petunia").tobytes()
    assert texts(base)[0] == "petunia"
    assert holding(base, [vector[:16], *(form for it in words for form in forms(it))]) == []
    for name in ("master.key", "keys.sqlite", "catalog.sqlite", "vectors.sqlite"):
        assert stat.S_IMODE((base / name).stat().st_mode) == 0o600, name


def test_the_same_documents_have_the_same_version_under_any_keys(base: Path, made: Path, tmp_path: Path) -> None:
    (tmp_path / "other.key").write_bytes(bytes(40))
    (tmp_path / "other.key").chmod(0o600)
    other = take_in(tmp_path / "other", made / "docs", key_file=tmp_path / "other.key")
    assert other.version == (base / "current").resolve().name
    assert sorted(texts(tmp_path / "other", tmp_path / "other.key")) == sorted(texts(base))
    assert not (tmp_path / "other" / "master.key").exists()
    both = [it / "current" / "documents.sealed" for it in (base, tmp_path / "other")]
    assert both[0].stat().st_size == both[1].stat().st_size
    assert both[0].read_bytes() != both[1].read_bytes()


def test_whatever_is_changed_is_seen(base: Path) -> None:
    chance = random.Random(3)
    for name in ("documents.sealed", "card.json"):
        path = base / "current" / name
        whole = path.read_bytes()
        places = [0, 15, 16, 20, 27, len(whole) - 1, *(chance.randrange(len(whole)) for _ in range(40))]
        flipped = [whole[:it] + bytes([whole[it] ^ 1 << chance.randrange(8)]) + whole[it + 1 :] for it in places]
        for data in (*flipped, whole[:-1], whole + b"x", b"", whole[: len(whole) // 2]):
            path.write_bytes(data)
            with pytest.raises(External, match="is damaged"):
                versions.load(base)
        path.write_bytes(whole)
    assert texts(base)


def test_blocks_are_not_to_be_exchanged(base: Path) -> None:
    """By somebody who may write files, and has no key: places, numbers, parts of other files, other versions."""
    keys = Keys(base)
    folder = (base / "current").resolve()
    path = folder / "documents.sealed"
    whole = path.read_bytes()
    with path.open("rb") as file:
        (first, one), (second, two), *_ = [(it, file.read(length)) for it, _, length in versions._heads(file)]
    place = {it: whole.index(it) for it in (first, second)}
    swapped = bytearray(whole)
    swapped[place[first] : place[first] + 16], swapped[place[second] : place[second] + 16] = second, first
    body = dict(keys._table.ask("SELECT document, wrapped FROM keys"))[first]
    foreign = whole.replace(one, (body * len(one))[: len(one)])
    for data in (bytes(swapped), foreign, whole.replace(two, bytes(len(two)))):
        path.write_bytes(data)
        with pytest.raises(External, match=r"documents\.sealed"):
            versions.load(base)
        # Also where the file's digest is not asked for, each block is bound to its document by its key.
        card = versions.read_card(folder, keys)
        with pytest.raises(versions.Damaged):
            list(versions.blocks(folder, _as_found(card, data), keys, Ledger(base, keys)))
    path.write_bytes(whole)
    folder.rename(folder.with_name("0123456789abcdef"))
    (base / "current").unlink()
    (base / "current").symlink_to("versions/0123456789abcdef")
    with pytest.raises(External, match=r"card\.json"):
        versions.load(base)


def _as_found(card: versions.Made, data: bytes) -> versions.Made:
    import hashlib

    import msgspec

    return msgspec.structs.replace(card, digest=hashlib.sha256(data).hexdigest())


def _removed(base: Path) -> None:
    (base / "master.key").unlink()


def _another(base: Path) -> None:
    (base / "master.key").write_bytes(bytes(range(32)))


def _short(base: Path) -> None:
    (base / "master.key").write_bytes(bytes(31))


def _open(base: Path) -> None:
    (base / "master.key").chmod(0o640)


def _no_keys(base: Path) -> None:
    (base / "keys.sqlite").unlink()


def _torn_keys(base: Path) -> None:
    (base / "keys.sqlite").write_bytes(b"SQLite format 3\0" + bytes(3000))


@pytest.mark.parametrize(
    ("harm", "kind", "said", "state"),
    [
        (_removed, BadInput, "there is no master key", "missing"),
        (_another, BadInput, "is not the master key of", "wrong"),
        (_short, BadInput, "is not a master key", "wrong"),
        (_open, Refused, "others may read or write", "there"),
        (_no_keys, External, "keys.sqlite is not there", "there"),
        (_torn_keys, External, "keys.sqlite", "there"),
    ],
)
def test_lost_and_wrong_keys_are_said(
    base: Path, made: Path, harm: Callable[[Path], None], kind: type[DualtrackError], said: str, state: str
) -> None:
    current = (base / "current").resolve().name
    harm(base)
    for what in (
        lambda: versions.load(base),
        lambda: take_in(base, made / "docs"),
        lambda: versions.roll_back(base, current),
    ):
        with pytest.raises(kind, match=said) as error:
            what()
        assert "\n" not in str(error.value)
    assert (base / "master.key").exists() == (harm is not _removed)
    found = overview.status(base)
    assert (found.master_key, bool(found.problem)) == (state, True)


def test_keys_that_nothing_needs_are_destroyed(base: Path, made: Path, tmp_path: Path) -> None:
    docs = Path(shutil.copytree(made / "docs", tmp_path / "docs"))
    first = Keys(base).documents()
    (docs / "b.md").write_text("petunia, another one")
    changed = take_in(base, docs)
    assert len(Keys(base).documents()) == len(first) + 1  # the version before still has the old one
    versions.roll_back(base, versions.listed(base)[-1].id)
    assert "petunia" in texts(base)
    take_in(base, docs, keep=1)
    assert [it.id for it in versions.listed(base)] == [changed.version]
    left = Keys(base).documents()
    assert (len(left), len(left & first)) == (len(first), len(first) - 1)
    assert ingest.Catalog(base, Keys(base)).documents() == left


def test_what_differs_between_versions(base: Path, made: Path, tmp_path: Path) -> None:
    docs = Path(shutil.copytree(made / "docs", tmp_path / "docs"))
    before = (base / "current").resolve().name
    (docs / "b.md").write_text("# one\n\npetunia\n\n# two\n\nviola")
    (docs / "c.md").unlink()
    (docs / "d.md").write_text("dahlia")
    after = take_in(base, docs, remove_missing=True).version
    found = overview.difference(base, before, after)
    rows = {
        kind: [(it.source, it.before, it.after) for it in getattr(found, kind)]
        for kind in ("added", "removed", "changed")
    }
    assert rows == {"added": [("d.md", 0, 1)], "removed": [("c.md", 1, 0)], "changed": [("b.md", 1, 2)]}
    assert (found.unchanged, found.deleted_before, found.deleted_after) == (1, 0, 0)
    assert overview.difference(base, after, after).unchanged == 3
    with pytest.raises(BadInput, match="there is no version nothing"):
        overview.difference(base, after, "nothing")


def test_vectors_are_made_once(base: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also under another label, where each document has another number; and never from somebody else's row."""
    asked: list[str] = []
    real = Digests.question
    monkeypatch.setattr(Digests, "question", lambda self, text: asked.append(text) or real(self, text))
    take_in(base, made / "docs", "lab")
    assert asked == []
    table = ingest.Kept(base, Digests(), Keys(base))._table  # type: ignore[arg-type]
    rows = table.ask("SELECT text, document, sealed FROM vectors")
    table.change("UPDATE vectors SET sealed = ? WHERE text != ?", [(rows[0][2], rows[0][0])])
    shutil.rmtree(base / "versions")
    take_in(base, made / "docs", "lab")
    assert len(asked) == len({it[0] for it in rows}) - 1
    assert len(texts(base)) == 6
