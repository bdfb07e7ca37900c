"""AWS clients: for the real account by the operator's own credentials, for the emulator by any."""

from __future__ import annotations

from functools import cache
from typing import Any


def client(service: str, region: str, endpoint: str = "", *, attempts: int = 5, timeout: float = 30) -> Any:
    """Return a boto3 client; ``endpoint`` is the emulator's URL, '' the real AWS; ``timeout`` in seconds a try."""
    import boto3
    import botocore.session
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts}, read_timeout=timeout, connect_timeout=5
    )
    # The emulator takes any credentials; the operator's own must not be sent to it.
    keys: dict[str, Any] = {"aws_access_key_id": "lab", "aws_secret_access_key": "lab"} if endpoint else {}
    # A new session each time finds credentials that have been renewed; what it reads of the services stays the same.
    core = botocore.session.Session()
    core.register_component("data_loader", _descriptions())
    return boto3.Session(botocore_session=core).client(
        service, region_name=region, endpoint_url=endpoint or None, config=config, **keys
    )  # type: ignore[call-overload]


@cache
def _descriptions() -> Any:
    """Return botocore's reader of the descriptions of services, which keeps them: EC2's takes 0.2 s to read."""
    import botocore.loaders

    return botocore.loaders.create_loader()
