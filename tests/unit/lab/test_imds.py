"""The metadata service: version 2 is required, tokens belong to one instance, strangers see nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dualtrack.core.aws import Keys
from dualtrack.lab import credentials
from dualtrack.lab.imds import Instance, Service, decode_user_data

ONE = Instance(
    id="i-1",
    address="10.20.0.4",
    type="p4de.24xlarge",
    zone="us-east-1a",
    region="us-east-1",
    image="ami-1",
    mac="02:00:00:00:00:01",
    lifecycle="spot",
    key_name="ops",
    public_key="ssh-ed25519 AAAA ops",
    user_data=b"#cloud-config\n",
)
TWO = Instance(
    id="i-2", address="10.20.0.5", type="m5.large", zone="us-east-1b", region="us-east-1", image="ami-1",
    mac="02:00:00:00:00:02", lifecycle="on-demand",
)  # fmt: skip
TTL = "x-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "x-aws-ec2-metadata-token"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(clock: Clock) -> Service:
    return Service({i.address: i for i in (ONE, TWO)}.get, clock)


def token(service: Service, address: str = ONE.address, seconds: str = "60") -> str:
    status, body, _ = service.answer("PUT", "/latest/api/token", {TTL: seconds}, address)
    assert status == "200 OK"
    return body.decode()


def get(service: Service, path: str, held: str, address: str = ONE.address) -> tuple[str, str]:
    status, body, _ = service.answer("GET", path, {TOKEN: held}, address)
    return status[:3], body.decode()


def test_reading_needs_a_token(service: Service) -> None:
    assert service.answer("GET", "/latest/meta-data/", {"user-agent": "curl/8"}, ONE.address)[0].startswith("401")
    assert get(service, "/latest/meta-data/instance-id", token(service)) == ("200", "i-1")


def test_first_boot_reads_without_a_token(service: Service) -> None:
    assert (
        service.answer("GET", "/latest/meta-data/instance-id", {"user-agent": "Cloud-Init/22.4.2"}, ONE.address)[1]
        == b"i-1"
    )


def test_token_of_another_instance_is_refused(service: Service) -> None:
    assert get(service, "/latest/meta-data/instance-id", token(service, TWO.address))[0] == "401"


def test_token_ends_with_its_time(service: Service, clock: Clock) -> None:
    held = token(service, seconds="60")
    clock.now = 59
    assert get(service, "/latest/meta-data/instance-id", held)[0] == "200"
    clock.now = 61
    assert get(service, "/latest/meta-data/instance-id", held)[0] == "401"


@pytest.mark.parametrize("seconds", ["", "0", "21601", "-1", "1.5", "x"])
def test_lifetimes_that_aws_refuses_are_refused(service: Service, seconds: str) -> None:
    assert service.answer("PUT", "/latest/api/token", {TTL: seconds}, ONE.address)[0].startswith("400")


def test_forwarded_request_gets_no_token(service: Service) -> None:
    headers = {TTL: "60", "x-forwarded-for": "10.20.0.9"}
    assert service.answer("PUT", "/latest/api/token", headers, ONE.address)[0].startswith("403")


def test_stranger_sees_nothing(service: Service) -> None:
    assert service.answer("GET", "/latest/meta-data/", {"user-agent": "Cloud-Init/1"}, "10.30.0.9")[0].startswith("404")


def test_tree_is_listed_and_read_as_on_aws(service: Service) -> None:
    held = token(service)
    listing = get(service, "/latest/meta-data/", held)[1].split("\n")
    assert {"ami-id", "instance-id", "placement/", "public-keys/"} <= set(listing)
    assert get(service, "/latest/meta-data/public-keys/", held)[1] == "0=ops"
    assert get(service, "/latest/meta-data/public-keys/0/openssh-key", held)[1] == "ssh-ed25519 AAAA ops"
    assert get(service, "/2021-03-23/meta-data/placement/availability-zone", held)[1] == "us-east-1a"
    assert get(service, "/latest/meta-data/instance-life-cycle", held)[1] == "spot"
    assert get(service, "/latest/user-data", held)[1] == "#cloud-config\n"
    assert json.loads(get(service, "/latest/dynamic/instance-identity/document", held)[1])["instanceId"] == "i-1"


@pytest.mark.parametrize(
    "path", ["/latest/meta-data/spot/instance-action", "/nonsense/meta-data/", "/latest/meta-data/ami-id/x"]
)
def test_what_is_not_there_is_404(service: Service, path: str) -> None:
    assert get(service, path, token(service))[0] == "404"


def test_no_user_data_is_404_as_on_aws(service: Service) -> None:
    assert get(service, "/latest/user-data", token(service, TWO.address), TWO.address)[0] == "404"


def test_role_credentials_are_those_that_the_api_takes() -> None:
    lab = Keys("AKIALAB", "secret")
    known = {it.address: replace(it, role="spot-node", keys=credentials.of_instance(lab, it.id)) for it in (ONE, TWO)}
    service = Service(known.get)
    secrets = set()
    for address in known:
        held = token(service, address)
        path = "/latest/meta-data/iam/security-credentials/"
        assert get(service, path, held, address) == ("200", "spot-node")
        found = json.loads(get(service, f"{path}spot-node", held, address)[1])
        assert credentials.secret_of(lab, found["AccessKeyId"]) == found["SecretAccessKey"]
        assert lab.secret not in found.values()
        secrets.add(found["SecretAccessKey"])
    assert len(secrets) == 2


def test_user_data_is_decoded_once() -> None:
    assert decode_user_data("I2Nsb3VkLWNvbmZpZwo=") == b"#cloud-config\n"
    assert decode_user_data("#cloud-config\n") == b"#cloud-config\n"
    assert decode_user_data(None) == b""
