"""The nodes' records in the traffic's zone: each node keeps its own; what a dead one left is taken away here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dualtrack import aws
from dualtrack.errors import External
from dualtrack.inventory.contract import Traffic


def orphans(records: Sequence[Mapping[str, Any]], name: str, running: Collection[str]) -> list[Mapping[str, Any]]:
    """Return the records of ``name`` that belong to instances which do not run; none when nothing runs at all.

    An answer without any instance is more likely a lie of the API than the end of all nodes. Records whose identifier
    is no instance's are somebody else's.
    """
    if not running:
        return []
    return [
        it
        for it in records
        if it["Name"].rstrip(".") == name.rstrip(".")
        and it["Type"] == "A"
        and it.get("SetIdentifier", "").startswith("i-")
        and it["SetIdentifier"] not in running
    ]


def sweep(traffic: Traffic, running: Collection[str], *, region: str, endpoint: str = "") -> list[str]:
    """Delete the records of instances that do not run, and return the instances' ids. External when AWS refuses."""
    api = aws.client("route53", region, endpoint)
    try:
        pages = api.get_paginator("list_resource_record_sets").paginate(HostedZoneId=traffic.zone_id)
        records = [record for page in pages for record in page["ResourceRecordSets"]]
        gone = orphans(records, traffic.name, running)
        if gone:
            changes = [{"Action": "DELETE", "ResourceRecordSet": record} for record in gone]
            api.change_resource_record_sets(HostedZoneId=traffic.zone_id, ChangeBatch={"Changes": changes})
    except (BotoCoreError, ClientError) as error:
        raise External(f"the records of {traffic.name} cannot be swept: {error}") from None
    return [str(record["SetIdentifier"]) for record in gone]
