"""Price files on the disk: the repository's own facts, and an operator's."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dualtrack.errors import BadInput
from dualtrack.prices.book import Book, File, book

#: The facts that the repository keeps.
FACTS = Path(__file__).with_name("facts.yml")
_HELP = "docs/runbooks/plan-spot.md explains every field"


def load(path: Path = FACTS) -> Book:
    """Return the prices in a YAML or JSON file, the repository's own without one; BadInput says what is wrong there."""
    try:
        data = path.read_bytes()
        # JSON is YAML, too, and forty times slower to read as such: a month of prices by the hour is 5 MB.
        decode = msgspec.json.decode if data.lstrip()[:1] == b"{" else msgspec.yaml.decode
        return book(decode(data, type=File))
    except FileNotFoundError:
        raise BadInput(f"there is no price file {path}", hint=_HELP) from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder, not a price file", hint="name the file in it") from None
    except msgspec.ValidationError as error:
        raise BadInput(f"{path}: {error}", hint=_HELP) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is neither JSON nor YAML: {' '.join(str(error).split())}") from None
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
