"""Drift that OpenTofu does not see: instances and pools, as the live API shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dualtrack.inventory.contract import Output
from dualtrack.inventory.ec2 import Instance
from dualtrack.tracks.drift.model import Drift, Field


def drifts(
    output: Output, deployment: str, instances: Iterable[Instance], groups: Mapping[str, Mapping[str, Any]]
) -> list[Drift]:
    """Return instances that nobody declared, and pools that are not as large as they should be or may be."""
    members = {it["InstanceId"]: name for name, group in groups.items() for it in group["Instances"]}
    found = [drift for it in instances if (drift := _instance(it, output, deployment, members))]
    for name, pool in output.pools.items():
        group = groups.get(name)
        if group is None:
            found.append(
                Drift(
                    kind="pool",
                    name=name,
                    what=f"its group {pool.autoscaling_group} is gone",
                    fields=(),
                    since="",
                    who="",
                    remedy="make cloud-up",
                )
            )
            continue
        running = sum(it["LifecycleState"] == "InService" for it in group["Instances"])
        wanted = int(group["DesiredCapacity"])
        if running != wanted:
            field = Field("running", str(wanted), str(running))
            found.append(
                Drift(
                    kind="pool",
                    name=name,
                    what="has not as many instances as it asks for",
                    fields=(field,),
                    since="",
                    who="",
                    remedy="dualtrack pools status says why",
                )
            )
    return found


def _instance(it: Instance, output: Output, deployment: str, members: Mapping[str, str]) -> Drift | None:
    remedy = f"aws ec2 terminate-instances --instance-ids {it.id}, if nobody needs it"
    if not it.tag_deployment and not it.tag_pool:
        return Drift(
            kind="instance",
            name=it.id,
            what=f"a {it.type} without our tags: nobody declared it",
            fields=(),
            since="",
            who="",
            remedy=remedy,
        )
    if it.tag_deployment not in ("", deployment):
        return None  # another deployment's
    if it.tag_pool not in output.pools:
        field = Field("tag dualtrack:pool", " or ".join(sorted(output.pools)), it.tag_pool)
        return Drift(
            kind="instance",
            name=it.id,
            what="is of a pool that nobody declared",
            fields=(field,),
            since="",
            who="",
            remedy=remedy,
        )
    if members.get(it.id) != it.tag_pool:
        field = Field("scaling group", output.pools[it.tag_pool].autoscaling_group, "none of ours")
        return Drift(
            kind="instance",
            name=it.id,
            what="carries our tags and is in no group of ours",
            fields=(field,),
            since="",
            who="",
            remedy=remedy,
        )
    return None
