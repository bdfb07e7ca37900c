"""The knowledge base answers over TLS to whoever has a token, and to nobody else; what it keeps is its own."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from dualtrack.verify import certificates

SERVICE, TLS, INGEST = (f"dualtrack-knowledge{it}.service" for it in ("", "-tls", "-ingest"))
USER = "dualtrack-knowledge"
PARSERS, PARSER = "dualtrack-knowledge-parser.socket", "dualtrack-kb-parser"
SOCKET = "/run/dualtrack-knowledge-parser/parser.sock"
SETTINGS = "/etc/dualtrack/knowledge"
#: Seconds for a small directory to be taken in, just after the play.
PATIENCE_S = 120


def state(host: Any, unit: str) -> str:
    """Return the state of a unit, as systemd calls it."""
    return str(host.check_output("systemctl show --property ActiveState --value %s", unit))


def address(hostvars: dict[str, Any]) -> str:
    """Return where people connect to."""
    return f"{hostvars['knowledge_base_address'] or hostvars['ansible_host']}:{hostvars['knowledge_base_port']}"


@pytest.fixture
def url(host: Any, hostvars: dict[str, Any]) -> str:
    """The service's address; skip where nothing is taken in yet, fail where it should answer and does not."""
    until = time.monotonic() + PATIENCE_S
    while state(host, INGEST) == "activating" and time.monotonic() < until:
        time.sleep(1)
    if state(host, INGEST) == "activating":
        pytest.skip("documents are being taken in")
    if host.run("test -e %s/current", hostvars["knowledge_base_dir"]).rc:
        said = host.check_output("journalctl --boot --quiet --lines 3 --output cat --unit %s", INGEST)
        assert not hostvars["knowledge_base_collections"], f"nothing was taken in: {said}"
        pytest.skip("no documents are named for it")
    while state(host, SERVICE) != "active" and time.monotonic() < until:
        time.sleep(1)
    said = host.check_output("journalctl --boot --quiet --lines 3 --output cat --unit %s", SERVICE)
    assert state(host, SERVICE) == "active", said
    return f"https://{address(hostvars)}"


def ask(host: Any, url: str, *words: str) -> tuple[int, str]:
    """Ask, and return the status and the answer. Whose certificate it is, clients know (molecule asks as one)."""
    wanted = ["curl", "--silent", "--insecure", "--max-time", "60", "--write-out", "\\n%{http_code}", *words, url]
    text, _, status = host.check_output(" ".join(["%s"] * len(wanted)), *wanted).rpartition("\n")
    return int(status), text


def test_it_answers_by_tls_alone(host: Any, hostvars: dict[str, Any], url: str) -> None:
    """It is ready; without TLS nothing is said; what is counted is for those who are named."""
    assert ask(host, f"{url}/health") == (200, '{"ready":true}')
    plain = host.run("curl --silent --max-time 5 %s/health", url.replace("https", "http"))
    assert plain.rc or "ready" not in plain.stdout
    for path in ("/metrics", "/%6detrics", "//metrics", "/./metrics"):
        assert hostvars["knowledge_base_metrics_from"] or ask(host, url + path, "--path-as-is")[0] == 404, path


def test_who_has_no_token_is_refused(host: Any, url: str) -> None:
    """Without a token, or with one that nobody signed, nothing is found."""
    forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0."
    for words in ((), ("--header", "Authorization: Bearer x"), ("--header", f"Authorization: Bearer {forged}")):
        status, text = ask(host, f"{url}/v1/search", *words, "--data", '{"question": "x"}')
        assert (status, json.loads(text)["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.usefixtures("url")
def test_rights(host: Any, hostvars: dict[str, Any]) -> None:
    """It runs as a user of its own, without capabilities; what it keeps and its key are for nobody else."""
    pid = host.check_output("systemctl show --property MainPID --value %s", SERVICE)
    assert host.check_output("stat --format %%U /proc/%s", pid) == USER
    assert int(host.check_output(f"sed -n 's/^CapPrm:\\s*//p' /proc/{pid}/status"), 16) == 0
    assert host.service(SERVICE).is_enabled
    assert host.service(TLS).is_enabled
    assert host.run("runuser -u nobody -- ls %s", hostvars["knowledge_base_dir"]).rc
    for user in ("nobody", USER):
        assert host.run("runuser -u %s -- cat %s/gateway-key", user, SETTINGS).rc, f"{user} reads the gateway's key"
    listening = host.check_output(f"ss -Hltn 'sport = :{hostvars['knowledge_base_port']}'").splitlines()
    assert {line.split()[3] for line in listening} == {address(hostvars)}


#: Connects as the ingestion does, and prints what the process says once it is ready, and whose it is.
ASKS = """
import socket, struct
link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
link.settimeout(60)
link.connect("%s")
link.send(b"txt")
print(link.recv(1000).decode())
"""


def test_documents_are_read_by_an_account_without_files(host: Any) -> None:
    """Only the ingestion connects to it; it is ready, which it is not without its list of calls; it owns nothing."""
    assert host.service(PARSERS).is_running
    assert host.service(PARSERS).is_enabled
    assert host.check_output("stat --format '%%U %%G %%a' %s", SOCKET) == f"root {USER} 660"
    asks = ASKS % SOCKET
    assert host.check_output("runuser -u %s -- python3 -c %s", USER, asks).startswith("+")
    assert host.run("runuser -u nobody -- python3 -c %s", asks).rc
    assert host.check_output("id --groups --name %s", PARSER) == PARSER
    owned = host.check_output(r"find / -xdev \( -user %s -o -group %s \) -print", PARSER, PARSER)
    assert owned == ""
    unit = host.check_output("systemctl show --property User --value dualtrack-knowledge-parser@x.service")
    assert unit == PARSER


def test_token_is_issued_to_people_alone(host: Any, hostvars: dict[str, Any], url: str) -> None:
    """Each in the name of the account that asks; the key is root's, and the socket lies in root's directory."""
    assert host.check_output("stat --format '%%U %%a' %s/own-token.key", SETTINGS) == "root 600"
    assert host.check_output("stat --format '%%U %%a' %s", "/run/dualtrack-knowledge-token") == "root 755"
    done = host.run("runuser -u nobody -- dualtrack-kb-token")
    assert (done.rc, done.stdout, done.stderr) == (1, "", "nobody is not among the people of this knowledge base\n")
    for name in hostvars["knowledge_base_people"]:
        if host.user(name).exists:
            token = host.check_output("runuser -u %s -- dualtrack-kb-token", name)
            status, text = ask(host, f"{url}/v1/me", "--header", f"Authorization: Bearer {token}")
            assert (status, json.loads(text)["name"]) == (200, name)


def test_certificate_is_good_and_in_use(host: Any, hostvars: dict[str, Any]) -> None:
    """What people's programs see is good for another week, and the newest."""
    name, _, port = address(hostvars).rpartition(":")
    assert certificates.served(host, f"{SETTINGS}/tls.pem", name, int(port)) == ""
