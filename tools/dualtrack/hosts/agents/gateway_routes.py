"""Which track may answer a request: one table, which the gateway's HAProxy looks up.

Part of the program of hosts with the role gateway (beside `gateway`): `dualtrack-gateway apply` writes it to the map
`tracks`. A row's key has seven words, with points between them:

    tenant     its residency: local, prefer-local, any, cloud
    network    of the client, as the operator has named it: none, local-only, local-first, cloud-first, cloud-only
    address    the track that is nearest by the client's country
    first      what an operator has said: usual, or a track
    local, cloud    how the model is there: free, full (as many requests as it works on at once, or as this tenant may
               have there), none (no engine is up, or the track is held)
    personal   yes where the request holds personal data and its tenant is screened

A row's value is the track, or the code of a refusal. A key that is not in the table is refused as well.
"""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

from dualtrack.hosts.agents import gateway
from dualtrack.hosts.agents.gateway import Haproxy, NotRunning, locked, write

MAP = "tracks"
RESIDENCIES = ("local", "prefer-local", "any", "cloud")
NETWORKS = ("none", "local-only", "local-first", "cloud-first", "cloud-only")
TRACKS = ("local", "cloud")
STEERED = ("usual", *TRACKS)
STATES = ("free", "full", "none")
PERSONAL = ("no", "yes")
WORDS = (RESIDENCIES, NETWORKS, TRACKS, STEERED, STATES, STATES, PERSONAL)
#: Why a request is refused, by the code in the table.
REFUSALS = ("no_track", "no_local_engine", "no_cloud_engine", "no_engine", "personal_data", "personal_stays")


def decide(tenant: str, network: str, address: str, first: str, local: str, cloud: str, personal: str) -> str:
    """Return the track for a request, or the code of its refusal; see above for the words."""
    stays = tenant == "local" or network == "local-only"
    leaves = tenant == "cloud" or network == "cloud-only"
    if stays and leaves:
        return "no_track"
    if stays:
        return "no_local_engine" if local == "none" else "local"
    if personal == "yes":
        return "personal_data" if leaves else "personal_stays" if local == "none" else "local"
    if leaves:
        return "no_cloud_engine" if cloud == "none" else "cloud"
    if local == cloud == "none":
        return "no_engine"
    wanted = _wanted(tenant, network, address, first)
    states = {"local": local, "cloud": cloud}
    other = "cloud" if wanted == "local" else "local"
    if states[wanted] == "none" or (states[wanted] == "full" and states[other] == "free"):
        return other
    return wanted


def _wanted(tenant: str, network: str, address: str, first: str) -> str:
    """Return the track that is asked first: the operator's word, the network's, the tenant's, the address's."""
    if first != "usual":
        return first
    if network != "none":
        return network.partition("-")[0]
    return "local" if tenant == "prefer-local" else address


def table() -> dict[str, str]:
    """Return all rows."""
    return {".".join(words): decide(*words) for words in itertools.product(*WORDS)}


def install(folder: Path = gateway.MAPS, path: Path = gateway.SOCKET) -> bool:
    """Write the table, give it to a running HAProxy that has one, and return whether anything was otherwise."""
    rows = table()
    with locked(folder):
        changed = write(folder / f"{MAP}.map", "".join(f"{key} {value}\n" for key, value in sorted(rows.items())))
        with contextlib.suppress(NotRunning):
            changed |= gateway.replace(Haproxy(path), folder, {MAP: rows}, (MAP,))
    return changed
