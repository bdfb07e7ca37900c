"""`store push`: a directory into the bucket as a version that never changes: its files first, its manifest last."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.core.s3 import EXISTS, Again, code, meaning
from dualtrack.data.checkpoints import manifest as manifests
from dualtrack.data.checkpoints.address import LATEST, MANIFEST, Address
from dualtrack.data.checkpoints.manifest import PART, File, Manifest
from dualtrack.data.checkpoints.remote import Remote

#: An uploaded object's metadata: the digest of its parts' digests. What an ended push left is recognised by it.
MARK = "dualtrack-sha256"
Tick = Callable[[int], object]


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What a push did. ``address`` has the digest, ``digest`` is that alone; ``sent`` counts what was not there yet."""

    address: str
    digest: str
    files: int
    size: int
    sent: int


def push(source: Path, address: Address, remote: Remote, *, jobs: int, tick: Tick) -> Pushed:
    """Make the files below ``source`` a version. The same content again is fine; another one is Refused."""
    if not address.version:
        raise BadInput(f"{address} names no version", hint="s3://BUCKET/PATH@VERSION")
    if address.digest:
        raise BadInput(f"{address} has a digest already", hint="a push says which one it became")
    if address.version == LATEST:
        raise BadInput("latest is what pull calls the version pushed last", hint="give this one a name of its own")
    found = list(_files(source))
    before = [_stamp(source / path) for path in found]
    with ThreadPoolExecutor(jobs) as pool:
        files = tuple(pool.map(lambda path: _digest(source, path), found))
    # Without a time, so that the same content has the same name everywhere.
    of = Manifest(schema="dualtrack.checkpoint/1", part=PART, files=files)
    manifests.decode(manifests.encode(of), str(source))
    there = remote.head(address.manifest)
    if there is not None:
        return _same(address, remote, of)
    sent, data = 0, manifests.encode(of)
    for file in of.files:
        sent += _upload(source, address, remote, file, jobs, tick)
    if [_stamp(source / path) for path in found] != before or list(_files(source)) != found:
        raise Refused(f"{source} was changed during the push", hint="nothing of it can be pulled: push again")
    if not remote.put_once(address.manifest, data):
        return _same(address, remote, of)  # somebody pushed it at the same time
    return _pushed(address, hashlib.sha256(data).hexdigest(), of, sent)


def _same(address: Address, remote: Remote, of: Manifest) -> Pushed:
    there, digest = remote.stored(address)
    if there.digest != of.digest:
        raise Refused(
            f"{address} is there already, with other content", hint="versions never change: choose another name"
        )
    return _pushed(address, digest, of, 0)


def _pushed(address: Address, digest: str, of: Manifest, sent: int) -> Pushed:
    return Pushed(
        address=str(msgspec.structs.replace(address, digest=digest)),
        digest=digest,
        files=len(of.files),
        size=of.size,
        sent=sent,
    )


def _files(source: Path) -> Iterator[str]:
    """Yield the files below a directory in order; BadInput for what cannot be part of a version.

    External where a directory cannot be read: the version would lack its files.
    """
    if not source.is_dir():
        raise BadInput(f"{source} is not a directory", hint="a checkpoint is a directory of files")

    def fail(error: OSError) -> None:
        raise External(f"cannot read {error.filename}: {error.strerror}")

    for directory, directories, names in os.walk(source, onerror=fail):
        directories.sort()
        for name in sorted(names):
            path = Path(directory, name)
            relative = str(path.relative_to(source))
            _check_text(relative)
            if path.is_symlink() or not path.is_file():
                raise BadInput(f"{path} is not a plain file", hint="links and sockets cannot be pushed")
            if name == MANIFEST:
                raise BadInput(f"{path} is named like a manifest")
            yield relative
        linked = next((it for it in directories if Path(directory, it).is_symlink()), None)
        if linked:
            raise BadInput(f"{Path(directory, linked)} is a link to a directory", hint="links cannot be pushed")


def _check_text(path: str) -> None:
    """Refuse a path that is not UTF-8: neither a manifest nor a key in a bucket could have it."""
    data = os.fsencode(path)
    try:
        data.decode()
    except UnicodeDecodeError:
        shown = data.decode(errors="backslashreplace")
        raise BadInput(f"the name of {shown} is not UTF-8", hint="rename it") from None


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _digest(source: Path, path: str) -> File:
    with (source / path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        parts = tuple(manifests.hash_parts(file, size, PART))
    if len(parts) != -(-size // PART):
        raise Refused(f"{source / path} became shorter while it was read", hint="push what is finished")
    return File(path=path, size=size, parts=parts)


def _upload(source: Path, address: Address, remote: Remote, file: File, jobs: int, tick: Tick) -> int:
    """Bring one file to the bucket unless it is there; return the bytes sent."""
    from boto3.exceptions import S3UploadFailedError
    from boto3.s3.transfer import TransferConfig
    from botocore.exceptions import BotoCoreError, ClientError

    key = address.prefix + file.path
    mark = Manifest(schema="dualtrack.checkpoint/1", part=PART, files=(file,)).digest
    if (there := _there(remote, key, file, mark)) is not None:
        if not there:
            raise _taken(address, file)
        tick(file.size)
        return 0
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=jobs)
    try:
        remote.sender().upload_file(
            str(source / file.path),
            remote.bucket,
            key,
            ExtraArgs={"Metadata": {MARK: mark}},
            Config=config,
            Callback=tick,
        )
    except (ClientError, S3UploadFailedError, BotoCoreError, OSError) as error:
        said = error.__context__ if isinstance(error, S3UploadFailedError) else error  # it hides what S3 said
        if isinstance(said, ClientError) and code(said) in EXISTS:
            # Another push was faster, or this one's own answer was lost and S3 was asked again.
            there = _there(remote, key, file, mark)
            if there:
                return file.size
            if there is False:
                raise _taken(address, file) from None
        what = f"s3://{remote.bucket}/{key}"
        why = meaning(said, what, remote.bucket) if isinstance(said, ClientError) else Again(f"{what}: {error}")
        raise (
            External(f"{why}", hint="the same command continues from here") if isinstance(why, Again) else why
        ) from None
    return file.size


def _there(remote: Remote, key: str, file: File, mark: str) -> bool | None:
    """Return whether an object is the file that was pushed; None where there is none."""
    there = remote.head(key)
    if there is None:
        return None
    return bool(there["ContentLength"] == file.size and there.get("Metadata", {}).get(MARK) == mark)


def _taken(address: Address, file: File) -> Refused:
    return Refused(
        f"{address} has another {file.path} already, of a push of other content that did not end",
        hint="objects of a version are never replaced: choose another name, or delete them",
    )
