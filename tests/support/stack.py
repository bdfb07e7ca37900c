"""Variables of the lab's stack for tests."""

from __future__ import annotations

from typing import Any

_GPUS = {"roles": ["gpu"], "instance_types": ["p4de.24xlarge", "p4d.24xlarge"]}
_CONTROL = {"roles": ["controller"], "instance_types": ["m6i.large"], "disk_gb": 50}


def pools(*, spot: int, ondemand: int) -> dict[str, Any]:
    """Return a stack with so many GPU nodes, and one controller; test_pools.py has the default, which has two."""
    return {
        "pools": {
            "spot": {**_GPUS, "lifecycle": "spot", "desired": spot, "max": spot + 2},
            "ondemand": {**_GPUS, "lifecycle": "on-demand", "desired": ondemand, "max": ondemand + 1},
            "control": {**_CONTROL, "lifecycle": "on-demand", "min": 1, "desired": 1, "max": 1},
        }
    }
