"""The conditions of the emulated AWS: no capacity, no quota, prices that move, an API that throttles, dawdles or lies.

What moto lacks and a real account has, laid over moto's own classes inside the emulator's process, and driven by one
file in the lab's directory (`aws-conditions.json`, see `scenario`). Programs under test speak to the same API as ever
and know nothing of it. Without that file the emulated AWS has endless capacity, as moto has.

- `scenario`: the file, and what it says of a launch or a call; no input or output.
- `rules`: the file as it is now, and how often each rule has been used.
- `launches`: what a scaling group does with it: spreads over zones, stays short, keeps trying, tells its activities.
- `buckets`: policies that insist on TLS are met, although the emulator has none.
- `answers`: what the API answers: activities, prices, scores; throttled, late or empty.
"""

from __future__ import annotations

from pathlib import Path


def install(lab: Path) -> None:
    """Lay the conditions of the lab in directory ``lab`` over moto in this process, and let its groups keep trying."""
    from dualtrack.lab.fault_injection import buckets, capacity, responses
    from dualtrack.lab.fault_injection.rules import Rules

    rules = Rules(lab)
    capacity.install(rules)
    responses.install(rules)
    buckets.install()
