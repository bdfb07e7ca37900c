"""What the OpenTofu tests stand on: an emulated AWS API of their own, and every program there is to run them with."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from dualtrack.cloud import opentofu, stack
from dualtrack.cloud.plan import TofuPlan
from dualtrack.core.errors import Missing

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f operator@test"
TRAFFIC = {
    "zone": "dualtrack.test",
    "domestic": {"addresses": ["203.0.113.10"], "standby": ["198.51.100.10"]},
}


class Emulator:
    """A moto server of the test's own on a free port of the loopback."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"moto-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        program = Path(sys.executable).parent / "moto_server"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [program, "-H", "127.0.0.1", "-p", str(self.port)], stdout=log, stderr=log, cwd=self.log.parent
            )
        for _ in range(150):
            try:
                urllib.request.urlopen(f"{self.url}/moto-api/", timeout=2).close()
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.2)
        pytest.fail(f"the emulator does not answer: {self.log.read_text()}")

    def stop(self) -> None:
        """Stop the server; everything it knew is gone."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def client(self, service: str) -> Any:
        """Return a boto3 client for a service of this server."""
        return boto3.client(
            service, endpoint_url=self.url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )


@contextmanager
def emulator(folder: Path) -> Iterator[Emulator]:
    """An emulator that runs, and is stopped at the end."""
    server = Emulator(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def programs() -> dict[str, Path]:
    """Return every program to test with: what is found first, and an OpenTofu built earlier."""
    found = opentofu.ensure()
    chosen = {found.path.name: found.path}
    try:
        built = opentofu.built_path()
    except Missing:
        return chosen
    if built.exists():
        chosen.setdefault(built.name, built)
    return chosen


def never(plan: TofuPlan, owner: str) -> bool:
    """A confirmation that must not be asked for."""
    pytest.fail(f"asked to confirm {plan.summary} on {owner}")


def up(aws: Emulator, **more: Any) -> tuple[stack.Up, list[str]]:
    """Bring the emulator's stack up with traffic; return what came of it, and what was said."""
    said: list[str] = []
    variables = {"traffic": TRAFFIC, **more.pop("variables", {})}
    result = stack.up(
        "emulator",
        endpoint=aws.url,
        ssh_public_key=KEY,
        confirm=never,
        progress=said.append,
        variables=variables,
        **more,
    )
    return result, said


def write_record(aws: Emulator, traffic: dict[str, str], identifier: str, address: str) -> None:
    """Write a node's record beside the others."""
    record = {
        "Name": traffic["name"], "Type": "A", "SetIdentifier": identifier, "MultiValueAnswer": True, "TTL": 10,
        "ResourceRecords": [{"Value": address}],
    }  # fmt: skip
    aws.client("route53").change_resource_record_sets(
        HostedZoneId=traffic["zone_id"],
        ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]},
    )
