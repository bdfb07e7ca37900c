"""The stack of a real account, really applied to an emulated one: asked for, locked, and given back."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber
from msgspec import structs

from dualtrack.cloud import backend, opentofu, provider, stack, state_bucket, variables
from dualtrack.cloud.plan import TofuPlan
from dualtrack.cloud.tofu import Tofu
from dualtrack.core import aws as clients
from dualtrack.core import paths
from dualtrack.core.errors import BadInput, DualtrackError, Exit, External, Missing, Refused
from tests.support.terraform_testbed import KEY, Emulator, never

BACKEND = """
bucket = "operator-state"
key    = "dualtrack/aws.tfstate"
region = "us-east-1"

use_path_style              = true
skip_credentials_validation = true
skip_metadata_api_check     = true
skip_requesting_account_id  = true
skip_s3_checksum            = true
"""
# The real stack's provider has no endpoint; a file of this name wins over it, in the copy only.
OVERRIDE = """
provider "aws" {{
  max_retries         = 1
  s3_force_path_style = true

  endpoints {{
    autoscaling = "{url}"
    cloudwatch  = "{url}"
    ec2         = "{url}"
    iam         = "{url}"
    kms         = "{url}"
    s3          = "{url}"
    sns         = "{url}"
    sts         = "{url}"
  }}
}}
"""


@pytest.fixture
def account(aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose stack aws talks to the emulator as if it were the operator's account."""
    root = tmp_path / "checkout"
    for part in ("terraform", "tools/opentofu"):
        shutil.copytree(paths.ROOT / part, root / part, symlinks=True)
    shutil.copy(paths.ROOT / "pyproject.toml", root)
    folder = root / "terraform" / "stacks" / "aws"
    (folder / "backend.hcl").write_text(BACKEND)
    (folder / "provider_override.tf").write_text(OVERRIDE.format(url=aws.url))
    # No month's budget: the emulator does not know a notification's subscribers, which the provider reads back.
    (folder / "terraform.tfvars").write_text(
        "watch = {}\n"
        'name = "real"\noperator_cidrs = ["203.0.113.7/32"]\nimage = { id = "ami-1e749f67" }\nstorage = {}\n'
        "pools = {\n  spot"
        ' = { lifecycle = "spot", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 1, max = 2 }\n}\n'
    )
    # A real account takes no older provider without a word: here the operator's own configuration names it.
    if config := provider.cli_config(opentofu.ensure()):
        monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(config))
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "STATE", tmp_path / "state")
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "operator")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "operator")
    state_bucket.carry_out(state_bucket.plan("aws"))
    return folder


def real(confirm: Any = never, **more: Any) -> stack.Up:
    return stack.up("aws", ssh_public_key=KEY, confirm=confirm, **more)


def test_a_real_account_is_asked_for_and_locked(aws: Emulator, account: Path) -> None:
    s3 = aws.client("s3")
    s3.delete_bucket_policy(Bucket="operator-state")  # the emulator has no TLS
    asked: list[tuple[str, str]] = []

    def no(plan: TofuPlan, owner: str) -> bool:
        asked.append((plan.summary, owner))
        return False

    # No yes, no change.
    with pytest.raises(Refused, match="not confirmed: nothing was changed"):
        real(no)
    ((summary, owner),) = asked
    assert re.fullmatch(r"\d+ to add, 0 to change, 0 to destroy", summary)
    assert "account 123456789012" in owner
    assert "Contents" not in s3.list_objects_v2(Bucket="operator-state")

    result = real(lambda *_: True)
    assert result.changed
    assert result.outputs["inventory"]["stack"] == "aws"
    assert result.outputs["inventory"]["pools"]["spot"]["autoscaling_group"] == "real-spot"
    assert stack.outputs("aws") == result.outputs
    assert not real().changed

    # Someone else's lock is respected, named, and can be broken.
    lock = {"ID": "6a1b", "Operation": "OperationTypeApply", "Info": "", "Who": "ops@build-7", "Version": "1.12.6",
            "Created": "2026-11-25T01:02:03Z", "Path": "operator-state/dualtrack/aws.tfstate"}  # fmt: skip
    s3.put_object(Bucket="operator-state", Key="dualtrack/aws.tfstate.tflock", Body=json.dumps(lock))
    with pytest.raises(External, match=r"the state is locked by ops@build-7 .*dualtrack cloud unlock 6a1b"):
        real()
    stack.unlock("aws", "6a1b")
    assert not real().changed

    # Nothing is destroyed without a yes.
    with pytest.raises(Refused, match="not confirmed: nothing was destroyed"):
        stack.down("aws", confirm=no)
    assert not real().changed
    # With the variables that it was made with: under another region OpenTofu would forget what is there.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tofu, "plan", lambda _, values, **__: pytest.fail(f"destroys in {values['region']}"))
        with pytest.raises(pytest.fail.Exception, match="destroys in eu-west-1"):
            stack.down("aws", confirm=never, variables={"region": "eu-west-1"})
    assert stack.down("aws", confirm=lambda *_: True) is True
    assert stack.down("aws", confirm=never) is False
    assert account.joinpath("backend.hcl").read_text() == BACKEND


def test_a_real_account_without_a_backend_or_credentials(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (account / "backend.hcl").unlink()
    with pytest.raises(BadInput, match=r"backend\.hcl is missing.*dualtrack cloud bootstrap"):
        real()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(DualtrackError, match="there are no AWS credentials") as caught:
        real()
    assert caught.value.code == Exit.MISSING


@pytest.mark.usefixtures("account")
def test_no_older_provider_for_a_real_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CLI_CONFIG_FILE", raising=False)
    monkeypatch.setattr(provider, "registry_answers", lambda *_: False)
    with pytest.raises(Missing, match=r"provider registry .* does not answer.*TF_CLI_CONFIG_FILE"):
        real()


def open_to_all(s3: Any, bucket: str) -> None:
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={**state_bucket.PRIVATE, "BlockPublicAcls": False}
    )


def other_policy(s3: Any, bucket: str) -> None:
    """With an id, an older version, and a statement called as ours might be."""
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteBucket",
        "Resource": f"arn:aws:s3:::{bucket}",
    }
    s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2008-10-17", "Id": "Team", "Statement": statement})
    )


#: What may happen to the bucket, and the change that repair it.
HARM: dict[str, tuple[Callable[[Any, str], object], str]] = {
    "public": (open_to_all, "block public access"),
    "never private": (lambda s3, at: s3.delete_public_access_block(Bucket=at), "block public access"),
    "versions": (
        lambda s3, at: s3.put_bucket_versioning(Bucket=at, VersioningConfiguration={"Status": "Suspended"}),
        "turn versioning on",
    ),
    "encryption": (lambda s3, at: s3.delete_bucket_encryption(Bucket=at), "turn encryption on"),
    "no policy": (lambda s3, at: s3.delete_bucket_policy(Bucket=at), "refuse requests without TLS"),
    "another policy": (other_policy, "refuse requests without TLS"),
}


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("harm", HARM)
def test_what_a_state_bucket_lacks_is_refused_shown_and_repaired(aws: Emulator, harm: str) -> None:
    s3 = aws.client("s3")
    do, repair = HARM[harm]
    do(s3, "operator-state")
    said: list[str] = []
    if repair.startswith("refuse"):
        state_bucket.check("aws", "123456789012", said.append)
        assert said == ["the state's bucket operator-state: it answers without TLS"]
    else:
        with pytest.raises(
            Refused, match=r"operator-state is not fit to keep the state: it .*dualtrack cloud bootstrap"
        ):
            state_bucket.check("aws", "123456789012", said.append)
    planned = state_bucket.plan("aws")
    assert planned.changes == (f"{repair} for the bucket operator-state",)
    state_bucket.carry_out(planned)
    assert state_bucket.plan("aws").changes == ()
    if harm == "another policy":
        there = json.loads(s3.get_bucket_policy(Bucket="operator-state")["Policy"])
        assert [it["Sid"] for it in there["Statement"]] == ["TlsOnly", "DualtrackTlsOnly"]
        assert (there["Version"], there["Id"]) == ("2008-10-17", "Team")
    state_bucket.check("aws", "123456789012", never)


@pytest.mark.parametrize("calls", range(len(state_bucket.PROPERTIES) + 1))
def test_a_state_bucket_that_was_half_made_is_finished(
    account: Path, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted before each call that sets something, and before backend.hcl is written."""
    (account / "backend.hcl").unlink()
    name = f"half-{calls}"

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if calls < len(state_bucket.PROPERTIES):
            kept = list(state_bucket.PROPERTIES)
            kept[calls] = structs.replace(kept[calls], set=interrupted)
            patch.setattr(state_bucket, "PROPERTIES", tuple(kept))
        else:
            patch.setattr(state_bucket, "write_atomically", interrupted)
        with pytest.raises(KeyboardInterrupt):
            state_bucket.carry_out(state_bucket.plan("aws", name))
    assert not (account / "backend.hcl").exists()
    planned = state_bucket.plan("aws", name)
    assert len(planned.changes) == 1 + len(state_bucket.PROPERTIES) - calls
    state_bucket.carry_out(planned)
    assert state_bucket.plan("aws").changes == ()
    assert backend.place(account) == backend.Place(bucket=name, region="us-east-1", key="dualtrack/aws.tfstate")


@pytest.mark.parametrize("region", ["us-east-1", "ap-southeast-1"])
def test_a_state_bucket_is_named_after_account_and_region(aws: Emulator, account: Path, region: str) -> None:
    (account / "backend.hcl").unlink()
    (account / "region.auto.tfvars").write_text(f'region = "{region}"\n')
    name = f"dualtrack-state-123456789012-{region}"
    planned = state_bucket.plan("aws")
    assert planned.changes == (
        f"make the bucket {name} in {region}: private, versioned, encrypted, over TLS alone",
        f"write {account / 'backend.hcl'}, which names it",
    )
    assert name not in {it["Name"] for it in aws.client("s3").list_buckets()["Buckets"]}
    state_bucket.carry_out(planned)
    assert variables.values_of(account / "backend.hcl") == {
        "bucket": name, "key": "dualtrack/aws.tfstate", "region": region, "encrypt": True,
    }  # fmt: skip
    state_bucket.check("aws", "123456789012", never)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("code", "status", "headers", "said"),
    [
        ("403", 403, {}, "the bucket operator-state is not one of account 123456789012"),
        ("404", 404, {}, "the bucket operator-state, which keeps the state, is not there"),
        ("301", 301, {"x-amz-bucket-region": "eu-west-1"}, "operator-state is in eu-west-1, not in us-east-1"),
    ],
)
def test_a_state_bucket_that_is_not_this_accounts(
    code: str, status: int, headers: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As S3 answers: the emulator asks nobody whose a bucket is."""
    s3 = clients.client("s3", "us-east-1")
    monkeypatch.setattr(clients, "client", lambda *_, **__: s3)
    with Stubber(s3) as stub:
        wanted = {"Bucket": "operator-state", "ExpectedBucketOwner": "123456789012"}
        stub.add_client_error("head_bucket", code, http_status_code=status, expected_params=wanted,
                              response_meta={"HTTPHeaders": headers})  # fmt: skip
        with pytest.raises(Refused, match=said):
            state_bucket.check("aws", "123456789012", never)


def test_a_bucket_beside_the_one_that_is_named(account: Path) -> None:
    with pytest.raises(BadInput, match="names the bucket operator-state, not another"):
        state_bucket.plan("aws", "another")
    (account / "backend.hcl").write_text('bucket = "operator-state"\n')
    with pytest.raises(BadInput, match=r"backend\.hcl: .*region"):
        state_bucket.plan("aws")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('bucket = "UPPER"', "'UPPER' cannot name a bucket"),
        ('bucket = ""', "'' cannot name a bucket"),
        ('bucket = "-x"', "'-x' cannot name a bucket"),
        (f'bucket = "{"x" * 64}"', "cannot name a bucket"),
        ('bucket = "operator-state"\nregion = "us east 1"', "'us east 1' is not a region"),
        ('bucket = "operator-state"\nregion = "${var.region}"', "is not a region"),
        *(
            (f'bucket = "operator-state"\n{name} = {value}', f"reaches its bucket by {name}")
            for name, value in (
                ("profile", '"other"'),
                ("role_arn", '"arn:x"'),
                ("assume_role", '{ role_arn = "arn:x" }'),
            )
        ),
    ],
)
def test_what_backend_hcl_cannot_say(account: Path, text: str, said: str) -> None:
    region = "" if "region" in text else 'region = "us-east-1"\n'
    (account / "backend.hcl").write_text(f'key = "k"\n{region}{text}\n')
    with pytest.raises(BadInput, match=re.escape(said)):
        state_bucket.plan("aws")


def test_a_bucket_that_is_reached_otherwise_is_not_looked_at(account: Path) -> None:
    """Not by these credentials, which may be another account's."""
    (account / "backend.hcl").write_text('key = "k"\nregion = "us-east-1"\nbucket = "operator-state"\nprofile = "a"\n')
    said: list[str] = []
    state_bucket.check("aws", "123456789012", said.append)
    assert said == ["the state's bucket operator-state is reached by profile: it was not looked at"]


def test_a_backend_that_came_meanwhile_stays(account: Path) -> None:
    (account / "backend.hcl").unlink()
    planned = state_bucket.plan("aws", "mine")
    colleagues = 'bucket = "colleague"\nkey = "k"\nregion = "us-east-1"\n'
    (account / "backend.hcl").write_text(colleagues)
    with pytest.raises(Refused, match="names colleague: it stays as it is"):
        state_bucket.carry_out(planned)
    assert (account / "backend.hcl").read_text() == colleagues


def test_the_region_of_the_operators_own_variables_counts(
    account: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (account / "backend.hcl").unlink()
    (tmp_path / "mine.json").write_text('{"region": "eu-west-1"}')
    monkeypatch.setenv("DUALTRACK_VARIABLES", str(tmp_path / "mine.json"))
    assert state_bucket.plan("aws").place.region == "eu-west-1"


@pytest.mark.parametrize("setting", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.usefixtures("account")
def test_an_endpoint_that_is_none_is_one_line(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(setting, "foo")
    with pytest.raises(External, match="foo"):
        state_bucket.plan("aws")
