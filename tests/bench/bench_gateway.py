"""The gateway beside plain nginx with the same features: requests a second, the processor's time for each, what the
gateway adds to the first byte, and many tenants.

On both tracks of the lab with a gateway (`make up`). The engine is HAProxy with a fixed answer, on the local track's
host and behind mutual TLS; plain nginx, on the gateway's host, has the gateway's own settings and no router: it asks
the engine.
    bench_gateway.py [pairs]
"""

from __future__ import annotations

import secrets
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from dualtrack.lab import control
from dualtrack.lab.scenarios.failover import FOLDER, MODEL, PORT, TLS, UNIT, Drill, opened, prepared
from dualtrack.lab.scenarios.load import QUESTION
from dualtrack.serving import tenants
from dualtrack.tracks import serving

PAIRS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
#: Requests of a run: many at once, and one after the other. Between runs the limit of one address recovers.
MANY, FEW, AT_ONCE, REST_S = 1500, 500, 8, 2.0
TENANTS = (10, 10_000)
#: The knowledge base of the same host has 8443.
PLAIN_PORT, PLAIN = 8444, "dualtrack-bench-nginx"
SETTINGS = "/etc/dualtrack/gateway"
#: Whose processor's time counts, by the port that is asked.
UNITS = {443: ("nginx.service", "haproxy.service"), PLAIN_PORT: (f"{PLAIN}.service",)}
#: Nanoseconds that all threads of units have had of a processor (proc(5), /proc/PID/schedstat).
SPENT = """
for unit in "$@"; do
    group=$(systemctl show --property ControlGroup --value "$unit")
    for process in $(cat "/sys/fs/cgroup$group/cgroup.procs"); do cat /proc/$process/task/*/schedstat; done
done | { total=0; while read -r spent _; do total=$((total + spent)); done; echo $total; }
"""
ANSWER = '{{"choices":[{{"text":" Paris.","index":0}}]}}'
ENGINE = f"""
global
  maxconn 1000
defaults
  mode http
  timeout client 60s
  timeout connect 1s
  timeout server 60s
frontend engine
  bind {{address}}:{PORT} ssl crt {TLS}/tls.pem ca-file {TLS}/ca.pem verify required
  http-request return status 200 content-type application/json string '{ANSWER}'
"""


@dataclass(frozen=True)
class Run:
    """Requests a second, and seconds to the first byte of each answer, at one port."""

    rate: float
    firsts: list[float]
    #: Processor's time of each request, in microseconds.
    spent_us: float

    def at(self, share: float) -> float:
        """Return the milliseconds within which a share of the answers had begun."""
        return 1000 * sorted(self.firsts)[min(len(self.firsts) - 1, int(share * len(self.firsts)))]


def begin(drill: Drill, host: str) -> None:
    """Have the engine with a fixed answer on a host."""
    text = ENGINE.format(address=control.find(host).address)
    drill.inside(host, "sh", "-c", f"install -d -m 700 {FOLDER} && cat > {FOLDER}/haproxy.cfg", stdin=text)
    drill.inside(
        host, "systemd-run", f"--unit={UNIT}", "--quiet", "/usr/sbin/haproxy", "-db", "-f", f"{FOLDER}/haproxy.cfg"
    )


def plain(drill: Drill) -> None:
    """Have nginx without a router beside the gateway's."""
    host, there = drill.site.gateway.name, control.find(drill.hosts["local"]).address
    text = drill.inside(host, "cat", f"{SETTINGS}/nginx.conf")
    kept = [it for it in text.splitlines() if not it.strip().startswith(("server unix:", "pid "))]
    text = "\n".join(kept)
    for before, after in (
        ("listen 443 ", f"listen {PLAIN_PORT} "), ("upstream router {", f"upstream router {{ server {there}:{PORT};"),
        ("requests.log", "bench.log"),
        (
            "proxy_pass http://router;",
            f"proxy_pass https://router; proxy_ssl_certificate {SETTINGS}/client.pem;"
            f" proxy_ssl_certificate_key {SETTINGS}/client.pem.key;"
            f" proxy_ssl_trusted_certificate {SETTINGS}/engines-ca.pem; proxy_ssl_verify on;"
            f" proxy_ssl_name {drill.hosts['local']};",
        ),
    ):  # fmt: skip
        assert before in text, before
        text = text.replace(before, after)
    text = f"pid /run/{PLAIN}.pid;\n{text}"
    drill.inside(host, "sh", "-c", f"cat > /run/{PLAIN}.conf", stdin=text)
    drill.inside(
        host,
        "systemd-run",
        f"--unit={PLAIN}",
        "--quiet",
        "--collect",
        "nginx",
        "-c",
        f"/run/{PLAIN}.conf",
        "-g",
        "daemon off;",
    )


def ask(drill: Drill, port: int, key: str, path: str, count: int, at_once: int, *more: str) -> Run:
    """Ask many times by curl, over connections that it keeps."""
    address = control.find(drill.site.gateway.name).address
    name = drill.site.gateway.name
    words = [
        "ip", "netns", "exec", control.store().layout.namespace, "curl", "--no-progress-meter", "--output", "/dev/null",
        "--cacert", str(serving.ca_file(drill.site)), "--connect-to", f"{name}:{port}:{address}:{port}", "--http1.1",
        "--config", "-", "--write-out", "%{http_code} %{time_starttransfer}\\n", *more,
        *(["--parallel", "--parallel-max", str(at_once)] if at_once > 1 else []),
        f"https://{name}:{port}/v1/{path}?[1-{count}]",
    ]  # fmt: skip
    time.sleep(REST_S)
    before = spent_ns(drill, port)
    start = time.monotonic()
    done = subprocess.run(
        words, input=f'header = "Authorization: Bearer {key}"\n', capture_output=True, text=True, check=True
    )  # fmt: skip
    seconds = time.monotonic() - start
    rows = [line.split() for line in done.stdout.splitlines()]
    if wrong := [code for code, _ in rows if code != "200"]:
        sys.exit(f"{len(wrong)} of {count} requests were answered with {', '.join(sorted(set(wrong)))}")
    spent = (spent_ns(drill, port) - before) / count / 1000
    return Run(count / seconds, [float(first) for _, first in rows], spent)


def spent_ns(drill: Drill, port: int) -> int:
    """Return what the programs behind a port have had of a processor since they were started."""
    return int(drill.inside(drill.site.gateway.name, "sh", "-c", SPENT, "spent", *UNITS[port]))


def pairs(drill: Drill) -> None:
    """Gateway and plain nginx in turns."""
    body = ("--json", f'{{"model": "{MODEL}", "prompt": "{QUESTION}", "max_tokens": 1}}')
    rates, adds, tails = [], [], []
    spent: dict[int, list[float]] = {443: [], PLAIN_PORT: []}
    for number in range(PAIRS):
        found = {}
        for port in (443, PLAIN_PORT) if number % 2 else (PLAIN_PORT, 443):
            many = ask(drill, port, drill.keys["local"], "completions", MANY, AT_ONCE, *body)
            found[port] = many, ask(drill, port, drill.keys["local"], "completions", FEW, 1, *body)
        (many, few), (other, alone) = found[443], found[PLAIN_PORT]
        rates.append(many.rate / other.rate)
        adds.append(few.at(0.5) - alone.at(0.5))
        tails.append(few.at(0.99) - alone.at(0.99))
        for at, (all_at_once, _) in found.items():
            spent[at].append(all_at_once.spent_us)
        print(
            f"{many.rate:7.0f} /s, nginx {other.rate:7.0f} /s; first byte {few.at(0.5):.2f} ms, {alone.at(0.5):.2f} ms",
            flush=True,
        )
    print(f"gateway / plain nginx, requests a second, {AT_ONCE} at once: {statistics.median(rates):.2f}")
    ours, plain_us = (statistics.median(spent[it]) for it in (443, PLAIN_PORT))
    print(
        f"processor's time of a request: gateway {ours:.0f} us, plain nginx with TLS {plain_us:.0f} us, "
        f"{ours / plain_us:.2f} times"
    )
    print(f"added to the first byte: p50 {statistics.median(adds):.2f} ms, p99 {statistics.median(tails):.2f} ms")


def keys(drill: Drill) -> None:
    """Few and many tenants in turns."""
    real = tenants.load(serving.tenants_file([drill.site]))
    found: dict[int, list[float]] = {count: [] for count in TENANTS}
    for _ in range(max(3, PAIRS // 4)):
        for count in TENANTS:
            others = tuple(
                tenants.Tenant(
                    name=f"bench-{number}", requests_per_minute=1000,
                    keys=(tenants.Key(id=f"k-{number}", sha256=secrets.token_hex(32), added="2026-01-01T00:00:00Z"),),
                ) for number in range(count)
            )  # fmt: skip
            drill.site.gateway.apply(tenants.Tenants((*real.tenants, *others)))
            found[count].append(ask(drill, 443, drill.keys["local"], "models", FEW, 1).at(0.5))
    few, many = (statistics.median(found[count]) for count in TENANTS)
    print(f"/v1/models with {TENANTS[1]:,} tenants / {TENANTS[0]}: {many / few:.2f} ({many:.2f} ms, {few:.2f} ms)")


def main() -> None:
    """Do all of it, and leave nothing."""
    with prepared(print, begin) as drill, opened(drill, drill.site.gateway.name, PLAIN_PORT):
        try:
            plain(drill)
            drill.until(lambda: drill.state("local") == "UP", "the engine to be up")
            pairs(drill)
            keys(drill)
        finally:
            drill.inside(
                drill.site.gateway.name, "sh", "-c", f"systemctl stop {PLAIN}; rm -f /run/{PLAIN}.conf", check=False
            )


if __name__ == "__main__":
    main()
