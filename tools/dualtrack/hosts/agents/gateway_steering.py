"""Steers a gateway by an operator's word: which track is asked first or not at all, and which engines are drained.

Part of the program of hosts with the role gateway (beside `gateway`), called over ssh by `dualtrack failover`. What is
wanted stands on the command line, so that sudo's own record of it, in the audit trail, says who has done what:

    dualtrack-gateway switch local|cloud|usual     asks this track first for whoever may be answered on either
    dualtrack-gateway hold local|cloud             asks a track nothing more until it is released; what runs there ends
    dualtrack-gateway drain ENGINE [MODEL]         the same for one engine, in all models that it serves, or in one
    dualtrack-gateway release local|cloud|ENGINE [MODEL]   ends holding or draining

Each prints {"changed": …}. All of it stays over reloads and restarts of HAProxy.
"""

from __future__ import annotations

from pathlib import Path

from dualtrack.hosts.agents import gateway
from dualtrack.hosts.agents.gateway import BadInput, Haproxy, NotRunning, locked, parse_servers, write

TRACKS = ("local", "cloud")
MAP = "steering"


def steering(folder: Path = gateway.MAPS) -> dict[str, str]:
    """Return what is in force: `first` with a track, `held.TRACK` for each track that is held."""
    return gateway.read_map(folder / f"{MAP}.map")


def switch(first: str, folder: Path = gateway.MAPS, path: Path = gateway.SOCKET) -> dict[str, bool]:
    """Ask a track first, or each tenant's usual one."""
    if first not in (*TRACKS, "usual"):
        raise BadInput("switch takes local, cloud or usual")
    return _change({"first": "" if first == "usual" else first}, folder, path)


def hold(track: str, folder: Path = gateway.MAPS, path: Path = gateway.SOCKET) -> dict[str, bool]:
    """Ask a track nothing more; BadInput for another name."""
    if track not in TRACKS:
        raise BadInput("hold takes local or cloud; drain takes an engine")
    return _change({f"held.{track}": "1"}, folder, path)


def drain(
    engine: str, path: Path = gateway.SOCKET, state: Path = gateway.STATE, model: str | None = None
) -> dict[str, bool]:
    """Ask an engine nothing more, in all models or in one; BadInput where there is none of this name."""
    return _engine(engine, "drain", path, state, model)


def release(
    what: str, folder: Path = gateway.MAPS, path: Path = gateway.SOCKET, state: Path = gateway.STATE,
    model: str | None = None,
) -> dict[str, bool]:  # fmt: skip
    """End what `hold` or `drain` have begun."""
    if what in TRACKS and model is None:
        return _change({f"held.{what}": ""}, folder, path)
    return _engine(what, "ready", path, state, model)


def _change(entries: dict[str, str], folder: Path, path: Path) -> dict[str, bool]:
    """Give entries of the map other values, '' for none: in its file, then in the running HAProxy."""
    with locked(folder):
        wanted = {key: value for key, value in {**steering(folder), **entries}.items() if value}
        changed = write(folder / f"{MAP}.map", "".join(f"{key} {value}\n" for key, value in sorted(wanted.items())))
        try:
            return {"changed": gateway.replace_everywhere(Haproxy(path), folder, {MAP: wanted}, (MAP,)) or changed}
        except NotRunning:
            return {"changed": changed}


def _engine(name: str, state: str, path: Path, kept: Path, model: str | None) -> dict[str, bool]:
    haproxy = Haproxy(path)
    found = [it for it in parse_servers(haproxy.ask("show servers state\n")) if it["engine"] == name]
    if model is not None:
        found = [it for it in found if it["backend"] in {f"{gateway.PROXY}{model}.{track}" for track in TRACKS}]
    if not found:
        where = "" if model is None else f" and answers as {ascii(model)[:80]}"
        raise BadInput(f"no engine is called {ascii(name)[:80]}{where}")
    other = [it for it in found if it["out"] != (state == "drain")]
    for it in other:
        haproxy.tell(f"set server {it['backend']}/{name} state {state}\n")
    gateway.save(kept, path)
    return {"changed": bool(other)}
