"""What is asked of the AWS API beside OpenTofu: whose account it is, and whether an emulator still knows a VPC."""

from __future__ import annotations

from typing import Any

import msgspec

from dualtrack.core import aws
from dualtrack.core.errors import External, Missing

_LOGIN = "log in (aws sso login, aws configure) and check AWS_PROFILE"


class Identity(msgspec.Struct, frozen=True):
    """Whose credentials these are: the account's number, and the user or role in it."""

    account: str
    arn: str

    def __str__(self) -> str:
        return f"account {self.account} ({self.arn})"


def whoami() -> Identity:
    """Return whose the operator's credentials are.

    Raises Missing when there are none and External when they have expired or AWS does not answer.
    """
    # Imported here: boto3 takes a third of a second, and the command line must not pay for it.
    # A session of its own: the library's shared one keeps the credentials it saw first.
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        session = boto3.Session()
        # Not us-east-1 for everybody: credentials of other partitions (China) are not known there.
        region = session.region_name or "us-east-1"
        found = session.client("sts", region_name=region, config=_config()).get_caller_identity()
    except (NoCredentialsError, PartialCredentialsError):
        raise Missing("there are no AWS credentials", hint=_LOGIN) from None
    except ClientError as exc:
        code = exc.response.get("Error", {}).get("Code", "")
        raise External(f"AWS does not accept the credentials ({code})", hint=_LOGIN) from None
    except (BotoCoreError, ValueError) as exc:
        raise External(f"AWS cannot be asked whose account this is: {exc}", hint=_LOGIN) from None
    return Identity(found["Account"], found["Arn"])


def answers(endpoint: str) -> bool:
    """Return whether an AWS API answers at ``endpoint``."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _ec2(endpoint, "us-east-1").describe_vpcs(MaxResults=5)
    except ClientError:
        return True
    except BotoCoreError:
        return False
    return True


def knows_vpc(endpoint: str, vpc: str, region: str) -> bool:
    """Return whether the API at ``endpoint`` knows the VPC. Raises External when it does not answer."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = _ec2(endpoint, region).describe_vpcs(VpcIds=[vpc])
    except ClientError as exc:
        if exc.response.get("Error", {}).get("Code") == "InvalidVpcID.NotFound":
            return False
        raise External(f"the emulated AWS API at {endpoint} failed: {exc}") from None
    except BotoCoreError:
        raise External(
            f"the emulated AWS API at {endpoint} does not answer", hint="dualtrack lab up starts it"
        ) from None
    return bool(found["Vpcs"])


def _ec2(endpoint: str, region: str) -> Any:
    return aws.client("ec2", region, endpoint, attempts=2, timeout=20)


def _config() -> Any:
    from botocore.config import Config

    return Config(connect_timeout=3, read_timeout=20, retries={"max_attempts": 1, "mode": "standard"})
