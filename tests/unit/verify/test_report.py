"""A report is green only for hosts that were reached and of which every role reported back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from dualtrack.core.errors import BadInput
from dualtrack.remote import ssh_config
from dualtrack.verify import record
from dualtrack.verify.model import Check, CheckReport, build
from dualtrack.verify.record import Verified
from dualtrack.verify.show import show

PLAN = {"h1": ["base"], "h2": ["base", "gpu"]}
GOOD = [
    Check(host="h1", role="base", check="a", outcome="passed"),
    Check(host="h2", role="base", check="a", outcome="passed"),
    Check(host="h2", role="gpu", check="b", outcome="passed"),
]


def report(checks: Sequence[Check], unreachable: dict[str, str] | None = None) -> CheckReport:
    return build(PLAN, unreachable or {}, checks, seconds=1.0, verified_at="2026-03-01T00:00:00Z")


def test_all_passed_is_green() -> None:
    found = report(GOOD)
    assert found.ok
    assert (found.passed, found.failed, found.unreachable) == (3, 0, 0)
    assert found.headline == "2 of 2 hosts in order, 3 checks passed"


def test_a_failed_check_is_red_and_named_in_the_headline() -> None:
    found = report(
        [*GOOD, Check(host="h2", role="gpu", check="the GPUs answer", outcome="failed", assertion="7 GPUs answer")]
    )
    assert not found.ok
    assert found.headline.endswith("h2: not true that the GPUs answer")
    assert found.hosts[1].failures[0].assertion == "7 GPUs answer"
    assert found.hosts[0].state == "passed"


def test_a_host_that_does_not_answer_is_red() -> None:
    found = report(GOOD[:1], {"h2": "no route"})
    assert not found.ok
    assert found.hosts[1].state == "unreachable"
    assert found.unreachable == 1
    assert "h2 cannot be reached: no route" in found.headline


@pytest.mark.parametrize("lost", range(3))
def test_a_role_that_did_not_report_back_is_red(lost: int) -> None:
    assert not report([check for number, check in enumerate(GOOD) if number != lost]).ok


def test_a_skip_is_neither_passed_nor_failed_and_keeps_its_reason() -> None:
    found = report(
        [*GOOD, Check(host="h1", role="base", check="the clock", outcome="skipped", assertion="a container")]
    )
    assert found.ok
    assert found.passed == 3
    assert found.hosts[0].skipped == ("the clock: a container",)


def test_people_read_each_reason_once_and_the_failures_last(capsys: pytest.CaptureFixture[str]) -> None:
    skips = [
        Check(host=name, role="base", check="the clock", outcome="skipped", assertion="a container")
        for name in ("h1", "h2")
    ]
    show(
        report(
            [
                *GOOD,
                *skips,
                Check(host="h2", role="gpu", check="the GPUs answer", outcome="failed", assertion="7 GPUs answer"),
            ]
        )
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[-4] == "not checked on h1, h2: the clock: a container"
    assert lines[-3:-1] == ["h2: not true that the GPUs answer [gpu]", "    7 GPUs answer"]
    assert lines[-1].startswith("1 of 2 hosts")


def test_the_document_holds_the_sums() -> None:
    data = msgspec.to_builtins(report(GOOD))
    assert data["ok"] is True
    assert data["hosts"][0]["name"] == "h1"


def test_record_replaces_the_hosts_of_the_report_and_keeps_the_others() -> None:
    before = {"h1": Verified("old", False, "i-1"), "other": Verified("old", True, "i-9")}
    h1, *others = (msgspec.structs.replace(host, identity="i-2") for host in report(GOOD).hosts)
    after = record.merged(before, msgspec.structs.replace(report(GOOD), hosts=(h1, *others)))
    assert after["h1"] == Verified("2026-03-01T00:00:00Z", True, "i-2")
    assert after["other"] == before["other"]


def test_record_survives_a_torn_file(tmp_path: Path) -> None:
    path = tmp_path / "lab/verified.json"
    path.parent.mkdir()
    path.write_text('{"h1": {"ver')
    record.save(path, report(GOOD))
    assert record.load(path)["h2"].ok
    assert {item.name for item in path.parent.iterdir()} == {"verified.json", ".verified.json.lock"}


def test_ssh_configuration_carries_what_the_inventory_says() -> None:
    facts = {
        "ansible_host": "10.0.0.1", "ansible_port": 2222, "ansible_user": "ops", "ansible_ssh_private_key_file": "key",
        "ansible_ssh_common_args": '-o ProxyCommand="ip netns exec ns nc %h %p" -oUserKnownHostsFile=known -J jump',
    }  # fmt: skip
    assert ssh_config.settings("h", facts) == {
        "HostName": "10.0.0.1", "Port": "2222", "User": "ops", "IdentityFile": "key", "IdentitiesOnly": "yes",
        "ProxyCommand": "ip netns exec ns nc %h %p", "UserKnownHostsFile": "known", "ProxyJump": "jump",
    }  # fmt: skip
    text = ssh_config.render({"h": facts}, Path("c d"))
    assert "    ProxyCommand ip netns exec ns nc %h %p\n" in text
    assert '    ControlPath "c d/%C"\n' in text
    assert "StrictHostKeyChecking" not in text


@pytest.mark.parametrize("facts", [{"ansible_connection": "winrm"}, {"ansible_ssh_common_args": "-v"}])
def test_connections_that_cannot_be_copied_are_refused(facts: dict[str, str]) -> None:
    with pytest.raises(BadInput, match=r"^h: "):
        ssh_config.settings("h", facts)
