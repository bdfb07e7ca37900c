"""`dualtrack serving …`, as its user meets it: what is on stdout, what on stderr, and the exit code."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from dualtrack import cli
from dualtrack.core.errors import External
from dualtrack.hosts.agents import gateway as program
from dualtrack.serving import tenants
from dualtrack.serving.gateway import NOTE, Endpoint, Gateway
from dualtrack.tracks import serving
from tests.support import api_testbed
from tests.support.api_testbed import DONE, USAGE, piece, streamed, whole

Run = Callable[..., tuple[int, str, str]]
ENGINE = {
    "model": "m",
    "track": "local",
    "engine": "e\x1b[2J",
    "state": "UP",
    "requests": 3,
    "active": 0,
    "last_check": "passed",
}


class Host:
    """A gateway's host as a directory. ``away``: it cannot be reached."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.maps = folder, folder / "maps"
        self.maps.mkdir()
        self.away = False
        self.engines: list[dict[str, object]] = [ENGINE]
        self.left: dict[str, list[str]] = {}
        self.api("https://127.0.0.1:1")

    def api(self, url: str) -> None:
        """Let its API be at a URL."""
        endpoint = Endpoint(
            url=url,
            ca_file=str(self.folder / "pki/ca.pem"),
            models=("m", "other"),
            tracks=("local",),
            gateway="gateway-1",
        )
        self.noted: list[str] = []
        self.site = serving.Site(
            gateway=Gateway("gateway-1", self.run), endpoint=endpoint, tenants_file=str(self.folder / "tenants.json"),
            track="local", writers=("m",),
        )  # fmt: skip

    def run(self, words: Sequence[str], given: str) -> str:
        if self.away:
            raise External("gateway-1 cannot be reached: no route")
        if tuple(words) == NOTE:
            self.noted.append(given.removesuffix("\n"))
            return ""
        if words[-1] == "status":
            return json.dumps({"engines": self.engines, "since_s": 5})
        if "persons" in words:
            year = 2026 if words[-1] == "persons" else int(words[-1])
            return json.dumps({"year": year, "limits": {"persons": [10, 100], "sensitive": [1, 10]}, **self.left})
        if words[-1] == "tokens":
            return json.dumps({"month": "2026-11", "tokens": {"research": 1234, "gone": 5}})
        return json.dumps(program.apply(given.encode(), self.maps, self.maps / "none"))

    def keys(self) -> dict[str, str]:
        return dict(line.split(" ", 1) for line in (self.maps / "keys.map").read_text().splitlines())


@pytest.fixture
def api(tmp_path: Path) -> Iterator[api_testbed.Gateway]:
    it = api_testbed.Gateway(tmp_path)
    yield it
    it.end()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    it = Host(tmp_path)
    monkeypatch.setattr(serving, "sites", lambda: [it.site])
    monkeypatch.delenv("DUALTRACK_API_KEY", raising=False)
    return it


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def one(*words: str, group: str = "serving") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dualtrack", group, *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return one


@pytest.mark.parametrize(
    "words",
    [("serving", "key", "add", "a"), ("serving", "chat", "Hi"), ("failover", "drain", "sovereign-1"),
     ("failover", "release", "sovereign-1")],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("name", ["nosuch", "M", "../m", "m\x1b[2J"])
def test_a_model_that_no_gateway_has_is_refused_in_the_same_words(
    run: Run, host: Host, words: tuple[str, ...], name: str
) -> None:
    code, out, err = run(*words[1:], "--model", name, group=words[0])
    assert (code, out) == (2, "")
    assert "no gateway has a model called" in err
    assert "there are: m, other" in " ".join(err.split())
    assert "\x1b" not in err
    assert not host.noted
    assert not (host.folder / "tenants.json").exists()


def test_a_key_is_shown_once_and_works_at_once(run: Run, host: Host, tmp_path: Path) -> None:
    code, out, err = run("key", "add", "research", "--model", "m", "--requests-per-minute", "60")
    assert (code, out.count("\n"), "research" in err) == (0, 1, True)
    text = out.strip()
    assert host.keys() == {tenants.digest(text): "research"}
    assert (host.maps / "allowed.map").read_text() == "research/m 1\n"
    shown = [run("key", "list"), run("key", "list", "--json"), run("key", "apply"), run("key", "apply", "--json")]
    assert all(it[0] == 0 and text not in it[1] + it[2] for it in shown)
    [listed] = json.loads(shown[1][1])["keys"]
    assert {name: it for name, it in listed.items() if name not in ("id", "added")} == {
        "tenant": "research", "models": ["m"], "residency": "local", "sensitive": False, "screened": False,
        "requests_per_minute": 60, "tokens_per_minute": None, "tokens_per_month": None,
    }  # fmt: skip
    assert tenants.digest(text) not in shown[0][1] + shown[1][1]
    assert text not in (tmp_path / "tenants.json").read_text()


def test_a_key_as_a_document(run: Run, host: Host) -> None:
    code, out, _ = run("key", "add", "a", "--residency", "any", "--json")
    found = json.loads(out)
    assert (code, found["schema"], found["tenant"]) == (0, "dualtrack.serving-key/1", "a")
    assert list(host.keys()) == [tenants.digest(found["key"])]


@pytest.mark.parametrize("whom", ["tenant", "key"])
def test_what_is_revoked_is_gone_at_once(run: Run, host: Host, whom: str) -> None:
    run("key", "add", "other")
    before = host.keys()
    name = json.loads(run("key", "add", "research", "--json")[1])["id"]
    assert len(host.keys()) == 2
    assert run("key", "revoke", "research" if whom == "tenant" else name, "--yes")[:2] == (
        0,
        f"revoked {name} of research\n",
    )
    assert host.keys() == before
    code, out, err = run("key", "revoke", name)
    assert (code, out, "no tenant and no key" in err) == (2, "", True)


def test_a_gateway_that_is_away_is_said_and_told_later(run: Run, host: Host) -> None:
    host.away = True
    code, out, err = run("key", "add", "research")
    assert code == 4
    assert "gateway-1 was not told: gateway-1 cannot be reached: no route" in err
    assert "dualtrack serving key apply" in err
    host.away = False
    assert run("key", "apply")[:2] == (0, "gateway-1: changed\n")
    assert list(host.keys()) == [tenants.digest(out.strip())]
    host.away = True
    code, out, _ = run("key", "revoke", "research", "--json", "--yes")
    assert (code, len(json.loads(out)["keys"])) == (4, 1)


def test_a_key_that_nobody_has_read_is_an_error_after_gateways_are_told(
    run: Run, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualtrack.core.output.reader_left", lambda: True)
    code, _, err = run("key", "add", "research")
    assert (code, len(host.keys())) == (4, 1)
    assert "whoever reads our output has not read the key k-" in err


def test_a_gateway_whose_haproxy_does_not_run_is_a_note(run: Run, host: Host) -> None:
    code, _, err = run("key", "apply")
    assert (code, "HAProxy does not run on gateway-1" in err, host.keys()) == (0, True, {})


def test_the_gateway_records_who_gave_and_took_keys(run: Run, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualtrack.core.operator.LOGIN", Path("/dev/null"))  # no session logged in
    monkeypatch.setenv("SUDO_USER", "games")
    made = json.loads(run("key", "add", "research", "--json")[1])
    run("key", "apply")
    run("key", "revoke", "research", "--yes")
    said = [it.partition(": dualtrack ") for it in host.noted]
    assert [it[0].startswith("games on ") for it in said] == [True] * 3
    key = re.search(r"\(k-\w+\)", said[0][2])
    assert key
    assert [it[2] for it in said] == [
        f"serving key add research {key[0]}", "serving key apply", f"serving key revoke research {key[0]}",
    ]  # fmt: skip
    assert made["key"] not in " ".join(host.noted), "the key itself is in no trail"


@pytest.mark.parametrize(
    "words",
    [("add", "Bad"), ("add", "a", "--model", "m", "--all-models"), ("add", "a", "--residency", "mars"),
     ("add", "a", "--requests-per-minute", "-1"), ("add", "a", "--model", "a/b"), ("revoke", "nobody")],
    ids=" ".join,
)  # fmt: skip
def test_bad_words_touch_nothing(run: Run, host: Host, words: Sequence[str], tmp_path: Path) -> None:
    code, out, err = run("key", *words)
    assert (code, out, bool(err)) == (2, "", True)
    assert not (tmp_path / "tenants.json").exists()
    assert list(host.maps.iterdir()) == []


def test_tenant_whose_keys_are_gone_is_listed_and_goes(run: Run, host: Host) -> None:
    name = json.loads(run("key", "add", "a", "--json")[1])["id"]
    run("key", "revoke", name, "--yes")
    assert "no key" in run("key", "list")[1]
    assert run("key", "revoke", "a", "--yes")[:2] == (0, "removed a, which had no key\n")
    assert host.keys() == {}


def test_usage(run: Run, host: Host) -> None:
    run("key", "add", "research", "--tokens-per-month", "5000")
    run("key", "add", "idle")
    code, out, _ = run("usage")
    assert (code, [line.split() for line in out.rstrip().splitlines()[-3:]]) == (
        0, [["gone", "5", "none"], ["idle", "0", "none"], ["research", "1,234", "5,000"]],
    )  # fmt: skip
    host.away = True
    code, out, err = run("usage", "--json")
    assert (code, json.loads(out)["month"]) == (1, "")
    assert "gateway-1: gateway-1 cannot be reached" in err


def test_residency_report(run: Run, host: Host) -> None:
    host.left = {"named": ["0" * 16, "1" * 16], "keys": ["2" * 16]}
    code, out, _ = run("report", group="residency")
    assert (code, "2026 (UTC+8)" in out, "by these counts the rules ask for nothing" in out) == (0, True, True)
    host.left["named"] += [f"{it:016x}" for it in range(16, 21)]
    code, out, err = run("report", "--year", "2025", "--json", group="residency")
    found = json.loads(out)
    assert (code, found["schema"], found["year"]) == (1, "dualtrack.residency-report/1", 2025)
    assert found["kinds"][0] == {"kind": "persons", "persons": 8, "by_key": 1, "next_limit": 10}
    assert "a limit is near: 8 of 10 persons" in err
    host.left = {"sensitive_named": ["0" * 16]}
    assert "a standard contract or a certification" in run("report", group="residency")[1]
    host.away = True
    code, _, err = run("report", group="residency")
    assert (code, "gateway-1: gateway-1 cannot be reached" in err) == (1, True)


def test_sensitive_tenants(run: Run, host: Host) -> None:
    run("key", "add", "clinic", "--residency", "cloud", "--sensitive")
    assert (host.maps / "sensitive.map").read_text() == "clinic 1\n"
    assert (host.maps / "routes.map").read_text() == "clinic cloud\n"
    assert "cloud, sensitive" in run("key", "list")[1]
    run("key", "add", "clinic")
    assert (host.maps / "sensitive.map").read_text() == "clinic 1\n"
    run("key", "add", "clinic", "--not-sensitive")
    assert (host.maps / "sensitive.map").read_text() == ""


def test_database_of_countries(run: Run, tmp_path: Path) -> None:
    code, _, err = run("database", str(tmp_path), str(tmp_path / "out"), group="residency")
    assert (code, "has no geoip" in err) == (2, True)


def test_status(run: Run, host: Host) -> None:
    code, out, _ = run("status", "--json")
    found = json.loads(out)
    assert (code, found["endpoints"][0]["gateway"], found["engines"][0]["track"]) == (0, "gateway-1", "local")
    assert set(found["endpoints"][0]) == {"url", "ca_file", "models", "tracks", "gateway"}
    code, out, _ = run("status")
    assert (code, "\\x1b[2J" in out, "\x1b" in out) == (0, True, False)
    host.away = True
    code, out, err = run("status")
    assert (code, out, "cannot be reached" in err) == (1, "", True)


@pytest.mark.parametrize("words", [(), ("--json",), ("--format", "csv")], ids=" ".join)
@pytest.mark.parametrize("state", ["UP", "NOLB", "DRAIN", "MAINT", "no check", "DOWN", "NEW-STATE", ""])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_status_ends_with_1_while_an_engine_is_down(
    run: Run, host: Host, at: int, state: str, words: tuple[str, ...]
) -> None:
    host.engines = [{**ENGINE, "engine": f"engine-{it}", "state": state if it == at else "UP"} for it in range(3)]
    code, out, err = run("status", *words)
    assert all(f"engine-{it}" in out for it in range(3)), "the engines are shown all the same"
    if state in ("UP", "NOLB", "DRAIN", "MAINT", "no check"):
        assert (code, err) == (0, "")
    else:
        assert code == 1
        assert f"engine-{at} with m is {state or 'in no state'} at gateway-1" in " ".join(err.split())


@pytest.fixture
def asking(host: Host, api: api_testbed.Gateway, monkeypatch: pytest.MonkeyPatch) -> api_testbed.Gateway:
    """A gateway whose API answers, and a key for it."""
    host.api(api.url)
    monkeypatch.setenv("DUALTRACK_API_KEY", "dt-secret")
    return api


def test_chat(run: Run, asking: api_testbed.Gateway, tmp_path: Path) -> None:
    asking.answer = streamed(piece("Hel\x1b[2J"), piece("lo\nyou", "stop"), USAGE, DONE)
    assert run("chat", "Hi") == (
        0, "Hel\\x1b[2Jlo\nyou\n", "sovereign-1 on the local track: 5 tokens read, 2 written\n",
    )  # fmt: skip
    found = json.loads(run("chat", "Hi", "--model", "other", "--max-tokens", "3", "--json")[1])
    assert (found["model"], found["text"], found["end"]["engine"]) == ("other", "Hel\x1b[2Jlo\nyou", "sovereign-1")
    assert (asking.asked[-1][2]["model"], asking.asked[-1][2]["max_tokens"]) == ("other", 3)
    (tmp_path / "mine").write_text("dt-mine")
    (tmp_path / "mine").chmod(0o600)
    run("chat", "Hi", "--key-file", str(tmp_path / "mine"))
    assert asking.asked[-1][1] == "Bearer dt-mine"


def test_chat_that_breaks_off_shows_what_came(run: Run, asking: api_testbed.Gateway) -> None:
    asking.answer = streamed(piece("Hel"))
    code, out, err = run("chat", "Hi")
    assert (code, out, "broke off" in err) == (4, "Hel\n", True)
    code, out, err = run("chat", "Hi", "--json")
    assert (code, out) == (4, "")


def test_chat_that_is_refused(run: Run, asking: api_testbed.Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    asking.answer = whole(b'{"error": {"message": "no such\x1b[2J key"}}'.replace(b"\x1b", b"\\u001b"), 401)
    code, out, err = run("chat", "Hi")
    assert (code, out, "no such\\x1b[2J key" in err, err.count("\n")) == (5, "", True, 1)
    monkeypatch.delenv("DUALTRACK_API_KEY")
    assert (run("chat", "Hi")[0], "no API key" in run("chat", "Hi")[2]) == (2, True)
