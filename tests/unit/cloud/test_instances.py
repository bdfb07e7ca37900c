"""Questions about instances that AWS refuses, or does not answer: one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, NoCredentialsError

from dualtrack.cloud import instances, leftovers
from dualtrack.core import aws
from dualtrack.core.errors import External
from dualtrack.inventory import contract
from dualtrack.inventory.model import Host

OUTPUT = contract.Output(
    schema=1, stack="aws", region="us-east-1", network=contract.Network("vpc-1", "10.20.0.0/16", {}), pools={},
    storage={},
)  # fmt: skip
HOST = Host(
    name="a", address="10.20.0.4", user="admin", track="cloud", pool="spot", lifecycle="spot", instance_id="i-1"
)  # fmt: skip
ASKED: dict[str, Callable[[], Any]] = {
    "groups": lambda: instances.groups(OUTPUT, ""),
    "discover": lambda: instances.discover(OUTPUT),
    "console": lambda: instances.console_keys(HOST, OUTPUT),
    "leftovers": lambda: leftovers.find("dualtrack", "us-east-1"),
    "empty": lambda: leftovers.empty("bucket", "us-east-1"),
}
ERRORS: dict[str, tuple[Callable[[str], Exception], str]] = {
    "refused": (
        lambda call: ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, call),
        r"AWS refused \w+: AccessDenied: no",
    ),
    "silent": (lambda _: ConnectTimeoutError(endpoint_url="https://ec2"), "AWS does not answer: "),
    "no credentials": (lambda _: NoCredentialsError(), "no AWS credentials"),
    "another": (lambda _: BotoCoreError(), "AWS does not answer: "),
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("asked", ASKED)
def test_an_error_of_aws_is_one_line(asked: str, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, said = ERRORS[error]
    real = aws.client

    def client(service: str, region: str, *_: str, **more: Any) -> Any:
        found = real(service, region, "http://127.0.0.1:9", **more)

        def refuse(operation_name: str, kwargs: Any) -> None:  # noqa: ARG001
            raise make(operation_name)

        monkeypatch.setattr(found, "_make_api_call", refuse)
        return found

    monkeypatch.setattr(aws, "client", client)
    with pytest.raises(External, match=said) as caught:
        ASKED[asked]()
    assert "\n" not in str(caught.value)
