"""A directory becomes a part of the knowledge base: read, cleaned, cut, and made a version that is switched to.

What is not new is not read again, and whoever is killed goes on where it was: the same documents end in the same
version, however often they were interrupted.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import msgspec
from msgspec.structs import replace

from dualtrack.errors import BadInput, DualtrackError, External
from dualtrack.files import locked
from dualtrack.knowledge import chunks, versions
from dualtrack.knowledge.catalog import Catalog, Document
from dualtrack.knowledge.embedding import Kept, Model
from dualtrack.knowledge.parsing import child
from dualtrack.knowledge.parsing.blocks import Unreadable
from dualtrack.knowledge.pii.mask import mask, mask_parts

#: Tokens of a chunk; the rest of what a model reads is for its own marks and for what is written before.
CHUNK_TOKENS = 320
KEPT_VERSIONS = 5
#: What makes chunks of a document: where it is another program, documents are read anew.
PROGRAM = ("chunks.py", "ingest.py", "parsing/*.py", "pii/*.py")
LABELS = ("everyone", "group", "person", "role")
Say = Callable[[str], None]


class Left(msgspec.Struct, frozen=True):
    """A file that was left out, and why; or, of one that was taken in, what in it was not read."""

    path: str
    reason: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a directory."""

    version: str
    changed: bool
    new: int
    unchanged: int
    removed: int
    documents: int
    chunks: int
    masked: dict[str, int]
    left_out: list[Left]
    missing: list[str]


def ingest(
    base: Path,
    source: Path,
    collection: str,
    labels: Sequence[str],
    model: Model,
    *,
    remove_missing: bool = False,
    keep: int = KEPT_VERSIONS,
    say: Say,
) -> Report:
    """Take in a directory and switch to the version with it; BadInput for a directory or a label that is none.

    ``keep`` versions stay, the newest and the current one among them.
    """
    if not source.is_dir():
        raise BadInput(f"{source} is no directory")
    for it in labels:
        kind, _, name = it.partition(":")
        if kind not in LABELS or bool(name) != (kind != "everyone"):
            raise BadInput(f"'{it}' is no label", hint="everyone, group:NAME, person:NAME or role:NAME")
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(base / "ingest"):
        catalog = Catalog(base / "catalog.sqlite")
        reader = _Reader(catalog, collection, tuple(sorted(labels)), model)
        found = dict(sorted(_files(source)))
        masked: Counter[str] = Counter()
        new = 0
        for number, (path, file) in enumerate(found.items(), 1):
            if document := reader.read(path, file):
                catalog.put(document)
                new += 1
                masked.update(document.kinds)
                say(f"{number} of {len(found)}: {path}{': ' * bool(document.reason)}{document.reason}")
        missing = sorted(set(catalog.paths(collection)) - set(found))
        for path in missing if remove_missing else ():
            catalog.remove(collection, path)
        documents = list(catalog)
        before = (base / versions.CURRENT).resolve().name
        name = _version(base, documents, model, say)
        versions.prune(base, keep)
        here = [it for it in documents if it.collection == collection]
        left = [Left(it.path, reason) for it in here for reason in (it.reason, *it.left_out) if reason]
        return Report(
            version=name, changed=name != before, new=new, unchanged=len(found) - new,
            removed=len(missing) if remove_missing else 0, documents=sum(not it.reason for it in documents),
            chunks=sum(len(it.chunks) for it in documents), masked=dict(masked), left_out=left,
            missing=[] if remove_missing else missing,
        )  # fmt: skip


@cache
def rules() -> str:
    """Return the digest of the program that makes chunks of documents."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(it for pattern in PROGRAM for it in here.glob(pattern)):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _files(source: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files below a directory, by their path as it is noted; no hidden ones, and no links.

    External where a directory cannot be read: its documents would seem to be gone.
    """

    def fail(error: OSError) -> None:
        raise External(f"{error.filename} cannot be read: {error.strerror}")

    for folder, folders, names in os.walk(source, onerror=fail):
        folders[:] = [it for it in folders if not it.startswith(".")]
        for name in names:
            path = Path(folder, name)
            if not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                yield os.fsencode(path.relative_to(source)).decode(errors="backslashreplace"), path


@dataclass
class _Reader:
    """Reads the files of a directory, those that are not in the catalog as they are."""

    catalog: Catalog
    collection: str
    labels: tuple[str, ...]
    model: Model
    seen: dict[str, str] = field(default_factory=dict)

    def read(self, path: str, file: Path) -> Document | None:
        """Return a document as it is to be noted; None where nothing of it is new."""
        form = child.ENDINGS.get(Path(path).suffix.lower(), "")
        data, reason = self._data(file, form)
        parts = (
            rules(), self.model.digest, form, reason, *self.labels, hashlib.sha256(data).hexdigest()
        )  # fmt: skip
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        if data and (twin := self.seen.setdefault(digest, path)) != path:
            reason, digest = f"the same as {twin}", f"{digest} {twin}"
        if self.catalog.digest(self.collection, path) == digest:
            return None
        noted = Document(collection=self.collection, path=path, digest=digest, labels=self.labels)
        try:
            noted = replace(noted, source=mask(path.encode()).data.decode())
            if reason:
                raise Unreadable(reason)
            parsed = child.parse(data, form)
            texts, kinds = mask_parts([it.text for it in parsed.blocks])
        except (Unreadable, DualtrackError) as error:
            return replace(noted, reason=str(error))
        blocks = [replace(it, text=text) for it, text in zip(parsed.blocks, texts, strict=True) if text.strip()]
        made = tuple(chunks.chunks(blocks, self.model.count, CHUNK_TOKENS))
        return replace(noted, chunks=made, kinds=kinds, left_out=tuple(parsed.left_out))

    @staticmethod
    def _data(file: Path, form: str) -> tuple[bytes, str]:
        """Return what is in a file, or nothing and why it is not read."""
        if not form:
            return b"", f"files like {ascii(file.suffix)[1:-1] or 'this'} are not read"
        try:
            if file.stat().st_size > child.MOST_BYTES:
                return b"", f"it has more than {child.MOST_BYTES >> 20} MiB"
            return file.read_bytes(), ""
        except OSError as error:
            return b"", f"it cannot be read: {error.strerror}"


def _version(base: Path, documents: Sequence[Document], model: Model, say: Say) -> str:
    """Make a version of all documents, switch to it, and return its id; BadInput where there is nothing in any."""
    entries = [
        versions.Entry(it.collection, it.source, it.digest[:16], it.labels, chunk.headings, chunk.text, chunk.place)
        for it in documents for chunk in it.chunks
    ]  # fmt: skip
    if not entries:
        raise BadInput("; ".join(["nothing could be read", *sorted({it.reason for it in documents if it.reason})[:3]]))
    vectors = Kept(base / "vectors.sqlite", model).vectors([it.embedded for doc in documents for it in doc.chunks], say)
    name = versions.write(base, entries, vectors, model_name=model.card.name, model=model.digest, rules=rules())
    versions.switch(base, name)
    return name
