"""What a host is called in the table of both tracks."""

from __future__ import annotations

import pytest

from dualtrack.tracks.status import State, state_of
from dualtrack.verify.record import Verified

GREEN = Verified(verified_at="2026-11-26T12:00:00Z", ok=True, instance_id="i-1")
RED = Verified(verified_at="2026-11-26T12:00:00Z", ok=False, instance_id="i-1")


@pytest.mark.parametrize(
    ("answers", "verified", "instance", "state", "at"),
    [
        (True, GREEN, "i-1", "up", GREEN.verified_at),
        (True, RED, "i-1", "unverified", RED.verified_at),
        (True, None, "i-1", "unverified", ""),
        (True, GREEN, "i-2", "unverified", ""),  # its predecessor was verified
        (False, GREEN, "i-1", "down", GREEN.verified_at),
        (False, GREEN, "i-2", "down", ""),
        (False, None, "", "down", ""),
    ],
)
def test_state_of(answers: bool, verified: Verified | None, instance: str, state: State, at: str) -> None:
    assert state_of(answers, verified, instance) == (state, at)
