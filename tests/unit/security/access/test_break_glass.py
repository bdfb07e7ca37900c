"""A list of grants that is damaged: whoever deletes it forgets rights that are in force."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.security.access import break_glass, model

NOBODY = model.Access(people=())


@pytest.mark.parametrize("content", [b"", b"{", b'{"grants": 1}', b"\xff"])
def test_a_damaged_list_is_to_be_restored(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "grants.json"
    path.write_bytes(content)
    for read in (
        lambda: break_glass.list_grants(path),
        lambda: break_glass.active_grants(path, NOBODY),
        lambda: break_glass.in_force(path, "1"),
        lambda: break_glass.end(path, "1", datetime.now(UTC)),
    ):
        with pytest.raises(BadInput, match="is damaged") as wrong:
            read()
        assert wrong.value.hint == "restore it from a backup: it says who holds rights"
    assert path.read_bytes() == content
