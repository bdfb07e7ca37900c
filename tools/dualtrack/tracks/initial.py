"""The first files of a site, from few answers: a facts file for servers, and variables of a real AWS account."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.inventory import facts, model

REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
IMAGE = re.compile(r"ami-[0-9a-f]{8,17}")
#: The region of the stack's own network, which has zones a, b and c.
USUAL = "us-east-1"


class Cloud(msgspec.Struct, frozen=True, kw_only=True):
    """What the stack of a real account needs to know; BadInput where it cannot be."""

    region: str
    operator_cidrs: tuple[str, ...]
    image: str

    def __post_init__(self) -> None:
        if not REGION.fullmatch(self.region):
            raise BadInput(f"{self.region} is not a region", hint="such as us-east-1")
        if not self.operator_cidrs:
            raise BadInput("no range of operators' addresses", hint="--operator-cidr 203.0.113.7/32")
        for it in self.operator_cidrs:
            network(it)
        if not IMAGE.fullmatch(self.image):
            raise BadInput(f"{self.image or 'nothing'} is not an image", hint="--image ami-…: Debian 12 for amd64")


def network(text: str) -> str:
    """Return an IPv4 range; BadInput where it is none, or all of the internet."""
    try:
        found = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise BadInput(f"{text} is not a range of addresses: {error}", hint="such as 203.0.113.7/32") from None
    if found.prefixlen == 0:
        raise BadInput(f"{text} lets everybody open ssh connections", hint="name your own addresses")
    return text


def host_name(text: str) -> str:
    """Return a name of a host; BadInput where it is none."""
    if not model.NAME.fullmatch(text):
        raise BadInput(f"{text!r} is not a name of a host", hint="letters, digits, hyphens and dots")
    return text


def address(text: str) -> str:
    """Return the IPv4 address of a host; BadInput where it is none."""
    if not model.valid_address(text):
        raise BadInput(f"{text!r} is not the IPv4 address of a host", hint="write it as 10.30.0.11")
    return text


def roles(text: str) -> str:
    """Return names of roles, separated by +; BadInput where one is none."""
    if other := {it for it in text.split("+") if text and it not in facts.ROLES}:
        raise BadInput(f"{min(other)!r} is not a role", hint=", ".join(facts.ROLES))
    return text


def count(text: str) -> str:
    """Return a number of GPUs; BadInput where it is none."""
    if not re.fullmatch(r"[0-9]{1,3}", text):
        raise BadInput(f"{text!r} is not a number of GPUs", hint="8")
    return text


def server(word: str) -> dict[str, Any]:
    """Return a host from `NAME=ADDRESS[,roles=gpu+serving][,gpus=8][,user=ops][,port=22]`."""
    first, *rest = word.split(",")
    name, equals, address = first.partition("=")
    found: dict[str, Any] = {"name": name, "address": address}
    for it in rest:
        key, is_set, value = it.partition("=")
        if not is_set or key not in ("roles", "gpus", "user", "port"):
            raise BadInput(f"--host {word}: {it} is not understood", hint="roles=, gpus=, user= or port=")
        try:
            found[key] = value.split("+") if key == "roles" else int(value) if key in ("gpus", "port") else value
        except ValueError:
            raise BadInput(f"--host {word}: {key} is a number") from None
    if not equals or not name or not address:
        raise BadInput(f"--host {word}", hint="write it as NAME=ADDRESS,roles=gpu+serving,gpus=8")
    return found


def facts_text(hosts: Sequence[dict[str, Any]], user: str, key: str, path: Path) -> str:
    """Return a facts file for machines of one's own, checked; ``path`` is what errors name."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9._-]{0,63}", user):
        raise BadInput(f"user {user!r} cannot log in", hint="letters, digits, . _ and -, such as ops or ec2-user")
    content: dict[str, Any] = {"provider": "machines", "user": user}
    if key:
        content["ssh_private_key"] = key
    data = msgspec.yaml.encode({**content, "hosts": list(hosts)})
    facts.parsed(data, path)
    head = "# The servers of the local track. `dualtrack explain hosts.disks` and so on explain further fields.\n"
    return head + data.decode()


def tfvars_text(cloud: Cloud) -> str:
    """Return the variables of the stack `aws`."""
    lines = ["# The stack of a real account. variables.tf has the rest and what it means."]
    lines += [f"region = {_hcl(cloud.region)}"]
    lines += [f"operator_cidrs = {_hcl(list(cloud.operator_cidrs))}", f"image = {{ id = {_hcl(cloud.image)} }}"]
    if cloud.region != USUAL:
        lines += ["", "# Zones differ by account: `aws ec2 describe-availability-zones` lists yours.", "network = {"]
        lines += ['  cidr = "10.20.0.0/16"', "  subnets = {"]
        lines += [f'    "{cloud.region}{zone}" = "10.20.{16 * number}.0/20"' for number, zone in enumerate("abc")]
        lines += ["  }", "}"]
    return "\n".join(lines) + "\n"


def _hcl(value: Any) -> str:
    """Return a literal: JSON, in which nothing is a template."""
    return json.dumps(value).replace("${", "$${").replace("%{", "%%{")
