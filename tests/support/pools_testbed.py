"""An emulated AWS with the lab's conditions, on loopback and without hosts, and a stack of two pools in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from dualtrack.cloud.pools.api import Api
from dualtrack.cloud.pools.controller import Watch
from dualtrack.cloud.pools.model import Policy
from dualtrack.cloud.pools.state import Entry, Store
from dualtrack.core import waiting
from dualtrack.inventory import contract
from dualtrack.lab.fault_injection import edit, scenario
from tests.support.child import read_until

SERVER = """
import sys
from pathlib import Path
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from dualtrack.lab import fault_injection

fault_injection.install(Path(sys.argv[1]))
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""
REGION = "us-east-1"
TYPES = ("p4de.24xlarge", "p4d.24xlarge")
COST = 27.45 * 24
POLICY = Policy(
    costs={"spot": COST, "ondemand": COST}, ceiling=4 * COST, grace_s=0.6, hold_s=2, cooldown_s=4, window_s=60, gap_s=30
)


class Bed:
    """The emulator of one test module. Each test makes a stack of its own in it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.lab, self.url = folder, f"http://127.0.0.1:{port}"
        self.stacks = 0

    def client(self, service: str) -> Any:
        """Return a boto3 client for a service of this server."""
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b"
        )

    def stack(self, folder: Path, *, spot: int = 2, on_demand: int = 1) -> Stack:
        """Make two pools over three zones, with endless capacity at first."""
        self.stacks += 1
        edit.clear(self.lab)
        self.retry(0.3)
        return Stack(self, folder, f"t{self.stacks}", spot, on_demand)

    def retry(self, seconds: float) -> None:
        """Let short groups try again this often."""
        path = self.lab / scenario.FILE
        path.write_text(json.dumps({"retry_s": seconds}))


@contextmanager
def bed(folder: Path) -> Iterator[Bed]:
    """A server that runs, and is stopped at the end."""
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(folder)], stdout=subprocess.PIPE, stderr=log, text=True,
            env={**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"},
        )  # fmt: skip
        try:
            yield Bed(folder, int(read_until(process, process.stdout)))
        finally:
            process.terminate()
            process.wait(20)


class Stack:
    """A network and two pools, as the stack's modules make them, and a watch of them."""

    def __init__(self, bed: Bed, folder: Path, name: str, spot: int, on_demand: int) -> None:
        self.bed, self.folder, self.name = bed, folder, name
        self.ec2, self.scaling = bed.client("ec2"), bed.client("autoscaling")
        vpc = self.ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        self.subnets = {
            f"us-east-1{letter}": self.ec2.create_subnet(
                VpcId=vpc, CidrBlock=f"10.20.{16 * number}.0/20", AvailabilityZone=f"us-east-1{letter}"
            )["Subnet"]["SubnetId"]
            for number, letter in enumerate("abc")
        }
        template = self.ec2.create_launch_template(
            LaunchTemplateName=name, LaunchTemplateData={"ImageId": "ami-1e749f67", "InstanceType": TYPES[0]}
        )["LaunchTemplate"]["LaunchTemplateId"]
        for pool, lifecycle, size in (("spot", "spot", spot), ("ondemand", "on-demand", on_demand)):
            self.scaling.create_auto_scaling_group(
                AutoScalingGroupName=f"{name}-{pool}", MinSize=0, MaxSize=6, DesiredCapacity=size,
                VPCZoneIdentifier=",".join(self.subnets.values()),
                MixedInstancesPolicy={
                    "LaunchTemplate": {
                        "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"},
                        "Overrides": [{"InstanceType": it} for it in TYPES],
                    },
                    "InstancesDistribution": {
                        "OnDemandBaseCapacity": 0,
                        "OnDemandPercentageAboveBaseCapacity": 0 if lifecycle == "spot" else 100,
                    },
                },
                Tags=[{"Key": "dualtrack:pool", "Value": pool, "PropagateAtLaunch": True}],
            )  # fmt: skip
        self.output = contract.parse(self.inventory(vpc))
        self.inventory_file = folder / "inventory.json"
        self.inventory_file.write_text(json.dumps(self.inventory(vpc)))
        self.said: list[Entry] = []
        self.watch = self.new_watch()

    def inventory(self, vpc: str) -> dict[str, Any]:
        """Return the stack's output `inventory`."""
        plain = {"instance_types": TYPES, "gpus": 8, "roles": ["gpu"], "ssh_user": "admin", "zones": list(self.subnets)}
        sizes = {"min": 0, "desired": 1, "max": 6}
        subnets = {zone: {"id": subnet, "cidr": "10.20.0.0/20"} for zone, subnet in self.subnets.items()}
        return {
            "schema": 1, "stack": "emulator", "region": REGION, "storage": {},
            "network": {"vpc_id": vpc, "cidr": "10.20.0.0/16", "subnets": subnets},
            "pools": {
                "spot": {**plain, **sizes, "lifecycle": "spot", "autoscaling_group": f"{self.name}-spot"},
                "ondemand": {**plain, **sizes, "lifecycle": "on-demand", "autoscaling_group": f"{self.name}-ondemand"},
            },
        }  # fmt: skip

    def new_watch(self, policy: Policy = POLICY) -> Watch:
        """Return a watch that starts from what is on the disk, as after a restart."""
        watch = Watch(
            Api(REGION, self.bed.url), self.output, policy, Store(self.folder / "watch"), apply=True,
            say=self.said.append,
        )  # fmt: skip
        watch.kept, _ = watch.store.load()
        return watch

    def group(self, pool: str) -> dict[str, Any]:
        """Return a pool's group."""
        (found,) = self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[f"{self.name}-{pool}"])[
            "AutoScalingGroups"
        ]
        return dict(found)

    def sizes(self) -> tuple[int, int]:
        """Return (spot nodes, on-demand nodes) in service."""
        spot, on_demand = (len(self.group(pool)["Instances"]) for pool in ("spot", "ondemand"))
        return spot, on_demand

    def zones(self) -> set[str]:
        """Return the zones of the spot group."""
        inside = self.group("spot")["VPCZoneIdentifier"].split(",")
        return {zone for zone, subnet in self.subnets.items() if subnet in inside}

    def deny(self, **what: Any) -> None:
        """Let launches fail."""
        edit.add(self.bed.lab, edit.Denial(**what))

    def recover(self) -> None:
        """Let launches succeed again."""
        edit.clear(self.bed.lab)
        self.bed.retry(0.3)

    def reclaim(self, count: int = 1) -> None:
        """Take spot nodes back."""
        ids = [it["InstanceId"] for it in self.group("spot")["Instances"][:count]]
        self.ec2.terminate_instances(InstanceIds=ids)

    def until(self, condition: Any, seconds: float = 30, what: str = "it") -> None:
        """Let the watch look, many times a second, until something is true."""

        def round_and_pause(seconds: float) -> None:
            self.watch.round()
            time.sleep(seconds)

        waiting.until(condition, what, stall=seconds, limit=10 * seconds, last=self.reasons, pause=round_and_pause)

    def rounds(self, count: int) -> None:
        """Let the watch look so many times."""
        for _ in range(count):
            self.watch.round()
            time.sleep(0.2)

    def did(self) -> list[str]:
        """Return what the watch did, notes left out."""
        return [it.kind for it in self.said if it.kind in ("raise", "lower", "avoid", "return", "failed")]

    def reasons(self) -> str:
        """Return all that was said."""
        return "\n".join(f"{it.kind} {it.pool}: {it.reason}" for it in self.said)
