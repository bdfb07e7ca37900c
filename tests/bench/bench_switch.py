"""What it takes to change a model's version on a host: seconds of each part, beside rclone and a restart.

On a serving host of the local track of the lab (`make up`). Pull: `dualtrack-store pull` of a version that is not
there, each part checked as it comes, and in its place whole; check: all of it once more; ready: from the start of the
service to a right answer to its probe; drain: from the stop of the service, with a stream running, to its end;
`serving_leave_s` of that (12 s in the lab) are for gateways to learn it. The peer copies the same bytes by rclone from
the same S3, and starts the same engine until its port says that it is well.
    bench_switch.py [rounds]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

from dualtrack.core.proc import run
from dualtrack.lab import control, site_models
from dualtrack.tracks import serving

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
ADDRESS = "s3://dualtrack-lab-models/smollm2@bench"
ENDPOINT = "http://169.254.169.250:5000"
PLACE = "/var/lib/dualtrack-bench"
PORT, NAME = 8099, "bench-switch"
SETTINGS = f"/etc/dualtrack/serving/{NAME}.json"
UNIT = f"/run/systemd/system/dualtrack-serving-{NAME}.service"
AWS = f"AWS_SHARED_CREDENTIALS_FILE={PLACE}/aws-credentials AWS_DEFAULT_REGION=us-east-1"
RCLONE = f":s3,provider=Other,endpoint='{ENDPOINT}',env_auth=true,region=us-east-1:dualtrack-lab-models"


def shell(host: str, text: str) -> str:
    """Run a program of the shell as root inside a host."""
    return run(control.exec_command(host, ["bash", "-euo", "pipefail", "-c", text]), timeout=600).stdout


def timed(what: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    begin = time.monotonic()
    what()
    return time.monotonic() - begin


def prepare(host: str, model: str) -> None:
    """Have a second service of the model's kind on the host, which holds the version that is pulled here."""
    site_models.push(print, ADDRESS)
    facts = json.loads(shell(host, f"cat /etc/dualtrack/serving/{model}.json"))
    facts.update(port=PORT, drain_s=60)
    shell(host, f"install -d -o models -g models -m 2755 {PLACE} && apt-get install -qq --yes rclone >/dev/null")
    shell(host, f"install -o models -m 600 -t {PLACE} /root/aws-credentials")
    shell(host, f"cat > {SETTINGS} <<'END'\n{json.dumps(facts)}\nEND")
    shell(
        host, f"sed -e 's|^ExecStart=.*|ExecStart=/usr/local/bin/dualtrack-store hold --cache {PLACE}/cache {ADDRESS}"
        f" -- /usr/local/lib/dualtrack/serving/llamacpp-engine {SETTINGS}|'"
        f" /etc/systemd/system/dualtrack-serving-{model}.service > {UNIT} && systemctl daemon-reload",
    )  # fmt: skip


def ours(host: str) -> dict[str, float]:
    """Return the seconds of each part of the change as it is made here."""
    store = f"runuser -u models -- env {AWS} dualtrack-store"  # who fills the cache of the role, too
    shell(host, f"rm -rf {PLACE}/cache")
    found = {"pull": timed(lambda: shell(host, f"{store} pull {ADDRESS} --endpoint {ENDPOINT} --cache {PLACE}/cache"))}
    found["check"] = timed(lambda: shell(host, f"{store} verify --cache {PLACE}/cache"))
    found["ready"] = timed(lambda: shell(host, f"systemctl start dualtrack-serving-{NAME}"))
    body = json.dumps({"prompt": "Once upon a time", "max_tokens": 64, "ignore_eos": True, "stream": True})
    ask = (
        'key=$(cat /etc/dualtrack/serving/api-key); curl --silent --no-buffer --header "Authorization: Bearer $key"'
        f" --json '{body}' http://127.0.0.1:{PORT}/v1/completions > {PLACE}/said & sleep 0.5;"
        f" systemctl stop dualtrack-serving-{NAME}; wait; grep -c '^data: {{' {PLACE}/said"
    )
    begin = time.monotonic()
    pieces = int(shell(host, ask))
    found["drain"] = time.monotonic() - begin - 0.5
    if pieces < 64:
        sys.exit(f"the running stream was cut after {pieces} of 64 tokens")
    return found


def theirs(host: str) -> dict[str, float]:
    """Return the seconds of a copy by rclone, and of a start that is over when the port says that it is well."""
    shell(host, f"rm -rf {PLACE}/copy")
    found = {
        "rclone copy": timed(lambda: shell(host, f'{AWS} rclone copy --quiet "{RCLONE}/smollm2/bench" {PLACE}/copy'))
    }
    well = f"curl --silent --fail --output /dev/null http://127.0.0.1:{PORT}/health"
    start = (
        f"systemctl start --no-block dualtrack-serving-{NAME};"
        f" for _ in $(seq 600); do ! {well} || break; sleep 0.05; done"
    )
    found["restart, port is well"] = timed(lambda: shell(host, start))
    shell(host, f"systemctl kill --signal KILL dualtrack-serving-{NAME}; systemctl stop dualtrack-serving-{NAME}")
    return found


def main() -> None:
    """Measure in turns, and leave nothing on the host but the package rclone."""
    inventory = serving.read_inventory(serving.deployment.inventories())
    known = serving.engines(inventory, "local").items()
    model, facts = next((name, it) for name, it in known if it.api == "completions")
    host = next(iter(facts.engines.values())).host
    prepare(host, model)
    try:
        rows = [{**ours(host), **theirs(host)} for _ in range(ROUNDS)]
    finally:
        shell(
            host, f"systemctl stop dualtrack-serving-{NAME}; rm -rf {UNIT} {SETTINGS} {PLACE}; systemctl daemon-reload"
        )
    median = {part: statistics.median(row[part] for row in rows) for part in rows[0]}
    for part, seconds in median.items():
        print(f"{part:24} {seconds:6.2f} s")
    print(f"pull and check / rclone copy: {(median['pull'] + median['check']) / median['rclone copy']:.2f}")
    print(f"ready by a right answer / port is well: {median['ready'] / median['restart, port is well']:.2f}")


if __name__ == "__main__":
    main()
