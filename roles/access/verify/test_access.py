"""Each person may what the file says, and nothing else; who has left may nothing at all."""

from __future__ import annotations

import time
from typing import Any

import pytest

EVERYBODY = "dualtrack-people"


def may_become_root(host: Any, name: str) -> bool:
    """Tell whether somebody becomes root, by trying."""
    return bool(host.run("runuser -u %s -- sudo -n -- true", name).rc == 0)


def rules(hostvars: dict[str, Any], person: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rules that hold for a person now."""
    groups, now = {f"%{name}" for name in person["groups"]}, time.strftime("%Y%m%d%H%M%SZ", time.gmtime())
    return [
        rule for rule in hostvars["access_sudo"]
        if rule["who"] in {person["name"], *groups} and (not rule.get("until") or rule["until"] > now)
    ]  # fmt: skip


def test_people(host: Any, hostvars: dict[str, Any]) -> None:
    """Every person has the account, the number and the groups that the file gives, and no password."""
    for it in hostvars["access_people"]:
        user = host.user(it["name"])
        assert user.exists, f"{it['name']} has no account"
        assert user.uid == it["uid"]
        assert set(user.groups) - {user.group} == set(it["groups"]) - {user.group}, it["name"]
        assert user.password[:1] in "!*", f"{it['name']} has a password"
        keys = host.file(f"/etc/ssh/authorized_keys.d/{it['name']}")
        found = [line for line in keys.content_string.splitlines() if line] if keys.exists else []
        assert found == [line.strip() for line in it.get("ssh_keys", ())], it["name"]


def test_who_becomes_root(host: Any, hostvars: dict[str, Any]) -> None:
    """Only those become root who administer this kind of host."""
    for it in hostvars["access_people"]:
        wanted = any("ALL" in rule["commands"] for rule in rules(hostvars, it))
        assert may_become_root(host, it["name"]) is wanted, f"{it['name']}: {'cannot' if wanted else 'can'} become root"


def test_commands(host: Any, hostvars: dict[str, Any]) -> None:
    """Whoever may run certain commands may run those, and the same with more words or as somebody else not."""
    tried = 0
    for it in hostvars["access_people"]:
        found = rules(hostvars, it)
        for rule in found:
            if "ALL" in rule["commands"] or any("ALL" in other["commands"] for other in found):
                continue
            if not host.user(rule["as_"]).exists:
                continue  # a host that keeps no audit trail
            for command in rule["commands"]:
                tried += 1
                ask = f"runuser -u {it['name']} -- sudo -n -l -u"
                assert host.run(f"{ask} {rule['as_']} -- {command}").rc == 0, f"{it['name']} may not {command}"
                assert host.run(f"{ask} {rule['as_']} -- {command} --more").rc != 0, f"{it['name']}: any words will do"
                assert host.run(f"{ask} root -- {command}").rc != 0, f"{it['name']} runs it as root"
    if not tried:
        pytest.skip("nobody has a rule for single commands here")


def test_who_left(host: Any, hostvars: dict[str, Any]) -> None:
    """Nobody is in the group of people who is not in the file."""
    names = {it["name"] for it in hostvars["access_people"]}
    group = host.run("getent group %s", EVERYBODY).stdout.strip()
    members = set(filter(None, group.rsplit(":", 1)[-1].split(",")))
    assert members == names, f"in the group are {members}"
