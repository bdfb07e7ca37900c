"""Who changed a resource, and when, by CloudTrail where the account has one."""

from __future__ import annotations

from typing import Any

from dualtrack.core import aws

#: Events that read are not changes; names of what CloudTrail is asked for.
READS = ("Describe", "Get", "List", "Head")


def last_change(region: str, names: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Return who changed each resource last, and when, by address; nothing where CloudTrail does not know.

    CloudTrail keeps ninety days of management events, and shows them some minutes after they happened.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    api = aws.client("cloudtrail", region, attempts=3)
    found: dict[str, tuple[str, str]] = {}
    for address, name in names.items():
        if not name:
            continue
        try:
            page: dict[str, Any] = api.lookup_events(
                LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": name}], MaxResults=20
            )
        except (ClientError, BotoCoreError):
            return found
        event = next((it for it in page.get("Events", ()) if not it["EventName"].startswith(READS)), None)
        if event is not None:
            who = f"{event.get('Username', '?')} ({event['EventName']})"
            found[address] = (f"{event['EventTime']:%Y-%m-%dT%H:%M:%SZ}", who)
    return found
