"""What a host is called in the table of both tracks."""

from __future__ import annotations

import pytest

from dualtrack.tracks.host_boot import Answer
from dualtrack.tracks.status import State, state_of
from dualtrack.verify.record import Verified

GREEN = Verified(verified_at="2026-11-26T12:00:00Z", ok=True, identity="one")
RED = Verified(verified_at="2026-11-26T12:00:00Z", ok=False, identity="one")
NOBODY = Verified(verified_at="2026-11-26T12:00:00Z", ok=True)


@pytest.mark.parametrize(
    ("answer", "verified", "state", "at"),
    [
        (Answer(True, "one"), GREEN, "up", GREEN.verified_at),
        (Answer(True, "one"), RED, "unverified", RED.verified_at),
        (Answer(True, "one"), None, "unverified", ""),
        (Answer(True, "another"), GREEN, "unverified", ""),  # its predecessor was verified
        (Answer(True, ""), GREEN, "unverified", ""),  # it does not let us in: nobody knows which it is
        (Answer(True, ""), NOBODY, "unverified", ""),
        (Answer(False), GREEN, "down", GREEN.verified_at),
        (Answer(False), None, "down", ""),
    ],
)
def test_state_of(answer: Answer, verified: Verified | None, state: State, at: str) -> None:
    assert state_of(answer, verified) == (state, at)
