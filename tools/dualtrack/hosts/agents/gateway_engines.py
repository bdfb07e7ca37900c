"""Tells a gateway's HAProxy which engines answer as which models, a track at a time.

Part of the program of hosts with the role gateway (beside `gateway`), called by that role for its own track, and over
ssh by `dualtrack` for the other one, whose engines come and go automatically:

    dualtrack-gateway engines TRACK    reads {"models": {name: {"prompt": …, "expected": …, "api": a key of PROBES,
                                       "tools": whether it calls tools (it does not, without this word), "engines":
                                       {name: {"host": by its certificate, "address": …, "port": …, "requests": at once,
                                       0 for any number}}}}} on stdin, prints {"changed": …}

What it was told of each track it keeps. From all of that, and from what the role has written into engine.json (the
engines' key and the heartbeat), it writes the backends, checks them as HAProxy does, and has HAProxy read them: a
reload loses no request. The stamp comes last, so that whoever was killed before is repaired by the next one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualtrack.hosts.agents.gateway import BadInput, Refused, locked, write

SETTINGS = Path("/etc/dualtrack/gateway")
KEPT = Path("/var/lib/dualtrack/gateway")
TRACKS = ("local", "cloud")
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
#: What HAProxy's settings can hold between quotes, of a model's probe.
PROMPT, EXPECTED = re.compile(r"[A-Za-z0-9 ,.?:-]{1,500}"), re.compile(r"[A-Za-z0-9][A-Za-z0-9 ]{0,99}")
INPUT_BYTES = 4 << 20
LOOPBACK = "127.0.0.1"
#: Tokens of the answer to a probe: few, since an engine is asked all the time.
PROBE_TOKENS = 8
#: Words among which the expected one must be found by a model that makes embeddings.
OTHERS = ("Tuesday", "bread", "seven")

BACKEND = """\
backend model-{model}.{track}
  balance leastconn
  http-response set-header X-Dualtrack-Track {track}
  # Where no connection comes about, another engine is asked. What an engine took and did not answer the front asks
  # again: here that would cost a copy of the whole buffer (tune.bufsize) with every request, milliseconds each.
  option redispatch 1
  retries 2
  retry-on conn-failure
  option httpchk
  # Its host says so before an engine is stopped: nothing more is sent there, and what runs there ends on its own.
  http-check disable-on-404
  http-check send meth POST uri {path} ver HTTP/1.1 hdr Host engine hdr Content-Type application/json \
hdr Authorization "Bearer {key}" hdr Prefer wait={wait_s} body '{probe}'
  http-check expect rstring {expected}
  http-request set-header Authorization "Bearer {key}"
  # Three wrong or missing answers: after 3 heartbeats and the time of one answer at the latest, since an answer may
  # take half of a heartbeat and the next question comes after the other half.
  timeout check {answer_ms}ms
  default-server check inter {heartbeat_s}s fastinter {again_ms}ms fall 3 rise {return_after} observe layer4 \
error-limit 2 on-error mark-down on-marked-down shutdown-sessions
"""
#: Probes say that they are, by ALPN: where an engine is about to be stopped, its host answers them instead.
TLS = (
    " ssl verify required verifyhost {name} ca-file {settings}/engines-ca.pem crt {settings}/client.pem"
    " check-alpn dualtrack-probe"
)


def _completion(prompt: str, _: str) -> dict[str, Any]:
    return {"prompt": prompt, "max_tokens": PROBE_TOKENS, "temperature": 0}


def _nearest(prompt: str, expected: str) -> dict[str, Any]:
    # The last one: a model for which all are as near names the first.
    return {"query": prompt, "documents": [*OTHERS, expected], "top_n": 1}


#: By what a model makes, where it is asked, and what.
PROBES = {"completions": ("/v1/completions", _completion), "embeddings": ("/v1/rerank", _nearest)}


def parse(data: bytes) -> dict[str, Any]:
    """Return the models of the input, by name; BadInput where any part of it is not as described above."""
    if len(data) > INPUT_BYTES:
        raise BadInput(f"the input is longer than {INPUT_BYTES >> 20} MiB")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the input is not JSON: {error}") from None
    models = _object(found, {"models"}, "the input")["models"]
    for model, facts in [*_named(models, "a model").items()]:
        if isinstance(facts, dict):
            facts = models[model] = {"tools": False, **facts}
        facts = _object(facts, {"prompt", "expected", "api", "tools", "engines"}, model)
        if not isinstance(facts["tools"], bool):
            raise BadInput(f"{model}: tools is true or false")
        if not isinstance(facts["api"], str) or facts["api"] not in PROBES:
            raise BadInput(f"{model}: its api is none of {', '.join(PROBES)}")
        for word, form in (("prompt", PROMPT), ("expected", EXPECTED)):
            if not isinstance(facts[word], str) or not form.fullmatch(facts[word]):
                raise BadInput(f"{model}: its probe's {word} has other characters than HAProxy's settings can hold")
        for engine, where in _named(facts["engines"], f"{model}: an engine").items():
            where = _object(where, {"host", "address", "port", "requests"}, f"{model}: {engine}")
            if not isinstance(where["host"], str) or not NAME.fullmatch(where["host"]):
                raise BadInput(f"{model}: {engine} names no host")
            if not isinstance(where["address"], str) or not ADDRESS.fullmatch(where["address"]):
                raise BadInput(f"{model}: {engine} has no IPv4 address")
            for word, least, most in (("port", 1, 65535), ("requests", 0, 100_000)):
                if type(where[word]) is not int or not least <= where[word] <= most:
                    raise BadInput(f"{model}: {engine}: {word} is a number from {least} to {most}")
    return dict(models)


def _object(found: Any, names: set[str], what: str) -> dict[str, Any]:
    if not isinstance(found, dict) or set(found) != names:
        raise BadInput(f"{what} must be an object with exactly {', '.join(sorted(names))}")
    return found


def _named(found: Any, what: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise BadInput(f"{what} is named in an object")
    for name in found:
        if not NAME.fullmatch(name):
            raise BadInput(f"{what} cannot be called {ascii(name)[:80]}")
    return found


def rendered(settings: Path, engine: Mapping[str, Any], tracks: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the files that HAProxy reads, by name: backends, the map of models, and the answer that lists them.

    ``engine`` is what the role says of all engines, ``tracks`` the models of each track.
    """
    names = sorted({name for models in tracks.values() for name in models})
    parts, slots, known = ["# Written by `dualtrack-gateway engines`.\n"], [], []
    for name in names:
        facts = {track: models[name] for track, models in tracks.items() if name in models}
        one = next(iter(facts.values()))
        known.append(f"{name} {one['api']}{'.tools' if all(it.get('tools') for it in facts.values()) else ''}\n")
        for track in TRACKS:
            # Where a track has no engine of a model there is a backend without any: nothing to route by mistake.
            of = facts.get(track) or {**one, "engines": {}}
            path, question = PROBES[of["api"]]
            probe = {"model": name, **question(of["prompt"], of["expected"])}
            parts.append(BACKEND.format(
                model=name, track=track, path=path, probe=json.dumps(probe),
                expected=of["expected"].replace(" ", r"\\s"), wait_s=max(int(engine["answer_ms"]) // 1000, 1), **engine
            ))  # fmt: skip
            # As many requests as each engine works on at once; any number where one of them takes any.
            slots.append(f"model-{name}.{track} {min((it['requests'] for it in of['engines'].values()), default=0)}\n")
            for called, where in sorted(of["engines"].items()):
                most = f" maxconn {where['requests']}" if where["requests"] else ""
                tls = "" if where["address"] == LOOPBACK else TLS.format(name=where["host"], settings=settings)
                parts.append(f"  server {called} {where['address']}:{where['port']}{most}{tls}\n")
            parts.append("\n")
    listed = [{"id": name, "object": "model", "created": 0, "owned_by": "dualtrack"} for name in names]
    return {
        "engines.cfg": "".join(parts),
        "maps/models.map": "".join(known),
        "maps/slots.map": "".join(slots),
        "maps/models.json": json.dumps({"object": "list", "data": listed}) + "\n",
    }


def check(settings: Path, backends: str) -> None:
    """Have HAProxy read what it would get; Refused with its word where it does not take it."""
    trial = settings / "engines.trial.cfg"
    write(trial, backends)
    try:
        done = subprocess.run(
            ["haproxy", "-c", "-q", "-f", str(settings / "haproxy.cfg"), "-f", str(trial)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        trial.unlink()
    if done.returncode != 0:
        alerts = [line for line in done.stderr.splitlines() if "[ALERT]" in line] or [done.stderr]
        raise Refused(f"HAProxy says: {alerts[0]}")


def reload() -> None:
    """Have HAProxy read its settings anew, where it runs."""
    if subprocess.run(["systemctl", "is-active", "--quiet", "haproxy.service"], check=False).returncode != 0:
        return
    done = subprocess.run(
        ["systemctl", "reload", "haproxy.service"], capture_output=True, text=True, check=False
    )  # fmt: skip
    if done.returncode != 0:
        raise Refused(f"HAProxy is not reloaded: {done.stderr}")


def apply(track: str, data: bytes, settings: Path = SETTINGS, kept: Path = KEPT) -> dict[str, bool]:
    """Make the engines of a track what the input says; return whether anything was otherwise."""
    models = parse(data)
    with locked(settings):
        try:
            engine = json.loads((settings / "engine.json").read_bytes())
        except (OSError, ValueError) as error:
            raise Refused(f"the role gateway has not been here: {error}") from None
        tracks = {}
        for name in TRACKS:
            # What another version of this program has kept may have another shape: the next one who tells it tells all.
            with contextlib.suppress(FileNotFoundError, BadInput):
                tracks[name] = parse((kept / f"engines.{name}.json").read_bytes())
        tracks[track] = models
        files = rendered(settings, engine, tracks)
        stamp = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest() + "\n"
        with contextlib.suppress(FileNotFoundError):
            if (kept / "engines.stamp").read_text() == stamp:
                return {"changed": False}
        check(settings, files["engines.cfg"])
        (kept / "engines.stamp").unlink(missing_ok=True)
        write(kept / f"engines.{track}.json", json.dumps({"models": models}) + "\n")
        for name, text in files.items():
            write(settings / name, text)
        reload()
        write(kept / "engines.stamp", stamp)
        return {"changed": True}
