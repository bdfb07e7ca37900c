"""A directory becomes a part of the knowledge base: read, cleaned, cut, and made a version that is switched to.

What is not new is not read again, and whoever is killed continues where it was: the same documents end in the same
version, however often they were interrupted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from dualtrack.core import processor_time
from dualtrack.core.errors import BadInput, DualtrackError, External
from dualtrack.core.files import locked
from dualtrack.knowledge import chunks, deletion, index, ledger, mentions, versions
from dualtrack.knowledge.catalog import Catalog, Document
from dualtrack.knowledge.embedding import Kept, Model, Vectors
from dualtrack.knowledge.index import Choice
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.ledger import Ledger
from dualtrack.knowledge.messages import KEPT_VERSIONS, IngestReport, Left
from dualtrack.knowledge.parsing import child
from dualtrack.knowledge.parsing.blocks import Unreadable
from dualtrack.knowledge.parsing.starter import Gone
from dualtrack.knowledge.pii.mask import mask, mask_parts

#: Tokens of a chunk; the rest of what a model reads is for its own marks and for what is written before: of headings
#: half as many (`chunks`), so a chunk has two thirds of what a model reads at most.
CHUNK_TOKENS = 320
#: The name of a collection, which is before the path of each of its documents.
COLLECTION = re.compile(r"\w[\w.-]{0,63}")
#: Seconds of processor time in which personal data is looked for in a document. Ordinary text takes one for 50 MB.
MASKING_S = 60.0
#: What makes chunks of a document: where it is another program, documents are read anew.
PROGRAM = ("chunks.py", "ingest.py", "parsing/*.py", "pii/*.py")
LABELS = ("everyone", "group", "person", "role")
Say = Callable[[str], None]


def ingest(
    base: Path,
    source: Path,
    collection: str,
    labels: Sequence[str],
    model: Model,
    *,
    remove_missing: bool = False,
    keep: int = KEPT_VERSIONS,
    key_file: Path | None = None,
    say: Say,
) -> IngestReport:
    """Take in a directory and switch to the version with it; BadInput for a directory or a label that is none.

    Without labels, those of the collection stay, also where its documents are gone; a new one is for everyone. ``keep``
    versions stay, the newest and the current one among them. What was deleted (`ledger`) stays out.
    """
    if not source.is_dir():
        raise BadInput(f"{source} is not a directory")
    source = source.resolve()
    if not COLLECTION.fullmatch(collection):
        raise BadInput(f"'{collection}' is not the name of a collection", hint="letters, digits, '.', '_' and '-'")
    for it in labels:
        kind, _, name = it.partition(":")
        if kind not in LABELS or bool(name) != (kind != "everyone"):
            raise BadInput(f"'{it}' is not a label", hint="everyone, group:NAME, person:NAME or role:NAME")
    found, other = _files(source)
    # Before a key is in this process's memory: what reads documents is not even started from one that has some.
    for it in child.start(form for path in found if (form := _form(path))):
        say(f"documents are read without {it}, which this system does not have: the list of system calls remains")
    versions.own(base)
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(base / "ingest", say), Keys(base, key_file, make=True) as keys, Catalog(base, keys) as catalog:
        deleted, shortened = Ledger(base, keys), model.shortened
        deletion.finish(base, keys, deleted)
        readers = catalog.readers(collection)
        acl = tuple(sorted(labels)) or _only(readers, collection)
        catalog.let_read(collection, readers | {acl})
        reader = _Reader(catalog, deleted, collection, acl, model)
        masked: Counter[str] = Counter()
        new = 0
        for number, (path, file) in enumerate(found.items(), 1):
            if document := reader.read(path, file):
                new += 1
                if path in reader.deleted:
                    catalog.bury(collection, path, document.digest, document.reason)
                else:
                    catalog.put(document)
                masked.update(document.kinds)
                say(f"{number} of {len(found)}: {path}{': ' * bool(document.reason)}{document.reason}")
        known = catalog.all()
        missing = [it.path for _, it in known if it.collection == collection and it.path not in found]
        if remove_missing:
            for path in missing:
                catalog.remove(collection, path)
            known = [(number, it) for number, it in known if it.collection != collection or it.path in found]
        documents = [it for _, it in known]
        before = (base / versions.CURRENT).resolve().name
        name = _version(base, keys, known, model, say)
        versions.prune(base, keep)
        deletion.tidy(base, keys, catalog.documents())
        here = [it for it in documents if it.collection == collection]
        catalog.let_read(collection, {it.labels for it in here} or {acl})
        left = [Left(it.path, reason) for it in here for reason in (it.reason, *it.left_out) if reason]
        left += [Left(path, reason) for path, reason in (*reader.deleted.items(), *other.items())]
        return IngestReport(
            version=name, changed=name != before, new=new, unchanged=len(found) - new,
            removed=len(missing) if remove_missing else 0, documents=sum(not it.reason for it in documents),
            chunks=sum(len(it.chunks) for it in documents), masked=dict(masked), left_out=left,
            missing=[] if remove_missing else missing, acl=acl,
            readers=dict(Counter(", ".join(it.labels) for it in here if not it.reason)),
            shortened=model.shortened - shortened,
        )  # fmt: skip


def _only(readers: Set[tuple[str, ...]], collection: str) -> tuple[str, ...]:
    """Return the readers of a collection, of a new one everyone; BadInput where its documents have several."""
    if len(readers) > 1:
        raise BadInput(f"the documents of '{collection}' have different readers", hint="name them by --acl")
    return next(iter(readers), ("everyone",))


@cache
def rules() -> str:
    """Return the digest of the program that makes chunks of documents."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(it for pattern in PROGRAM for it in here.glob(pattern)):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


#: What is in a directory beside files: it is neither followed nor opened.
OTHERS = (
    (stat.S_ISLNK, "it is a symbolic link, which is not followed"), (stat.S_ISFIFO, "it is a named pipe"),
    (stat.S_ISSOCK, "it is a socket"), (stat.S_ISCHR, "it is a device"), (stat.S_ISBLK, "it is a device"),
)  # fmt: skip


def _files(source: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Return the files below a directory by their path as it is noted, and why anything else there is left out.

    External where a directory cannot be read: its documents would seem to be gone.
    """

    def fail(error: OSError) -> None:
        raise External(f"{error.filename} cannot be read: {error.strerror}")

    files, other = {}, {}
    for folder, folders, names in os.walk(source, onerror=fail):
        inside = []
        for name in (*folders, *names):
            path = Path(folder, name)
            noted = os.fsencode(path.relative_to(source)).decode(errors="backslashreplace")
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:  # it went while this looks
                continue
            if reason := _left(name, mode):
                other[noted] = reason
            elif stat.S_ISDIR(mode):
                inside.append(name)
            else:
                files[noted] = path
        folders[:] = inside
    return dict(sorted(files.items())), dict(sorted(other.items()))


def _left(name: str, mode: int) -> str:
    """Return why what has a name and a mode is not read; empty for a file or a directory."""
    if reason := next((reason for is_one, reason in OTHERS if is_one(mode)), ""):
        return reason
    if name.startswith("."):
        return f"it is a hidden {'directory' if stat.S_ISDIR(mode) else 'file'}"
    return "" if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else "it is not a file"


def _form(path: str) -> str:
    return child.ENDINGS.get(Path(path).suffix.lower(), "")


def _content(file: Path) -> bytes:
    """Return what is in a file, by no other name than this one: it may have been replaced since it was found; OSError.

    Opening does not wait for a pipe, and no link on the way is followed.
    """
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it has become another kind of file")
        if Path(f"/proc/self/fd/{opened.fileno()}").readlink() != file:
            raise OSError(errno.EINVAL, "it has been moved, or a link leads to it")
        return opened.read(child.MOST_BYTES + 1)


@dataclass
class _Reader:
    """Reads the files of a directory, those that are not in the catalog as they are."""

    catalog: Catalog
    ledger: Ledger
    collection: str
    labels: tuple[str, ...]
    model: Model
    seen: dict[str, str] = field(default_factory=dict)
    #: The files that were deleted, or that mention somebody who was, and the reason.
    deleted: dict[str, str] = field(default_factory=dict)

    def read(self, path: str, file: Path) -> Document | None:
        """Return a document as it is to be noted; None where nothing of it is new."""
        form = _form(path)
        data, reason = self._data(file, form)
        content = hashlib.sha256(data).hexdigest() if data else ""
        parts = (rules(), self.model.digest, form, reason, *self.labels, hashlib.sha256(data).hexdigest())
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        noted = Document(collection=self.collection, path=path, digest=digest, content=content, labels=self.labels)
        if content and (gone := self.ledger.contents.get(self.ledger.content(content))):
            return self._deleted(noted, ledger.said(gone))
        if data and (twin := self.seen.setdefault(digest, path)) != path:
            reason, digest = f"the same as {twin}", f"{digest} {twin}"
            noted = replace(noted, digest=digest)
        if (why := self.catalog.known(self.collection, path, digest)) is not None:
            if why:
                self.deleted[path] = why
            return None
        try:
            with processor_time.at_most(MASKING_S):
                noted = replace(noted, source=mask(path.encode()).data.decode())
            if reason:
                self._look([path])
                raise Unreadable(reason)
            parsed = child.parse(data, form)
            self._look([path, *(it.text for it in parsed.blocks)])
            with processor_time.at_most(MASKING_S):
                # With the path, in which a value of the text may stand once more; an empty part keeps it apart.
                clean, kinds = mask_parts([noted.source, "", *(it.text for it in parsed.blocks)])
        except processor_time.TooLong as error:
            return replace(noted, reason=f"looking for personal data in it takes {error}")
        except _Mentions as error:
            return self._deleted(noted, str(error))
        except Gone:  # it would be left out for good
            raise
        except (Unreadable, DualtrackError) as error:
            return replace(noted, reason=str(error))
        blocks = [replace(it, text=text) for it, text in zip(parsed.blocks, clean[2:], strict=True) if text.strip()]
        made = tuple(chunks.chunks(blocks, self.model.count, min(CHUNK_TOKENS, self.model.room * 2 // 3)))
        return replace(noted, source=clean[0], chunks=made, kinds=kinds, left_out=tuple(parsed.left_out))

    def _look(self, texts: Sequence[str]) -> None:
        """Raise _Mentions where somebody is mentioned who was deleted; before anything is masked."""
        try:
            if found := self.ledger.of_mention(texts):
                raise _Mentions(f"it mentions somebody who was {ledger.said(found)}")
        except mentions.TooMany:
            raise Unreadable("it cannot be told whether it mentions somebody who was deleted") from None

    def _deleted(self, noted: Document, reason: str) -> Document | None:
        """Return what is to be noted of a document that stays out; None where that is noted already."""
        self.deleted[noted.path] = reason
        if self.catalog.known(self.collection, noted.path, noted.digest) == reason:
            return None
        return replace(noted, reason=reason)

    @staticmethod
    def _data(file: Path, form: str) -> tuple[bytes, str]:
        """Return what is in a file, or nothing and why it is not read."""
        if not form:
            return b"", f"files like {ascii(file.suffix)[1:-1] or 'this'} are not read"
        try:
            data = _content(file)
        except OSError as error:
            return b"", f"it cannot be read: {error.strerror}"
        if len(data) > child.MOST_BYTES:
            return b"", f"it has more than {child.MOST_BYTES >> 20} MiB"
        return data, ""


class _Mentions(Exception):
    """A document mentions somebody who was deleted."""


def _index(vectors: Vectors, say: Say) -> Choice | None:
    """Return how vectors are searched where not all are compared: what that finds is measured on them."""
    if len(vectors) <= index.FLAT:
        return None
    say(f"an index of {len(vectors):,} chunks is tried")
    return index.Index(vectors).choice


def _version(base: Path, keys: Keys, documents: Sequence[tuple[bytes, Document]], model: Model, say: Say) -> str:
    """Make a version of all documents, switch to it, and return its id; BadInput where there is nothing in any."""
    filled = [(number, it) for number, it in documents if it.chunks]
    if not filled:
        reasons = sorted({it.reason for _, it in documents if it.reason})
        raise BadInput("; ".join(["nothing could be read", *reasons[:3]]))
    texts = [(number, chunk.embedded) for number, it in filled for chunk in it.chunks]
    with Kept(base, model, keys) as kept:
        vectors = kept.vectors(texts, say)
    blocks, row = [], 0
    for number, it in filled:
        entries = [
            versions.Entry(
                collection=it.collection,
                source=it.source,
                document=it.digest[:16],
                labels=it.labels,
                headings=chunk.headings,
                text=chunk.text,
                place=chunk.place,
            )
            for chunk in it.chunks
        ]
        made = versions.Block(
            collection=it.collection, path=it.path, content=it.content, entries=entries,
            vectors=vectors[row : row + len(entries)].tobytes(),
        )  # fmt: skip
        blocks.append((number, made))
        row += len(entries)
    name = versions.write(
        base, keys, blocks, dimension=model.card.dimension, model_name=model.card.name, model=model.digest,
        rules=rules(), index=_index(vectors, say),
    )  # fmt: skip
    versions.switch(base, name)
    return name
