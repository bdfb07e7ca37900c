"""Hosts from the live EC2 API, fast: 10,000 instances in about a second.

boto3 signs, sends, retries and pages. Its own parser would build every field of every instance (6 s for 10,000); the
documented event `before-parse` lets us read the page with the C parser of the standard library instead, take the
dozen fields an inventory needs, and hand boto3 a page without instances.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from sys import intern
from typing import Any
from xml.etree import ElementTree

import msgspec

from dualtrack.core import aws
from dualtrack.core.errors import BadInput, External
from dualtrack.inventory import contract, ways
from dualtrack.inventory.contract import Network, Pool, Traffic
from dualtrack.inventory.model import Host, Lifecycle
from dualtrack.inventory.names import host_names


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """What an inventory needs of one instance; `tag_…` are our own tags, '' where the instance lacks them."""

    id: str
    type: str
    address: str
    public: str = ""  # its address in the Internet
    zone: str
    lifecycle: str  # "spot" where AWS says so, '' otherwise
    tag_pool: str = ""
    tag_lifecycle: str = ""
    tag_roles: str = ""
    tag_gpus: str = ""
    tag_ssh_user: str = ""
    tag_deployment: str = ""


TAGS = {f"dualtrack:{name}": f"tag_{name}" for name in ("pool", "lifecycle", "roles", "gpus", "ssh_user", "deployment")}


def parse_page(body: bytes) -> tuple[list[Instance], str]:
    """Return the instances on one DescribeInstances page, and the token of the next page ('' on the last)."""
    root = ElementTree.fromstring(body)  # noqa: S314 - from the API over TLS, or the operator's own recording
    ns = root.tag[: root.tag.index("}") + 1] if root.tag.startswith("{") else ""
    item_id, item_type, address, public = (
        ns + name for name in ("instanceId", "instanceType", "privateIpAddress", "ipAddress")
    )
    placement_zone, spot, tag_set = f"{ns}placement/{ns}availabilityZone", ns + "instanceLifecycle", ns + "tagSet"
    key, value, instances_set = ns + "key", ns + "value", ns + "instancesSet"
    found = []
    for reservation in _children(root, ns + "reservationSet"):
        for it in _children(reservation, instances_set):
            tags = {}
            for tag in _children(it, tag_set):
                name = TAGS.get(tag.findtext(key, ""))
                if name:
                    tags[name] = intern(tag.findtext(value, ""))
            found.append(Instance(
                id=it.findtext(item_id, ""), type=intern(it.findtext(item_type, "")), address=it.findtext(address, ""),
                public=it.findtext(public, ""), zone=intern(it.findtext(placement_zone, "")),
                lifecycle=intern(it.findtext(spot, "")), **tags,
            ))  # fmt: skip
    return found, root.findtext(ns + "nextToken", "")


def _children(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    found = element.find(name)
    return iter(()) if found is None else iter(found)


EMPTY = '<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">{}</DescribeInstancesResponse>'


def _take_page(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Read a page in boto3's place (handler of its event `before-parse`)."""
    if response_dict["status_code"] == 200:
        found, token = parse_page(response_dict["body"])
        customized_response_dict["Found"] = found
        response_dict["body"] = EMPTY.format(f"<nextToken>{token}</nextToken>" if token else "").encode()


#: Instances on a page: a page is held as text and as a tree, 10 MB for 500, so larger ones only cost memory.
PAGE = 500


def instances(ec2: Any, deployment: str = "", *, untagged: bool = False) -> Iterator[Instance]:
    """Yield the running instances that carry our tags; External with one line when the API refuses or is silent.

    With ``untagged`` all that run in the region, whosever they are: what costs money costs it without tags, too.
    """
    ec2.meta.events.register("before-parse.ec2.DescribeInstances", _take_page, unique_id="dualtrack-page")
    filters = [{"Name": "instance-state-name", "Values": ["running"]}]
    if not untagged:
        filters.append({"Name": "tag-key", "Values": ["dualtrack:pool"]})
    if deployment:
        filters.append({"Name": "tag:dualtrack:deployment", "Values": [deployment]})
    request: dict[str, Any] = {"Filters": filters, "MaxResults": PAGE}
    try:
        while True:
            with aws.errors():
                page = ec2.describe_instances(**request)
            yield from page.get("Found", ())
            if not page.get("NextToken"):
                return
            request["NextToken"] = page["NextToken"]
    except ElementTree.ParseError as error:
        raise External(f"AWS does not answer: {error}", hint="network, region, endpoint?") from None


def hosts(
    found: Sequence[Instance], pools: Mapping[str, Pool] | None = None, traffic: Traffic | None = None,
    network: Network | None = None, connection: contract.Connection | None = None,
    entrance: contract.Entrance | None = None,
) -> list[Host]:  # fmt: skip
    """Return instances as hosts. Where ``pools`` (the stack's output) knows the pool, its facts win over the tags.

    With ``pools``, a host's variables name its scaling group. With ``traffic`` (the stack's output, too) they name the
    zone that the records of nodes are in, and the VPC of these nodes. With ``network``, they have its addresses.
    ``connection`` is how ssh reaches them, straight at their private addresses without it. Gateways are told of their
    ``entrance``.
    """
    names = host_names([(i.tag_pool, i.id) for i in found])
    given: dict[str, object] = {"dualtrack_network": network.cidr} if network else {}
    if traffic:
        given |= {
            "dualtrack_traffic_zone": traffic.zone_id, "dualtrack_traffic_name": traffic.name,
            "dualtrack_vpc": network.vpc_id if network else "",
        }  # fmt: skip
    way = connection or contract.Connection(kind="private")
    made = [_host(name, i, (pools or {}).get(i.tag_pool), given, way) for name, i in zip(names, found, strict=True)]
    if entrance is None:
        return made
    told = {"dualtrack_entrance": entrance.name}
    return [msgspec.structs.replace(it, vars={**it.vars, **told}) if "gateway" in it.roles else it for it in made]


def _proxy(i: Instance, way: contract.Connection) -> str:
    if way.kind == "jump":
        return ways.by_jump(way.jump, "network.jump")
    if way.kind == "public":
        if not i.public:
            raise BadInput(f"instance {i.id} has no public address", hint="network.public, or network.jump")
        return ways.at(i.public)
    return ""


def _host(name: str, i: Instance, pool: Pool | None, given: dict[str, object], way: contract.Connection) -> Host:
    if not i.address:
        raise BadInput(f"instance {i.id} has no private address", hint="is it in a VPC subnet?")
    if pool is None and not i.tag_gpus.isdecimal():
        raise BadInput(
            f"instance {i.id}: its tag dualtrack:gpus is {i.tag_gpus!r}", hint="a whole number; make cloud-up sets it"
        )
    return Host(
        name=name, address=i.address, track="cloud", pool=i.tag_pool, zone=i.zone, instance_id=i.id,
        proxy=_proxy(i, way),
        lifecycle=lifecycle(i, pool),
        user=pool.ssh_user if pool else i.tag_ssh_user or "admin",
        roles=pool.roles if pool else tuple(role for role in i.tag_roles.split("+") if role),
        gpus=pool.gpus if pool else int(i.tag_gpus),
        vars={**given, "dualtrack_group": pool.autoscaling_group} if pool else given,
    )  # fmt: skip


def lifecycle(i: Instance, pool: Pool | None) -> Lifecycle:
    """Return how an instance was bought: what AWS says outranks the plan, for one kind may replace the other."""
    planned: Lifecycle = pool.lifecycle if pool else "spot" if i.tag_lifecycle == "spot" else "on-demand"
    return "spot" if i.lifecycle == "spot" else planned
