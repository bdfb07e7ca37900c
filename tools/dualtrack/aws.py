"""AWS clients: for the real account by the operator's own credentials, for the emulator by any."""

from __future__ import annotations

from typing import Any


def client(service: str, region: str, endpoint: str = "", *, attempts: int = 5, timeout: float = 30) -> Any:
    """Return a boto3 client; ``endpoint`` is the emulator's URL, '' the real AWS; ``timeout`` in seconds a try."""
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts}, read_timeout=timeout, connect_timeout=5
    )
    # The emulator takes any credentials; the operator's own must not be sent to it.
    keys: dict[str, Any] = {"aws_access_key_id": "lab", "aws_secret_access_key": "lab"} if endpoint else {}
    return boto3.Session().client(service, region_name=region, endpoint_url=endpoint or None, config=config, **keys)  # type: ignore[call-overload]
