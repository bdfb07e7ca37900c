"""Names that a shell completes, from what this machine keeps: never over the network, and without errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from dualtrack.core.errors import DualtrackError
from dualtrack.core.files import write_atomically
from dualtrack.core.paths import LAB, ROOT, cache_dir

#: How many names are offered: a shell prints all of them.
MOST = 500


def beginning(words: Iterable[str], incomplete: str) -> list[str]:
    """Return the words that begin as what was typed."""
    return sorted({it for it in words if it.startswith(incomplete)})[:MOST]


def quietly(words: Callable[[], Iterable[str]], incomplete: str) -> list[str]:
    """Return the words of a source that begin as what was typed; none where the source cannot be read."""
    try:
        return beginning(words(), incomplete)
    except (DualtrackError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def hosts(incomplete: str) -> list[str]:
    """Complete a host of the tracks that are up."""
    return quietly(_hosts, incomplete)


def _hosts() -> Iterable[str]:
    from dualtrack.inventory import deployment
    from dualtrack.inventory.model import NAME

    return (name for group in deployment.generated() for name in group.hosts if NAME.fullmatch(name))


def lab_hosts(incomplete: str) -> list[str]:
    """Complete a host of the lab."""
    declared = quietly(lambda: (it.stem for it in (LAB / "hosts.d").glob("*.json")), incomplete)
    return beginning({*declared, *hosts(incomplete)}, incomplete)


def playbooks(incomplete: str) -> list[str]:
    """Complete a day-two playbook."""
    return quietly(lambda: (it.stem for it in (ROOT / "ansible/playbooks").glob("*.yml")), incomplete)


def roles(incomplete: str) -> list[str]:
    """Complete a role."""
    return quietly(lambda: (it.name for it in (ROOT / "roles").iterdir() if it.is_dir()), incomplete)


def checkpoints(incomplete: str) -> list[str]:
    """Complete a version of the checkpoint cache."""

    def known() -> Iterable[str]:
        from dualtrack.data.checkpoints import actions
        from dualtrack.data.checkpoints.cache import Cache

        return (it.key for it in actions.rows(Cache(actions.directory(None))))

    return quietly(known, incomplete)


def snapshots(incomplete: str) -> list[str]:
    """Complete a snapshot of the search store, of those that `audit snapshots` has shown here last."""
    return quietly(lambda: json.loads(_kept("snapshots").read_bytes()), incomplete)


def keep_snapshots(found: Iterable[str]) -> None:
    """Keep the names of snapshots for `snapshots`; on a host whose user has no cache directory nothing is kept."""
    try:
        write_atomically(_kept("snapshots"), json.dumps(list(found)).encode())
    except (DualtrackError, OSError):
        return


def _kept(kind: str) -> Path:
    return cache_dir() / "names" / f"{kind}.json"
