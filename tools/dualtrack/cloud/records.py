"""The nodes' records in the traffic's zone: each node keeps its own; what is nobody's own is taken away here.

IAM cannot say which address a node may write, so one that was taken over can write any. EC2 says whose address is
whose: a record is a node's own where both agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dualtrack import aws
from dualtrack.errors import External
from dualtrack.inventory.contract import Traffic


def foreign(
    records: Sequence[Mapping[str, Any]], name: str, running: Mapping[str, str]
) -> list[tuple[Mapping[str, Any], str]]:
    """Return the A records of ``name`` that are no running instance's own, each with the reason.

    ``running`` has the address of each instance, by EC2's word. Without any instance nothing is returned: such an
    answer is more likely a lie of the API than the end of all nodes. The name is the nodes' alone.
    """
    found = []
    for it in records if running else ():
        if it["Name"].rstrip(".") == name.rstrip(".") and it["Type"] == "A":
            who, values = it.get("SetIdentifier", ""), [value["Value"] for value in it.get("ResourceRecords", ())]
            if who not in running:
                found.append((it, f"{who or 'a record without an instance'} does not run"))
            elif values != [running[who]]:
                found.append((it, f"{who} has {running[who]}, not {', '.join(values) or 'an alias'}"))
    return found


def sweep(traffic: Traffic, running: Mapping[str, str], *, region: str, endpoint: str = "") -> list[str]:
    """Delete what is no running instance's own record, and return the reasons. External when AWS refuses."""
    api = aws.client("route53", region, endpoint)
    try:
        pages = api.get_paginator("list_resource_record_sets").paginate(HostedZoneId=traffic.zone_id)
        records = [record for page in pages for record in page["ResourceRecordSets"]]
        gone = foreign(records, traffic.name, running)
        if gone:
            changes = [{"Action": "DELETE", "ResourceRecordSet": record} for record, _ in gone]
            api.change_resource_record_sets(HostedZoneId=traffic.zone_id, ChangeBatch={"Changes": changes})
    except (BotoCoreError, ClientError) as error:
        raise External(f"the records of {traffic.name} cannot be swept: {error}") from None
    return [why for _, why in gone]
