"""What a pull fetches, and how it will lie in the cache: as it is in the bucket, or opened (see `unsealing`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dualtrack.data.checkpoints.address import Address
from dualtrack.data.checkpoints.manifest import File, Manifest, Part
from dualtrack.data.checkpoints.remote import Remote


class Sealed(Protocol):
    """A sealed object, opened (`unsealing.Sealed`, which a pull without keys need not load)."""

    @property
    def file(self) -> File:
        """The object, with the size and the tag of what is sealed."""

    @property
    def gcm(self) -> Any:
        """What decrypts it, to be closed."""

    def span(self, part: Part) -> tuple[int, int]:
        """Return where the bytes of a part lie in the object, and how many they are."""

    def content(self, part: Part, read: Callable[[memoryview], int], name: str) -> Iterator[memoryview]:
        """Yield a part's content, verified and decrypted."""


@dataclass(frozen=True)
class PullPlan:
    """The files as they will lie in the cache, the objects' keys, and the sealed ones by their number."""

    of: Manifest
    keys: list[str]
    sealed: Mapping[int, Sealed] = field(default_factory=dict)
    form: str = ""

    def close(self) -> None:
        """Let go of the keys of what was opened."""
        for it in self.sealed.values():
            it.gcm.close()


def plain(remote: Remote, address: Address, of: Manifest) -> PullPlan:
    """Return the plan of a pull that takes all as it lies in the bucket."""
    return PullPlan(of, [remote.key(address, of, file) for file in of.files])
