"""The private keys of trails and witnesses: theirs alone, or not used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.security.audit import keys
from dualtrack.security.audit import witness as witnesses
from dualtrack.security.audit.witness import Witness
from dualtrack.security.audit.writer import Writer

Open = Callable[[], object]


def of_trail(folder: Path) -> tuple[Path, Open]:
    Writer(folder).close()  # what is old is signed, and the epoch ends: there is one key after that
    [path] = (folder / "keys").iterdir()
    return path, lambda: Writer(folder).close()


def of_witness(folder: Path) -> tuple[Path, Open]:
    witnesses.begin(folder, "w-1")

    def look() -> None:
        with Witness(folder):
            pass

    return folder / "key.pem", look


@pytest.mark.attack("a user", "reads the key of a trail or of a witness", "prevented", "audit: modes of key files")
@pytest.mark.parametrize("whose", ["trail", "witness"])
@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o644])
def test_a_key_that_others_may_read_or_write_is_refused(trail: Path, tmp_path: Path, whose: str, mode: int) -> None:
    path, use = of_trail(trail) if whose == "trail" else of_witness(tmp_path / "w")
    use()  # as it was made
    path.chmod(mode)
    with pytest.raises(Refused) as caught:
        use()
    said = f"others may read or write {path} (mode {mode:04o}) (chmod 600 {path})"
    assert (str(caught.value), int(caught.value.code)) == (said, 5)
    path.chmod(0o600)  # as it says
    use()
    path.chmod(0o400)
    use()


def test_other_key_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(External, match=r"key\.pem is gone"):
        keys.load(path)
    path.touch(0o600)
    path.write_bytes(b"-" * 20_000)
    with pytest.raises(BadInput, match=r"key\.pem is too long"):
        keys.load(path)
