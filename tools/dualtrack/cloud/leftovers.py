"""What a deployment has left in an account, asked of the API: what OpenTofu's state has forgotten costs as well.

By name where the stack names things after the deployment, and by the tag `dualtrack:deployment`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from dualtrack.core import aws
from dualtrack.core.errors import External

#: Kinds of EC2's resources that carry the tag: its call, the list in the answer, and the field with the id.
TAGGED = (
    ("describe_volumes", "Volumes", "VolumeId"),
    ("describe_vpcs", "Vpcs", "VpcId"),
    ("describe_subnets", "Subnets", "SubnetId"),
    ("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    ("describe_route_tables", "RouteTables", "RouteTableId"),
    ("describe_security_groups", "SecurityGroups", "GroupId"),
    ("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    ("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    ("describe_key_pairs", "KeyPairs", "KeyName"),
)
#: States of what is listed for some time after its end.
ENDED = {"terminated", "shutting-down", "deleted", "deleting"}


def find(name: str, region: str, endpoint: str = "") -> list[str]:
    """Return what is left of the deployment ``name``, as `kind id`, sorted; External where the API does not say.

    A name that ends with `*` is all that begin so.
    """

    def client(service: str) -> Any:
        return aws.client(service, region, endpoint)

    with aws.errors():
        return sorted({line for look in LOOKS for line in look(name, client)})


def buckets(name: str, region: str, endpoint: str = "") -> list[str]:
    """Return the names of the deployment's buckets."""
    with aws.errors():
        found = _buckets(name, lambda service: aws.client(service, region, endpoint))
        return sorted(line.removeprefix("bucket ") for line in found)


def empty(bucket: str, region: str, endpoint: str = "") -> int:
    """Remove every version of every object in a bucket, for good; return how many there were."""
    count = 0
    with aws.errors():
        s3 = aws.client("s3", region, endpoint)
        # From the start each time: the next page may begin after what the removal has moved forward.
        while found := _versions(s3.list_object_versions(Bucket=bucket)):
            said = s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})
            if errors := said.get("Errors"):
                raise External(f"{bucket}: {errors[0].get('Key')} was not removed: {errors[0].get('Message')}")
            count += len(found)
    return count


def _versions(page: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"Key": it["Key"], "VersionId": it["VersionId"]}
        for it in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
    ]


def _pages(client: Any, call: str, key: str, **more: Any) -> Iterator[dict[str, Any]]:
    if client.can_paginate(call):
        for page in client.get_paginator(call).paginate(**more):
            yield from page.get(key, ())
    else:
        yield from getattr(client, call)(**more).get(key, ())


def _prefix(name: str) -> str:
    return name.removesuffix("*") if name.endswith("*") else f"{name}-"


def _of(name: str) -> list[dict[str, Any]]:
    return [{"Name": "tag:dualtrack:deployment", "Values": [name]}]


def _ec2(name: str, client: Callable[[str], Any]) -> Iterator[str]:
    ec2 = client("ec2")
    for call, key, field in TAGGED:
        kind = call.removeprefix("describe_").removesuffix("s").replace("_", " ")
        yield from (
            f"{kind} {it[field]}" for it in _pages(ec2, call, key, Filters=_of(name)) if it.get("State") not in ENDED
        )
    for reservation in _pages(ec2, "describe_instances", "Reservations", Filters=_of(name)):
        yield from (
            f"instance {it['InstanceId']}" for it in reservation["Instances"] if it["State"]["Name"] not in ENDED
        )
    for it in _pages(ec2, "describe_launch_templates", "LaunchTemplates"):
        if it["LaunchTemplateName"].startswith(_prefix(name)):
            yield f"launch template {it['LaunchTemplateName']}"


def _groups(name: str, client: Callable[[str], Any]) -> Iterator[str]:
    for it in _pages(client("autoscaling"), "describe_auto_scaling_groups", "AutoScalingGroups"):
        if it["AutoScalingGroupName"].startswith(_prefix(name)):
            yield f"auto scaling group {it['AutoScalingGroupName']}"


def _buckets(name: str, client: Callable[[str], Any]) -> Iterator[str]:
    for it in client("s3").list_buckets()["Buckets"]:
        if it["Name"].startswith(_prefix(name)):
            yield f"bucket {it['Name']}"


def _roles(name: str, client: Callable[[str], Any]) -> Iterator[str]:
    iam = client("iam")
    for it in _pages(iam, "list_roles", "Roles"):
        if it["RoleName"].startswith(_prefix(name)):
            yield f"role {it['RoleName']}"
    for it in _pages(iam, "list_instance_profiles", "InstanceProfiles"):
        if it["InstanceProfileName"].startswith(_prefix(name)):
            yield f"instance profile {it['InstanceProfileName']}"


def _alarms(name: str, client: Callable[[str], Any]) -> Iterator[str]:
    for it in _pages(client("cloudwatch"), "describe_alarms", "MetricAlarms", AlarmNamePrefix=_prefix(name)):
        yield f"alarm {it['AlarmName']}"
    for it in _pages(client("sns"), "list_topics", "Topics"):
        if it["TopicArn"].rpartition(":")[2].startswith(_prefix(name)):
            yield f"topic {it['TopicArn']}"


def _keys(name: str, client: Callable[[str], Any]) -> Iterator[str]:
    """By the tag of the key itself: its alias may have gone before it."""
    kms = client("kms")
    for it in _pages(kms, "list_keys", "Keys"):
        try:
            tags = {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=it["KeyId"])["Tags"]}
            of = tags.get("dualtrack:deployment", "")
            if of != name and not (name.endswith("*") and of.startswith(_prefix(name))):
                continue
            state = kms.describe_key(KeyId=it["KeyId"])["KeyMetadata"]["KeyState"]
        except kms.exceptions.ClientError:  # a key that only others may look at is none of the deployment's
            continue
        if state != "PendingDeletion":
            yield f"key {it['KeyId']}"


LOOKS: tuple[Callable[[str, Callable[[str], Any]], Iterator[str]], ...] = (
    _ec2,
    _groups,
    _buckets,
    _roles,
    _alarms,
    _keys,
)
