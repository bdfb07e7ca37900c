"""AWS clients: for the real account by the operator's own credentials, for an emulated API by the API's own."""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.core.errors import External


class Keys(msgspec.Struct, frozen=True):
    """An access key: its id, and the secret that requests are signed with."""

    id: str
    secret: str


#: Id and secret for an API that takes any.
ANY = "emulator"
#: Variables by which an operator names credentials.
NAMED = ("AWS_ACCESS_KEY_ID", "AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE")
#: By the URL of an API, the file with its keys.
_files: dict[str, Path] = {}


def sign_with(endpoint: str, file: Path) -> None:
    """Sign the requests of this process to the API at ``endpoint`` with the keys in ``file``, as they are then."""
    _files[endpoint] = file


def read_keys(file: Path) -> Keys:
    """Return the default profile of a file of AWS credentials; External where there is none."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text())
        found = parser["default"]
        return Keys(found["aws_access_key_id"], found["aws_secret_access_key"])
    except (OSError, KeyError, configparser.Error):
        hint = "dualtrack lab down, then dualtrack lab up, make new ones"
        raise External(f"{file} holds no AWS credentials", hint=hint) from None


def keys(endpoint: str) -> dict[str, Any]:
    """Return the arguments that sign a boto3 client's requests to ``endpoint``; none where no file was named for it."""
    found = read_keys(_files[endpoint]) if endpoint in _files else None
    return {"aws_access_key_id": found.id, "aws_secret_access_key": found.secret} if found else {}


def _any(endpoint: str) -> dict[str, Any]:
    """Return the arguments for an API that nobody named credentials for, in this process or in the environment."""
    if not endpoint or any(os.environ.get(name) for name in NAMED):
        return {}
    return {"aws_access_key_id": ANY, "aws_secret_access_key": ANY}


def environment(endpoint: str) -> dict[str, str]:
    """Return this process's environment for a program that asks the API at ``endpoint``, with credentials for it."""
    if file := _files.get(endpoint):
        named = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    elif found := _any(endpoint):
        named = {name.upper(): value for name, value in found.items()}
    else:
        return dict(os.environ)
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | named


def client(service: str, region: str, endpoint: str = "", *, attempts: int = 5, timeout: float = 30) -> Any:
    """Return a boto3 client; ``endpoint`` is the emulator's URL, '' the real AWS; ``timeout`` in seconds a try."""
    with errors():
        try:
            return _client(service, region, endpoint, attempts, timeout)
        except ValueError as error:  # an endpoint, or a region, that is none
            raise External(f"AWS cannot be asked: {error}", hint="network, region, endpoint?") from None


def _client(service: str, region: str, endpoint: str, attempts: int, timeout: float) -> Any:
    import boto3
    import botocore.session
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts}, read_timeout=timeout, connect_timeout=5
    )
    # A new session each time finds credentials that have been renewed; what it reads of the services stays the same.
    core = botocore.session.Session()
    core.register_component("data_loader", _descriptions())
    return boto3.Session(botocore_session=core).client(
        service,
        region_name=region,
        endpoint_url=endpoint or None,
        config=config,
        **(keys(endpoint) or _any(endpoint)),
    )  # type: ignore[call-overload]


def partition(region: str) -> str:
    """Return the partition of a region, which its ARNs begin with: aws, aws-cn or aws-us-gov."""
    import botocore.session

    return str(botocore.session.Session().get_partition_for_region(region))


@contextmanager
def errors() -> Iterator[None]:
    """Turn what boto3 raises (of the API, of the network, of credentials) into one External."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except NoCredentialsError:
        raise External("no AWS credentials", hint="aws configure, or AWS_PROFILE / AWS_ACCESS_KEY_ID") from None
    except ClientError as error:
        said = error.response.get("Error", {})
        raise External(
            f"AWS refused {error.operation_name}: {said.get('Code')}: {said.get('Message')}",
            hint="expired or missing credentials? aws sts get-caller-identity",
        ) from None
    except BotoCoreError as error:
        line = " ".join(str(error).split())[:200]
        raise External(f"AWS does not answer: {line}", hint="network, region, endpoint?") from None


@cache
def _descriptions() -> Any:
    """Return botocore's reader of the descriptions of services, which keeps them: EC2's takes 0.2 s to read."""
    import botocore.loaders

    return botocore.loaders.create_loader()
