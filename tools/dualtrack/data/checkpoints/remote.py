"""Versions of checkpoints in a bucket: their manifests, the newest one, and the bytes of their files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from dualtrack.core.errors import External, Refused
from dualtrack.core.s3 import Bucket, Changed, with_retries
from dualtrack.data.checkpoints import manifest as manifests
from dualtrack.data.checkpoints.address import DIGEST_MARK, MANIFEST, Address
from dualtrack.data.checkpoints.manifest import File, Manifest


class Remote(Bucket):
    """The versions in a bucket."""

    def manifest(self, address: Address) -> Manifest:
        """Return what belongs to an address: the stored manifest of a version, or one made from the listing."""
        return with_retries(lambda: self._manifest(address))

    def _manifest(self, address: Address) -> Manifest:
        if address.version:
            return self._stored(address)[0]
        files = tuple(self._plain(address))
        if not files:
            raise External(f"there is nothing at {address}", hint="versions are named: PATH@VERSION")
        found = Manifest(schema="dualtrack.checkpoint/1", part=manifests.PART, files=files)
        return manifests.decode(manifests.encode(found), f"the listing of {address}")

    def stored(self, address: Address) -> tuple[Manifest, str]:
        """Return the manifest of a version and its SHA-256; Refused where the address names another digest."""
        return with_retries(lambda: self._stored(address))

    def _stored(self, address: Address) -> tuple[Manifest, str]:
        with self._meaning(f"{address}"):
            body = self.client.get_object(Bucket=self.bucket, Key=address.manifest)["Body"]
            data: bytes = body.read(manifests.MOST_BYTES)
        found = hashlib.sha256(data).hexdigest()
        if address.digest not in ("", found):
            raise Refused(
                f"{address}: the bucket has another manifest, {DIGEST_MARK[1:]}{found}",
                hint="somebody replaced it, or the name is mistyped: nothing of it is used",
            )
        return manifests.decode(data, f"the manifest of {address}", pushed=True), found

    def latest(self, address: Address) -> Address:
        """Return the version of a path that was pushed last."""
        return with_retries(lambda: self._latest(address))

    def _latest(self, address: Address) -> Address:
        newest: tuple[Any, str] | None = None
        with self._meaning(f"{address}"):
            for it in self._objects(f"{address.path}/"):
                words = it["Key"].removeprefix(f"{address.path}/").split("/")
                if len(words) == 2 and words[1] == MANIFEST:
                    newest = max(newest or (it["LastModified"], words[0]), (it["LastModified"], words[0]))
        if newest is None:
            raise External(f"no version was pushed to {Address(bucket=address.bucket, path=address.path)}")
        return Address(bucket=address.bucket, path=address.path, version=newest[1])

    def _plain(self, address: Address) -> Iterator[File]:
        start = address.path.rstrip("/")
        with self._meaning(f"{address}"):
            for it in self._objects(start):
                key: str = it["Key"]
                if key.endswith("/"):
                    continue  # what consoles make as a directory
                if key == start:
                    yield File(path=key.rsplit("/", 1)[-1], size=it["Size"], etag=it["ETag"])
                elif key.startswith(f"{start}/"):
                    yield File(path=key[len(start) + 1 :], size=it["Size"], etag=it["ETag"])

    def key(self, address: Address, of: Manifest, file: File) -> str:
        """Return the key of a file of an address."""
        if address.version:
            return address.prefix + file.path
        alone = len(of.files) == 1 and file.path == address.name and not address.path.endswith("/")
        return address.path if alone and self._is_object(address.path) else f"{address.path.rstrip('/')}/{file.path}"

    def _is_object(self, key: str) -> bool:
        return self.head(key) is not None

    def body(self, key: str, file: File, begin: int, size: int) -> Any:
        """Return a stream of some bytes of an object, of just the object that the file means."""
        pins: dict[str, Any] = {"IfMatch": file.etag} if file.etag else {}
        if file.version_id:
            pins["VersionId"] = file.version_id
        with self._meaning(f"s3://{self.bucket}/{key}"):
            answer = self.client.get_object(
                Bucket=self.bucket, Key=key, Range=f"bytes={begin}-{begin + size - 1}", **pins
            )
            if answer["ContentLength"] != size:
                raise Changed(f"s3://{self.bucket}/{key} has another size than it had", hint="pull it again")
            return answer["Body"]

    def into(self, stream: Any, buffer: memoryview, key: str) -> int:
        """Read from a stream into a buffer and return how many bytes came, 0 at its end."""
        with self._meaning(f"s3://{self.bucket}/{key}"):
            count: int = stream.readinto(buffer)
        return count
