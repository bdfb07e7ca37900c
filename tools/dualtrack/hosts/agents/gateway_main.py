"""The command line of a gateway's program: `dualtrack-gateway`, installed by the role gateway.

    apply, status, save    see `gateway`; apply writes the table of tracks, too (`gateway_routes`)
    engines TRACK          see `gateway_engines`
    account, tokens        see `gateway_tokens`
    countries DAYS WORD…   see `gateway_countries`
    persons [YEAR]         see `gateway_persons`
    switch, hold, drain, release, steering    see `gateway_steering`

Exit codes: 0; 1 HAProxy or the system refused; 2 the input is wrong, and nothing was touched.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from dualtrack.hosts.agents import (
    gateway,
    gateway_countries,
    gateway_engines,
    gateway_persons,
    gateway_routes,
    gateway_steering,
    gateway_tokens,
)

USAGE = (
    "usage: dualtrack-gateway apply < maps.json | status | save | account | tokens | steering"
    " | engines local|cloud < engines.json | switch local|cloud|usual | hold local|cloud | drain ENGINE [MODEL]"
    " | release local|cloud|ENGINE [MODEL] | countries DAYS WORD... | persons [YEAR]"
)


def main(words: Sequence[str]) -> int:
    """Do what the command line says and return the exit code."""
    try:
        match list(words):
            case ["apply"]:
                applied = gateway.apply(sys.stdin.buffer.read(gateway.INPUT_BYTES + 1))
                done: object = {**applied, "changed": gateway_routes.install() or applied["changed"]}
            case ["status"]:
                done = gateway.status()
            case ["save"]:
                done = gateway.save()
            case ["engines", ("local" | "cloud") as track]:
                done = gateway_engines.apply(track, sys.stdin.buffer.read(gateway_engines.INPUT_BYTES + 1))
            case ["account"]:
                gateway_tokens.account()
            case ["tokens"]:
                done = gateway_tokens.tokens()
            case ["countries", days, *path]:
                done = gateway_countries.take(days, path)
            case ["persons"]:
                done = gateway_persons.persons()
            case ["persons", year] if year.isdecimal():
                done = gateway_persons.persons(int(year))
            case ["steering"]:
                done = gateway_steering.steering()
            case ["switch", what]:
                done = gateway_steering.switch(what)
            case ["hold", what]:
                done = gateway_steering.hold(what)
            case ["drain", what, *model] if len(model) <= 1:
                done = gateway_steering.drain(what, model=next(iter(model), None))
            case ["release", what, *model] if len(model) <= 1:
                done = gateway_steering.release(what, model=next(iter(model), None))
            case _:
                raise gateway.BadInput(USAGE)
    except (gateway.BadInput, gateway.Refused, gateway.NotRunning, OSError) as error:
        said = ascii(" ".join(str(error).split())[:300])[1:-1]
        print(f"dualtrack-gateway: {said}", file=sys.stderr)
        return 2 if isinstance(error, gateway.BadInput) else 1
    print(json.dumps(done))
    return 0
