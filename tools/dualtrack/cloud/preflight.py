"""What an account must have before instances start there: quotas, types, images, a role. Asked of AWS; changes nothing.

What a fresh account lacks is otherwise a provider's error after the first resources are there, or a scaling group that
stays empty.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from dualtrack.cloud.bill import Bought, PoolBill
from dualtrack.core import aws

T = TypeVar("T")

#: Quotas on the virtual CPUs that run at a time in a region, by the letters with which types begin
#: (https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html).
QUOTAS: dict[str, dict[Bought, str]] = {
    "Standard": {"on-demand": "L-1216C47A", "spot": "L-34B43A08"},
    "G and VT": {"on-demand": "L-DB2E81BA", "spot": "L-3819A6DF"},
    "P": {"on-demand": "L-417A185B", "spot": "L-7212CCBC"},
}
FAMILIES = {**dict.fromkeys("acdhimrtz", "Standard"), "g": "G and VT", "vt": "G and VT", "p": "P"}
#: The role with which EC2 starts spot instances; made with the first request, by whoever may make roles.
SPOT_ROLE, SPOT_SERVICE = "AWSServiceRoleForEC2Spot", "spot.amazonaws.com"


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """Virtual CPUs of a family: what the pools need at first and at most, and what the account may run.

    ``has`` counts all instances of the account in the region, others' too; None where AWS does not say it.
    """

    family: str
    bought: Bought
    code: str
    needs: int
    most: int
    has: int | None


class Preflight(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: the quotas, why the pools cannot start, and what AWS did not tell; a line each."""

    quotas: tuple[Quota, ...]
    problems: tuple[str, ...]
    unchecked: tuple[str, ...]


def check(variables: Mapping[str, Any], pools: Sequence[PoolBill], endpoint: str = "") -> Preflight:
    """Return what the account has of what a plan's pools need.

    ``variables`` are the plan's, ``pools`` those of its `bill`. What the operator may not ask stays unchecked.
    """
    region = str(variables["region"])
    zones = sorted((variables.get("network") or {}).get("subnets") or ())
    ec2 = aws.client("ec2", region, endpoint)
    asked = _Asked()
    names = {type_ for it in pools for type_ in it.types}
    types = dict(asked.items("instance types", lambda: _types(ec2, names).items()))
    quotas = asked.items("quotas", lambda: _quotas(pools, types, aws.client("service-quotas", region, endpoint)))
    problems = [
        *_lacking(quotas, region),
        *asked.items("offerings of types", lambda: _unavailable(ec2, pools, zones, region)),
        *asked.items("images", lambda: _images(ec2, pools, types, region)),
    ]
    # The emulator makes the role under another name.
    if not endpoint and any(it.bought(it.desired)["spot"] for it in pools):
        problems += asked.items("roles", lambda: _roles(aws.client("iam", region)))
    return Preflight(quotas=tuple(quotas), problems=tuple(problems), unchecked=tuple(asked.failed))


class _Asked:
    """Questions to AWS; those that it does not answer are remembered."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def items(self, what: str, work: Callable[[], Iterable[T]]) -> list[T]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return list(work())
        except (BotoCoreError, ClientError) as error:
            self.failed.append(f"{what}: {' '.join(str(error).split())}")
            return []


def family(type_: str) -> str:
    """Return the family of a type whose quota counts it, '' for one whose quota is not known here."""
    letters = "".join(itertools.takewhile(str.isalpha, type_))
    return FAMILIES.get(letters, "")


def _types(ec2: Any, names: set[str]) -> dict[str, dict[str, Any]]:
    """Return what AWS says of types, by name; those that the region does not know are left out."""
    pages = ec2.get_paginator("describe_instance_types").paginate(
        Filters=[{"Name": "instance-type", "Values": sorted(names)}]
    )
    return {it["InstanceType"]: it for page in pages for it in page["InstanceTypes"]} if names else {}


def _quotas(pools: Sequence[PoolBill], types: Mapping[str, Mapping[str, Any]], api: Any) -> Iterable[Quota]:
    for name, codes in QUOTAS.items():
        for bought, code in codes.items():
            needs = most = 0
            for it in pools:
                # Of several types the one with the most processors counts, as with the price.
                size = max((_cpus(types, type_) for type_ in it.types if family(type_) == name), default=0)
                needs += it.bought(it.desired)[bought] * size
                most += it.bought(it.most)[bought] * size
            if most:
                yield Quota(family=name, bought=bought, code=code, needs=needs, most=most, has=_allowed(api, code))


def _cpus(types: Mapping[str, Mapping[str, Any]], name: str) -> int:
    return int(types[name]["VCpuInfo"]["DefaultVCpus"]) if name in types else 0


def _allowed(api: Any, code: str) -> int | None:
    try:
        return int(api.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"])
    except api.exceptions.ClientError:  # the operator may not ask, or the region does not have it
        return None


def _lacking(quotas: Iterable[Quota], region: str) -> Iterable[str]:
    for it in quotas:
        if it.has is not None and it.has < it.needs:
            yield (
                f"the pools need {it.needs} vCPUs of {it.family} instances, {it.bought}, and the account may run"
                f" {it.has}: aws service-quotas request-service-quota-increase --service-code ec2 --quota-code"
                f" {it.code} --desired-value {it.most} --region {region}"
            )


def _unavailable(ec2: Any, pools: Sequence[PoolBill], zones: list[str], region: str) -> Iterable[str]:
    """Yield the types that cannot be had in any of the stack's zones, of pools that start instances."""
    names = sorted({type_ for it in pools if it.desired for type_ in it.types})
    if not names:
        return
    found = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": names}]
    )
    offered: dict[str, set[str]] = {}
    for page in found:
        for it in page["InstanceTypeOfferings"]:
            offered.setdefault(it["InstanceType"], set()).add(it["Location"])
    for pool in pools:
        for type_ in pool.types if pool.desired else ():
            places = offered.get(type_, set())
            if not places:
                yield f"pool {pool.pool}: {region} has no {type_}; name another type or region"
            elif zones and not places & set(zones):
                yield (
                    f"pool {pool.pool}: {type_} is in {', '.join(sorted(places))}, and the network has subnets in"
                    f" {', '.join(zones)} only; add one of these zones to network.subnets"
                )


def _images(ec2: Any, pools: Sequence[PoolBill], types: Mapping[str, Mapping[str, Any]], region: str) -> Iterable[str]:
    """Yield the images that are not there, or are for other processors, of pools that start instances."""
    wanted = [it for it in pools if it.desired and it.image.startswith("ami-")]
    if not wanted:
        return
    filters = [{"Name": "image-id", "Values": sorted({it.image for it in wanted})}]
    found = {it["ImageId"]: it for it in ec2.describe_images(Filters=filters)["Images"]}
    for pool in wanted:
        if (image := found.get(pool.image)) is None:
            yield f"pool {pool.pool}: {region} has no image {pool.image} that this account may use"
            continue
        for type_ in pool.types:
            runs = types.get(type_, {}).get("ProcessorInfo", {}).get("SupportedArchitectures")
            if runs and image.get("Architecture") and image["Architecture"] not in runs:
                yield (
                    f"pool {pool.pool}: the image {pool.image} is for {image['Architecture']}, and {type_} runs"
                    f" {' or '.join(runs)}; give the pool an image of its own"
                )


def _roles(iam: Any) -> Iterable[str]:
    try:
        iam.get_role(RoleName=SPOT_ROLE)
    except iam.exceptions.NoSuchEntityException:
        yield (
            f"the account has no role {SPOT_ROLE}, without which no spot instance starts:"
            f" aws iam create-service-linked-role --aws-service-name {SPOT_SERVICE}"
        )
