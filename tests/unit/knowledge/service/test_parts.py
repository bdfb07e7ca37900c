"""Who may ask, how often, and what is noted of an answer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import pwd
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from dualtrack.core.errors import BadInput, External
from dualtrack.knowledge.messages import Hit
from dualtrack.knowledge.service import own_token, records, settings
from dualtrack.knowledge.service.limits import BURST_S, Limit, Places
from dualtrack.knowledge.service.people import AUDIENCE, HERE, People, Person, Unknown
from dualtrack.security.access import tokens

BO = Person("bo", frozenset({"everyone", "person:bo"}))


@pytest.fixture
def people(tmp_path: Path) -> People:
    write(tmp_path, {"bo": sorted(BO.labels)})
    (tmp_path / "key.pem").write_text(tokens.public(tmp_path))
    return People(tmp_path / "people.json", tmp_path / "key.pem")


def write(folder: Path, found: dict[str, list[str]]) -> None:
    """As Ansible does: another file, then the name."""
    (folder / "new").write_text(json.dumps(found))
    (folder / "new").replace(folder / "people.json")


def token(folder: Path, name: str = "bo", minutes: float = 5, audience: str = AUDIENCE) -> str:
    return tokens.issue(folder, name, [], until=datetime.now(UTC) + timedelta(minutes=minutes), audience=audience)


def test_a_token_says_who_it_is_and_the_file_what_they_see(people: People, tmp_path: Path) -> None:
    held = token(tmp_path)
    assert people.known(held) == BO
    write(tmp_path, {"bo": ["everyone"]})
    assert people.known(held).labels == {"everyone"}
    write(tmp_path, {})
    with pytest.raises(Unknown):
        people.known(held)


def coded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def test_other_tokens_are_none(people: People, tmp_path: Path) -> None:
    """Of another service, another signer, too old, of nobody, unsigned, or signed by what everybody knows."""
    other = tmp_path / "other"
    other.mkdir()
    good = token(tmp_path)
    head, claims, signature = good.split(".")
    public = tokens.public(tmp_path).encode()
    forged = f"{coded({'alg': 'HS256', 'typ': 'JWT'})}.{claims}"
    mac = base64.urlsafe_b64encode(hmac.digest(public, forged.encode(), hashlib.sha256)).rstrip(b"=").decode()
    never = tokens.issue(tmp_path, "bo", [], until=datetime.now(UTC) - timedelta(minutes=2), audience=AUDIENCE)
    wrong = [
        "", "x", ".", "..", "a.b.c", good + "x", good[:-4], f"{head}.{claims}.", f"{head}..{signature}", "x" * 10_000,
        f"{coded({'alg': 'none'})}.{claims}.", f"{forged}.{mac}", token(tmp_path, audience="dualtrack-store"),
        token(other), never, token(tmp_path, "anna"), f"{head}.{coded({'sub': 'bo'})}.{signature}", "\0", "é",
    ]  # fmt: skip
    for it in wrong:
        with pytest.raises(Unknown):
            people.known(it)
    assert people.known(good) == BO


@pytest.mark.parametrize("act", [7, [], "x", {}, {"sub": 7}, {"sub": ""}, {"sub": "x" * 257}, {"sub": None}])
def test_a_token_whose_operator_is_not_a_name_is_none(people: People, tmp_path: Path, act: object) -> None:
    _, coded_claims, _ = token(tmp_path).split(".")
    claims = json.loads(base64.urlsafe_b64decode(coded_claims + "=="))
    for given in ({"act": act}, {"act": {"sub": "ops"}}):
        made = jwt.encode({"alg": "ES256", "typ": "JWT"}, claims | given, tokens.key(tmp_path))
        if given["act"] == act:
            with pytest.raises(Unknown):
                people.known(made)
        else:
            assert people.known(made).operator == "ops"


def test_token_of_ones_own_is_issued_to_the_account_that_asks(tmp_path: Path) -> None:
    name = pwd.getpwuid(os.geteuid()).pw_name
    write(tmp_path, {name: ["everyone"]})
    keys = {it: tmp_path / f"{it}.key" for it in ("here", "there")}
    for file in keys.values():
        tokens.write_atomically(file, ECKey.generate_key("P-256").as_pem(private=True), 0o600)
        file.with_suffix(".pem").write_bytes(ECKey.import_key(file.read_bytes()).as_pem(private=False))
    (tmp_path / "key.pem").write_text(tokens.public(tmp_path))
    here, there, none = (
        People(tmp_path / "people.json", tmp_path / "key.pem", own)
        for own in (tmp_path / "here.pem", tmp_path / "there.pem", None)
    )
    issued = own_token.issue(os.geteuid(), tmp_path / "people.json", keys["here"])
    assert issued[0] == name
    assert here.known(issued[1]) == Person(name, frozenset({"everyone"}))
    assert here.known(token(tmp_path, name)).name == name, "the controller's tokens count as well"
    for other in (there, none):
        with pytest.raises(Unknown):
            other.known(issued[1])
    # By the name of an issuer alone a key gets nobody in: each counts for its own.
    claims = {"aud": AUDIENCE, "sub": name, "exp": int(time.time()) + 60}
    for key, issuer in ((ECKey.import_key(keys["here"].read_bytes()), "dualtrack"), (tokens.key(tmp_path), HERE)):
        with pytest.raises(Unknown):
            here.known(jwt.encode({"alg": "ES256", "typ": "JWT"}, {**claims, "iss": issuer}, key))
    write(tmp_path, {"bo": ["everyone"]})
    with pytest.raises(Unknown):
        here.known(issued[1])
    with pytest.raises(own_token.Refused, match="is not among the people"):
        own_token.issue(os.geteuid(), tmp_path / "people.json", keys["here"])
    with pytest.raises(own_token.Refused, match="has no name on this host"):
        own_token.issue(3_999_999, tmp_path / "people.json", keys["here"])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"bo": "everyone"}', '{"bo": [7]}', "\udcff", '{"bo": ["\udcff"]}'])
def test_a_file_that_is_none_lets_nobody_in(people: People, tmp_path: Path, text: str) -> None:
    held = token(tmp_path)
    (tmp_path / "new").write_bytes(os.fsencode(text))
    (tmp_path / "new").replace(tmp_path / "people.json")
    for _ in range(2):
        with pytest.raises(External, match="not a file of people"):
            people.known(held)
    write(tmp_path, {"bo": sorted(BO.labels)})
    assert people.known(held) == BO


def test_a_key_that_is_none(tmp_path: Path) -> None:
    write(tmp_path, {})
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(External, match="not a key of tokens"):
        People(tmp_path / "people.json", tmp_path / "key.pem")


def test_people_ask_evenly() -> None:
    now = 0.0
    limit = Limit(60, lambda: now)
    assert [limit.take("bo") for _ in range(int(BURST_S))] == [0.0] * int(BURST_S)
    assert limit.take("bo") == pytest.approx(1.0)
    assert limit.take("anna") == 0, "each has a limit of their own"
    now = 0.5
    assert limit.take("bo") == pytest.approx(0.5)
    now = 1.0
    assert limit.take("bo") == 0
    now = 1000.0
    assert sum(limit.take("bo") == 0 for _ in range(100)) == BURST_S
    assert Limit(1).take("bo") == 0, "a slow one lets one through"


def test_answers_have_places() -> None:
    places = Places(3, 2)
    assert [places.take(it) for it in ("bo", "bo", "bo", "anna", "chen")] == ["", "", "each", "", "most"]
    places.free("bo")
    assert [places.take(it) for it in ("chen", "bo")] == ["", "most"]
    for it in ("bo", "anna", "chen"):
        places.free(it)
    assert [places.take("bo") for _ in range(3)] == ["", "", "each"]


KEY = b"k" * 32


def hit(text: str, score: float) -> Hit:
    return Hit(score=score, collection="hr", source="a.md", place="p. 1", headings=("A",), text=text)


def test_a_record_names_chunks_and_holds_no_text(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        made = records.record(BO, "search", "v1", [hit("secret\ntext", 0.5), hit("other", 0.1)], "who?", KEY)
        records.give(made, tmp_path / "journal")
        data = journal.recv(1 << 16)
    head, _, rest = data.partition(b"MESSAGE\n")
    assert head == b"PRIORITY=6\nSYSLOG_IDENTIFIER=dualtrack\n"
    assert int.from_bytes(rest[:8], "little") == len(rest) - 9
    assert rest.endswith(b"\n")
    found = json.loads(rest[8:])
    assert {key: found[key] for key in ("what", "person", "way", "version")} == {
        "what": "knowledge", "person": "bo", "way": "search", "version": "v1",
    }  # fmt: skip
    assert found["chunks"] == [records.chunk(hit("secret\ntext", 0.9), KEY), records.chunk(hit("other", 0.9), KEY)]
    assert records.chunk(hit("other", 0.9), b"another") not in found["chunks"], "no guess is tested without the key"
    assert len(set(found["chunks"])) == 2
    assert b"secret" not in data
    assert b"who" not in data


@pytest.mark.parametrize("operator", ["", "ops", "李"])
def test_a_record_names_who_asked_in_the_place_of_a_person(operator: str) -> None:
    made = msgspec.to_builtins(records.record(Person("bo", frozenset(), operator), "search", "v", [], "?", KEY))
    assert made["person"] == "bo"
    assert made.get("operator", "") == operator


def test_a_journal_that_takes_nothing(tmp_path: Path) -> None:
    with pytest.raises(External, match="the journal takes no record"):
        records.give(records.record(BO, "search", "v", [], "?", KEY), tmp_path / "none")


@pytest.mark.parametrize("change", [{"per_minute": 0}, {"sources": 51}, {"more": 1}, {"base": None}])
def test_settings_are_checked(tmp_path: Path, change: dict[str, object]) -> None:
    right = {"base": "/b", "model": "/m", "people": "/p", "token_key": "/k", "socket": "/s"}
    (tmp_path / "right.json").write_text(json.dumps(right))
    assert settings.load(tmp_path / "right.json").sources == 5
    (tmp_path / "wrong.json").write_text(json.dumps(right | change))
    with pytest.raises(BadInput, match=str(tmp_path)):
        settings.load(tmp_path / "wrong.json")
