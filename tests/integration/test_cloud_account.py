"""The stack of a real account, really applied to an emulated one: asked for, locked, and given back."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cloud import stack
from dualtrack.cloud.plan import TofuPlan
from dualtrack.core import paths
from dualtrack.core.errors import BadInput, DualtrackError, Exit, External, Refused
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
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "STATE", tmp_path / "state")
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "operator")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "operator")
    aws.client("s3").create_bucket(Bucket="operator-state")
    return folder


def real(confirm: Any = never, **more: Any) -> stack.Up:
    return stack.up("aws", ssh_public_key=KEY, confirm=confirm, **more)


def test_a_real_account_is_asked_for_and_locked(aws: Emulator, account: Path) -> None:
    s3 = aws.client("s3")
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
    assert stack.down("aws", confirm=lambda *_: True) is True
    assert stack.down("aws", confirm=never) is False
    assert account.joinpath("backend.hcl").read_text() == BACKEND


def test_a_real_account_without_a_backend_or_credentials(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (account / "backend.hcl").unlink()
    with pytest.raises(BadInput, match=r"backend\.hcl is missing.*copy backend\.hcl\.example"):
        real()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(DualtrackError, match="there are no AWS credentials") as caught:
        real()
    assert caught.value.code == Exit.MISSING
