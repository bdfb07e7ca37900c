"""One line out of what OpenTofu says; the texts are recorded from 1.12.6 and from Terraform 1.11.4."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dualtrack.cloud import diagnose
from dualtrack.core.errors import BadInput, DualtrackError, External, Missing

LOG = Path("last-run.log")


def error(summary: str, detail: str = "", **more: Any) -> dict[str, Any]:
    return {"severity": "error", "summary": summary, "detail": detail, **more}


def test_a_validation_says_our_sentence_and_nothing_else() -> None:
    found = diagnose.failure(
        "the plan",
        [
            error(
                "Invalid value for variable",
                'lifecycle: "cheap" is not known; write "spot" or "on-demand".\n\n'
                "This was checked by the validation rule at ../../modules/gpu_pool/variables.tf:51,3-13.",
                range={"filename": "../aws/main.tf", "start": {"line": 51}},
            )
        ],
        "",
        LOG,
    )
    assert isinstance(found, BadInput)
    assert str(found) == 'lifecycle: "cheap" is not known; write "spot" or "on-demand".'


def test_a_mistake_in_the_users_file_is_named_with_its_line() -> None:
    found = diagnose.failure(
        "the plan",
        [
            error(
                "Invalid value for input variable",
                'The given value is not suitable for var.pools: element "spot": a number is required.',
                range={"filename": "terraform.tfvars", "start": {"line": 4}},
            )
        ],
        "",
        LOG,
    )
    assert isinstance(found, BadInput)
    assert str(found).startswith("terraform.tfvars, line 4: Invalid value for input variable: The given value")


def test_the_same_words_for_every_pool_are_said_once() -> None:
    twice = [error("Resource precondition failed", "network.subnets overlap: a and b")] * 2
    assert str(diagnose.failure("the plan", twice, "", LOG)) == "network.subnets overlap: a and b"


def test_others_are_counted() -> None:
    found = diagnose.failure("the apply", [error("a", "b"), error("c"), error("d")], "", LOG)
    assert str(found) == f"the apply failed: a: b; and 2 more, see {LOG}"
    assert isinstance(found, External)


LOCKED = """Error message: operation error S3: PutObject, https response error StatusCode: 412
Lock Info:
  ID:        0b0f3c3e-1111-2222-3333-444455556666
  Path:      state/aws.tfstate
  Operation: OperationTypePlan
  Who:       root@build-7
  Version:   1.12.6
  Created:   2026-11-25 01:02:03.456 +0000 UTC
  Info:
"""


@pytest.mark.parametrize(
    ("detail", "summary", "kind", "line"),
    [
        (
            LOCKED,
            "Error acquiring the state lock",
            External,
            "the state is locked by root@build-7 since 2026-11-25 01:02:03.456 +0000 UTC (another run is at work; if "
            "it is dead: dualtrack cloud unlock 0b0f3c3e-1111-2222-3333-444455556666)",
        ),
        (
            "Error: No valid credential sources found. Please see https://…",
            "No valid credential sources found",
            Missing,
            "there are no AWS credentials (log in (aws sso login, aws configure) and check AWS_PROFILE)",
        ),
        (
            "api error ExpiredToken: The provided token has expired.",
            "Retrieving AWS account details",
            External,
            "the AWS credentials have expired or are not valid (log in (aws sso login, aws configure) and check "
            "AWS_PROFILE)",
        ),
        (
            "write terraform.tfstate: no space left on device",
            "Failed to save state",
            External,
            "the disk is full (free some space and run it again: what was made is in the state)",
        ),
    ],
)
def test_what_is_known_gets_its_own_line(detail: str, summary: str, kind: type[DualtrackError], line: str) -> None:
    found = diagnose.failure("the plan", [error(summary, detail)], "", LOG)
    assert type(found) is kind
    assert str(found) == line


def test_init_has_no_json() -> None:
    text = """
Initializing the backend...
╷
│ Error: Failed to query available provider packages
│
│ Could not retrieve the list of available versions for provider
│ hashicorp/aws
╵
"""
    (found,) = diagnose.parse_text(text)
    assert diagnose.one_line(found) == (
        "Failed to query available provider packages: Could not retrieve the list of available versions for provider "
        "hashicorp/aws"
    )


def test_without_any_error_the_last_line_is_shown() -> None:
    assert str(diagnose.failure("the plan", [], "killed", LOG)) == f"the plan failed: killed; all of it: {LOG}"


def test_warnings_are_no_errors() -> None:
    events = [{"type": "diagnostic", "diagnostic": {"severity": "warning", "summary": "Argument is deprecated"}}]
    assert diagnose.errors_of(events) == []
