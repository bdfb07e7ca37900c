"""Each person may what the file says, and nothing else; who has left may nothing at all."""

from __future__ import annotations

import time
from typing import Any

import pytest

EVERYBODY = "dualtrack-people"


#: What a host says of each person named to it: a line for each fact, told apart by its first letter, and an empty one.
ASK = """\
for name do
    echo "n$name"
    echo "u$(id -u "$name")"
    echo "p$(id -gn "$name")"
    echo "g$(id -Gn "$name")"
    echo "s$(getent shadow "$name" | cut -d : -f 2)"
    sed -n '/./s/^/k/p' "/etc/ssh/authorized_keys.d/$name"
    echo
done 2>/dev/null"""


def codes(host: Any, commands: list[str]) -> list[int]:
    """Return the exit codes of commands, run by one shell: an emulated host takes long to start many."""
    script = "\n".join(f"{{ {command}; }} >/dev/null 2>&1; echo $?" for command in commands)
    return [int(line) for line in host.check_output(script).split()]


def rules(hostvars: dict[str, Any], person: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rules that hold for a person now."""
    groups, now = {f"%{name}" for name in person["groups"]}, time.strftime("%Y%m%d%H%M%SZ", time.gmtime())
    return [
        rule for rule in hostvars["access_sudo"]
        if rule["who"] in {person["name"], *groups} and (not rule.get("until") or rule["until"] > now)
    ]  # fmt: skip


def test_people(host: Any, hostvars: dict[str, Any]) -> None:
    """Every person has the account, the number and the groups that the file gives, and no password."""
    people = hostvars["access_people"]
    names = [it["name"] for it in people]
    if not names:
        pytest.skip("nobody has an account here")
    said = host.check_output("sh -c %s ask" + " %s" * len(names), ASK, *names).split("\n\n")
    for it, text in zip(people, said, strict=True):
        facts: dict[str, list[str]] = {}
        for line in text.strip("\n").split("\n"):
            facts.setdefault(line[:1], []).append(line[1:])
        [name], [uid], [primary], [groups], [password] = (facts[letter] for letter in "nupgs")
        assert name == it["name"]
        assert uid, f"{name} has no account"
        assert int(uid) == it["uid"]
        assert set(groups.split()) - {primary} == set(it["groups"]) - {primary}, name
        assert password[:1] in tuple("!*"), f"{name} has a password"
        assert facts.get("k", []) == [line.strip() for line in it.get("ssh_keys", ())], name


def test_who_becomes_root(host: Any, hostvars: dict[str, Any]) -> None:
    """Only those become root who administer this kind of host."""
    people = hostvars["access_people"]
    found = codes(host, [f"runuser -u {it['name']} -- sudo -n -- true" for it in people])
    for it, code in zip(people, found, strict=True):
        wanted = any("ALL" in rule["commands"] for rule in rules(hostvars, it))
        assert (code == 0) is wanted, f"{it['name']}: {'cannot' if wanted else 'can'} become root"


def test_commands(host: Any, hostvars: dict[str, Any]) -> None:
    """Whoever may run certain commands may run those, and the same with more words or as somebody else not."""
    asked = list[tuple[str, bool, str]]()
    for it in hostvars["access_people"]:
        found = rules(hostvars, it)
        for rule in found:
            if "ALL" in rule["commands"] or any("ALL" in other["commands"] for other in found):
                continue
            if not host.user(rule["as_"]).exists:
                continue  # a host that keeps no audit trail
            ask = f"runuser -u {it['name']} -- sudo -n -l -u"
            for command in rule["commands"]:
                asked += [
                    (f"{ask} {rule['as_']} -- {command}", True, f"{it['name']} may not {command}"),
                    (f"{ask} {rule['as_']} -- {command} --more", False, f"{it['name']}: any words will do"),
                    (f"{ask} root -- {command}", False, f"{it['name']} runs it as root"),
                ]
    if not asked:
        pytest.skip("nobody has a rule for single commands here")
    for (_, wanted, wrong), code in zip(asked, codes(host, [it[0] for it in asked]), strict=True):
        assert (code == 0) is wanted, wrong


def test_who_left(host: Any, hostvars: dict[str, Any]) -> None:
    """Nobody is in the group of people who is not in the file."""
    names = {it["name"] for it in hostvars["access_people"]}
    group = host.run("getent group %s", EVERYBODY).stdout.strip()
    members = set(filter(None, group.rsplit(":", 1)[-1].split(",")))
    assert members == names, f"in the group are {members}"
