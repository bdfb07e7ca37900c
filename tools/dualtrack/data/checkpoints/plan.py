"""What a pull fetches, and how it will lie in the cache: as it is in the bucket, or opened (see `unsealing`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dualtrack.data.checkpoints.address import Address
from dualtrack.data.checkpoints.manifest import Manifest
from dualtrack.data.checkpoints.remote import Remote

if TYPE_CHECKING:  # what a pull without keys has no use for, and takes time to load
    from dualtrack.data.checkpoints.unsealing import Sealed

#: The form of a version in the cache whose sealed files were opened.
UNSEALED = "unsealed"


@dataclass(frozen=True)
class Plan:
    """The files as they will lie in the cache, the objects' keys, and the sealed ones by their number."""

    of: Manifest
    keys: list[str]
    sealed: Mapping[int, Sealed] = field(default_factory=dict)
    form: str = ""

    def close(self) -> None:
        """Let go of the keys of what was opened."""
        for it in self.sealed.values():
            it.gcm.close()


def plain(remote: Remote, address: Address, of: Manifest) -> Plan:
    """Return the plan of a pull that takes all as it lies in the bucket."""
    return Plan(of, [remote.key(address, of, file) for file in of.files])
