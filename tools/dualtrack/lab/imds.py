"""The instance metadata service (IMDSv2) as a WSGI application over a plain description of each instance.

Version 2 is required: a session token from a PUT, bound to the instance that asked. One exception, measured: cloud-init
asks for tokens only where the firmware says "Amazon EC2", which a container's does not, so its reads pass without one.
See https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dualtrack.core.aws import Keys

#: A tree of the metadata: a mapping is a directory, a string a value.
Tree = Mapping[str, "Tree | str"]


@dataclass(frozen=True)
class Instance:
    """What the service knows of one instance; addresses and names as the EC2 API spells them."""

    id: str
    address: str
    type: str
    zone: str
    region: str
    image: str
    mac: str
    lifecycle: str  # "spot" or "on-demand"
    key_name: str = ""
    public_key: str = ""
    user_data: bytes = b""
    security_groups: tuple[str, ...] = ()
    account: str = ""
    subnet: str = ""
    vpc: str = ""
    role: str = ""  # of its instance profile
    keys: Keys = field(default_factory=lambda: Keys("", ""))  # of that role
    extra: Mapping[str, Tree | str] = field(default_factory=dict)  # e.g. a spot notice


def tree(i: Instance) -> Tree:
    """Return the `meta-data/` tree of an instance."""
    name = f"ip-{i.address.replace('.', '-')}.{'ec2' if i.region == 'us-east-1' else i.region + '.compute'}.internal"
    data: dict[str, Tree | str] = {
        "ami-id": i.image,
        "ami-launch-index": "0",
        "hostname": name,
        "instance-action": "none",
        "instance-id": i.id,
        "instance-life-cycle": i.lifecycle,
        "instance-type": i.type,
        "local-hostname": name,
        "local-ipv4": i.address,
        "mac": i.mac,
        "network": {"interfaces": {"macs": {i.mac: {
            "device-number": "0", "local-hostname": name, "local-ipv4s": i.address, "mac": i.mac,
            "subnet-id": i.subnet, "vpc-id": i.vpc, "owner-id": i.account,
        }}}},
        "placement": {"availability-zone": i.zone, "region": i.region},
        "security-groups": "\n".join(i.security_groups),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
    }  # fmt: skip
    if i.role:
        data["iam"] = {"security-credentials": {i.role: json.dumps(credentials(i))}}
    if i.public_key:
        data["public-keys"] = {f"0={i.key_name}": "", "0": {"openssh-key": i.public_key}}
    return {**data, **i.extra}


def credentials(i: Instance) -> dict[str, str]:
    """Return the role's keys as the service hands them out. The emulated API takes them as the operator's own."""
    now = datetime.now(UTC)
    return {
        "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": i.keys.id, "SecretAccessKey": i.keys.secret,
        "Token": i.id, "LastUpdated": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "Expiration": f"{now + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}",
    }  # fmt: skip


def look_up(node: Tree | str, path: list[str]) -> str | None:
    """Return what a GET of ``path`` below ``node`` answers (directories list their entries), None for "not found"."""
    for part in path:
        if isinstance(node, str) or part not in node:
            return None
        node = node[part]
    if isinstance(node, str):
        return node
    if "openssh-key" not in node and any("=" in name for name in node):  # public-keys/ lists "0=name", never "0/"
        return "\n".join(name for name in node if "=" in name)
    return "\n".join(f"{name}/" if not isinstance(value, str) else name for name, value in node.items())


#: The two names that cloud-init 22.4 sends: its own, and its HTTP library's where it forgets to.
CLOUD_INIT = ("Cloud-Init/", "python-requests/")
VERSION = re.compile(r"latest|\d{4}-\d{2}-\d{2}|1\.0")


class Service:
    """The WSGI application. ``find`` maps a source address to the instance there, None for strangers."""

    def __init__(self, find: Callable[[str], Instance | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._find = find
        self._clock = clock
        self._tokens: dict[str, tuple[str, float]] = {}  # token -> (instance, when it ends)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        status, body, headers = self.answer(
            environ["REQUEST_METHOD"],
            environ.get("PATH_INFO", "/"),
            {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")},
            environ.get("REMOTE_ADDR", ""),
        )
        start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers])
        return [body]

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], source: str
    ) -> tuple[str, bytes, list[tuple[str, str]]]:
        """Return status line, body and further headers for one request from address ``source``."""
        instance = self._find(source)
        if instance is None:
            return "404 Not Found", b"no instance has this address\n", []
        parts = [part for part in path.split("/") if part]
        if method == "PUT":
            return self._token(parts, headers, instance)
        if method not in {"GET", "HEAD"}:
            return "405 Method Not Allowed", b"", []
        if not self._admitted(headers, instance):
            return "401 Unauthorized", b"a session token is required (IMDSv2)\n", []
        body = self._read(parts, instance)
        return ("404 Not Found", b"", []) if body is None else ("200 OK", body, [])

    def _token(
        self, parts: list[str], headers: Mapping[str, str], instance: Instance
    ) -> tuple[str, bytes, list[tuple[str, str]]]:
        if parts != ["latest", "api", "token"]:
            return "404 Not Found", b"", []
        if "x-forwarded-for" in headers:  # as AWS: a proxy must not fetch tokens for others
            return "403 Forbidden", b"", []
        seconds = headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if not seconds.isdecimal() or not 1 <= int(seconds) <= 21600:
            return "400 Bad Request", b"x-aws-ec2-metadata-token-ttl-seconds: 1 to 21600\n", []
        now = self._clock()
        self._tokens = {key: value for key, value in self._tokens.items() if value[1] > now}
        token = secrets.token_urlsafe(40)
        self._tokens[token] = (instance.id, now + int(seconds))
        return "200 OK", token.encode(), [("X-aws-ec2-metadata-token-ttl-seconds", seconds)]

    def _admitted(self, headers: Mapping[str, str], instance: Instance) -> bool:
        token = headers.get("x-aws-ec2-metadata-token")
        if token is None:
            return headers.get("user-agent", "").startswith(CLOUD_INIT)
        owner, until = self._tokens.get(token, ("", 0.0))
        return owner == instance.id and until > self._clock()

    def _read(self, parts: list[str], instance: Instance) -> bytes | None:
        if not parts:
            return b"latest\n2021-03-23"
        version, *rest = parts
        if not VERSION.fullmatch(version):
            return None
        match rest:
            case []:
                return b"dynamic\nmeta-data" + (b"\nuser-data" if instance.user_data else b"")
            case ["user-data"]:
                return instance.user_data or None
            case ["dynamic"]:
                return b"instance-identity/"
            case ["dynamic", "instance-identity"]:
                return b"document"
            case ["dynamic", "instance-identity", "document"]:
                return json.dumps(identity(instance), indent=2).encode()
            case ["meta-data", *below]:
                value = look_up(tree(instance), below)
                return None if value is None else value.encode()
        return None


def identity(i: Instance) -> dict[str, str | None]:
    """Return the instance identity document (unsigned: there is no Amazon here to sign it)."""
    return {
        "accountId": i.account, "architecture": "x86_64", "availabilityZone": i.zone, "imageId": i.image,
        "instanceId": i.id, "instanceType": i.type, "privateIp": i.address, "region": i.region, "version": "2017-09-30",
    }  # fmt: skip


def decode_user_data(value: str | bytes | None) -> bytes:
    """Return user data as the instance sees it: the API keeps it in base64, some paths keep it plain."""
    if not value:
        return b""
    raw = value.encode() if isinstance(value, str) else bytes(value)
    try:
        return base64.b64decode(raw, validate=True)
    except ValueError:
        return raw
