"""The stacks, really applied and run again: a real OpenTofu, the real AWS provider, an emulated AWS API.

What they make is looked at in test_cloud_resources.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dualtrack.cloud import leftovers, opentofu, provider, stack
from dualtrack.cloud.bill import bill
from dualtrack.cloud.prices import files
from dualtrack.core import paths, proc
from dualtrack.core.errors import BadInput, Exit, External, Refused
from dualtrack.security.seal import removal
from dualtrack.tracks.drift import resources
from tests.support.terraform_testbed import KEY, Emulator, never, programs, up, write_record


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


@pytest.mark.parametrize("lost", ["providers", "modules", "modules/modules.json"])
def test_what_init_made_is_made_again_where_it_was_lost(aws: Emulator, applied: dict[str, Any], lost: str) -> None:
    """As after a restore of the state, which leaves providers out."""
    for made in (paths.STATE / "tofu/emulator").glob(f"*/data/{lost}"):
        removal.remove(made)
    result, said = up(aws)
    assert (result.changed, result.outputs["inventory"]) == (False, applied)
    assert any("preparing" in line for line in said)


#: Of each type of resource that a trial makes, the attribute by which it is found when it is left.
FOUND_BY = {
    "aws_autoscaling_group": "name", "aws_cloudwatch_metric_alarm": "alarm_name", "aws_iam_instance_profile": "name",
    "aws_iam_role": "name", "aws_internet_gateway": "id", "aws_key_pair": "key_name", "aws_kms_key": "key_id",
    "aws_launch_template": "name", "aws_route_table": "id", "aws_s3_bucket": "bucket", "aws_security_group": "id",
    "aws_sns_topic": "arn", "aws_subnet": "id", "aws_vpc": "id", "aws_vpc_endpoint": "id",
}  # fmt: skip
#: What goes with one of them, or costs nothing without it; a trial has no zone and no budget.
BESIDE = {
    "aws_autoscaling_schedule", "aws_default_security_group", "aws_iam_role_policy", "aws_kms_alias", "aws_route",
    "aws_route_table_association", "aws_s3_bucket_policy", "aws_s3_bucket_public_access_block", "aws_sns_topic_policy",
    "aws_route53_health_check", "aws_route53_record", "aws_route53_zone",
}  # fmt: skip


@pytest.mark.usefixtures("applied")
def test_whatever_a_stack_leaves_in_an_account_is_found(aws: Emulator) -> None:
    """Without OpenTofu's state. A type of resource that is new in the stack has to be in one of the two lists."""
    [state] = (paths.STATE / "tofu/emulator").glob("terraform.tfstate")
    made = [
        (it["type"], instance["attributes"])
        for it in json.loads(state.read_text())["resources"]
        if it["mode"] == "managed"
        for instance in it["instances"]
    ]
    assert {kind for kind, _ in made} <= FOUND_BY.keys() | BESIDE
    wanted = {attributes[FOUND_BY[kind]] for kind, attributes in made if kind in FOUND_BY}
    found = {line.rpartition(" ")[2] for line in leftovers.find("dualtrack", "us-east-1", aws.url)}
    assert wanted - found == set()
    assert leftovers.find("another", "us-east-1", aws.url) == []


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
    before = (paths.STATE / "tofu" / "emulator" / "terraform.tfstate").read_bytes()
    if "time_zone" in variables:  # it is looked at when there is something to change
        variables = variables | {"name": "other"}
    with pytest.raises(BadInput) as caught:
        up(aws, variables=variables)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (paths.STATE / "tofu" / "emulator" / "terraform.tfstate").read_bytes() == before
    assert applied["schema"] == 1


def test_state_and_plans_are_read_by_their_owner_alone(applied: dict[str, Any]) -> None:
    assert applied
    home = paths.STATE / "tofu" / "emulator"
    kept = [path for path in home.rglob("*") if path.suffix in (".tfstate", ".plan", ".backup")]
    assert kept
    assert [path.name for path in kept if path.stat().st_mode & 0o077] == []


def test_a_bad_key_is_refused(aws: Emulator, applied: dict[str, Any]) -> None:
    assert applied["schema"] == 1
    with pytest.raises(BadInput, match="ssh_public_key: write the one line"):
        stack.up("emulator", endpoint=aws.url, ssh_public_key="-----BEGIN", confirm=never)


def test_two_runs_at_once_are_refused(aws: Emulator, applied: dict[str, Any]) -> None:
    assert applied["schema"] == 1
    with stack._exclusive("emulator"), pytest.raises(Refused, match="another run is at work on stack emulator"):
        up(aws)


def test_plan_only_touches_nothing(aws: Emulator, applied: dict[str, Any]) -> None:
    result, _ = up(aws, plan_only=True, variables={"pools": {"spot": POOL}, "traffic": None})
    assert not result.changed
    assert result.plan.counts["destroy"] > 0
    assert result.outputs["inventory"] == applied
    found = bill(result.plan.variables, files.load(), time.time())
    assert [(it.pool, it.types) for it in found.pools] == [
        ("serving", ("m6i.large",)), ("spot", tuple(POOL["instance_types"])),
    ]  # fmt: skip
    assert {it.image for it in found.pools} == {"ami-1e749f67"}


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
    assert list((paths.STATE / "tofu" / "emulator").glob("stale-*.tfstate"))
    again, _ = up(aws)
    assert not again.changed


#: What the stack is made of where traffic is off.
ALL_WITHOUT_TRAFFIC = 49


def test_ctrl_c_lets_go_and_the_next_run_carries_on(aws: Emulator, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom dualtrack.cloud import stack\nfrom dualtrack.core.errors import DualtrackError\ntry:\n"
        f"    stack.up('emulator', endpoint={aws.url!r}, ssh_public_key={KEY!r}, confirm=lambda *_: True,\n"
        "        progress=lambda line: print(line, flush=True), variables={'name': 'interrupted', 'traffic': None})\n"
        "except DualtrackError as exc:\n    print(exc, flush=True)\n    sys.exit(exc.code)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "DUALTRACK_STATE_DIR": str(tmp_path)},
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
        patch.setattr(paths, "STATE", tmp_path)
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


def test_down_without_an_emulator_puts_the_state_aside(aws: Emulator, stack_lab: Path) -> None:
    state = stack_lab / "tofu" / "emulator" / "terraform.tfstate"
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
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "TF_VAR_ssh_public_key": KEY,
    }
    proc.run([path, "init", "-input=false"], cwd=folder, env=environment)
    done = proc.run([path, "test", "-no-color"], cwd=folder, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"4 passed, 0 failed", done.stdout)
