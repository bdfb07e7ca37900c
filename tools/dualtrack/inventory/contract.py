"""The one contract between OpenTofu and Python: the stack's output `inventory` (terraform/inventory.schema.json)."""

from __future__ import annotations

from typing import Literal

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.inventory.model import Lifecycle

VERSION = 1


class Subnet(msgspec.Struct, frozen=True):
    """One subnet of the stack's network."""

    id: str
    cidr: str


class Network(msgspec.Struct, frozen=True):
    """The stack's network; subnets by zone."""

    vpc_id: str
    cidr: str
    subnets: dict[str, Subnet]


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU pool. ``gpus`` is per instance; sizes count instances."""

    lifecycle: Lifecycle
    autoscaling_group: str
    instance_types: tuple[str, ...]
    gpus: int
    roles: tuple[str, ...]
    ssh_user: str
    zones: tuple[str, ...]
    min: int
    desired: int
    max: int


class Bucket(msgspec.Struct, frozen=True):
    """The bucket of one class of data."""

    bucket: str
    arn: str


class Traffic(msgspec.Struct, frozen=True):
    """Where the records of nodes are: the Route53 zone's id, and the name that all share, without a final dot."""

    zone_id: str
    name: str


class Entrance(msgspec.Struct, frozen=True):
    """Where clients ask the gateways: the name of the load balancer before them."""

    name: str


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How ssh reaches instances from where dualtrack runs: at their public or private addresses, or by ``jump``."""

    kind: Literal["public", "private", "jump"]
    jump: str = ""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """The output as a whole; ``traffic`` is None where the stack has no zone, as in outputs of before there was any.

    ``entrance`` is None where no pool has the role gateway, ``connection`` in outputs of before it was chosen: private.
    """

    schema: int
    stack: str
    region: str
    network: Network
    pools: dict[str, Pool]
    storage: dict[str, Bucket]
    traffic: Traffic | None = None
    connection: Connection | None = None
    entrance: Entrance | None = None


def parse(value: object) -> Output:
    """Return the output, validated; BadInput names the field that is wrong, and what was expected there."""
    try:
        output = msgspec.convert(value, Output)
    except msgspec.ValidationError as error:
        raise BadInput(
            f"the stack's output `inventory` is not as agreed: {error}",
            hint="terraform/inventory.schema.json says how it must be",
        ) from None
    if output.schema != VERSION:
        raise BadInput(
            f"the stack's output `inventory` has schema {output.schema}, this dualtrack reads {VERSION}",
            hint="make cloud-up writes it anew",
        )
    return output
