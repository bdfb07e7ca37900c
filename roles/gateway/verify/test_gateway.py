"""The gateway answers by TLS, knows nobody without a key, and shows nothing but the four paths."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from dualtrack.verify import certificates

CERTIFICATE = "/etc/dualtrack/gateway/gateway.pem"
ADMIN = "/run/haproxy/admin.sock"
#: Seconds that engines get to load their models and to be found well: enough for small ones, just after the play.
PATIENCE_S = 120


def ask(host: Any, hostvars: dict[str, Any], path: str, *words: str) -> tuple[int, dict[str, Any]]:
    """Ask the gateway as a client on this host does; return the status and the answer's JSON."""
    name = (
        host.check_output("openssl x509 -noout -ext subjectAltName -in %s", CERTIFICATE).split("DNS:")[1].split(",")[0]
    )
    port = hostvars["gateway_port"]
    url = f"https://{name.strip()}:{port}{path}"
    ca = "--insecure" if hostvars.get("gateway_certificate") else f"--cacert {CERTIFICATE}"
    done = host.run(
        f"curl --silent --max-time 30 {ca} --resolve %s --write-out '\\n%%{{http_code}}' {'%s ' * len(words)}%s",
        f"{name.strip()}:{port}:127.0.0.1", *words, url,
    )  # fmt: skip
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body) if body else {}


def test_who_has_no_key_is_refused(host: Any, hostvars: dict[str, Any]) -> None:
    """Without a key, with a wrong one, or with one in the query nobody is answered, in the shape that clients know."""
    for words in ((), ("--header", "Authorization: Bearer wrong")):
        status, answer = ask(host, hostvars, "/v1/models?api_key=wrong", *words)
        assert (status, answer["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("path", ["/", "/metrics", "/health", "/v1/responses", "/v1/models/../../metrics", "/v1/files"])
def test_only_four_paths(host: Any, hostvars: dict[str, Any], path: str) -> None:
    """Engines have more paths, some of them without a key: none of them is reached."""
    status, answer = ask(host, hostvars, path, "--path-as-is", "--header", "Authorization: Bearer x")
    assert (status, answer["error"]["message"]) == (404, "there is nothing here")


def test_the_api_is_described(host: Any, hostvars: dict[str, Any]) -> None:
    """Whoever asks gets the document, without a key; the paths in it are those that are let through."""
    status, answer = ask(host, hostvars, "/openapi.json")
    assert status == 200
    paths = {f"/v1/{it}" for it in ("chat/completions", "completions", "embeddings", "models")}
    assert set(answer["paths"]) == paths


ROUTER, SCREEN = "/run/dualtrack-gateway-router/router.sock", "/var/lib/haproxy/dualtrack/screen.sock"


@pytest.mark.parametrize(("path", "group"), [(ROUTER, "www-data"), (SCREEN, "haproxy"), (ADMIN, "root")])
def test_services_behind_the_front_are_reached_by_their_caller_alone(host: Any, path: str, group: str) -> None:
    """Each is a Unix socket for one group; nobody else may ask it, and nobody but root can put another in its place."""
    assert host.check_output("stat --format %%G %s", path) == group
    assert int(host.check_output("stat --format %%a %s", path), 8) & 0o007 == 0
    asks = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    assert host.run("runuser -u nobody -- python3 -c %s %s", asks, path).rc != 0
    for takes in ("os.unlink(sys.argv[1])", "socket.socket(socket.AF_UNIX).bind(sys.argv[1] + '.other')",
                  "os.rename(sys.argv[1], sys.argv[1] + '.other')"):  # fmt: skip
        done = host.run("runuser -u nobody -- python3 -c %s %s", f"import os, socket, sys; {takes}", path)
        assert "PermissionError" in done.stderr, takes
    if path != ADMIN:
        assert host.check_output("stat --format %%U %s", path.rpartition("/")[0]) == "root"
        assert int(host.check_output("stat --format %%a %s", path.rpartition("/")[0]), 8) & 0o022 == 0


def test_nothing_of_the_gateway_listens_on_loopback(host: Any) -> None:
    """What would, is whoever has the port: a client on this host could say of itself what only the front may say."""
    listening = host.check_output("ss -Hltnp '( src 127.0.0.1 or src [::1] )'")
    assert "haproxy" not in listening
    assert "dualtrack-pii" not in listening


def test_who_asked_for_what_is_not_to_be_read(host: Any) -> None:
    """The log, the count of tokens and the maps are root's (and those of who keeps logs)."""
    for path in (
        "/var/log/nginx/requests.log",
        "/var/lib/dualtrack/gateway/tokens.json",
        "/etc/dualtrack/gateway/maps/keys.map",
    ):
        if host.file(path).exists:
            assert host.run("runuser -u nobody -- cat %s", path).rc != 0, path


def test_it_is_seen_which_requests_hold_personal_data(host: Any) -> None:
    """What the router asks tells one from the other; its memory has a bound."""
    program = (
        "import socket, sys\n"
        'for body in (b\'{"prompt": "good morning"}\', b\'{"prompt": "call 13800138000"}\'):\n'
        "    link = socket.socket(socket.AF_UNIX)\n"
        "    link.settimeout(20)\n"
        "    link.connect(sys.argv[1])\n"
        '    link.sendall(len(body).to_bytes(8, "big") + body)\n'
        '    print(link.recv(1).decode(), end="")\n'
    )
    assert host.check_output("python3 -c %s %s", program, SCREEN) == "01"
    assert host.check_output("systemctl show --property MemoryMax --value dualtrack-gateway-screen") != "infinity"


def test_engines_answer(host: Any, hostvars: dict[str, Any]) -> None:
    """Every model has an engine that gives the right answer to its probe."""
    models = {model["name"] for model in hostvars["gateway_models"]}
    if not models:
        pytest.skip("no model is named for this host")
    until = time.monotonic() + PATIENCE_S
    while True:
        engines = json.loads(host.check_output("dualtrack-gateway status"))["engines"]
        missing = models - {it["model"] for it in engines if it["state"] == "UP"}
        if not missing or time.monotonic() > until:
            break
        time.sleep(1)
    assert not missing, engines


def test_certificates_are_good_and_in_use(host: Any, hostvars: dict[str, Any]) -> None:
    """What clients see, and what engines see, is good for another week; clients see the newest."""
    assert certificates.served(host, CERTIFICATE, "127.0.0.1", int(hostvars["gateway_port"])) == ""
    if hostvars.get("gateway_ca_dir"):
        assert certificates.ending(host, "/etc/dualtrack/gateway/client.pem") == ""
