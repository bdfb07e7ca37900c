"""What a host is called in the table of both tracks."""

from __future__ import annotations

import pytest

from dualtrack.tracks.host_boot import Answer
from dualtrack.tracks.status import HostRow, State, TracksStatus, state_of
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
        (Answer(False, problem="Operation not permitted"), GREEN, "unknown", GREEN.verified_at),
        (Answer(False, problem="Operation not permitted"), None, "unknown", ""),
    ],
)
def test_state_of(answer: Answer, verified: Verified | None, state: State, at: str) -> None:
    assert state_of(answer, verified) == (state, at)


@pytest.mark.parametrize(
    ("states", "problems", "in_order"),
    [
        ((), (), True),
        (("up", "unverified"), (), True),
        (("up", "down"), (), False),
        (("up", "unknown"), (), False),
        (("up",), ("cloud: AWS does not answer",), False),
    ],
)
def test_in_order(states: tuple[State, ...], problems: tuple[str, ...], in_order: bool) -> None:
    hosts = tuple(
        HostRow(name=state, track="local", pool="", lifecycle="owned", address="192.0.2.1", state=state, verified_at="",
                roles=(), zone="", instance_id="")
        for state in states
    )  # fmt: skip
    assert TracksStatus(hosts=hosts, stack="", facts="", aws_endpoint="", problems=problems).in_order is in_order
