"""Each command that asks: without an answer and with `--dry-run` nothing is changed; `--yes` changes it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from dualtrack.cli import cloud, commands, local, serving, tracks
from dualtrack.cli.groups import BY_NAME
from dualtrack.cloud import account, state_bucket
from dualtrack.core import paths
from dualtrack.core.errors import Exit, Refused
from dualtrack.core.output import form
from dualtrack.core.paths import ROOT
from dualtrack.crypto import libcrypto
from dualtrack.data.checkpoints.address import parse
from dualtrack.data.checkpoints.cache import Cache
from dualtrack.data.checkpoints.cache import Entry as CacheEntry
from dualtrack.data.checkpoints.manifest import File, Manifest
from dualtrack.inventory import deployment
from dualtrack.knowledge import overview, versions
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.sync import copy
from dualtrack.lab import control, removal
from dualtrack.security.access import break_glass
from dualtrack.security.audit import holds, writer
from dualtrack.security.pki import authority
from dualtrack.security.seal import removal as removal_of_all
from dualtrack.security.seal.slots import Sm2Recipient
from dualtrack.serving import tenants
from dualtrack.tracks import ansible_runner, certificates, state_backup, trial

COMMANDS: dict[tuple[str, ...], Any] = dict(commands())
#: What asks on a real account only has no `--dry-run`: `cloud plan` is it.
PLANNED = {"cloud up", "cloud down"}
#: What asks and is tested beside what it does.
ELSEWHERE = PLANNED | {
    "play", "pools watch", "spot apply", "tiers restore", "audit retain", "kb delete-person", "init",
}  # fmt: skip
NOW = datetime.now(UTC).replace(microsecond=0)
GPU_1: dict[str, Any] = {"hosts": {"gpu-1": None}}


def store_remove(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    cache, address = Cache(folder), parse("s3://weights/models/one@v1")
    manifest = Manifest(
        schema="dualtrack.checkpoint/1", part=1 << 20, files=(File(path="a", size=1, parts=("0" * 64,)),)
    )
    key = cache.key(address, manifest)
    entry = CacheEntry(address=str(address), manifest=manifest, pulled=time.time())
    (cache.version(key) / "files").mkdir(parents=True)
    (cache.version(key) / "files/a").write_bytes(b"a")
    (cache.version(key) / "entry.json").write_bytes(msgspec.json.encode(entry))
    return [key, "--cache", str(folder)]


def key_revoke(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    tenants.add(folder / "tenants.json", "research", tenants.Changes())
    patch.setattr(serving.serving, "sites", list)
    patch.setattr(serving.serving, "tenants_file", lambda _: folder / "tenants.json")
    patch.setattr(serving.serving, "tell", lambda _, __: [])
    return ["research"]


def access_revoke(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    grant = break_glass.Grant(
        id="1234", name="ada", role="administrator", reason="ticket", since=NOW, until=NOW + timedelta(hours=1)
    )
    (folder / "grants.json").write_bytes(msgspec.json.encode(break_glass.Grants((grant,))))
    return ["1234", "--grants", str(folder / "grants.json")]


def audit_release(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    holds.hold(folder, "gpu-1", "case 1")
    return ["gpu-1", "--pki", str(folder)]


def audit_rotate_key(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    writer.begin(folder / "trail", "gpu-1")
    return [str(folder / "trail")]


def pki_rotate(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    authority.ensure(folder)
    return ["--pki", str(folder), "--step", "both"]


def pki_renew(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    authority.issue(folder, "shipper", "gpu-1", now=NOW - timedelta(days=21))
    patch.setattr(certificates.deployment, "generated", lambda: [deployment._Group(children={"audited": GPU_1})])
    patch.setattr(certificates, "RECORD", folder / "certificates.json")
    patch.setattr(certificates, "STATE", folder)
    result = ansible_runner.Result(changed={"gpu-1": 3}, failures=(), seconds=1.0, log="")
    patch.setattr(certificates.ansible_runner, "configure", lambda *_, **__: result)
    return ["--pki", str(folder)]


def kb_rollback(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    patch.setattr(versions, "damaged", lambda *_: "")
    patch.setattr(overview, "change_of_readers", lambda *_: [])
    patch.setattr(overview, "documents", lambda *_: {})
    with Keys(folder, make=True):
        pass
    for name in ("aaaa", "bbbb"):
        (folder / "versions" / name).mkdir(parents=True)
        card = versions.Made(
            id=name, model_name="m", model="m", dimension=1, rules="", documents=1, chunks=1, bytes=1, digest=""
        )
        (folder / "versions" / name / "card.json").write_bytes(msgspec.json.encode(card))
    (folder / "current").symlink_to("versions/aaaa")
    return ["bbbb", "--base", str(folder)]


def sync_rollback(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    words = kb_rollback(folder, patch)
    copy._save(folder, copy.SyncState(source="elsewhere"))
    return words


def state_restore(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    key = libcrypto.generate()
    patch.setattr(paths, "STATE", folder / "state")
    patch.setattr(deployment, "STATE", folder / "state")
    (folder / "state").mkdir()
    (folder / "state/ca.key").write_text("secret")
    state_backup.backup(folder / "state.sealed", [Sm2Recipient(key)], [], lambda _: None)
    removal_of_all.remove(folder / "state")
    (folder / "vault.pem").touch(0o600)
    (folder / "vault.pem").write_bytes(key.private_pem(b""))
    return [str(folder / "state.sealed"), "--identity", str(folder / "vault.pem")]


def cloud_unlock(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    patch.setattr(cloud.stacks, "unlock", lambda stack, lock: (folder / "broken").write_text(f"{stack} {lock}"))
    return ["6a1b"]


def cloud_bootstrap(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    patch.setattr(state_bucket.variables, "folder", lambda _: folder)
    patch.setattr(state_bucket.variables, "read", lambda _: {"region": "us-east-1"})
    patch.setattr(state_bucket.account, "whoami", lambda: account.Identity("111122223333", "arn:aws:iam::x"))
    (folder / "backend.hcl").write_text(state_bucket.Place(bucket="state", region="us-east-1", key="aws").text)
    lacks = state_bucket.Property(
        lack="",
        repair="repair it",
        required=True,
        holds=lambda *_: False,
        set=lambda *_: (folder / "repaired").write_text("yes"),
    )
    patch.setattr(state_bucket, "look", lambda *_: state_bucket.Seen(exists=True, lacks=(lacks,)))
    return ["--stack", "aws"]


def cloud_try(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    offered = trial.Offer(
        stack="aws", account="account 1", region="us-east-1", name="dualtrack-try-1", instance_type="m6i.large",
        most_usd=0.2, variables={},
    )  # fmt: skip

    def run(*_: Any, **__: Any) -> trial.Report:
        (folder / "tried").write_text("yes")
        return trial.Report(
            began="now", stack="aws", account="account 1", region="us-east-1", instance_type="m6i.large", most_usd=0.2,
            steps=(), left=(),
        )  # fmt: skip

    patch.setattr(trial, "offer", lambda *_, **__: offered)
    patch.setattr(trial, "run", run)
    return ["--stack", "aws"]


#: Each of the others, and what makes something for it to change in an empty directory and returns its arguments.
CASES: dict[str, Callable[[Path, pytest.MonkeyPatch], list[str]]] = {
    "store remove": store_remove,
    "serving key revoke": key_revoke,
    "access revoke": access_revoke,
    "audit release": audit_release,
    "audit rotate-key": audit_rotate_key,
    "pki renew": pki_renew,
    "pki rotate": pki_rotate,
    "kb rollback": kb_rollback,
    "sync rollback": sync_rollback,
    "cloud bootstrap": cloud_bootstrap,
    "cloud try": cloud_try,
    "cloud unlock": cloud_unlock,
    "state restore": state_restore,
}


def options(path: tuple[str, ...]) -> set[str]:
    return {name for it in COMMANDS[path].params if not getattr(it, "hidden", False) for name in it.opts}


def asking() -> set[str]:
    return {" ".join(path) for path in COMMANDS if "--yes" in options(path)}


def files(folder: Path) -> dict[str, bytes]:
    """Return what is in a directory; locks are empty files."""
    return {
        str(it): str(it.readlink()).encode() if it.is_symlink() else it.read_bytes()
        for it in folder.rglob("*")
        if it.is_symlink() or (it.is_file() and it.stat().st_size)
    }


def call(command: str, words: list[str]) -> None:
    group, *rest = command.split()
    try:
        BY_NAME[group].load().main([*rest, *words], standalone_mode=False)
    finally:
        form.reset()


def test_the_page_lists_every_command_that_asks() -> None:
    page = (ROOT / "docs/reference/confirmations.md").read_text()
    table = page.partition("| Command | Asks |")[2].partition("\n\n")[0]
    listed = [name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(listed) == len(set(listed))
    assert set(listed) == asking()
    assert all("-y" in options(tuple(it.split())) for it in listed)
    assert {it for it in listed if "--dry-run" not in options(tuple(it.split()))} == PLANNED


def test_every_command_that_asks_is_tested() -> None:
    assert asking() == ELSEWHERE | CASES.keys()


@pytest.mark.parametrize("command", CASES)
def test_only_an_answer_or_yes_changes_something(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = CASES[command](tmp_path, monkeypatch)
    before, asked, path = files(tmp_path), list[str](), tuple(command.split())

    def nobody(question: str, *_: Any, **__: Any) -> bool:
        asked.append(question)
        raise typer.Abort

    monkeypatch.setattr(typer, "prompt", nobody)
    call(command, [*words, "--dry-run"])
    assert (capsys.readouterr().out.count("would"), asked, files(tmp_path)) == (1, [], before)
    call(command, [*words, "--dry-run", "--yes"])
    assert (asked, files(tmp_path)) == ([], before)
    capsys.readouterr()
    with pytest.raises(Refused, match="nobody answered: nothing was changed") as refused:
        call(command, words)
    assert (refused.value.code, len(asked), files(tmp_path)) == (Exit.REFUSED, 1, before)
    assert "would" in capsys.readouterr().out
    if "--json" in options(path):
        call(command, [*words, "--json"])
        document = msgspec.json.decode(capsys.readouterr().out)
        assert not document.get("applied", document.get("changed"))
        assert (len(asked), files(tmp_path)) == (1, before)
    call(command, [*words, "--yes"])
    assert len(asked) == 1
    assert files(tmp_path) != before


def test_what_is_asked_and_answered_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = cloud_unlock(tmp_path, monkeypatch)
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: True)
    call("cloud unlock", words)
    assert (tmp_path / "broken").read_text() == "emulator 6a1b"


@pytest.mark.parametrize("command", ["down", "local down", "lab down"])
def test_what_ends_the_lab_shows_it_only(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def host(name: str, instance: str = "") -> control.LabHost:
        return control.LabHost(
            name=name, address="10.30.0.9", user="ops", kind="nspawn", gpus=0, instance_id=instance, state="running",
            ssh_config="",
        )  # fmt: skip

    hosts = host("web-1"), host("other"), host("gpu-1", "i-1")
    status = control.LabStatus(
        up=True, aws_endpoint="", aws_credentials_file="", aws_endpoint_inside="", namespace="", pid=1, hosts=hosts
    )  # fmt: skip
    facts = tmp_path / "facts.yml"
    facts.write_text("provider: lab\nuser: ops\nhosts:\n  - {name: web-1, address: 10.30.0.9}\n")
    monkeypatch.setattr(control, "status", lambda: status)
    monkeypatch.setattr(removal, "leftovers", lambda: ["network namespace dt1"])
    monkeypatch.setattr(deployment, "current", lambda: deployment.Current(stack="emulator", facts=str(facts)))
    for ending in (
        (control, "down"),
        (removal, "remove_hosts"),
        (local.local_track, "down"),
        (tracks.cloud_track, "down"),
    ):
        monkeypatch.setattr(*ending, lambda *_, **__: pytest.fail("something was ended"))
    call(command, ["--dry-run"])
    said = capsys.readouterr().out
    assert {name for name in ("web-1", "other", "gpu-1", "dt1") if name in said} == {
        "down": {"web-1", "gpu-1"}, "local down": {"web-1"}, "lab down": {"web-1", "other", "gpu-1", "dt1"}
    }[command]  # fmt: skip


def test_a_step_that_was_taken_is_not_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = pki_rotate(tmp_path, monkeypatch)
    call("pki rotate", [*words, "--yes"])
    before = files(tmp_path)
    call("pki rotate", words)
    assert files(tmp_path) == before


def test_a_version_that_answers_already_is_not_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = sync_rollback(tmp_path, monkeypatch)
    COMMANDS["sync", "rollback"].main(["aaaa", *words[1:]], standalone_mode=False)
    assert capsys.readouterr().err == "version aaaa answers already\n"
    copy._save(tmp_path, copy.SyncState(source="elsewhere", held="cccc"))
    COMMANDS["sync", "rollback"].main(["aaaa", *words[1:], "--yes"], standalone_mode=False)
    assert copy.status(tmp_path).held == ""  # asked for by name, it is no longer waited for another one
