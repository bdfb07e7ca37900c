"""The gateways of the tracks that are up: where their API answers, and how their program is reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from dualtrack import proc, ssh
from dualtrack.errors import BadInput, DualtrackError, External
from dualtrack.files import locked
from dualtrack.inventory.model import Host
from dualtrack.paths import ROOT
from dualtrack.serving import tenants
from dualtrack.serving.gateway import Applied, Endpoint, Engine, Gateway
from dualtrack.tracks import places, reach
from dualtrack.verify.run import read_inventory

GROUP = "role_gateway"
#: Seconds for one command on a gateway: HAProxy takes 200,000 keys in three.
COMMAND_S = 120.0


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway with its endpoint and its file of tenants ('' where the inventory names none).

    ``tracks`` has the track of each host of the inventory, by name.
    """

    gateway: Gateway
    endpoint: Endpoint
    tenants_file: str
    tracks: Mapping[str, str]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """An engine in the status: ``track`` is that of its host, ``since_s`` how long the gateway has counted."""

    gateway: str
    model: str
    track: str
    engine: str
    state: str
    requests: int
    active: int
    reason: str
    since_s: int


class Status(msgspec.Struct, frozen=True):
    """Endpoints, the engines behind them, and why a gateway did not say how its engines are."""

    endpoints: tuple[Endpoint, ...]
    engines: tuple[Row, ...]
    problems: tuple[str, ...]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What telling one gateway did; ``problem`` says why it could not be told, '' where it was."""

    gateway: str
    changed: bool
    running: bool
    problem: str = ""


class _Behind(msgspec.Struct, frozen=True):
    name: str


class _Model(msgspec.Struct, frozen=True):
    name: str
    engines: tuple[_Behind, ...] = ()


def sites() -> list[Site]:
    """Return the gateways of the tracks that are up; BadInput where there is none."""
    found = up()
    if not found:
        raise BadInput("no host with the role gateway is up", hint="make up")
    return found


def up() -> list[Site]:
    """Return the gateways of the tracks that are up, if any."""
    inventories = places.inventories()
    return read(read_inventory(inventories)) if len(inventories) > 1 else []


def read(inventory: Mapping[str, Any]) -> list[Site]:
    """Return the gateways of an inventory, as `read_inventory` has it; BadInput for variables that cannot be."""
    every: Mapping[str, Mapping[str, Any]] = inventory["_meta"]["hostvars"]
    tracks = {name: str(facts.get("dualtrack_track", "")) for name, facts in every.items()}
    return [_site(name, every.get(name, {}), tracks) for name in inventory.get(GROUP, {}).get("hosts", ())]


def _site(name: str, facts: Mapping[str, Any], tracks: Mapping[str, str]) -> Site:
    address = str(facts.get("ansible_host", name))
    try:
        port = int(str(facts.get("ansible_port", 22)))
        models = msgspec.convert(facts.get("gateway_models") or (), type=tuple[_Model, ...])
    except (ValueError, msgspec.ValidationError) as error:
        raise BadInput(f"{name}: gateway_models or ansible_port is not as it must be: {error}") from None
    engines = dict.fromkeys(it.name for model in models for it in model.engines)
    endpoint = Endpoint(
        url=str(facts.get("gateway_url") or f"https://{address}:{facts.get('gateway_port') or 443}"),
        ca_file=_path(facts.get("gateway_ca_file")),
        models=tuple(it.name for it in models),
        tracks=tuple(dict.fromkeys(tracks[it] for it in engines if tracks.get(it))),
        gateway=name,
    )
    host = Host(
        name, address, str(facts.get("ansible_user", "root")), "cloud" if tracks.get(name) == "cloud" else "local",
        "", "owned", port=port,
    )  # fmt: skip

    def run(words: Sequence[str], given: str) -> str:
        return _ran(host, facts, words, given)

    return Site(
        gateway=Gateway(name, run), endpoint=endpoint, tenants_file=_path(facts.get("gateway_tenants_file")),
        tracks=tracks,
    )  # fmt: skip


def _path(value: object) -> str:
    """Return a variable with a path on the controller as a whole path; one that is relative begins in the checkout."""
    return str(ROOT / Path(str(value)).expanduser()) if value else ""


def _ran(host: Host, facts: Mapping[str, Any], words: Sequence[str], given: str) -> str:
    done = proc.run(
        [*reach.ssh_words(host, lambda _: facts), *words], stdin=given, timeout=COMMAND_S, check=False
    )  # fmt: skip
    if done.returncode == ssh.FAILED:
        raise External(f"{host.name} cannot be reached: {proc.last_line(done.stderr)}")
    if done.returncode != 0:
        raise External(f"{host.name}: {proc.last_line(done.stderr or done.stdout)}")
    return done.stdout


def tenants_file(found: Sequence[Site]) -> Path:
    """Return the file of tenants, which all gateways share; BadInput where they do not, or have none."""
    files = {it.tenants_file for it in found}
    if "" in files:
        names = ", ".join(it.gateway.name for it in found if not it.tenants_file)
        raise BadInput(
            f"{names}: there is no file of tenants", hint="set gateway_tenants_file for the group role_gateway"
        )
    if len(files) > 1:
        raise BadInput(f"gateways have several files of tenants: {', '.join(sorted(files))}", hint="give them one")
    return Path(files.pop())


def ca_file(site: Site) -> Path:
    """Return the authority by which a gateway's certificate is believed; BadInput where the inventory names none."""
    if not site.endpoint.ca_file:
        raise BadInput(f"{site.gateway.name}: there is no authority to believe", hint="set gateway_ca_file")
    return Path(site.endpoint.ca_file)


def chat_key(site: Site) -> Path | None:
    """Return where the operator's own key may lie: beside the file of tenants; None where there is no such file."""
    return Path(site.tenants_file).with_name("chat.key") if site.tenants_file else None


def tell(found: Sequence[Site]) -> list[Told]:
    """Tell every gateway what the file of tenants says.

    Under the file's lock: whoever tells last tells the newest.
    """
    path = tenants_file(found)
    with locked(path):
        return apply(found, tenants.load(path))


def apply(found: Sequence[Site], given: tenants.Tenants) -> list[Told]:
    """Tell every gateway whose keys are good, side by side."""

    def one(site: Site) -> Told:
        try:
            done: Applied = site.gateway.apply(given)
        except DualtrackError as error:
            return Told(gateway=site.gateway.name, changed=False, running=False, problem=str(error))
        return Told(gateway=site.gateway.name, changed=done.changed, running=done.running)

    with ThreadPoolExecutor(max_workers=max(1, min(16, len(found)))) as pool:
        return list(pool.map(one, found))


def status(found: Sequence[Site]) -> Status:
    """Ask every gateway how its engines are, side by side."""

    def one(site: Site) -> tuple[tuple[Row, ...], str]:
        try:
            said = site.gateway.status()
        except DualtrackError as error:
            return (), str(error)
        return tuple(_row(site, engine, said.since_s) for engine in said.engines), ""

    with ThreadPoolExecutor(max_workers=max(1, min(16, len(found)))) as pool:
        answers = list(pool.map(one, found))
    return Status(
        tuple(it.endpoint for it in found), tuple(row for rows, _ in answers for row in rows),
        tuple(problem for _, problem in answers if problem),
    )  # fmt: skip


def _row(site: Site, engine: Engine, since_s: int) -> Row:
    return Row(
        gateway=site.gateway.name, model=engine.model, track=site.tracks.get(engine.engine, ""), engine=engine.engine,
        state=engine.state, requests=engine.requests, active=engine.active, reason=engine.last_check, since_s=since_s,
    )  # fmt: skip
