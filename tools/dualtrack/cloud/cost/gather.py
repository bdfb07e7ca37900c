"""What there is to pay for: read from the stack's API, its buckets and the facts file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from dualtrack.cloud.applied import Applied
from dualtrack.cloud.cost.running import Seen
from dualtrack.core import aws
from dualtrack.core.errors import External
from dualtrack.inventory import deployment, ec2
from dualtrack.inventory import facts as facts_file


def collect(of: Applied, facts: Path | None) -> Seen:
    """Return what runs, what is stored and which servers are owned; External when the API refuses or is silent."""
    instances = tuple(ec2.instances(aws.client("ec2", of.output.region, of.endpoint), untagged=True))
    s3 = aws.client("s3", of.output.region, of.endpoint)
    stored: Counter[tuple[str, str]] = Counter()
    for name, bucket in of.output.storage.items():
        for class_, size in stored_bytes(s3, bucket.bucket).items():
            stored[name, class_] += size
    path = facts or Path(deployment.current().facts or facts_file.DEFAULT)
    return Seen(instances, stored, facts_file.load(path).hosts)


def stored_bytes(s3: Any, bucket: str) -> dict[str, int]:
    """Return the bytes of a bucket by storage class: of all versions, since those of before cost, too."""
    from botocore.exceptions import BotoCoreError, ClientError

    found: Counter[str] = Counter()
    try:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for version in page.get("Versions", ()):
                found[version.get("StorageClass") or "STANDARD"] += version["Size"]
    except ClientError as error:
        said = error.response.get("Error", {})
        raise External(f"bucket {bucket}: {said.get('Code')}: {said.get('Message')}") from None
    except BotoCoreError as error:
        raise External(f"bucket {bucket}: AWS does not answer: {error}", hint="network, region, endpoint?") from None
    return dict(found)
