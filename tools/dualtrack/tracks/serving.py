"""The gateways of the tracks that are up: where their API answers, and how their program is reached."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dualtrack.core import proc
from dualtrack.core.errors import BadInput, DualtrackError, External, Missing
from dualtrack.core.files import locked
from dualtrack.core.operator import operator
from dualtrack.core.paths import ROOT, expanded
from dualtrack.core.task_graph import Say
from dualtrack.inventory import deployment
from dualtrack.inventory.model import Host, Track
from dualtrack.inventory.read import read_inventory
from dualtrack.remote import host_keys
from dualtrack.serving import tenants
from dualtrack.serving.gateway import Api, Applied, Endpoint, Engine, Gateway, Model, Where
from dualtrack.tracks import host_boot

T = TypeVar("T")
GROUP = "role_gateway"
TRACKS: tuple[Track, ...] = ("local", "cloud")
#: States of an engine that works, that an operator has taken out, or that nobody checks. In any other it is down.
IN_ORDER = frozenset({"UP", "NOLB", "DRAIN", "MAINT", "no check"})
#: How many requests an engine works on at once where its model does not say it (role serving).
SLOTS, SLOTS_OTHERS = {"llamacpp": 4}, 128
#: Seconds for one command on a gateway: HAProxy takes 200,000 keys in three.
COMMAND_S = 120.0


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway with its endpoint and its file of tenants ('' where the inventory names none).

    ``writers`` are those of its models that write texts; others make embeddings.
    """

    gateway: Gateway
    endpoint: Endpoint
    tenants_file: str
    track: Track
    writers: tuple[str, ...] = ()


class EngineRow(msgspec.Struct, frozen=True, kw_only=True):
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


class ServingStatus(msgspec.Struct, frozen=True):
    """Endpoints, the engines behind them, and why a gateway did not say how its engines are."""

    endpoints: tuple[Endpoint, ...]
    engines: tuple[EngineRow, ...]
    problems: tuple[str, ...]

    def findings(self) -> tuple[str, ...]:
        """Return what is not in order, a line each: gateways that do not say, and engines that are down."""
        down = [it for it in self.engines if it.state not in IN_ORDER]
        return (
            *self.problems,
            *(f"{it.engine} with {it.model} is {it.state or 'in no state'} at {it.gateway}" for it in down),
        )


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What telling one gateway did; ``problem`` says why it could not be told, '' where it was."""

    gateway: str
    changed: bool
    running: bool
    problem: str = ""


class _Behind(msgspec.Struct, frozen=True):
    name: str
    track: str = "local"


class _Asked(msgspec.Struct, frozen=True):
    api: Api = "completions"


class _Model(msgspec.Struct, frozen=True):
    name: str
    engines: tuple[_Behind, ...] = ()
    probe: _Asked = _Asked()


def sites() -> list[Site]:
    """Return the gateways of the tracks that are up; BadInput where there is none."""
    found = up()
    if not found:
        raise Missing("no host with the role gateway is up", hint="make up")
    return found


def known_models(sites: Sequence[Site], names: Iterable[str]) -> None:
    """Check names of models that an operator gave; BadInput for one that neither a gateway nor a host serves."""
    declared = sorted({model for site in sites for model in site.endpoint.models})
    for name in names:
        if name not in declared:
            raise BadInput(
                f"no gateway has a model called {name!r}", hint=f"there are: {', '.join(declared) or 'none'}"
            )


def up() -> list[Site]:
    """Return the gateways of the tracks that are up, if any."""
    inventories = deployment.inventories()
    return read(read_inventory(inventories)) if len(inventories) > 1 else []


def read(inventory: Mapping[str, Any]) -> list[Site]:
    """Return the gateways of an inventory, as `read_inventory` has it; BadInput for variables that cannot be.

    Each has the models of its own settings, and those of the hosts of both tracks, which it is told of (`introduce`).
    """
    every: Mapping[str, Mapping[str, Any]] = inventory["_meta"]["hostvars"]
    told = {name: it.api for track in TRACKS for name, it in engines(inventory, track).items()}
    return [_site(name, every.get(name, {}), told) for name in inventory.get(GROUP, {}).get("hosts", ())]


def _site(name: str, facts: Mapping[str, Any], told: Mapping[str, Api]) -> Site:
    address = str(facts.get("ansible_host", name))
    asked = str(facts.get("gateway_shared_address") or address)
    try:
        port = int(str(facts.get("ansible_port", 22)))
        models = msgspec.convert(facts.get("gateway_models") or (), type=tuple[_Model, ...])
    except (ValueError, msgspec.ValidationError) as error:
        raise BadInput(f"{name}: gateway_models or ansible_port is not as it must be: {error}") from None
    served = {**told, **{it.name: it.probe.api for it in models}}
    endpoint = Endpoint(
        url=str(facts.get("gateway_url") or f"https://{asked}:{facts.get('gateway_port') or 443}"),
        ca_file=_path(facts.get("gateway_ca_file")),
        models=tuple(served),
        tracks=tuple(dict.fromkeys(it.track for model in models for it in model.engines)),
        gateway=name,
    )
    track: Track = "cloud" if facts.get("dualtrack_track") == "cloud" else "local"
    host = Host(
        name=name,
        address=address,
        user=str(facts.get("ansible_user", "root")),
        track=track,
        pool="",
        lifecycle="owned",
        port=port,
    )

    def run(words: Sequence[str], given: str) -> str:
        return _ran(host, facts, words, given)

    return Site(
        gateway=Gateway(name, run), endpoint=endpoint, track=track,
        tenants_file=_path(facts.get("gateway_tenants_file")),
        writers=tuple(it for it, api in served.items() if api == "completions"),
    )  # fmt: skip


def _path(value: object) -> str:
    """Return a variable with a path on the controller as a whole path; one that is relative begins in the checkout."""
    return str(ROOT / expanded(str(value))) if value else ""


def _ran(host: Host, facts: Mapping[str, Any], words: Sequence[str], given: str) -> str:
    # ssh joins its words with spaces and hands them to a shell there.
    command = [*host_boot.ssh_words(host, lambda _: facts), *map(shlex.quote, words)]
    done = proc.run(command, stdin=given, timeout=COMMAND_S, check=False)
    if done.returncode == host_keys.FAILED:
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


def by_whom(command: str) -> str:
    """Return what audit trails record of a command that changes gateways: operator, controller and words."""
    return f"{operator()} on {socket.gethostname()}: dualtrack {command}"


def tell(found: Sequence[Site], command: str) -> list[Told]:
    """Tell every gateway what the file of tenants says, because of a ``command``, which their audit trails record.

    Under the file's lock: whoever tells last tells the newest.
    """
    path = tenants_file(found)
    with locked(path):
        return apply(found, tenants.load(path), command)


def apply(found: Sequence[Site], given: tenants.Tenants, command: str) -> list[Told]:
    """Tell every gateway whose keys are good, side by side."""
    text = by_whom(command)

    def one(site: Site) -> Told:
        try:
            site.gateway.note(text)
            done: Applied = site.gateway.apply(given)
        except DualtrackError as error:
            return Told(gateway=site.gateway.name, changed=False, running=False, problem=str(error))
        return Told(gateway=site.gateway.name, changed=done.changed, running=done.running)

    return side_by_side(found, one)


def side_by_side(found: Sequence[Site], one: Callable[[Site], T]) -> list[T]:
    """Do one thing with every gateway at once; return what came of each, in order."""
    with ThreadPoolExecutor(max_workers=max(1, min(16, len(found)))) as pool:
        return list(pool.map(one, found))


class _Probe(msgspec.Struct, frozen=True):
    prompt: str
    expected: str


class _Served(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    port: int
    probe: _Probe
    engine: str = "llamacpp"
    slots: int | None = None
    answers_as: str = ""
    tools: bool = False


def engines(inventory: Mapping[str, Any], track: Track) -> dict[str, Model]:
    """Return the models that a track's hosts serve, by name, with their engines; BadInput for what cannot be."""
    every: Mapping[str, Mapping[str, Any]] = inventory["_meta"]["hostvars"]
    found: dict[str, Model] = {}
    for name in sorted(inventory.get("role_serving", {}).get("hosts", ())):
        facts = every.get(name, {})
        if facts.get("dualtrack_track") != track:
            continue
        try:
            served = msgspec.convert(facts.get("serving_models") or (), type=tuple[_Served, ...])
        except msgspec.ValidationError as error:
            raise BadInput(f"{name}: serving_models is not as it must be: {error}") from None
        for it in served:
            # One slot stays free for the probe, so that a busy engine is not taken for a dead one.
            address, called = str(facts.get("ansible_host", name)), it.answers_as or it.name
            where = Where(
                host=name,
                address=address,
                port=it.port,
                requests=max(1, (it.slots or SLOTS.get(it.engine, SLOTS_OTHERS)) - 1),
            )
            api: Api = "embeddings" if it.engine == "triton" else "completions"
            known = found.get(
                called, Model(prompt=it.probe.prompt, expected=it.probe.expected, api=api, tools=True, engines={})
            )
            engine = name if called == it.name else f"{name}.{it.name}"
            tools = known.tools and it.tools  # a request may come to any version of the model
            found[called] = msgspec.structs.replace(known, tools=tools, engines={**known.engines, engine: where})
    return found


def introduce(say: Say) -> None:
    """Tell each gateway which engines the other track has now; its own track's are in its settings.

    What keeps a gateway from being told is only said: it may not be configured yet, and who does that tells it then.
    """
    try:
        if not deployment.in_group(GROUP):
            return
        inventory = read_inventory(deployment.inventories())
        for site in read(inventory):
            for track in TRACKS:
                if track != site.track:
                    _introduce(site, track, engines(inventory, track), say)
    except DualtrackError as error:
        say(f"no gateway was told the other track's engines: {error}")


def _introduce(site: Site, track: Track, found: Mapping[str, Model], say: Say) -> None:
    name = site.gateway.name
    try:
        if site.gateway.engines(track, found):
            say(f"{name} knows the {track} track's engines")
    except External as error:
        say(f"{name} was not told the {track} track's engines: {error}")


def status(found: Sequence[Site]) -> ServingStatus:
    """Ask every gateway how its engines are, side by side."""

    def one(site: Site) -> tuple[Endpoint, tuple[EngineRow, ...], str]:
        try:
            said = site.gateway.status()
        except DualtrackError as error:
            return site.endpoint, (), str(error)
        rows = tuple(_row(site, engine, said.since_s) for engine in said.engines)
        return _with(site.endpoint, rows), rows, ""

    answers = side_by_side(found, one)
    return ServingStatus(
        tuple(endpoint for endpoint, _, _ in answers), tuple(row for _, rows, _ in answers for row in rows),
        tuple(problem for _, _, problem in answers if problem),
    )  # fmt: skip


def _with(endpoint: Endpoint, rows: Sequence[EngineRow]) -> Endpoint:
    """Return an endpoint with what its gateway was told at run time, too."""
    return msgspec.structs.replace(
        endpoint, models=tuple(dict.fromkeys((*endpoint.models, *(it.model for it in rows)))),
        tracks=tuple(dict.fromkeys((*endpoint.tracks, *(it.track for it in rows)))),
    )  # fmt: skip


def _row(site: Site, engine: Engine, since_s: int) -> EngineRow:
    return EngineRow(
        gateway=site.gateway.name, model=engine.model, track=engine.track, engine=engine.engine,
        state=engine.state, requests=engine.requests, active=engine.active, reason=engine.last_check, since_s=since_s,
    )  # fmt: skip
