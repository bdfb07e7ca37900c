"""`dualtrack tiers restore` asks as other commands do, and its document says what it takes before money is spent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import typer

from dualtrack.cli.groups import BY_NAME
from dualtrack.cloud.tiers import drill, restore
from dualtrack.cloud.tiers.restore import Object
from dualtrack.core.errors import Refused
from dualtrack.core.output import form

ADDRESS = "s3://weights/models/one@v1"


class Bucket:
    """A bucket with one object; it notes what was asked of it."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.done: list[str] = []

    def remote(self, *_: Any, **__: Any) -> Any:
        return self

    @property
    def client(self) -> Any:
        class Meta:
            region_name = "us-east-1"

        class Client:
            meta = Meta

        return Client

    def look(self, *_: Any) -> list[Object]:
        return [Object(key="a", size=10**9, storage_class="DEEP_ARCHIVE", state=self.state)]

    def ask(self, *_: Any) -> int:
        self.done.append("ask")
        return 1

    def wait(self, *_: Any) -> float:
        self.done.append("wait")
        return 1.0


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Bucket]:
    def made(state: str) -> Bucket:
        found = Bucket(state)
        monkeypatch.setattr(drill, "Remote", found.remote)
        for name in ("look", "ask", "wait"):
            monkeypatch.setattr(restore, name, getattr(found, name))

        class Pulled:
            key, path = "one", "/cache/one"

        monkeypatch.setattr(drill.pulls, "pull", lambda *_, **__: found.done.append("pull") or Pulled)
        monkeypatch.setattr(drill.Cache, "entry", lambda *_: msgspec.json.decode(b'{"manifest": 0}', type=Entry))
        monkeypatch.setattr(drill, "check", lambda *_: [])
        return found

    return made


class Entry(msgspec.Struct):
    manifest: int


def call(*words: str) -> None:
    try:
        BY_NAME["tiers"].load().main(["restore", ADDRESS, "--region", "us-east-1", *words], standalone_mode=False)
    finally:
        form.reset()


@pytest.mark.parametrize("state", ["archived", "restoring", "readable"])
@pytest.mark.parametrize("words", [("--json",), ("--dry-run", "--json"), ("--dry-run", "--json", "--yes")])
def test_a_document_without_yes_is_a_plan(
    bucket: Callable[[str], Bucket], state: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    there = bucket(state)
    call(*words)
    found = msgspec.json.decode(capsys.readouterr().out)
    assert (found["applied"], found["archived"], found["path"]) == (False, state == "archived", "")
    assert there.done == []


@pytest.mark.parametrize("form_", ["yaml", "csv"])
def test_other_formats_have_the_plan(
    bucket: Callable[[str], Bucket], form_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    there = bucket("archived")
    call("--dry-run", "--format", form_)
    assert "promised_s" in capsys.readouterr().out
    assert there.done == []


def test_the_document_of_a_restore_has_the_same_fields(
    bucket: Callable[[str], Bucket], capsys: pytest.CaptureFixture[str]
) -> None:
    there = bucket("archived")
    found = []
    for words in (("--json",), ("--json", "--yes", "--no-wait"), ("--json", "--yes")):
        call(*words)
        found.append(msgspec.json.decode(capsys.readouterr().out))
    assert there.done == ["ask", "ask", "wait", "pull"]
    assert [it["applied"] for it in found] == [False, True, True]
    assert [it["waited_s"] for it in found] == [None, None, 1]
    assert found[0].keys() == found[1].keys() == found[2].keys()


def test_it_asks_before_money_is_spent_and_only_then(
    bucket: Callable[[str], Bucket], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = list[str]()

    def nobody(question: str, *_: Any, **__: Any) -> bool:
        asked.append(question)
        raise typer.Abort

    monkeypatch.setattr(typer, "prompt", nobody)
    there = bucket("archived")
    with pytest.raises(Refused, match="nobody answered: nothing was changed"):
        call()
    call("--dry-run")
    assert (len(asked), there.done) == (1, [])
    assert capsys.readouterr().out.count("1 of 1 objects") == 2
    # An answer counts wherever it comes from, as from `yes |`.
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: True)
    call()
    assert there.done == ["ask", "wait", "pull"]
    monkeypatch.setattr(typer, "prompt", nobody)
    there = bucket("restoring")
    call()
    assert (len(asked), there.done) == (1, ["wait", "pull"])
