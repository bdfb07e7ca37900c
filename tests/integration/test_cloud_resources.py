"""What the stacks make, read back from the emulated AWS API after a real OpenTofu has really applied them."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any

import pytest

from dualtrack.cloud import stack
from dualtrack.hosts.agents.traffic_keeper import Keeper, Zone
from tests.support.terraform_testbed import Emulator, up, write_record


def test_instances_carry_what_the_inventory_reads(aws: Emulator, applied: dict[str, Any]) -> None:
    assert applied["schema"] == 1
    found = [
        {tag["Key"]: tag["Value"] for tag in instance["Tags"]} | {"type": instance["InstanceType"]}
        for reservation in aws.client("ec2").describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    ]
    pools = ["control", "control", "ondemand", "serving", "spot", "spot"]
    assert sorted(tags["dualtrack:pool"] for tags in found) == pools
    roles = {"control": "controller", "serving": "serving"}
    for tags in found:
        pool = tags["dualtrack:pool"]
        expected = {
            "Name": f"dualtrack-{pool}",
            "dualtrack:deployment": "dualtrack",
            "dualtrack:track": "cloud",
            "dualtrack:lifecycle": applied["pools"][pool]["lifecycle"],
            "dualtrack:roles": roles.get(pool, "gpu"),
            "dualtrack:gpus": "0" if pool in roles else "8",
            "type": "m6i.large" if pool in roles else "p4de.24xlarge",
        }
        assert {name: tags.get(name) for name in expected} == expected


def test_first_boot_writes_the_pool_file(aws: Emulator, applied: dict[str, Any]) -> None:
    ec2 = aws.client("ec2")
    name = applied["pools"]["spot"]["autoscaling_group"]
    (group,) = aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    instance = group["Instances"][0]["InstanceId"]
    answer = ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")
    text = base64.b64decode(answer["UserData"]["Value"]).decode()
    head, body = text.split("\n", 1)
    assert head == "#cloud-config"
    (file,) = json.loads(body)["write_files"]
    assert file["path"] == "/etc/dualtrack/pool.json"
    assert json.loads(file["content"]) == {
        "deployment": "dualtrack", "pool": "spot", "lifecycle": "spot", "roles": ["gpu"], "gpus": 8,
    }  # fmt: skip


def test_metadata_needs_a_token_and_disks_are_encrypted(aws: Emulator, applied: dict[str, Any]) -> None:
    for pool in applied["pools"].values():
        (version,) = aws.client("ec2").describe_launch_template_versions(LaunchTemplateName=pool["autoscaling_group"])[
            "LaunchTemplateVersions"
        ]
        data = version["LaunchTemplateData"]
        assert data["MetadataOptions"]["HttpTokens"] == "required"
        assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True


def test_schedules_fire_at_the_operators_hour(aws: Emulator, applied: dict[str, Any]) -> None:
    name = applied["pools"]["spot"]["autoscaling_group"]
    actions = aws.client("autoscaling").describe_scheduled_actions(AutoScalingGroupName=name)
    found = {
        action["ScheduledActionName"]: (action["Recurrence"], action["DesiredCapacity"], action["MaxSize"])
        for action in actions["ScheduledUpdateGroupActions"]
    }
    # 22:00 and 08:00 in Shanghai
    assert found == {"night": ("0 14 * * *", 4, 8), "day": ("0 0 * * *", 2, 8)}


def test_spot_pool_buys_spot_in_several_types(aws: Emulator, applied: dict[str, Any]) -> None:
    groups = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    by_name = {group["AutoScalingGroupName"]: group for group in groups}
    for pool in applied["pools"].values():
        group = by_name[pool["autoscaling_group"]]
        policy = group["MixedInstancesPolicy"]
        share = policy["InstancesDistribution"]["OnDemandPercentageAboveBaseCapacity"]
        assert share == (0 if pool["lifecycle"] == "spot" else 100)
        base = policy["InstancesDistribution"]["OnDemandBaseCapacity"]
        assert base == (1 if pool["roles"] == ["serving"] else 0), "models answer while spot has no capacity"
        assert [o["InstanceType"] for o in policy["LaunchTemplate"]["Overrides"]] == pool["instance_types"]
        assert group.get("CapacityRebalance", False) is (pool["lifecycle"] == "spot")


@pytest.mark.parametrize(
    ("kind", "ia", "archive"),
    [("checkpoints", 30, 90), ("weights", 60, 180), ("knowledge", 90, 365), ("audit", 30, 90)],
)
def test_tiers_are_read_back(aws: Emulator, applied: dict[str, Any], kind: str, ia: int, archive: int) -> None:
    s3, bucket = aws.client("s3"), applied["storage"][kind]["bucket"]
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rule["Status"] == "Enabled"
    assert {t["StorageClass"]: t["Days"] for t in rule["Transitions"]} == {"STANDARD_IA": ia, "DEEP_ARCHIVE": archive}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    (encryption,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}


def test_ssh_is_open_to_operators_only_and_engines_to_gateways(aws: Emulator, applied: dict[str, Any]) -> None:
    groups = aws.client("ec2").describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [applied["network"]["vpc_id"]]}]
    )["SecurityGroups"]
    by_name = {group["GroupName"]: group for group in groups}
    assert by_name["default"]["IpPermissions"] == []
    ranges = {
        name: [
            (rule["FromPort"], rule["ToPort"], r["CidrIp"]) for rule in it["IpPermissions"] for r in rule["IpRanges"]
        ]
        for name, it in by_name.items()
        if it["IpPermissions"]
    }
    assert ranges == {
        "dualtrack-nodes": [(22, 22, "10.20.0.0/16")],
        "dualtrack-engines": [(8001, 8099, "10.30.0.0/16")],  # of gateways
    }
    with_engines = {
        pool
        for pool in applied["pools"]
        for version in aws.client("ec2").describe_launch_template_versions(LaunchTemplateName=f"dualtrack-{pool}")[
            "LaunchTemplateVersions"
        ]
        if by_name["dualtrack-engines"]["GroupId"] in version["LaunchTemplateData"]["SecurityGroupIds"]
    }
    assert with_engines == {"serving"}


def test_users_are_sent_by_country_and_health(aws: Emulator, applied: dict[str, Any]) -> None:
    route53, zone = aws.client("route53"), applied["traffic"]["zone_id"]
    found = {
        (record["Name"].split(".")[0], record["SetIdentifier"]): record
        for record in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        if record["Type"] not in {"NS", "SOA"}
    }
    leads_to = {where: record["ResourceRecords"][0]["Value"] for where, record in found.items()}
    assert leads_to == {
        ("api", "CN"): "domestic.dualtrack.test", ("api", "default"): "overseas.dualtrack.test",
        ("domestic", "local"): "local.dualtrack.test", ("domestic", "standby"): "standby.dualtrack.test",
        ("overseas", "nodes"): "nodes.dualtrack.test", ("overseas", "domestic"): "domestic.dualtrack.test",
        ("local", "203.0.113.10"): "203.0.113.10", ("standby", "198.51.100.10"): "198.51.100.10",
    }  # fmt: skip
    assert found["api", "CN"]["GeoLocation"] == {"CountryCode": "CN"}
    assert found["api", "default"]["GeoLocation"] == {"CountryCode": "*"}
    assert {name: found[name]["Failover"] for name in found if "Failover" in found[name]} == {
        ("domestic", "local"): "PRIMARY", ("domestic", "standby"): "SECONDARY",
        ("overseas", "nodes"): "PRIMARY", ("overseas", "domestic"): "SECONDARY",
    }  # fmt: skip
    checks = {c["Id"]: c["HealthCheckConfig"] for c in route53.list_health_checks()["HealthChecks"]}
    checked = {where: checks[record["HealthCheckId"]] for where, record in found.items() if "HealthCheckId" in record}
    assert checked["overseas", "nodes"]["FullyQualifiedDomainName"] == "nodes.dualtrack.test"
    assert checked["local", "203.0.113.10"]["IPAddress"] == "203.0.113.10"
    assert checked["domestic", "local"]["Type"] == "CALCULATED"
    assert set(checked) == {
        ("overseas", "nodes"), ("domestic", "local"), ("local", "203.0.113.10"), ("standby", "198.51.100.10"),
    }  # fmt: skip


def test_nodes_records_are_not_in_the_stack(aws: Emulator, applied: dict[str, Any]) -> None:
    for number in (1, 2):
        write_record(aws, applied["traffic"], f"i-{number}", f"10.20.0.{number}")
    result, _ = up(aws)
    assert not result.changed
    assert sorted(node_records(aws, applied)) == ["i-1", "i-2"]


def node_records(aws: Emulator, applied: dict[str, Any]) -> dict[str, str]:
    """Return the records that lead to nodes: identifier to address."""
    records = aws.client("route53").list_resource_record_sets(HostedZoneId=applied["traffic"]["zone_id"])
    mine = [r for r in records["ResourceRecordSets"] if r["Name"] == "nodes.dualtrack.test."]
    return {r["SetIdentifier"]: r["ResourceRecords"][0]["Value"] for r in mine}


def test_keeper_takes_out_what_ec2_does_not_know(
    aws: Emulator, applied: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the instances that run in the network, those of a scaling group that Slurm gives work to, and no other."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "lab")
    zone = Zone(applied["traffic"]["zone_id"], applied["network"]["vpc_id"], "us-east-1", aws.url)
    groups = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    ours = {it["InstanceId"] for group in groups for it in group["Instances"]}
    subnet = next(iter(applied["network"]["subnets"].values()))["id"]
    image = aws.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    started = aws.client("ec2").run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=subnet)
    [stray] = started["Instances"]
    running = zone.running()
    assert set(running) == ours
    without_gpus = [name for name, address in running.items() if not address]
    assert len(without_gpus) == 3, "controllers and hosts that serve: users are led to the others only"
    node, address = next(it for it in running.items() if it[1])
    write_record(aws, applied["traffic"], node, "203.0.113.66")
    write_record(aws, applied["traffic"], stray["InstanceId"], stray["PrivateIpAddress"])
    said = f"{address}|idle\n{stray['PrivateIpAddress']}|idle\n203.0.113.66|idle\n"
    keeper = Keeper(zone, applied["traffic"]["name"], lambda *words: subprocess.CompletedProcess(words, 0, said, ""))
    keeper.look(1000.0)
    assert node_records(aws, applied) == {node: address}
    aws.client("ec2").terminate_instances(InstanceIds=[stray["InstanceId"]])


def test_only_controllers_may_write_the_records_of_nodes(aws: Emulator, applied: dict[str, Any]) -> None:
    iam = aws.client("iam")
    policies = {
        pool: iam.list_role_policies(RoleName=f"dualtrack-{pool}-node")["PolicyNames"] for pool in applied["pools"]
    }
    assert {pool for pool, names in policies.items() if "traffic" in names} == {"control"}
    policy = iam.get_role_policy(RoleName="dualtrack-control-node", PolicyName="traffic")["PolicyDocument"]
    statement, *others = policy["Statement"]
    assert {it["Action"] for it in others} == {"route53:ListResourceRecordSets", "ec2:DescribeInstances"}
    assert statement["Resource"] == f"arn:aws:route53:::hostedzone/{applied['traffic']['zone_id']}"
    assert statement["Condition"]["ForAllValues:StringEquals"] == {
        "route53:ChangeResourceRecordSetsNormalizedRecordNames": [applied["traffic"]["name"]],
        "route53:ChangeResourceRecordSetsRecordTypes": ["A"],
        "route53:ChangeResourceRecordSetsActions": ["UPSERT", "DELETE"],
    }


def test_a_pool_that_is_short_is_told_of(aws: Emulator, applied: dict[str, Any]) -> None:
    alarms = {a["AlarmName"]: a for a in aws.client("cloudwatch").describe_alarms()["MetricAlarms"]}
    assert set(alarms) == {
        *(f"dualtrack-{pool}-missing" for pool in applied["pools"]),
        "dualtrack-overseas-unhealthy", "dualtrack-domestic-unhealthy",
    }  # fmt: skip
    groups = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    reported = {g["AutoScalingGroupName"]: {m["Metric"] for m in g.get("EnabledMetrics", ())} for g in groups}
    topic = stack.outputs("emulator")["alarm_topic"]
    for name, pool in applied["pools"].items():
        alarm, group = alarms[f"dualtrack-{name}-missing"], pool["autoscaling_group"]
        queries = {query["Id"]: query for query in alarm["Metrics"]}
        assert queries.pop("missing")["Expression"] == "desired - running"
        metrics = {id_: query["MetricStat"]["Metric"] for id_, query in queries.items()}
        # An alarm over metrics that the group does not report would never be raised.
        assert {metric["MetricName"] for metric in metrics.values()} == reported[group]
        assert all(m["Dimensions"] == [{"Name": "AutoScalingGroupName", "Value": group}] for m in metrics.values())
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic]
        assert alarm["EvaluationPeriods"] == 15
    check = alarms["dualtrack-overseas-unhealthy"]["Dimensions"][0]["Value"]
    config = aws.client("route53").get_health_check(HealthCheckId=check)["HealthCheck"]["HealthCheckConfig"]
    assert config["FullyQualifiedDomainName"] == applied["traffic"]["name"]


def test_the_topic_is_encrypted_and_its_writers_can_use_the_key(aws: Emulator, applied: dict[str, Any]) -> None:
    assert applied["schema"] == 1
    topic = stack.outputs("emulator")["alarm_topic"]
    attributes = aws.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
    kms = aws.client("kms")
    key = kms.describe_key(KeyId=attributes["KmsMasterKeyId"])["KeyMetadata"]
    assert key["KeyManager"] == "CUSTOMER"
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"] is True
    writers = {"cloudwatch.amazonaws.com", "budgets.amazonaws.com"}
    for document in (kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"], attributes["Policy"]):
        statements = json.loads(document)["Statement"]
        assert {s["Principal"]["Service"] for s in statements if "Service" in s["Principal"]} == writers
