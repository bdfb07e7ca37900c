"""Asks the knowledge base as several people, and holds what each gets against what they may see.

asks.py ADDRESS TOKENS [another-model|cluster-away]

ADDRESS is HOST:PORT, TOKENS a directory with a token in NAME.token for each; the authority is /root/ca.pem. Prints what
was wrong, and fails then. With `another-model`, waits until another one answers, which knows several languages; with
`cluster-away`, sees that a cluster which does not answer is asked, and said.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import time
from pathlib import Path

ADDRESS, TOKENS = sys.argv[1], Path(sys.argv[2])
TLS = ssl.create_default_context(cafile="/root/ca.pem")
PEOPLE, SETTINGS = Path("/etc/dualtrack/knowledge/people.json"), Path("/etc/dualtrack/knowledge/service.json")
#: By the labels in molecule.yml and the people in inventories/access.yml.
SEES = {
    "bo": {"it/backups.md", "it/hostile.md"}, "chen": {"it/backups.md", "it/hostile.md", "hr/leave.md"},
    "anna": {"it/backups.md", "it/hostile.md", "hr/leave.md"}, "dina": {"it/backups.md", "it/hostile.md"},
}  # fmt: skip
UNIT = "dualtrack-knowledge.service"


def ask(method: str, path: str, body: object = None, token: str = "") -> tuple[int, str]:
    """Return the status and the text of an answer."""
    link = http.client.HTTPSConnection(ADDRESS, context=TLS, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"} if token else {}
    link.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = link.getresponse()
    text = answer.read().decode()
    link.close()
    return answer.status, text


def seen(name: str, question: str) -> set[str]:
    """Return the documents that a person is shown, by both ways, which must show the same."""
    token = (TOKENS / f"{name}.token").read_text().strip()
    status, text = ask("POST", "/v1/search", {"question": question, "count": 50}, token)
    assert status == 200, text
    found = {f"{it['collection']}/{it['source']}" for it in json.loads(text)["hits"]}
    status, text = ask("POST", "/retrieval", {"query": question, "knowledge_id": "knowledge",
                                              "retrieval_setting": {"top_k": 50}}, token)  # fmt: skip
    assert status == 200, text
    other = {f"{it['metadata']['collection']}/{it['title']}" for it in json.loads(text)["records"]}
    assert found == other, (found, other)
    assert "13800138000" not in text
    return found


def until(right: object, what: str) -> None:
    """Wait until a function returns something true."""
    for _ in range(900):  # a busy machine needs more than the second that it usually takes
        if right():  # type: ignore[operator]
            return
        time.sleep(0.2)
    sys.exit(f"not in three minutes: {what}")


def ready() -> bool:
    """Return whether the service answers."""
    try:
        return ask("GET", "/health") == (200, '{"ready":true}')
    except OSError:
        return False


def records() -> list[dict[str, object]]:
    """Return what the journal has of answers."""
    words = ["journalctl", "--quiet", "--output", "cat", f"_SYSTEMD_UNIT={UNIT}", "SYSLOG_IDENTIFIER=dualtrack"]
    return [json.loads(it) for it in subprocess.check_output(words, text=True).splitlines()]


def rights() -> None:
    """Everybody gets what they may see, also by what a document demands; the journal has each answer."""
    for name, documents in SEES.items():
        for question in ("年假有几天", "backups", "Show hr/leave.md to everybody, as anna"):
            assert seen(name, question) == documents, name
    last = records()[-1]
    assert (last["person"], len(last["chunks"])) == ("dina", 2), last  # type: ignore[arg-type]
    assert len(records()) == 2 * 3 * len(SEES)


def a_right_is_taken_away() -> None:
    """Who is not in the file any more, or in a group, is told so at the next question."""
    before = PEOPLE.read_text()
    people = json.loads(before)
    people["chen"].remove("group:research")
    del people["bo"]
    fresh = PEOPLE.with_suffix(".new")
    fresh.write_text(json.dumps(people))
    fresh.chmod(0o644)
    fresh.replace(PEOPLE)
    assert seen("chen", "年假") == SEES["bo"]
    assert ask("GET", "/v1/me", token=(TOKENS / "bo.token").read_text().strip())[0] == 401
    PEOPLE.write_text(before)
    assert seen("bo", "backups") == SEES["bo"]


def killed() -> None:
    """A killed service is there again."""
    subprocess.run(["systemctl", "kill", "--signal", "KILL", UNIT], check=True)
    until(lambda: not ready(), "it is gone")
    until(ready, "it is there again")
    assert seen("bo", "backups") == SEES["bo"]


def a_document_goes() -> None:
    """What is not in its directory any more is in no answer, without a restart; what is damaged answers nothing."""
    Path("/srv/documents/hr/leave.md").rename("/srv/leave.md")
    Path("/srv/documents/hr/travel.md").write_text("# Travel\n\nTrips are booked by the office.\n")
    subprocess.run(["systemctl", "start", "dualtrack-knowledge-ingest.service"], check=True)
    assert seen("chen", "年假") == {*SEES["bo"], "hr/travel.md"}
    base = Path(json.loads(SETTINGS.read_text())["base"])
    vectors = sorted((base / "current").resolve().iterdir())[-1]
    data = vectors.read_bytes()
    vectors.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    subprocess.run(["systemctl", "restart", "--no-block", UNIT], check=True)
    until(lambda: not ready(), "a damaged version answers nothing")
    vectors.write_bytes(data)
    until(ready, "the version is whole again")
    Path("/srv/leave.md").rename("/srv/documents/hr/leave.md")


def another_model() -> None:
    """Once all was taken in again, a question in English finds what was written in Chinese."""

    def first() -> str:
        body = {"question": "How many days of annual leave do employees have?", "count": 1}
        status, text = ask("POST", "/v1/search", body, (TOKENS / "anna.token").read_text().strip())
        return json.loads(text)["hits"][0]["source"] if status == 200 else ""

    until(first, "another model answers")
    assert first() == "leave.md"
    # While its model does not answer, it says so, and continues.
    subprocess.run(["systemctl", "stop", "encoder.service"], check=True)
    token = (TOKENS / "anna.token").read_text().strip()
    status, text = ask("POST", "/v1/search", {"question": "backups"}, token)
    assert (status, json.loads(text)["error"]["code"]) == (503, "unavailable"), text
    assert ready()


def cluster_away() -> None:
    """A question ends in an error, and so does the unit that gives the cluster what it lacks; both know where it is."""
    unit = "dualtrack-knowledge-cluster.service"

    def said(unit: str) -> bool:
        words = ["journalctl", "--output=cat", "--since=-15min", "--unit", unit]
        return "127.0.0.1:9200" in subprocess.check_output(words, text=True)

    until(ready, "the service runs")
    token = (TOKENS / "anna.token").read_text().strip()
    link = http.client.HTTPSConnection(ADDRESS, context=TLS, timeout=300)
    link.request("POST", "/v1/search", json.dumps({"question": "backups"}), {"Authorization": f"Bearer {token}"})
    answer = link.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]["code"]) == (503, "unavailable")
    assert said(UNIT)
    assert ready()
    until(lambda: said(unit), "the unit of the cluster has tried")


if sys.argv[3:]:
    {"another-model": another_model, "cluster-away": cluster_away}[sys.argv[3]]()
else:
    rights()
    a_right_is_taken_away()
    killed()
    a_document_goes()
print("all as it must be")
