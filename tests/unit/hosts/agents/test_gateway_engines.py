"""Backends of a gateway: what is written is what was told, of each track, and nothing hostile gets into it.

HAProxy itself reads them in the molecule scenario `gateway`.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.hosts.agents import gateway_engines as engines
from dualtrack.hosts.agents.gateway import BadInput, Refused

ENGINE = {"key": "k" * 40, "heartbeat_s": 4, "answer_ms": 2000, "again_ms": 2000, "return_after": 2}
FAR, NEAR = (
    {"host": "sovereign-1", "address": "10.30.0.11", "port": 8001, "requests": 3},
    {"host": "here", "address": "127.0.0.1", "port": 9001, "requests": 0},
)
MODELS: dict[str, Any] = {
    "smollm2": {"prompt": "The capital of France is", "expected": "Paris", "api": "completions", "engines": {"a": FAR}}
}
NAMES = st.from_regex(engines.NAME, fullmatch=True)
PROBES = {
    "prompt": st.from_regex(engines.PROMPT, fullmatch=True),
    "expected": st.from_regex(engines.EXPECTED, fullmatch=True),
    "api": st.sampled_from(list(engines.PROBES)),
}
WHERE = st.fixed_dictionaries({
    "host": NAMES, "address": st.ip_addresses(v=4).map(str), "port": st.integers(1, 65535),
    "requests": st.integers(0, 100_000),
})  # fmt: skip
ANY = st.dictionaries(
    NAMES, st.fixed_dictionaries({**PROBES, "engines": st.dictionaries(NAMES, WHERE, max_size=3)}), max_size=3
)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gateway's host as the role has left it; ``told`` says what was done with its HAProxy."""
    (tmp_path / "settings/maps").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "settings/engine.json").write_text(json.dumps(ENGINE))
    (tmp_path / "told").touch()

    def tell(what: str) -> None:
        (tmp_path / "told").write_text((tmp_path / "told").read_text() + what)

    monkeypatch.setattr(engines, "check", lambda *_: tell("c"))
    monkeypatch.setattr(engines, "reload", lambda: tell("r"))
    return tmp_path


def apply(host: Path, track: str, models: Any) -> bool:
    return engines.apply(track, json.dumps({"models": models}).encode(), host / "settings", host / "kept")["changed"]


def backends(host: Path) -> dict[str, list[str]]:
    """Return the server lines of each backend."""
    parts = re.split(r"^backend (\S+)\n", (host / "settings/engines.cfg").read_text(), flags=re.MULTILINE)[1:]
    return {
        name: [line.strip() for line in text.splitlines() if line.startswith("  server ")]
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def test_each_track_is_told_by_itself(host: Path) -> None:
    assert apply(host, "local", MODELS)
    away = {"smollm2": {**MODELS["smollm2"], "engines": {"spot-1": NEAR}}, "r1": {**MODELS["smollm2"], "engines": {}}}
    assert apply(host, "cloud", away)
    found = backends(host)
    assert set(found) == {"model-smollm2.local", "model-smollm2.cloud", "model-r1.local", "model-r1.cloud"}
    assert found["model-smollm2.cloud"] == ["server spot-1 127.0.0.1:9001"]
    [far] = found["model-smollm2.local"]
    assert far.startswith("server a 10.30.0.11:8001 maxconn 3 ssl verify required verifyhost sovereign-1 ca-file ")
    assert (host / "settings/maps/models.map").read_text() == "r1 completions\nsmollm2 completions\n"
    assert (host / "settings/maps/slots.map").read_text().splitlines() == [
        "model-r1.local 0", "model-r1.cloud 0", "model-smollm2.local 3", "model-smollm2.cloud 0",
    ]  # fmt: skip
    assert not apply(host, "cloud", away)
    assert apply(host, "cloud", {})
    assert set(backends(host)) == {"model-smollm2.local", "model-smollm2.cloud"}
    assert (host / "told").read_text() == "cr" * 3
    assert (host / "settings/engines.cfg").stat().st_mode & 0o777 == 0o600


def test_what_was_killed_before_its_end_is_repaired(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise Refused("killed")

    reload = engines.reload
    monkeypatch.setattr(engines, "reload", fails)
    with pytest.raises(Refused):
        apply(host, "local", MODELS)
    monkeypatch.setattr(engines, "reload", reload)
    assert apply(host, "local", MODELS)
    assert (host / "told").read_text().endswith("r")
    assert not apply(host, "local", MODELS)


def test_what_haproxy_does_not_take_changes_nothing(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(host, "local", MODELS)
    before = {path: path.read_bytes() for path in host.rglob("*") if path.is_file() and path.name != "told"}

    def refuses(*_: object) -> None:
        raise Refused("no")

    monkeypatch.setattr(engines, "check", refuses)
    with pytest.raises(Refused):
        apply(host, "local", {})
    assert {path: path.read_bytes() for path in host.rglob("*") if path.is_file() and path.name != "told"} == before


def test_the_role_was_not_there(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="has not been here"):
        engines.apply("local", b'{"models": {}}', tmp_path, tmp_path)


@given(ANY, ANY)
def test_every_engine_is_in_the_backend_of_its_track_and_nowhere_else(local: Any, cloud: Any) -> None:
    text = engines.rendered(Path("/e"), ENGINE, {"local": local, "cloud": cloud})["engines.cfg"]
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line.startswith("backend "):
            name = line.removeprefix("backend ")
            assert name not in found
            found[name] = set()
        elif line.startswith("  server "):
            found[name].add(" ".join(line.split()[1:3]))
    wanted = {
        f"model-{name}.{track}": {f"{it} {where['address']}:{where['port']}" for it, where in model["engines"].items()}
        for track, models in (("local", local), ("cloud", cloud)) for name, model in models.items()
    }  # fmt: skip
    assert {name: it for name, it in found.items() if it} == {name: it for name, it in wanted.items() if it}
    # Nothing that somebody chose can begin a line, a word of HAProxy's, or another quote.
    assert all(line.count("'") in (0, 2) for line in text.splitlines())


def test_probes_say_how_long_their_gateway_waits(host: Path) -> None:
    apply(host, "local", MODELS)
    text = (host / "settings/engines.cfg").read_text()
    assert ENGINE["answer_ms"] == 2000
    assert "hdr Prefer wait=2 body" in text
    quick = engines.rendered(Path("/e"), {**ENGINE, "answer_ms": "900"}, {"local": MODELS})["engines.cfg"]
    assert "hdr Prefer wait=1 body" in quick, "the shortest that it can say"


def test_a_model_of_embeddings_is_asked_for_the_nearest_word(host: Path) -> None:
    apply(host, "local", {"minilm": {**MODELS["smollm2"], "api": "embeddings"}})
    text = (host / "settings/engines.cfg").read_text()
    [path, body] = re.search(r"meth POST uri (\S+) .* body '(.*)'", text).groups()  # type: ignore[union-attr]
    asked = json.loads(body)
    assert path == "/v1/rerank"
    assert (asked["documents"][-1], asked["top_n"], asked["query"]) == ("Paris", 1, "The capital of France is")
    assert "Paris" not in asked["documents"][:-1]


WRONG = ["", "a b", "a\n", "x'", 'x"', "x\\", "ü", "\0", "a" * 600, None, 1, [], {}]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(((), it) for it in (None, [], {}, {"models": {}, "more": 1}, {"models": []})),
        *((("models",), {it: MODELS["smollm2"]}) for it in ("", "A", "a b", "a\nbackend x", "-a")),
        *((("models", "smollm2", "prompt"), it) for it in WRONG if it != "a b"),
        *((("models", "smollm2", "expected"), it) for it in WRONG if it != "a b"),
        *((("models", "smollm2", "api"), it) for it in [*WRONG, "embedding"]),
        *((("models", "smollm2", "engines"), {it: FAR}) for it in ("", "A", "a b", "a\n  server b 10.0.0.1:1")),
        *((("models", "smollm2", "engines", "a", "address"), it) for it in [*WRONG, "10.0.0.1:1", "10.0.0.1 ssl"]),
        *((("models", "smollm2", "engines", "a", "host"), it) for it in WRONG),
        *((("models", "smollm2", "engines", "a", "port"), it) for it in (0, 65536, True, "8001", 1.5, None)),
        *((("models", "smollm2", "engines", "a", "requests"), it) for it in (-1, True, "1", None)),
    ],
    ids=repr,
)  # fmt: skip
def test_bad_input_changes_nothing(host: Path, path: tuple[str, ...], value: object) -> None:
    document: Any = {"models": copy.deepcopy(MODELS)}
    if path:
        at = document
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = value
    else:
        document = value
    with pytest.raises(BadInput):
        engines.apply("local", json.dumps(document).encode(), host / "settings", host / "kept")
    assert not (host / "settings/engines.cfg").exists()
    assert (host / "told").read_text() == ""


def test_two_engines_of_one_host_show_its_certificate(host: Path) -> None:
    """As while a model's version is changed."""
    facts = {**MODELS["smollm2"], "engines": {"sovereign-1": FAR, "sovereign-1.next": {**FAR, "port": 8002}}}
    assert apply(host, "local", {"smollm2": facts})
    found = re.findall(
        r"server (\S+) 10\.30\.0\.11:(\d+) .* verifyhost (\S+)", (host / "settings/engines.cfg").read_text()
    )
    assert found == [("sovereign-1", "8001", "sovereign-1"), ("sovereign-1.next", "8002", "sovereign-1")]


def test_what_another_version_has_kept_keeps_nobody(host: Path) -> None:
    (host / "kept/engines.cloud.json").write_text(json.dumps({"models": {"smollm2": {"prompt": "x"}}}))
    assert apply(host, "local", MODELS)
    assert apply(host, "cloud", MODELS)
