"""Every argument under terraform/ is known to the oldest and to today's AWS provider."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dualtrack.core import paths
from tests.support.hcl_usage import Usage, findings, read, usages

TERRAFORM = paths.ROOT / "terraform"
FIXTURES = Path(__file__).parents[2] / "fixtures"
OLDEST, TODAY = "3.39", "6.62"
SCHEMAS = {version: json.loads((FIXTURES / f"aws-provider-{version}.json").read_text()) for version in (OLDEST, TODAY)}


@pytest.mark.parametrize("version", [OLDEST, TODAY])
@pytest.mark.parametrize("usage", usages(TERRAFORM), ids=lambda usage: f"{usage.type}.{usage.name}@{usage.file}")
def test_every_argument_is_known(usage: Usage, version: str) -> None:
    assert findings(usage, SCHEMAS[version]) == []


def test_the_modules_are_seen() -> None:
    # The test above says nothing when the reader finds nothing.
    types = {usage.type for usage in usages(TERRAFORM)}
    assert {"aws_vpc", "aws_launch_template", "aws_autoscaling_group", "aws_s3_bucket"} <= types


BROKEN = """
resource "aws_autoscaling_schedule" "night" {
  scheduled_action_name  = "night"
  autoscaling_group_name = "spot"
  time_zone              = "Asia/Shanghai"
}

resource "aws_launch_template" "spot" {
  for_each = {}

  metadata_options {
    http_tokens = "required"
    instance_metadata_tags = "enabled"
  }

  elastic_gpu_specifications {
    type = "test"
  }

  dynamic "tag_specifications" {
    for_each = [1]

    content {
      resource = "volume"
    }
  }

  lifecycle {
    ignore_changes = [tags]
  }
}

resource "aws_s3_bucket_versioning" "weights" {
  bucket = "weights"
}

resource "aws_key_pair" "operator" {
  key_name = "operator"
}
"""


def test_what_only_one_of_them_knows_is_named() -> None:
    found = {
        version: [line for u in read(BROKEN, "x.tf") for line in findings(u, SCHEMAS[version])] for version in SCHEMAS
    }
    assert found[OLDEST] == [
        "x.tf: resource aws_autoscaling_schedule.night: time_zone is an argument unknown to provider 3.39.0",
        "x.tf: resource aws_launch_template.spot: metadata_options.instance_metadata_tags is an argument unknown to "
        "provider 3.39.0",
        "x.tf: resource aws_launch_template.spot: tag_specifications.resource is an argument unknown to "
        "provider 3.39.0",
        "x.tf: resource aws_s3_bucket_versioning.weights: provider 3.39.0 has no such type",
        "x.tf: resource aws_key_pair.operator: public_key is missing, and required by provider 3.39.0",
    ]
    assert (
        "x.tf: resource aws_launch_template.spot: elastic_gpu_specifications {} is a block unknown to provider 6.62.0"
        in found[TODAY]
    )
    assert not any("time_zone" in line or "instance_metadata_tags" in line for line in found[TODAY])


def test_both_stacks_make_the_same_calls() -> None:
    aws, emulator = TERRAFORM / "stacks" / "aws", TERRAFORM / "stacks" / "emulator"
    for name in ("main.tf", "variables.tf", "outputs.tf"):
        assert (emulator / name).is_symlink(), f"the emulator's stack has a {name} of its own"
        assert (emulator / name).resolve() == (aws / name).resolve()
        assert not (aws / name).is_symlink()
    own = {"versions.tf", "provider.tf"}
    for stack in (aws, emulator):
        assert {path.name for path in stack.glob("*.tf")} == own | {"main.tf", "variables.tf", "outputs.tf"}


@pytest.mark.parametrize("folder", sorted(p.parent for p in TERRAFORM.rglob("versions.tf")), ids=lambda p: p.name)
def test_house_rules(folder: Path) -> None:
    assert (folder / "README.md").exists()
    assert list((folder / "tests").glob("*.tftest.hcl")) or folder.name == "aws", "a module without a test"
    text = (folder / "versions.tf").read_text()
    assert 'required_version = ">= 1.6"' in text
    wanted = ">= 3.39, < 4" if folder.name == "emulator" else ">= 3.39, < 7"
    assert f'"{wanted}"' in text
    variables = (folder / "variables.tf").read_text()
    assert not re.search(r"=\s*any\b|\(any\)", variables), "an untyped variable"
    names = re.findall(r'^variable "(\w+)"', variables, re.MULTILINE)
    assert len(names) <= 13, "more than about a dozen variables"
    readme = (folder / "README.md").read_text()
    outputs = dict(
        re.findall(r'^output "(\w+)" \{\n  description = "(.*)"$', (folder / "outputs.tf").read_text(), re.M)
    )
    if folder.parent.name == "modules":
        assert outputs
        assert [name for name, said in outputs.items() if f"| `{name}` | {said} |" not in readme] == []
    assert [name for name in names if f"`{name}`" not in readme] == [], "a variable that the README does not mention"


def test_readmes_of_modules_are_those_of_their_files() -> None:
    done = subprocess.run(
        [sys.executable, str(paths.ROOT / "ci/module_docs.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
