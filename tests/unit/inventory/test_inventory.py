"""Inventories: names, the contract with OpenTofu, the facts file, the fast page parser, and what Ansible gets."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dualtrack.core import paths
from dualtrack.core.errors import BadInput
from dualtrack.inventory import contract, ec2, facts, render
from dualtrack.inventory.model import Host, check, groups_of
from dualtrack.inventory.names import host_names
from dualtrack.tracks import gather
from dualtrack.verify import plan

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import ec2_pages

OUTPUT: dict[str, Any] = {
    "schema": 1,
    "stack": "emulator",
    "region": "us-east-1",
    "network": {
        "vpc_id": "vpc-1",
        "cidr": "10.20.0.0/16",
        "subnets": {"us-east-1a": {"id": "subnet-1", "cidr": "10.20.0.0/24"}},
    },
    "pools": {
        "spot": {
            "lifecycle": "spot", "autoscaling_group": "dualtrack-spot", "instance_types": ["p4de.24xlarge"], "gpus": 8,
            "roles": ["gpu"], "ssh_user": "admin", "zones": ["us-east-1a"], "min": 0, "desired": 2, "max": 8,
        }
    },
    "storage": {"weights": {"bucket": "test-weights", "arn": "arn:aws:s3:::test-weights"}},
}  # fmt: skip


def host(name: str = "a", address: str = "10.30.0.1", **more: Any) -> Host:
    return Host(name=name, address=address, user="ops", track="local", pool="local", lifecycle="owned", **more)


def test_names_are_short_until_they_clash() -> None:
    assert host_names([("spot", "i-0123456789abcdef0"), ("spot", "i-fedcba9876543210f")]) == [
        "spot-01234567",
        "spot-fedcba98",
    ]
    clash = [("spot", "i-0123456789abcdef0"), ("spot", "i-01234567ffffffff0")]
    assert host_names(clash) == ["spot-0123456789abcdef0", "spot-01234567ffffffff0"]


def test_contract_is_read() -> None:
    assert contract.parse(OUTPUT).pools["spot"].gpus == 8


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("schema",), 2, "schema 2"),
        (("region",), None, r"\$\.region"),
        (("pools", "spot", "gpus"), "8", r"\$\.pools\[\.\.\.\]\.gpus"),
        (("pools", "spot", "lifecycle"), "cheap", "lifecycle"),
        (("network", "vpc_id"), 7, r"\$\.network\.vpc_id"),
    ],
)
def test_broken_contract_names_the_field(path: tuple[str, ...], value: object, said: str) -> None:
    broken = json.loads(json.dumps(OUTPUT))
    inner = broken
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    with pytest.raises(BadInput, match=said):
        contract.parse(broken)


TRAFFIC = {"zone_id": "Z0123456789ABC", "name": "nodes.llm.example.com"}


def test_traffic_may_be_left_out_and_reaches_the_hosts() -> None:
    """An output of before there was any still reads; with it, every cloud host knows where the records of nodes are."""
    instance = ec2.Instance(
        id="i-1", type="p4de.24xlarge", address="10.20.0.4", zone="us-east-1a", lifecycle="", tag_pool="spot"
    )
    before, after = contract.parse(OUTPUT), contract.parse({**OUTPUT, "traffic": TRAFFIC})
    assert before.traffic is None
    (plain,) = ec2.hosts([instance], before.pools, before.traffic)
    (told,) = ec2.hosts([instance], after.pools, after.traffic, after.network)
    assert render.hostvars(told, lambda _: {}) == {
        **render.hostvars(plain, lambda _: {}),
        "dualtrack_traffic_zone": "Z0123456789ABC", "dualtrack_traffic_name": "nodes.llm.example.com",
        "dualtrack_vpc": after.network.vpc_id, "dualtrack_network": after.network.cidr,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("traffic", "said"),
    [
        ({"zone_id": "Z1"}, "name"),
        ({"zone_id": 1, "name": "n"}, r"\$\.traffic\.zone_id"),
        ("nodes.example.com", "traffic"),
    ],
)
def test_traffic_by_halves_is_named(traffic: object, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        contract.parse({**OUTPUT, "traffic": traffic})


def test_both_sides_of_the_contract_agree_on_traffic() -> None:
    import jsonschema

    schema = json.loads((paths.ROOT / "terraform/inventory.schema.json").read_text())
    jsonschema.validate(OUTPUT, schema)
    jsonschema.validate({**OUTPUT, "traffic": TRAFFIC}, schema)
    for broken in ({"zone_id": "Z1"}, TRAFFIC | {"name": "Nodes.example.com."}, TRAFFIC | {"more": 1}, None):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**OUTPUT, "traffic": broken}, schema)


def test_missing_contract_is_an_error() -> None:
    with pytest.raises(BadInput, match="inventory"):
        contract.parse(None)


def write(folder: Path, text: str) -> Path:
    path = folder / "facts.yml"
    path.write_text(text)
    return path


GOOD = "hosts: [{name: a, address: 10.1.0.1, roles: [gpu], gpus: 4, disks: [/dev/disk/by-id/nvme-X_1]}]\n"


def test_facts_are_read(tmp_path: Path) -> None:
    (found,) = facts.hosts(facts.load(write(tmp_path, GOOD)))
    assert (found.track, found.lifecycle, found.gpus) == ("local", "owned", 4)
    assert found.vars["dualtrack_disks"] == ("/dev/disk/by-id/nvme-X_1",)


def test_default_facts_are_in_order_and_name_known_roles() -> None:
    assert facts.load().provider == "lab"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hosts: [", "not valid YAML"),
        ("", "object"),
        ("hosts: []", "names no hosts"),
        ("hosts: [{name: a}]", "address"),
        ("hosts: [{name: a, address: 10.1.0.1, colour: red}]", "colour"),
        ("hosts: [{name: a, address: 10.1.0.300}]", "not the IPv4 address"),
        ("hosts: [{name: a, address: 10.1.0.1, gpus: many}]", "int"),
        ("hosts: [{name: a, address: 10.1.0.1, gpus: -1}]", "gpus"),
        ("hosts: [{name: a, address: 10.1.0.1, roles: [king]}]", "king"),
        ("hosts: [{name: a, address: 10.1.0.1, roles: [gpu]}]", "0 GPUs"),
        ("hosts: [{name: a, address: 10.1.0.1}, {name: a, address: 10.1.0.2}]", "twice"),
        ("hosts: [{name: a, address: 10.1.0.1}, {name: b, address: 10.1.0.1}]", "share the address"),
        ("hosts: [{name: a, address: 10.1.0.1, disks: [/dev/nvme0n1]}]", "stable name"),
        ("hosts: [{name: a, address: 10.1.0.1, disks: [/dev/disk/by-id/x, /dev/disk/by-id/x]}]", "named twice"),
        ("hosts: [{name: 'a b', address: 10.1.0.1}]", "not valid"),
    ],
)
def test_wrong_facts_are_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        facts.load(write(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "facts.yml" in str(caught.value)


def test_absent_facts_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no facts file"):
        facts.load(tmp_path / "none.yml")


def test_page_parser_takes_what_boto3_takes() -> None:
    """Our parser and boto3's agree on every instance of a page."""
    from botocore.parsers import EC2QueryParser
    from botocore.session import get_session

    body = ec2_pages.pages(50, 50)[0]
    shape = get_session().get_service_model("ec2").operation_model("DescribeInstances").output_shape
    theirs = EC2QueryParser().parse({"status_code": 200, "body": body, "headers": {}}, shape)
    expected = [
        (
            i["InstanceId"], i["InstanceType"], i["PrivateIpAddress"], i["Placement"]["AvailabilityZone"],
            i.get("InstanceLifecycle", ""), next(t["Value"] for t in i["Tags"] if t["Key"] == "dualtrack:pool"),
        )
        for r in theirs["Reservations"]
        for i in r["Instances"]
    ]  # fmt: skip
    ours, token = ec2.parse_page(body)
    assert [(i.id, i.type, i.address, i.zone, i.lifecycle, i.tag_pool) for i in ours] == expected
    assert token == theirs.get("NextToken", "")


def test_pages_are_followed_and_all_instances_found() -> None:
    from dualtrack.core import aws

    server, url = ec2_pages.serve(2500)
    try:
        found = ec2.hosts(list(ec2.instances(aws.client("ec2", "us-east-1", url))))
    finally:
        server.shutdown()
        server.server_close()
    assert len({h.name for h in found}) == 2500
    assert sum(h.lifecycle == "spot" for h in found) == 2500 * 3 // 4


def test_what_aws_says_outranks_the_plan() -> None:
    pool = contract.parse({**OUTPUT, "pools": {"p": {**OUTPUT["pools"]["spot"], "lifecycle": "on-demand"}}}).pools["p"]
    instance = ec2.Instance(
        id="i-1", type="m5.large", address="10.20.0.4", zone="us-east-1a", lifecycle="spot", tag_pool="p"
    )
    assert ec2.hosts([instance], {"p": pool})[0].lifecycle == "spot"


def test_instance_without_our_tags_in_order_is_named() -> None:
    with pytest.raises(BadInput, match=r"i-9.*gpus"):
        ec2.hosts(
            [
                ec2.Instance(
                    id="i-9",
                    type="m5.large",
                    address="10.20.0.4",
                    zone="us-east-1a",
                    lifecycle="",
                    tag_pool="p",
                    tag_gpus="many",
                )
            ]
        )


def test_groups() -> None:
    assert list(groups_of(host(roles=("gpu", "storage"), zone="us-east-1a"))) == [
        "track_local", "pool_local", "lifecycle_owned", "role_gpu", "role_storage", "zone_us_east_1a",
    ]  # fmt: skip


def test_script_and_static_say_the_same() -> None:
    hosts = (host("a", roles=("gpu",), gpus=2), host("b", "10.30.0.2"))
    part = gather.Part(hosts, lambda h: {"x": h.name}, ("lab",))
    both = gather.Gathered((part, gather.Part((host("c", "10.30.0.3"),), lambda _: {})))
    static, script = both.static()["all"], both.script()
    assert script["_meta"]["hostvars"] == static["hosts"]
    assert {name: group["hosts"] for name, group in script.items() if name != "_meta"} == {
        name: list(group["hosts"]) for name, group in static["children"].items()
    }
    assert static["hosts"]["a"]["x"] == "a"
    assert list(static["children"]["lab"]["hosts"]) == ["a", "b"]


def test_all_hosts_of_a_track_with_a_search_store_are_audited() -> None:
    track = [host("a", roles=("gpu",), gpus=2), host("b", "10.30.0.2", roles=("storage",))]
    assert "audited" not in render.by_group(track)
    track.append(host("c", "10.30.0.3", roles=("log",)))
    assert render.by_group(track)["audited"] == ["a", "b", "c"]


def test_only_a_track_with_controllers_is_scheduled() -> None:
    track = [host("a", roles=("gpu",), gpus=2), host("b", "10.30.0.2", roles=("gateway",))]
    assert "scheduled" not in render.by_group(track)
    track.append(host("c", "10.30.0.3", roles=("controller",)))
    assert render.by_group(track)["scheduled"] == ["a", "c"]


def test_whoever_has_gpus_is_in_their_group_and_only_the_role_makes_it_a_node() -> None:
    track = [
        host("a", roles=("gpu",), gpus=2), host("b", "10.30.0.2", roles=("serving",), gpus=1),
        host("c", "10.30.0.3", roles=("serving",)), host("d", "10.30.0.4", roles=("controller",)),
    ]  # fmt: skip
    groups = render.by_group(track)
    assert groups["with_gpus"] == ["a", "b"]
    assert groups["scheduled"] == ["a", "d"]
    every = {"all": ["a", "b", "c", "d"], "role_gpu": [], **groups}
    plays = plan.read_plays(paths.ROOT / "ansible/site.yml")
    driver = {name for play in plays if "gpu_driver" in play.roles for name in plan.matches(play.hosts, every)}
    assert driver == {"a", "b"}


def test_yaml_and_json_hold_the_same() -> None:
    import yaml

    document = render.static((host(),), lambda _: {})
    assert yaml.safe_load(render.encode(document, "yaml")) == json.loads(render.encode(document, "json"))
    with pytest.raises(BadInput, match="toml"):
        render.encode(document, "toml")


def test_same_address_on_different_ports_is_fine() -> None:
    check([host("a"), host("b", port=2222)])
