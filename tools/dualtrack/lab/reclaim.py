"""Taking an emulated spot instance back: the notice in its metadata, and its end when the notice is over.

The wish lies in a file, so that neither the command nor the supervisor nor the emulator has to live until then: the
emulator shows the notice to its instance, the supervisor terminates it through the API, as AWS would.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.core.files import read, write_atomically
from dualtrack.lab.imds import Tree

if TYPE_CHECKING:
    from dualtrack.lab.control import LabHost

log = logging.getLogger("labd")


class Reclaim(msgspec.Struct, frozen=True, kw_only=True):
    """What is going to happen to one instance; times in seconds since the epoch, None for "not"."""

    noticed: float
    due: float | None  # when it is terminated
    told: bool  # whether its metadata say so
    recommended: bool = False  # a rebalance recommendation


def folder(lab: Path) -> Path:
    """Return where the wishes of a lab lie."""
    return lab / "run/reclaims"


def pending(lab: Path, instance_id: str) -> Reclaim | None:
    """Return what was asked for an instance; a damaged file asks nothing."""
    try:
        return read(folder(lab) / f"{instance_id}.json", Reclaim)
    except BadInput as error:
        log.error("%s", error)
        return None


def due(lab: Path, now: float) -> list[str]:
    """Return the instances whose time is over."""
    found = [(path.stem, pending(lab, path.stem)) for path in sorted(folder(lab).glob("i-*.json"))]
    return [name for name, it in found if it and it.due is not None and it.due <= now]


def done(lab: Path, instance_id: str) -> None:
    """Forget a wish."""
    (folder(lab) / f"{instance_id}.json").unlink(missing_ok=True)


def metadata(it: Reclaim | None) -> Mapping[str, Tree | str]:
    """Return what the metadata of an instance say of it, to be laid over the rest."""
    if it is None:
        return {}
    told: dict[str, Tree | str] = {}
    if it.told and it.due is not None:
        ends = stamp(it.due)
        told["spot"] = {
            "instance-action": json.dumps({"action": "terminate", "time": ends}),
            "termination-time": ends,
        }
    if it.recommended:
        told["events"] = {"recommendations": {"rebalance": json.dumps({"noticeTime": stamp(it.noticed)})}}
    return told


def stamp(when: float) -> str:
    """Return a time as the metadata service writes it."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ask(lab: Path, host: LabHost, *, notice: float, recommend: bool = False) -> Reclaim:
    """Ask that an instance be taken back in ``notice`` seconds (0: at once, without a word).

    With ``recommend`` it only gets a rebalance recommendation. A second call replaces the first. Raises BadInput for a
    host that is not an emulated instance.
    """
    if not host.instance_id:
        raise BadInput(f"{host.name} is not an instance of the emulated cloud", hint="dualtrack lab status lists those")
    if not 0 <= notice <= 86400:
        raise BadInput(f"a notice of {notice:g} seconds", hint="0 to 86400; AWS gives 120")
    now = datetime.now(UTC).timestamp()
    before = pending(lab, host.instance_id)
    if recommend:
        it = Reclaim(
            noticed=now, due=before.due if before else None, told=bool(before and before.told), recommended=True
        )
    else:
        it = Reclaim(noticed=now, due=now + notice, told=notice > 0, recommended=bool(before and before.recommended))
    write_atomically(folder(lab) / f"{host.instance_id}.json", msgspec.json.encode(it))
    return it
