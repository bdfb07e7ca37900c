"""The fail-over drill: engines, the link and the gateway fail while clients ask 200 times a second.

On the lab's tracks as they are up. Beside the real model, each track gets an engine without a model on a host with the
role serving, and the gateway is told of both. A few clients stream from the one that fails. One tenant may be answered
anywhere, one is answered on the local track while it can, and the questions of a third must stay there: they carry a
mark, and the cloud track's engine counts what it sees of it. All of this is taken away again, however the drill ends.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from dualtrack.core import https, waiting
from dualtrack.core.errors import External, Missing
from dualtrack.core.proc import run
from dualtrack.core.task_graph import Say
from dualtrack.inventory import deployment
from dualtrack.inventory.model import Track
from dualtrack.inventory.read import read_inventory
from dualtrack.lab import control
from dualtrack.lab.scenarios.load import PAUSES_S, QUESTION, RIGHT, Load
from dualtrack.lab.scenarios.streams import Streams
from dualtrack.serving import tenants
from dualtrack.serving.gateway import Model, Where
from dualtrack.tracks import serving

#: Requests a second, of tenants that may leave the local track and of the one that may not.
RATE, RATE_STAYS = 180.0, 20.0
MODEL, PORT, UNIT, FOLDER = "drill-echo", 8099, "dualtrack-drill-echo", "/run/dualtrack-drill"
TLS = "/etc/dualtrack/serving"
MARKED = f"marked: {QUESTION}"
#: Takes the rules of a drill out of a host's firewall, and puts one for a port in, where there is a firewall.
CLOSE = """
for handle in $(nft --handle list ruleset inet | sed -n '/"dualtrack-drill-{port}"/s/.* # handle //p'); do
    nft delete rule inet dualtrack_firewall input handle "$handle"
done
"""
OPEN = """
if nft list table inet dualtrack_firewall >/dev/null 2>&1; then
    nft insert rule inet dualtrack_firewall input tcp dport {port} accept comment '"dualtrack-drill-{port}"'
fi
"""
#: An engine is marked down after three wrong or missing answers, each of which may take half of a heartbeat, and ten
#: seconds at most (role gateway).
HEARTBEATS, ANSWER_S = 3, 10.0
#: Clients of both tenants: each has one request at most that an engine takes with it.
CLIENTS_MAY, CLIENTS_STAY = 10, 2
CLIENTS = CLIENTS_MAY + CLIENTS_STAY
LOST = "status 500"
#: Faults that must cut streams, or the drill says nothing of them, and those whose streams nobody is left to end.
CUTS, UNTOLD = ("killed", "frozen"), ("front killed", "front's worker killed")
RESIDENCIES: tuple[tenants.Residency, ...] = ("any", "prefer-local", "local")
OTHER: dict[Track, Track] = {"cloud": "local", "local": "cloud"}


class FaultOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one fault did. Times in seconds, None where the fault has no such moment.

    ``detected_s`` until the gateway knew, ``back_s`` until it knew of the end, ``slowest_s`` the slowest request with
    its repeats. ``lost`` are requests that an engine had taken when it failed, which are not sent to another one: they
    may be what ended it. ``failed`` are others without an answer after their repeats, by what came instead;
    ``refused`` those that must stay and were told so. ``streams`` had begun at the engine that failed, ``cut`` of them
    broke off, ``told`` of those ended with an error event.
    """

    fault: str
    where: str
    requests: int
    wrong: int
    failed: dict[str, int]
    lost: int
    refused: int
    repeated: int
    streams: int
    cut: int
    told: int
    detected_s: float | None
    slowest_s: float
    back_s: float | None


class FailoverReport(msgspec.Struct, frozen=True, kw_only=True):
    """All rows; ``left`` is how many requests that must stay came to the cloud track, ``bound_s`` of a detection."""

    rows: tuple[FaultOutcome, ...]
    left: int
    bound_s: float
    seconds: float

    @property
    def problems(self) -> tuple[str, ...]:
        """What broke the contract; empty when nothing did."""
        found = [
            f"{it.fault} ({it.where}): {sum(it.failed.values())} failed ({', '.join(it.failed)})"
            for it in self.rows
            if it.failed
        ]
        found += [
            f"{it.fault} ({it.where}): detected after {it.detected_s:.1f} s, and {self.bound_s:.1f} s are the most"
            for it in self.rows
            if it.detected_s is not None and it.detected_s > self.bound_s
        ]
        found += [
            f"{it.fault} ({it.where}): {it.wrong} wrong answers" for it in self.rows if it.wrong and it.fault != "lies"
        ]
        found += [
            f"{it.fault} ({it.where}): {it.lost} requests were lost, and there are {CLIENTS} clients"
            for it in self.rows
            if it.lost > CLIENTS
        ]
        found += [
            f"{it.fault} ({it.where}): no stream was cut, of {it.streams}: nothing is known of streams"
            for it in self.rows
            if it.fault in CUTS and not it.cut
        ]
        found += [
            f"{it.fault} ({it.where}): {it.cut - it.told} of {it.cut} cut streams ended without an error event"
            for it in self.rows
            if it.cut > it.told and it.fault not in UNTOLD
        ]
        return (*found, *([f"{self.left} requests that must stay came to the cloud track"] if self.left else []))


@dataclass
class Drill:
    """A drill under way: where it asks, and on which hosts its engines are."""

    say: Say
    site: serving.Site
    hosts: dict[Track, str]
    keys: dict[str, str]

    def inside(self, host: str, *words: str, stdin: str | None = None, check: bool = True) -> str:
        """Run a command as root inside a host; return what it prints."""
        return run(control.exec_command(host, words), stdin=stdin, check=check).stdout

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection of a client to the gateway."""
        at = https.address(self.site.endpoint.url, 443, path=True)
        trusted = ssl.create_default_context(cafile=str(serving.ca_file(self.site)))
        return http.client.HTTPSConnection(at.host, at.port, context=trusted, timeout=60)

    def load(self, residency: tenants.Residency, *, repeats: bool) -> Load:
        """Return clients of a tenant."""
        stays = residency == "local"
        return Load(
            self.connect, self.keys[residency], model=MODEL, rate=RATE_STAYS if stays else RATE,
            clients=CLIENTS_STAY if stays else CLIENTS_MAY, pauses=PAUSES_S if repeats else (),
            question=MARKED if stays else QUESTION,
        )  # fmt: skip

    def state(self, track: Track) -> str:
        """Return how the gateway sees a track's engine."""
        found = {it.track: it.state for it in self.site.gateway.status().engines if it.model == MODEL}
        return found.get(track, "unknown")

    def until(self, right: Callable[[], bool], what: str) -> float:
        """Wait; return the seconds that it took."""
        begin = time.monotonic()
        waiting.until(right, what, stall=120)
        return time.monotonic() - begin

    def goes_on(self, load: Load, track: Track | None = None) -> float:
        """Wait for a second's worth of right answers, from a track where one is named; return the seconds."""

        def count() -> int:
            return load.tracks[track] if track else load.answers["right"]

        before = count()
        return self.until(lambda: count() > before + load.rate, "right answers")


Fault = Callable[[Drill, Load], tuple[float | None, float | None]]


def engine(
    track: Track, break_: Sequence[str], repair: Sequence[Sequence[str]], drill: Drill, load: Load
) -> tuple[float, float]:
    """Have a track's engine fail, see the other track answer, and have it back."""
    host, begin = drill.hosts[track], time.monotonic()
    drill.inside(host, *break_)
    drill.until(lambda: drill.state(track) != "UP", f"the gateway to know that {host} fails")
    seen = time.monotonic() - begin
    drill.goes_on(load, OTHER[track])
    for words in repair:
        drill.inside(host, *words)
    return seen, drill.until(lambda: drill.state(track) == "UP", f"{host} to be back")


def link(rules: str, drill: Drill, load: Load) -> tuple[float, float]:
    """Cut what is between the gateway and the cloud track's engine, and join it again."""
    namespace = control.store().layout.namespace
    gateway, there = (control.find(name).address for name in (drill.site.gateway.name, drill.hosts["cloud"]))
    rule = rules.format(gateway=gateway, there=there)
    table = f"table ip dualtrack_drill {{\nchain link {{\ntype filter hook forward priority 0\n{rule}\n}}\n}}\n"
    begin = time.monotonic()
    run(["ip", "netns", "exec", namespace, "nft", "-f", "-"], stdin=table)
    try:
        drill.until(lambda: drill.state("cloud") != "UP", "the gateway to know that the link is cut")
        seen = time.monotonic() - begin
        drill.goes_on(load, "local")
    finally:
        run(["ip", "netns", "exec", namespace, "nft", "delete", "table", "ip", "dualtrack_drill"])
    return seen, drill.until(lambda: drill.state("cloud") == "UP", "the link to be back")


def everywhere(drill: Drill, load: Load) -> tuple[float, float]:
    """Have no engine at all, see everybody told so, and have them back."""
    begin, refused = time.monotonic(), load.answers["status 503"]
    for host in drill.hosts.values():
        drill.inside(host, *_signal("STOP"))
    drill.until(lambda: load.answers["status 503"] > refused + load.rate, "refusals")
    seen = time.monotonic() - begin
    for host in drill.hosts.values():
        drill.inside(host, *_signal("KILL"))
    return seen, drill.until(lambda: drill.state("cloud") == drill.state("local") == "UP", "both engines to be back")


def process(pattern: str, drill: Drill, load: Load) -> tuple[None, float]:
    """Kill the oldest process of the gateway whose command line matches; see answers again."""
    drill.inside(drill.site.gateway.name, "pkill", "--signal", "KILL", "--oldest", "--full", pattern)
    return None, drill.goes_on(load)


def _signal(name: str) -> tuple[str, ...]:
    return ("systemctl", "kill", "--signal", name, UNIT)


#: Each track's engine is missed by those who are answered there first.
SIDES: tuple[tuple[Track, tenants.Residency], ...] = (("cloud", "any"), ("local", "prefer-local"))
RESTART = ("systemctl", "restart", UNIT)
LIE, TRUTH = ("touch", f"{FOLDER}/lie"), ("rm", "-f", f"{FOLDER}/lie")
#: Fault, where, the caller, whether clients repeat as OpenAI's do, and what is done.
FAULTS: tuple[tuple[str, str, tenants.Residency, bool, Fault], ...] = (
    *(
        (fault, track, residency, False, partial(engine, track, break_, repair))
        for track, residency in SIDES
        for fault, break_, repair in (
            ("killed", _signal("KILL"), ()),  # it is started again automatically
            ("frozen", _signal("STOP"), (_signal("CONT"), RESTART)),
            ("lies", LIE, (TRUTH,)),
        )
    ),
    ("cut", "link", "any", False, partial(link, "ip saddr {gateway} ip daddr {there} drop")),
    ("cut one way", "link", "any", False, partial(link, "ip saddr {there} ip daddr {gateway} drop")),
    ("both away", "everywhere", "any", False, everywhere),
    ("router killed", "gateway", "any", True, partial(process, "haproxy.*gateway/haproxy.cfg")),
    ("front's worker killed", "gateway", "any", True, partial(process, "nginx: worker")),
    ("front killed", "gateway", "any", True, partial(process, "nginx: master")),
)


def failover(say: Say) -> FailoverReport:
    """Run the drill, and return what it cost; Missing where the tracks that are up are not enough for it."""
    begin = time.monotonic()
    rows = []
    with prepared(say) as drill:
        for fault, where, residency, repeats, what in FAULTS:
            drill.until(lambda: drill.state("cloud") == drill.state("local") == "UP", "both engines to be up")
            rows.append(one(drill, fault, where, residency, repeats, what))
            say(f"{fault} ({where}): {sum(rows[-1].failed.values())} of {rows[-1].requests} failed")
        left = len(drill.inside(drill.hosts["cloud"], "sh", "-c", f"cat {FOLDER}/marked 2>/dev/null || true"))
        facts = read_inventory(deployment.inventories())["_meta"]["hostvars"][drill.site.gateway.name]
    heartbeat = float(facts.get("gateway_heartbeat_s", 30))
    bound = HEARTBEATS * heartbeat + min(heartbeat / 2, ANSWER_S)
    return FailoverReport(rows=tuple(rows), left=left, bound_s=bound, seconds=round(time.monotonic() - begin, 1))


def one(drill: Drill, fault: str, where: str, residency: tenants.Residency, repeats: bool, what: Fault) -> FaultOutcome:
    """Have one thing fail under load; return what it did."""
    with (
        drill.load(residency, repeats=repeats) as load,
        drill.load("local", repeats=repeats) as stays,
        Streams(drill.site.endpoint, drill.keys[residency], MODEL) as streams,
    ):
        drill.goes_on(load)
        drill.until(lambda: streams.begun > 0, "a stream to begin")
        detected, back = what(drill, load)
        drill.goes_on(load)
    # Who has no engine to go to is told so, with 502 for what an engine had begun; all else has failed.
    told = {"local": [stays], "everywhere": [load, stays]}.get(where, [])
    lost = sum(it.answers[LOST] for it in (load, stays)) if where != "gateway" else 0
    kinds = ("status 502", "status 503")
    refused = sum(it.answers[kind] for it in told for kind in kinds)
    failed: Counter[str] = Counter()
    for it in (load, stays):
        failed += it.failed - (Counter({LOST: it.answers[LOST]}) if where != "gateway" else Counter())
        if it in told:
            failed -= Counter({kind: it.answers[kind] for kind in kinds})
    return FaultOutcome(
        fault=fault, where=where, requests=load.answers.total() + stays.answers.total(),
        wrong=load.answers["wrong"] + stays.answers["wrong"], failed=dict(failed), lost=lost, refused=refused,
        repeated=load.repeated + stays.repeated, streams=streams.begun, cut=streams.cut, told=streams.told,
        detected_s=detected,
        slowest_s=max(load.slowest, stays.slowest), back_s=back,
    )  # fmt: skip


@contextmanager
def prepared(say: Say, begin: Callable[[Drill, str], None] | None = None) -> Iterator[Drill]:
    """Bring the drill's engines and tenants, and take them away again; ``begin`` starts another engine on a host."""
    inventory = read_inventory(deployment.inventories())
    sites = serving.read(inventory)
    found = {track: serving.engines(inventory, track) for track in serving.TRACKS}
    hosts = {
        track: sorted({name for it in models.values() for name in it.engines})[:1] for track, models in found.items()
    }
    if len(sites) != 1 or not all(hosts.values()):
        raise Missing(
            f"the drill needs one gateway and an engine on each track; there are {len(sites)} gateways, and engines on"
            f" {', '.join(track for track, names in hosts.items() if names) or 'no track'}", hint="make up",
        )  # fmt: skip
    site, path = sites[0], serving.tenants_file(sites)
    now = site.gateway.steering()
    if now.first != "usual" or now.held:
        raise Missing("an operator steers the gateway by hand", hint="dualtrack failover status")
    drill = Drill(say, site, {track: names[0] for track, names in hosts.items()}, {})
    with ExitStack() as undo:
        undo.callback(serving.tell, sites, "drill failover")  # the last thing to be done: tenants are gone by then
        for residency in RESIDENCIES:
            drill.keys[residency], _ = tenants.add(path, f"drill-{residency}", tenants.Changes(residency=residency))
            undo.callback(tenants.remove, path, f"drill-{residency}")
        for track, models in found.items():
            host = drill.hosts[track]
            undo.callback(drill.inside, host, "sh", "-c", f"systemctl stop {UNIT}; rm -rf {FOLDER}", check=False)
            undo.enter_context(opened(drill, host, PORT))
            (begin or start)(drill, host)
            where = Where(host=host, address=control.find(host).address, port=PORT)
            echo = Model(prompt=QUESTION, expected=RIGHT, engines={host: where})
            undo.callback(site.gateway.engines, track, models)
            site.gateway.engines(track, {**models, MODEL: echo})
        if problems := [it.problem for it in serving.tell(sites, "drill failover") if it.problem]:
            raise External(problems[0])
        yield drill


@contextmanager
def opened(drill: Drill, host: str, port: int) -> Iterator[None]:
    """Have the firewall of a host let in a port of the drill: it knows those of the inventory alone."""
    drill.inside(host, "sh", "-euc", (CLOSE + OPEN).format(port=port))
    try:
        yield
    finally:
        drill.inside(host, "sh", "-euc", CLOSE.format(port=port), check=False)


def start(drill: Drill, host: str) -> None:
    """Have an engine without a model on a host, which comes back where it dies."""
    program = Path(__file__).with_name("echo_engine.py").read_text()
    drill.inside(host, "sh", "-c", f"install -d -m 700 {FOLDER} && cat > {FOLDER}/engine.py", stdin=program)
    address = control.find(host).address
    drill.inside(
        host, "systemd-run", f"--unit={UNIT}", "--property=Restart=always", "--property=RestartSec=1", "--quiet",
        "python3", "-I", f"{FOLDER}/engine.py", FOLDER, address, str(PORT), TLS,
    )  # fmt: skip
