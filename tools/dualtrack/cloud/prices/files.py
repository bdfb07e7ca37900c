"""Price files on the disk: the repository's own facts, and an operator's."""

from __future__ import annotations

from pathlib import Path

from dualtrack.cloud.prices.book import Book, File, book
from dualtrack.cloud.prices.storage import Storage, check
from dualtrack.core.errors import BadInput
from dualtrack.core.files import read_as

#: The facts that the repository keeps: of instances, and of S3's storage classes.
FACTS = Path(__file__).with_name("facts.yml")
STORAGE_FACTS = Path(__file__).with_name("storage.yml")
_HELP = "docs/how-to/plan-spot.md explains every field"


def load(path: Path = FACTS) -> Book:
    """Return the prices in a YAML or JSON file, the repository's own without one; BadInput says what is wrong there."""
    file = read_as(path, File, "a price file", _HELP)
    try:
        return book(file)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def storage(path: Path = STORAGE_FACTS) -> Storage:
    """Return the prices of S3 in a YAML or JSON file, the repository's own without one; BadInput as of `load`."""
    found = read_as(
        path, Storage, "a file of storage prices", "tools/dualtrack/cloud/prices/storage.yml shows how one looks"
    )
    try:
        check(found)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    return found
