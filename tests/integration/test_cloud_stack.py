"""The stacks, really applied: a real OpenTofu, the real AWS provider, an emulated AWS API."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dualtrack import paths, proc
from dualtrack.cloud import opentofu, provider, stack
from dualtrack.drift import resources
from dualtrack.errors import BadInput, Exit, External, Refused
from tests.integration.terraform_bed import KEY, Emulator, emulator, never, programs

pytestmark = pytest.mark.slow
TRAFFIC = {
    "zone": "dualtrack.test",
    "domestic": {"addresses": ["203.0.113.10"], "standby": ["198.51.100.10"]},
}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with emulator(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "LAB", folder)
        patch.delenv("DUALTRACK_TOFU", raising=False)
        yield folder


def up(aws: Emulator, **more: Any) -> tuple[stack.Up, list[str]]:
    said: list[str] = []
    variables = {"traffic": TRAFFIC, **more.pop("variables", {})}
    result = stack.up(
        "emulator",
        endpoint=aws.url,
        ssh_public_key=KEY,
        confirm=never,
        progress=said.append,
        variables=variables,
        **more,
    )
    return result, said


@pytest.fixture(scope="module")
def applied(aws: Emulator, lab: Path) -> dict[str, Any]:  # noqa: ARG001 - the lab's folder is where it is kept
    result, said = up(aws)
    assert result.changed
    assert 'module.pool["spot"].aws_autoscaling_group.this: created' in said
    inventory: dict[str, Any] = result.outputs["inventory"]
    return inventory


def test_the_inventory_keeps_the_contract(applied: dict[str, Any]) -> None:
    schema = json.loads((paths.ROOT / "terraform" / "inventory.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(applied, schema, jsonschema.Draft202012Validator)
    assert applied["pools"]["spot"] == {
        "lifecycle": "spot",
        "autoscaling_group": "dualtrack-spot",
        "instance_types": ["p4de.24xlarge", "p4d.24xlarge"],
        "gpus": 8,
        "roles": ["gpu"],
        "ssh_user": "admin",
        "zones": ["us-east-1a", "us-east-1b", "us-east-1c"],
        "min": 0,
        "desired": 2,
        "max": 8,
    }
    assert applied["pools"]["control"]["gpus"] == 0
    assert applied["traffic"]["name"] == "nodes.dualtrack.test"
    before = {name: value for name, value in applied.items() if name != "traffic"}
    jsonschema.validate(before, schema, jsonschema.Draft202012Validator)
    for broken in ({"schema": 2}, {"pools": {"spot": {}}}, {"extra": 1}, {"traffic": {"zone_id": "Z1"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(applied | broken, schema, jsonschema.Draft202012Validator)


def test_a_second_run_changes_nothing(aws: Emulator, applied: dict[str, Any]) -> None:
    result, said = up(aws)
    assert (result.changed, result.plan.summary) == (False, "No changes")
    assert result.outputs["inventory"] == applied
    assert stack.outputs("emulator")["inventory"] == applied
    assert not any("preparing" in line for line in said), "init ran again for nothing"


def test_nothing_has_drifted_after_an_apply(aws: Emulator, applied: dict[str, Any]) -> None:  # noqa: ARG001
    seen = stack.refresh("emulator", endpoint=aws.url)
    assert resources.drifts(seen.plan, "emulator", "") == ([], [])
    assert seen.applied.endswith("Z")


def test_drift_is_the_field_that_somebody_changed(aws: Emulator, applied: dict[str, Any]) -> None:
    ec2, s3, audit = aws.client("ec2"), aws.client("s3"), applied["storage"]["audit"]["bucket"]
    group = next(
        it["GroupId"] for it in ec2.describe_security_groups(
            Filters=[{"Name": "vpc-id", "Values": [applied["network"]["vpc_id"]]}]
        )["SecurityGroups"] if it["GroupName"] != "default"
    )  # fmt: skip
    opened = {"GroupId": group, "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}
    ec2.authorize_security_group_ingress(**opened)
    s3.put_bucket_versioning(Bucket=audit, VersioningConfiguration={"Status": "Suspended"})
    try:
        found, _ = resources.drifts(stack.refresh("emulator", endpoint=aws.url).plan, "emulator", "")
        fields = {(it.name, field.path): (field.declared, field.actual) for it in found for field in it.fields}
        bucket = 'module.storage.aws_s3_bucket.this["audit"]'
        assert fields[bucket, "versioning.0.enabled"] == ("true", "false")
        assert any(path.startswith("ingress") and "0.0.0.0/0" in actual for (_, path), (_, actual) in fields.items())
        assert len(found) == 2
        assert stack.outputs("emulator")["inventory"] == applied, "a look changes nothing"
    finally:
        ec2.revoke_security_group_ingress(**opened)
        s3.put_bucket_versioning(Bucket=audit, VersioningConfiguration={"Status": "Enabled"})


def test_instances_carry_what_the_inventory_reads(aws: Emulator, applied: dict[str, Any]) -> None:
    assert applied["schema"] == 1
    found = [
        {tag["Key"]: tag["Value"] for tag in instance["Tags"]} | {"type": instance["InstanceType"]}
        for reservation in aws.client("ec2").describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    ]
    assert sorted(tags["dualtrack:pool"] for tags in found) == ["control", "control", "ondemand", "spot", "spot"]
    for tags in found:
        pool = tags["dualtrack:pool"]
        expected = {
            "Name": f"dualtrack-{pool}",
            "dualtrack:deployment": "dualtrack",
            "dualtrack:track": "cloud",
            "dualtrack:lifecycle": applied["pools"][pool]["lifecycle"],
            "dualtrack:roles": "controller" if pool == "control" else "gpu",
            "dualtrack:gpus": "0" if pool == "control" else "8",
            "type": "m6i.large" if pool == "control" else "p4de.24xlarge",
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


def test_ssh_is_open_to_operators_only(aws: Emulator, applied: dict[str, Any]) -> None:
    groups = aws.client("ec2").describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [applied["network"]["vpc_id"]]}]
    )["SecurityGroups"]
    by_name = {group["GroupName"]: group for group in groups}
    assert by_name["default"]["IpPermissions"] == []
    ranges = [
        (rule["FromPort"], r["CidrIp"])
        for rule in by_name["dualtrack-nodes"]["IpPermissions"]
        for r in rule["IpRanges"]
    ]
    assert ranges == [(22, "10.20.0.0/16")]


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


def write_record(aws: Emulator, traffic: dict[str, str], identifier: str, address: str) -> None:
    """Do what a node does: write its own record beside the others'."""
    record = {
        "Name": traffic["name"], "Type": "A", "SetIdentifier": identifier, "MultiValueAnswer": True, "TTL": 10,
        "ResourceRecords": [{"Value": address}],
    }  # fmt: skip
    aws.client("route53").change_resource_record_sets(
        HostedZoneId=traffic["zone_id"],
        ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]},
    )


def test_nodes_records_are_their_own(aws: Emulator, applied: dict[str, Any]) -> None:
    for number in (1, 2):
        write_record(aws, applied["traffic"], f"i-{number}", f"10.20.0.{number}")
    result, _ = up(aws)
    assert not result.changed
    records = aws.client("route53").list_resource_record_sets(HostedZoneId=applied["traffic"]["zone_id"])
    mine = [r["SetIdentifier"] for r in records["ResourceRecordSets"] if r["Name"] == "nodes.dualtrack.test."]
    assert sorted(mine) == ["i-1", "i-2"]


def test_only_nodes_that_serve_may_write_their_record(aws: Emulator, applied: dict[str, Any]) -> None:
    iam = aws.client("iam")
    policies = {
        pool: iam.list_role_policies(RoleName=f"dualtrack-{pool}-node")["PolicyNames"] for pool in applied["pools"]
    }
    assert {pool for pool, names in policies.items() if "traffic" in names} == {"spot", "ondemand"}
    policy = iam.get_role_policy(RoleName="dualtrack-spot-node", PolicyName="traffic")["PolicyDocument"]
    (statement,) = policy["Statement"]
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


def test_the_size_that_someone_else_set_stays(aws: Emulator, applied: dict[str, Any]) -> None:
    scaling, name = aws.client("autoscaling"), applied["pools"]["spot"]["autoscaling_group"]
    scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=3)
    try:
        result, _ = up(aws)
        assert not result.changed
        assert result.outputs["inventory"]["pools"]["spot"]["desired"] == 3
        (group,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        assert group["DesiredCapacity"] == 3
    finally:
        scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=2)
        up(aws)


POOL = {"lifecycle": "spot", "roles": ["gpu"], "instance_types": ["p4de.24xlarge"], "desired": 1, "max": 2}
ZONES = {"us-east-1a": "10.20.0.0/20", "us-east-1b": "10.20.8.0/21"}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"network": {"cidr": "10.20.0.0/16", "subnets": ZONES}},
            "network.subnets overlap: us-east-1a = 10.20.0.0/20 and us-east-1b = 10.20.8.0/21; give every zone a range "
            "of its own.",
        ),
        (
            {"pools": {"spot": POOL | {"instance_types": ["p4de.32xlarge"]}}},
            "pool spot: unknown instance type p4de.32xlarge; write one of c6i.2xlarge, ",
        ),
        ({"pools": {"spot": POOL | {"desired": "many"}}}, "a number is required"),
        ({"pools": {"spot": POOL | {"lifecycle": "cheap"}}}, 'lifecycle: "cheap" is not known; write "spot" or'),
        ({"pools": {"spot": POOL | {"max": 0}}}, "sizes: write whole numbers with min <= desired <= max"),
        ({"pools": {"Big Pool": POOL}}, 'pools: "Big Pool" cannot name a pool'),
        ({"network": {"cidr": "10.20.0.0", "subnets": ZONES}}, "network.cidr: 10.20.0.0 is not an IPv4 range"),
        ({"storage": {"weights": {"ia_days": 7}}}, "write ia_days = 30 or more in weights"),
        ({"time_zone": {"name": "Asia/Shanghai", "utc_offset": "+09:00"}}, "Asia/Shanghai is at +08:00, not +09:00"),
        ({"time_zone": {"name": "Asia/Shangai", "utc_offset": "+08:00"}}, "'Asia/Shangai' is not a time zone"),
        ({"pool": {"spot": POOL}}, '"pool"'),
        ({"traffic": {"zone": "LLM.example.com."}}, 'traffic.zone: "LLM.example.com." cannot name a zone'),
        (
            {"traffic": {"zone": "llm.example.com", "domestic": {"addresses": ["10.30.0.11"]}}},
            "write those that the local track is reached at, not private ones; got 10.30.0.11",
        ),
        ({"watch": {"budget_usd": -1}}, "budget_usd: write the US$ of a month, more than 0"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(
    aws: Emulator, applied: dict[str, Any], variables: dict[str, Any], message: str
) -> None:
    before = (paths.LAB / "tofu" / "emulator" / "terraform.tfstate").read_bytes()
    if "time_zone" in variables:  # it is looked at when there is something to change
        variables = variables | {"name": "other"}
    with pytest.raises(BadInput) as caught:
        up(aws, variables=variables)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (paths.LAB / "tofu" / "emulator" / "terraform.tfstate").read_bytes() == before
    assert applied["schema"] == 1


def test_a_bad_key_is_refused(aws: Emulator, applied: dict[str, Any]) -> None:
    assert applied["schema"] == 1
    with pytest.raises(BadInput, match="ssh_public_key: write the one line"):
        stack.up("emulator", endpoint=aws.url, ssh_public_key="-----BEGIN", confirm=never)


def test_two_runs_at_once_are_refused(aws: Emulator, applied: dict[str, Any]) -> None:
    assert applied["schema"] == 1
    with stack._exclusive("emulator"), pytest.raises(Refused, match="another run is at work on stack emulator"):
        up(aws)


def test_plan_only_touches_nothing(aws: Emulator, applied: dict[str, Any]) -> None:
    result, _ = up(aws, plan_only=True, variables={"pools": {"spot": POOL}})
    assert not result.changed
    assert result.plan.counts["destroy"] > 0
    assert result.outputs["inventory"] == applied


def test_the_other_program_takes_over(aws: Emulator, applied: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    first = opentofu.ensure()
    newer = [path for path in programs().values() if opentofu._binary(path).version > first.version]
    if not newer:
        pytest.skip("only one program is here, or no newer one")
    monkeypatch.setenv("DUALTRACK_TOFU", str(newer[0]))
    result, _ = up(aws)
    assert not result.changed
    assert result.outputs["inventory"] == applied


def test_a_forgetful_emulator_is_noticed_and_rebuilt(aws: Emulator, applied: dict[str, Any]) -> None:
    aws.stop()
    with pytest.raises(External, match=r"does not answer \(dualtrack lab up starts it\)"):
        up(aws)
    aws.start()
    result, said = up(aws)
    notice = [line for line in said if "lost its memory" in line]
    assert len(notice) == 1
    assert applied["network"]["vpc_id"] in notice[0]
    assert result.changed
    assert result.outputs["inventory"]["network"]["vpc_id"] != applied["network"]["vpc_id"]
    assert list((paths.LAB / "tofu" / "emulator").glob("stale-*.tfstate"))
    again, _ = up(aws)
    assert not again.changed


#: What the stack is made of where traffic is off.
ALL_WITHOUT_TRAFFIC = 49


def test_ctrl_c_lets_go_and_the_next_run_carries_on(aws: Emulator, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom dualtrack.cloud import stack\nfrom dualtrack.errors import DualtrackError\ntry:\n"
        f"    stack.up('emulator', endpoint={aws.url!r}, ssh_public_key={KEY!r}, confirm=lambda *_: True,\n"
        "        progress=lambda line: print(line, flush=True), variables={'name': 'interrupted', 'traffic': None})\n"
        "except DualtrackError as exc:\n    print(exc, flush=True)\n    sys.exit(exc.code)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "DUALTRACK_LAB_DIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if "aws_s3_bucket" in line and "created" in line:
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            break
    rest = process.stdout.read().splitlines()
    assert process.wait(60) == Exit.INTERRUPTED, lines + rest
    assert rest[-1].startswith("stopped: OpenTofu finished the resource in hand and released its lock")
    home = tmp_path / "tofu" / "emulator"
    made = json.loads((home / "terraform.tfstate").read_text())["resources"]
    assert made, "what was made must be in the state"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "LAB", tmp_path)
        result, _ = up(aws, variables={"name": "interrupted", "traffic": None})
        assert result.changed
        assert 0 < result.plan.counts["add"] < ALL_WITHOUT_TRAFFIC, "nothing of the first run was kept"
        assert result.plan.counts["destroy"] == 0


def test_down_and_down_again(aws: Emulator, applied: dict[str, Any]) -> None:
    assert applied["schema"] == 1
    # A node that is still in the records, and that no state knows of, must not stop it.
    write_record(aws, stack.outputs("emulator")["inventory"]["traffic"], "i-9", "10.20.0.9")
    assert stack.down("emulator", endpoint=aws.url, confirm=never) is True
    assert aws.client("route53").list_hosted_zones_by_name(DNSName="dualtrack.test")["HostedZones"] == []
    assert aws.client("cloudwatch").describe_alarms(AlarmNamePrefix="dualtrack-")["MetricAlarms"] == []
    vpcs = aws.client("ec2").describe_vpcs(Filters=[{"Name": "tag:dualtrack:deployment", "Values": ["dualtrack"]}])
    assert vpcs["Vpcs"] == []
    assert [b["Name"] for b in aws.client("s3").list_buckets()["Buckets"] if b["Name"].startswith("dualtrack-")] == []
    assert stack.down("emulator", endpoint=aws.url, confirm=never) is False


def test_down_without_an_emulator_puts_the_state_aside(aws: Emulator, lab: Path) -> None:
    state = lab / "tofu" / "emulator" / "terraform.tfstate"
    state.write_text('{"version": 4, "terraform_version": "1.6.0", "resources": []}')
    said: list[str] = []
    assert stack.down("emulator", endpoint="http://127.0.0.1:9", confirm=never, progress=said.append) is False
    assert not state.exists()
    assert "the emulator is not running" in said[0]
    state.write_text("{half")
    assert stack.down("emulator", endpoint=aws.url, confirm=never, progress=said.append) is False
    assert not state.exists()


def test_the_stacks_own_test(aws: Emulator, tmp_path: Path) -> None:
    # With the program that the other tests here do not use, where there are two.
    path = list(programs().values())[-1]
    folder = stack.stage("stacks/emulator", tmp_path / "src")
    # A test keeps its own state; a backend would only ask for its path.
    versions = folder / "versions.tf"
    versions.write_text(versions.read_text().replace('backend "local" {}', ""))
    config = provider.cli_config(opentofu._binary(path))
    environment = {
        "TF_CLI_CONFIG_FILE": str(config or os.devnull),
        "TF_VAR_aws_endpoint": aws.url,
        "TF_VAR_ssh_public_key": KEY,
    }
    proc.run([path, "init", "-input=false"], cwd=folder, env=environment)
    done = proc.run([path, "test", "-no-color"], cwd=folder, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"2 passed, 0 failed", done.stdout)
