"""Everything on the way fails while clients ask 200 times a second: says what they saw, fails where it is too much.

While engines fail, no client repeats a request automatically: what an engine had taken is lost and its client told so
(500), one request of each client at most, since it may be what ended that engine. Where the gateway's own processes are
killed, clients repeat as OpenAI's do: twice, after half a second and a second. Three echo engines are units of this
host, behind the gateway as the model `echo`; one of them counts as the cloud track's.
"""

from __future__ import annotations

import http.client
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from load import PAUSES_S, Load

# What `dualtrack-gateway status` asks, without a process for each question: ten a second would cost more than the load.
sys.path.insert(0, "/usr/local/lib/dualtrack/gateway")
from dualtrack.hosts.agents import gateway

RATE = 200
#: The only engine of the cloud track, which whoever may leave asks first; and those of the local track.
FIRST, OTHERS = "echo-c", ("echo-a", "echo-b")
#: What the gateway says of a request that an engine took and did not answer.
LOST = "status 500"
LIE = Path("/run/echo-c/lie")
#: Of the gateway here: three heartbeats of four seconds, and the time that one answer may take. One heartbeat more for
#: a machine that is full of tests, which looks late itself (15.5 s were seen at a load of 12; the drill is exact).
DETECTED_S = 3 * 4 + 2 + 4


def run(*words: str) -> str:
    """Run a command; return what it prints."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def engine_of(name: str) -> dict[str, object]:
    """Return what the gateway says of an engine."""
    engines = gateway.status()["engines"]
    return next(it for it in engines if it["model"] == "echo" and it["engine"] == name)


def state(name: str) -> object:
    """Return how the gateway sees an engine."""
    return engine_of(name)["state"]


def until(right: Callable[[], bool], what: str, limit_s: float = 60) -> float:
    """Wait; return the seconds that it took."""
    begin = time.monotonic()
    while not right():
        if time.monotonic() - begin > limit_s:
            sys.exit(f"not in {limit_s:.0f} s: {what}")
        time.sleep(0.1)
    return time.monotonic() - begin


def clients(host: str, key: str, *, repeats: bool) -> Load:
    """Return clients that ask 200 times a second."""
    tls = ssl.create_default_context(cafile="/root/ca.pem")
    return Load(
        lambda: http.client.HTTPSConnection(host, context=tls, timeout=60), key,
        model="echo", rate=RATE, pauses=PAUSES_S if repeats else (),
    )  # fmt: skip


def kill() -> None:
    """An engine dies, and comes back."""
    run("systemctl", "kill", "--signal", "KILL", FIRST)


def freeze() -> None:
    """An engine stops in the middle of everything, and holds its connections."""
    run("systemctl", "kill", "--signal", "STOP", FIRST)


def lie() -> None:
    """An engine answers at once, and wrongly."""
    LIE.touch()


def repair() -> None:
    """End whatever is wrong."""
    LIE.unlink(missing_ok=True)
    subprocess.run(["systemctl", "kill", "--signal", "CONT", FIRST], check=False, capture_output=True)
    run("systemctl", "restart", FIRST)


def engine(fault: Callable[[], None], _: Load) -> tuple[float, float]:
    """Have an engine fail and come back; return the seconds until the gateway knew each."""
    begin = time.monotonic()
    fault()
    until(lambda: state(FIRST) != "UP", "the fault is seen")
    seen = time.monotonic() - begin
    repair()
    return seen, until(lambda: state(FIRST) == "UP", "the engine is back")


def goes_on(load: Load) -> float:
    """Wait until a second's worth of right answers has come; return the seconds."""
    count = load.answers["right"]
    return until(lambda: load.answers["right"] > count + RATE, "requests are answered")


def reload(load: Load) -> tuple[float, float]:
    """Give the router its settings anew, four times."""
    for _ in range(4):
        run("systemctl", "reload", "haproxy")
        goes_on(load)
    return 0.0, 0.0


def killed(pattern: str, load: Load) -> tuple[float, float]:
    """Kill the oldest process whose command line matches, with the last right answer still on its way."""
    run("pkill", "--signal", "KILL", "--oldest", "--full", pattern)
    return 0.0, goes_on(load)


#: What fails, whether clients ask again, and whether they must stay on the local track.
ENGINE_FAULTS = (partial(engine, kill), partial(engine, freeze), partial(engine, lie))
FAULTS: dict[str, tuple[Callable[[Load], tuple[float, float]], bool, bool]] = {
    "engine killed": (ENGINE_FAULTS[0], False, False),
    "engine frozen": (ENGINE_FAULTS[1], False, False),
    "engine lies": (ENGINE_FAULTS[2], False, False),
    "router reloaded": (reload, False, False),
    "the same, must stay": (reload, False, True),
    "router killed": (partial(killed, "haproxy.*gateway/haproxy.cfg"), True, False),
    "front's worker killed": (partial(killed, "nginx: worker"), True, False),
    "front killed": (partial(killed, "nginx: master"), True, False),
}


def must_stay(host: str, key: str) -> str:
    """Kill all engines of the local track under a tenant that must stay there; return what went wrong."""
    before = engine_of(FIRST)["requests"]
    with clients(host, key, repeats=False) as load:
        goes_on(load)
        run("systemctl", "stop", *OTHERS)
        until(lambda: load.answers["status 503"] > RATE, "requests are refused")
        run("systemctl", "start", *OTHERS)
        until(lambda: {state(it) for it in OTHERS} == {"UP"}, "the engines are back")
        goes_on(load)
    print(f"must stay: {dict(load.answers)}, of the cloud track's engine {engine_of(FIRST)['requests'] - before}")
    # 500 and 502 are of requests that an engine left.
    others = set(load.answers) - {"right", "status 500", "status 502", "status 503"}
    return "must stay" if others or engine_of(FIRST)["requests"] != before else ""


def main(host: str, key: str, local_key: str) -> None:
    """Do all of it."""
    bad = []
    print(f"{'fault':22} requests  right  wrong  lost  failed  repeated  detected s  slowest s  back s")
    for name, (fault, repeats, stays) in FAULTS.items():
        until(lambda: {state(it) for it in (FIRST, *OTHERS)} == {"UP"}, "all engines are there")
        with clients(host, local_key if stays else key, repeats=repeats) as load:
            goes_on(load)
            seen, back = fault(load)
        every, right, wrong = load.answers.total(), load.answers["right"], load.answers["wrong"]
        lost = load.answers[LOST] if fault in ENGINE_FAULTS else 0
        failed = load.failed.total() - lost
        print(
            f"{name:22} {every:8}  {right:5}  {wrong:5}  {lost:4}  {failed:6}  {load.repeated:8}  {seen:10.2f}"
            f"  {load.slowest:9.2f}  {back:6.2f}  {dict(load.failed) or ''}", flush=True,
        )  # fmt: skip
        if failed or lost > load.clients or (wrong and name != "engine lies") or seen > DETECTED_S:
            bad.append(name)
    bad += filter(None, [must_stay(host, local_key)])
    if bad:
        sys.exit(f"too much: {', '.join(bad)}")


main(sys.argv[1], *(Path(it).read_text().strip() for it in sys.argv[2:]))
