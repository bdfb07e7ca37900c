"""How much there is of each class of data: as an operator says it, or as the stack's buckets hold it."""

from __future__ import annotations

from collections.abc import Sequence

from dualtrack.cloud.tiers.plan import Amount
from dualtrack.core.errors import BadInput
from dualtrack.data.checkpoints.actions import bytes_of
from dualtrack.inventory.target import Stack


def given(words: Sequence[str]) -> dict[str, Amount]:
    """Return what `CLASS=SIZE[:OBJECTS]` says; without OBJECTS one for each 5 GB, as checkpoints are cut."""
    found: dict[str, Amount] = {}
    for word in words:
        name, equals, rest = word.partition("=")
        size, _, objects = rest.partition(":")
        if not name or not equals or (objects and not objects.isdecimal()):
            raise BadInput(f"--data {word}", hint="CLASS=SIZE or CLASS=SIZE:OBJECTS, as weights=140GB:60")
        if name in found:
            raise BadInput(f"--data {word}: {name} is given twice")
        count = bytes_of(size)
        found[name] = Amount(count, int(objects) if objects else -(-count // (5 * 10**9)))
    return found


def stored(stack: Stack) -> dict[str, Amount]:
    """Return what the stack's buckets hold; Missing when it is not up."""
    from dualtrack.cloud.applied import applied
    from dualtrack.core.s3 import Bucket

    place = applied(stack)
    found = {}
    for name, bucket in place.output.storage.items():
        objects = Bucket(bucket.bucket, region=place.output.region, endpoint=place.endpoint).listed("")
        found[name] = Amount(sum(it["Size"] for it in objects), len(objects))
    return found
