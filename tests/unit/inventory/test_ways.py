"""How ssh reaches hosts: public and private addresses, jump hosts; every command that speaks ssh goes the same way."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dualtrack.core import paths
from dualtrack.core.errors import BadInput
from dualtrack.inventory import contract, ec2, facts, render, ways
from dualtrack.inventory.model import Host
from dualtrack.remote import ssh_config
from dualtrack.tracks import host_boot, reach

GOOD = ["ops@jump.example.com", "ops@10.0.0.1:2222", "bastion", "a_b.c-d@h", "h:65535"]
BAD = [
    "", "-oProxyCommand=x", "ops@-h", "a b", "a;b", "a`b`", "a$b", "ops@h:0", "ops@h:65536", "ops@h:", "@h", "a@b@c",
    "h\n", "ops@h -o X=y", "ssh://h",
]  # fmt: skip
INSTANCE = ec2.Instance(
    id="i-1", type="m6i.large", address="10.20.0.4", public="203.0.113.9", zone="us-east-1a", lifecycle="",
    tag_pool="p", tag_gpus="0",
)  # fmt: skip


@pytest.mark.parametrize("jump", GOOD)
def test_a_jump_host_is_one_argument_of_ssh(jump: str) -> None:
    words = shlex.split(ways.by_jump(jump, "it"))
    place, _, port = jump.partition(":")
    assert words[-3:] == ["-W", "%h:%p", place]
    assert (words[words.index("-p") + 1] if port else "") == port


@pytest.mark.parametrize("jump", BAD)
def test_what_is_no_jump_host_is_refused(jump: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a jump host"):
        ways.by_jump(jump, "it")
    if jump:
        file = tmp_path / "facts.yml"
        file.write_text(json.dumps({"hosts": [{"name": "a", "address": "10.1.0.1"}], "jump": jump}))
        with pytest.raises(BadInput, match=r"host a: .* is not a jump host"):
            facts.hosts(facts.load(file))


@pytest.mark.parametrize(
    ("connection", "proxy"),
    [
        (None, ""), ({"kind": "private", "jump": ""}, ""), ({"kind": "public", "jump": ""}, "nc 203.0.113.9 %p"),
        ({"kind": "jump", "jump": "bastion"}, "ssh -o BatchMode=yes -o ConnectTimeout=10 -W %h:%p bastion"),
    ],
)  # fmt: skip
def test_every_command_goes_the_way_of_the_stack(connection: dict[str, str] | None, proxy: str, tmp_path: Path) -> None:
    way = contract.Connection(**connection) if connection else None  # type: ignore[arg-type]
    [host] = ec2.hosts([INSTANCE], connection=way)
    variables = render.direct(tmp_path / "known hosts" / "it" if not proxy else tmp_path / "known")
    assert (host.address, host.proxy) == ("10.20.0.4", proxy)
    found = render.hostvars(host, variables)
    assert found["ansible_host"] == "10.20.0.4", "hosts reach each other there"
    if not proxy:
        assert "ProxyCommand" not in str(found["ansible_ssh_common_args"])
        return
    assert host_boot.proxy_of(host_boot.ssh_words(host, variables)) == proxy
    assert f"ProxyCommand={proxy}" in reach.ssh_words(host.name, found)
    assert ssh_config.settings(host.name, found)["ProxyCommand"] == proxy
    assert f"    ProxyCommand {proxy}\n" in ssh_config.render({host.name: found}, tmp_path)


def test_an_instance_without_a_public_address_is_named() -> None:
    from msgspec import structs

    with pytest.raises(BadInput, match="instance i-1 has no public address"):
        ec2.hosts([structs.replace(INSTANCE, public="")], connection=contract.Connection(kind="public"))


def test_a_host_of_the_facts_file_may_have_a_jump_host_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "facts.yml"
    given: dict[str, Any] = {
        "jump": "bastion",
        "hosts": [{"name": "a", "address": "10.1.0.1"}, {"name": "b", "address": "10.1.0.2", "jump": "ops@other:2222"}],
    }
    file.write_text(json.dumps(given))
    one, other = facts.hosts(facts.load(file))
    assert one.proxy.endswith(" bastion")
    assert other.proxy.endswith("-p 2222 -W %h:%p ops@other")
    file.write_text(json.dumps({**given, "provider": "lab"}))
    with pytest.raises(BadInput, match="host a has a jump host, and is one of the lab"):
        facts.load(file)


def test_both_sides_of_the_contract_agree_on_the_connection() -> None:
    from tests.unit.inventory.test_inventory import OUTPUT

    schema = json.loads((paths.ROOT / "terraform/inventory.schema.json").read_text())
    for good in ({"kind": "public", "jump": ""}, {"kind": "jump", "jump": "bastion"}):
        jsonschema.validate({**OUTPUT, "connection": good}, schema)
        assert contract.parse({**OUTPUT, "connection": good}).connection == contract.Connection(**good)  # type: ignore[arg-type]
    for broken in ({"kind": "vpn", "jump": ""}, {"jump": "bastion"}, "public"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**OUTPUT, "connection": broken}, schema)
        with pytest.raises(BadInput, match="connection"):
            contract.parse({**OUTPUT, "connection": broken})


def test_a_host_without_a_proxy_is_reached_straight(tmp_path: Path) -> None:
    host = Host(name="a", address="10.30.0.1", user="ops", track="local", pool="local", lifecycle="owned")
    assert "ProxyCommand" not in str(render.direct(tmp_path)(host))
