"""Each model answers correctly behind its key, and is reached where it shall be; its key is nowhere to be read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dualtrack.verify import certificates

STORE = "/usr/local/bin/dualtrack-store"
KEY = "/etc/dualtrack/serving/api-key"
#: Seconds that an engine gets to load its model: enough for a small one, just after the play.
PATIENCE_S = 60
#: A question as root: the key goes by a file, not by the command line.
ASK = """\
import json, sys, urllib.error, urllib.request
key, url, body = open(sys.argv[1]).read().strip() if sys.argv[1] else "", sys.argv[2], sys.argv[3]
request = urllib.request.Request(url, body.encode() or None, {"Authorization": "Bearer " + key})
try:
    with urllib.request.urlopen(request, timeout=60) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""


def service(model: dict[str, Any]) -> str:
    """Return the name of a model's service."""
    return f"dualtrack-serving-{model['name']}.service"


def called(model: dict[str, Any]) -> str:
    """Return what clients call a model."""
    return str(model.get("answers_as") or model["name"])


def state(host: Any, model: dict[str, Any]) -> str:
    """Return the state of a model's service, as systemd calls it."""
    return str(host.check_output("systemctl show --property ActiveState --value %s", service(model)))


def serving(host: Any, hostvars: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the models that serve now; skip where one is on its way, fail where one is not."""
    if not hostvars["serving_models"]:
        pytest.skip("no model is named for this host")
    until = time.monotonic() + PATIENCE_S
    for model in hostvars["serving_models"]:
        while (found := state(host, model)) in ("activating", "deactivating") and time.monotonic() < until:
            time.sleep(1)
        if found != "active":
            said = host.check_output("journalctl --boot --quiet --lines 3 --output cat --unit %s", service(model))
            tried = int(host.check_output("systemctl show --property NRestarts --value %s", service(model)))
            hold = host.run("runuser -u dualtrack-serve -g models -- %s hold %s -- true", STORE, model["source"])
            if found == "activating" and (hold.rc != 0 or not tried):
                pytest.skip(f"{model['name']} is on its way: {said}")
            pytest.fail(f"{model['name']} is {found}: {said}")
        yield model


def ask(host: Any, model: dict[str, Any], path: str, key: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    """Ask a model; return the status and the answer."""
    url, text = f"http://127.0.0.1:{model['port']}{path}", json.dumps(body) if body else ""
    status, _, answer = host.check_output("python3 -c %s %s %s %s", ASK, key, url, text).partition(" ")
    return int(status), answer


def probe(model: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return where a model is asked its probe, and the body: what is nearest, or how a text continues."""
    prompt, expected = model["probe"]["prompt"], model["probe"]["expected"]
    if model["engine"] == "triton":
        return "/v1/rerank", {"model": called(model), "query": prompt, "documents": ["bread", expected], "top_n": 1}
    return "/v1/completions", {"model": called(model), "prompt": prompt, "max_tokens": 16, "temperature": 0}


def test_answer(host: Any, hostvars: dict[str, Any]) -> None:
    """Every model continues the text of its probe as it should, or finds what is nearest to it."""
    for model in serving(host, hostvars):
        path, body = probe(model)
        status, answer = ask(host, model, path, KEY, body)
        assert status == 200, answer
        found = json.loads(answer)
        text = found["results"][0]["document"]["text"] if "results" in found else found["choices"][0]["text"]
        assert model["probe"]["expected"] in text


def test_who_has_no_key_is_refused(host: Any, hostvars: dict[str, Any]) -> None:
    """Without the key nothing is answered, and other users of the host cannot find it."""
    for model in serving(host, hostvars):
        path, body = probe(model)
        status, answer = ask(host, model, path, "", body)
        assert status == 401, answer
        pid = host.check_output("systemctl show --property MainPID --value %s", service(model))
        shown = f"tr '\\0' '\\n' < /proc/{pid}/cmdline; tr '\\0' '\\n' < /proc/{pid}/environ"
        assert host.run(f"{{ {shown}; }} | grep -qFf {KEY}").rc == 1, (
            "the key is in the command line or the environment"
        )
        for user in ("nobody", "dualtrack-serve"):
            assert host.run("runuser -u %s -- cat %s", user, KEY).rc != 0, f"{user} reads the key"


def test_where_it_is_reached(host: Any, hostvars: dict[str, Any]) -> None:
    """Engines listen on loopback; on the host's address is nothing but what takes TLS from gateways, where they are."""
    for model in serving(host, hostvars):
        wanted = {f"{it}:{model['port']}" for it in ("127.0.0.1", hostvars["serving_address"]) if it}
        listening = host.check_output(f"ss -Hltn 'sport = :{model['port']}'").splitlines()
        assert {line.split()[3] for line in listening} == wanted


def test_rights(host: Any, hostvars: dict[str, Any]) -> None:
    """Engines run as a user of their own, without capabilities, and start after a reboot."""
    for model in serving(host, hostvars):
        pid = host.check_output("systemctl show --property MainPID --value %s", service(model))
        assert host.check_output("stat --format %%U /proc/%s", pid) == "dualtrack-serve"
        assert int(host.check_output(f"sed -n 's/^CapPrm:\\s*//p' /proc/{pid}/status"), 16) == 0
        assert host.service(service(model)).is_enabled


#: Sends a packet to a network that is nobody's (RFC 5737); the kernel says at once whether it may.
SENDS = 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9))'


def test_engines_reach_nothing_but_this_host(host: Any, hostvars: dict[str, Any]) -> None:
    """What runs as the engines' user cannot send a packet from the host; root can, so that it is not the route."""
    if not hostvars["serving_models"]:
        pytest.skip("no model is named for this host")
    assert host.run("python3 -c %s", SENDS).rc == 0, "this host has no route to other networks"
    said = host.run("runuser -u dualtrack-serve -- python3 -c %s", SENDS)
    assert "PermissionError" in said.stderr, said.stderr


def test_who_reaches_engines(host: Any, hostvars: dict[str, Any]) -> None:
    """The packet filter takes connections to engines from gateways alone, where they are named, and has a unit."""
    assert host.service("dualtrack-engines-firewall").is_enabled
    rules = host.check_output("nft list table inet dualtrack_serving")
    if hostvars["serving_models"] and hostvars["serving_address"] and hostvars["serving_clients"]:
        for client in hostvars["serving_clients"]:
            assert client in rules
        assert "drop" in rules.partition("chain input")[2].partition("chain output")[0]


def test_engines_have_a_bound_of_memory(host: Any, hostvars: dict[str, Any]) -> None:
    """An engine that takes more than it said ends itself, not the host."""
    for model in serving(host, hostvars):
        bound = host.check_output("systemctl show --property MemoryMax --value %s", service(model))
        assert bound.isdigit(), bound


def test_certificate_is_good_and_in_use(host: Any, hostvars: dict[str, Any]) -> None:
    """What gateways see is good for another week, and the newest."""
    if not hostvars["serving_models"] or not hostvars["serving_address"]:
        pytest.skip("no gateway connects to this host")
    address, port = hostvars["serving_address"], int(hostvars["serving_models"][0]["port"])
    assert certificates.served(host, "/etc/dualtrack/serving/tls.pem", address, port) == ""
