"""Asks from many addresses as several tenants, and holds where each is answered, and who is counted, against the rules.

routes.py HOST KEYS-DIRECTORY PERSON-KEY-FILE     prints what was wrong; exit code 1 then
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import itertools
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

TENANTS = {"research": "any", "prefers": "prefer-local", "stays": "local", "abroad": "cloud"}
#: One whose personal data stays; in a request these are some, and the others are none.
CAREFUL = "careful"
PERSONAL: tuple[dict[str, object], ...] = (
    {"prompt": "call 13800138000"},
    {"prompt": "\uff11\uff13\uff18\uff10\uff10\uff11\uff13\uff18\uff10\uff10\uff10"},
    {"user": "13800138000"},
    {"stop": ["x", "138 0013 8000"]},
    {"logit_bias": {"13800138000": 1}},
    {"seed": 13800138000},
)
NOTHING: tuple[dict[str, object], ...] = (
    {},
    {"prompt": "call 138"},
    {"prompt": "\u8bf7\u5047"},
    {"prompt": "x " * 200_000},
)
#: As in molecule.yml.
NETWORKS = {
    "10.9.1.1": "local-only", "10.9.2.1": "local-first", "10.9.3.1": "cloud-first", "10.9.4.1": "cloud-only",
    "10.9.5.1": "local-only", "fd00:9::1": "local-first",
}  # fmt: skip
#: By what a client's proxy says of it: a forged left part counts for nothing.
COUNTRIES = {
    "202.106.0.20": "CN", "18.9.22.69": "US", "192.0.2.1": "", "202.106.0.20, 18.9.22.69": "US", "2001:da8::666": "CN",
    "147.8.0.1": "HK",
}  # fmt: skip


class Client:
    """Clients of the gateway at a host, with the keys of a directory."""

    def __init__(self, host: str, keys: Path) -> None:
        self.host = host
        self.keys = {name: (keys / f"{name}.key").read_text().strip() for name in (*TENANTS, CAREFUL)}
        self.tls = ssl.create_default_context(cafile="/root/ca.pem")

    def begin(self, tenant: str, address: str, **more: object) -> http.client.HTTPSConnection:
        """Send a request, and do not wait for its answer."""
        link = http.client.HTTPSConnection(self.host, context=self.tls, timeout=60)
        body = json.dumps({"model": "echo", "prompt": "x", **more})
        link.request("POST", "/v1/completions", body, {
            "Authorization": f"Bearer {self.keys[tenant]}", "X-Forwarded-For": address, "X-Dualtrack-Country": "CN",
            "Content-Type": "application/json",
        })  # fmt: skip
        return link

    def ask(self, tenant: str, address: str, **more: object) -> str:
        """Return the track that answers, or why none does."""
        link = self.begin(tenant, address, **more)
        answer = link.getresponse()
        data = answer.read()
        link.close()
        if answer.status == 200:
            return answer.headers["x-dualtrack-track"]
        error = json.loads(data)["error"]
        return f"{answer.status} {error['code'] or error['message']}"


def right(tenant: str, network: str, country: str, up: dict[str, bool]) -> str:
    """Return where a request must be answered."""
    stays = TENANTS[tenant] == "local" or network == "local-only"
    leaves = TENANTS[tenant] == "cloud" or network == "cloud-only"
    if stays and leaves:
        return "503 no_track"
    if stays or leaves:
        only = "local" if stays else "cloud"
        return only if up[only] else f"503 no_{only}_engine"
    if not any(up.values()):
        return "503 no engine can answer now"
    first = "local" if country == "CN" or TENANTS[tenant] == "prefer-local" else "cloud"
    first = network.partition("-")[0] or first
    return first if up[first] else next(it for it in up if it != first)


def steer(*words: str) -> None:
    """Say a word to the gateway, as its operator does."""
    subprocess.run(["dualtrack-gateway", *words], check=True, stdout=subprocess.DEVNULL)


def wrong_routes(client: Client) -> list[str]:
    """Ask everything, with both tracks, either, and none."""
    addresses = [(it, network, "") for it, network in NETWORKS.items()]
    addresses += [(it, "", country) for it, country in COUNTRIES.items()]
    found = []
    for held in ((), ("local",), ("cloud",), ("local", "cloud")):
        for track in held:
            steer("hold", track)
        up = {track: track not in held for track in ("local", "cloud")}
        for tenant, (address, network, country) in itertools.product(TENANTS, addresses):
            said, must = client.ask(tenant, address), right(tenant, network, country, up)
            if said != must:
                found.append(f"{tenant} from {address} with {held} held: {said}, must be {must}")
        for track in held:
            steer("release", track)
    return found


#: In JSON by Python it has escapes and no letter of its own.
WRITTEN_OUT = "\u5f20/\u00e9"


def digest(key: str, tenant: str, who: str) -> str:
    """Return what stands for a person."""
    year = time.gmtime(time.time() + 8 * 3600).tm_year
    return hmac.new(key.encode(), f"{year}/{tenant}/{who}".encode(), hashlib.sha256).hexdigest()[:16]


def wrong_counts(client: Client, key: str) -> list[str]:
    """Name persons in requests that leave and in others; one client gives up while the engine works on it."""
    abroad, here = "18.9.22.69", "202.106.0.20"
    for user in ("ann", "bo", "ann", WRITTEN_OUT):
        client.ask("research", abroad, user=user)
    client.ask("research", abroad, safety_identifier="chen", user="not this one")
    client.ask("research", abroad, user="")
    client.ask("research", abroad, user={"no": "name"})
    client.ask("research", here, user="remains")
    client.ask("stays", abroad, user="remains")
    client.ask("abroad", here, user="ann")
    engine = int(subprocess.check_output(["systemctl", "show", "--value", "--property=MainPID", "echo-c"]))
    os.kill(engine, signal.SIGSTOP)
    try:
        link = client.begin("research", abroad, user="gives up")
        time.sleep(2)  # the router has sent it on by then; the engine has nothing to say
        link.close()
    finally:
        os.kill(engine, signal.SIGCONT)
    keys = {it: f"k/{hashlib.sha256(text.encode()).hexdigest()}" for it, text in client.keys.items()}
    must = {
        "named": {digest(key, "research", f"u/{it}") for it in ("ann", "bo", "chen", "gives up", WRITTEN_OUT)},
        "keys": {digest(key, it, keys[it]) for it in ("research", "prefers")},
        "sensitive_named": {digest(key, "abroad", "u/ann")},
        "sensitive_keys": {digest(key, "abroad", keys["abroad"])},
    }
    for _ in range(50):
        said = json.loads(subprocess.check_output(["dualtrack-gateway", "persons"]))
        wrong = [f"{it}: {sorted(said[it])}, must be {sorted(must[it])}" for it in must if set(said[it]) != must[it]]
        if not wrong:
            break
        time.sleep(0.2)
    return wrong


def wrong_screens(client: Client) -> list[str]:
    """Ask with personal data and without, and where nobody can tell."""
    abroad, only_abroad = "18.9.22.69", "10.9.4.1"
    found = []

    def hold(what: str, must: str, tenant: str, address: str, more: dict[str, object]) -> None:
        if (said := client.ask(tenant, address, **more)) != must:
            found.append(f"{tenant} from {address}, {what}, with {str(more)[:60]}: {said}, must be {must}")

    for more in PERSONAL:
        hold("personal data", "local", CAREFUL, abroad, more)
        hold("personal data", "400 personal_data", CAREFUL, only_abroad, more)
        hold("who did not ask for it", "cloud", "research", abroad, more)
    for more in NOTHING:
        hold("nothing personal", "cloud", CAREFUL, abroad, more)
    steer("hold", "local")
    hold("the local track held", "503 no_local_engine", CAREFUL, abroad, PERSONAL[0])
    hold("the local track held", "cloud", CAREFUL, abroad, NOTHING[0])
    steer("release", "local")
    unit = "dualtrack-gateway-screen"
    subprocess.run(["systemctl", "kill", "--signal=STOP", unit], check=True)
    hold("nobody tells for long", "local", CAREFUL, abroad, NOTHING[0])
    subprocess.run(["systemctl", "kill", "--signal=KILL", unit], check=True)
    # systemd holds the socket: what is asked meanwhile waits for the service to come back, and is told right.
    hold("it was killed", "local", CAREFUL, abroad, PERSONAL[0])
    for _ in range(100):
        if client.ask(CAREFUL, abroad) == "cloud":
            return found
        time.sleep(0.2)
    return [*found, "what was killed did not come back"]


def main(host: str, keys: Path, key: str) -> int:
    """Ask, and say what was wrong."""
    client = Client(host, keys)
    wrong = [*wrong_routes(client), *wrong_counts(client, key), *wrong_screens(client)]
    print("\n".join(wrong) or "all as it must be")
    return bool(wrong)


sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]).read_text().strip()))
