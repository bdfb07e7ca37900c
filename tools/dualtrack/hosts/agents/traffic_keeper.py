#!/usr/bin/env python3
"""Keeps the records that lead users to GPU nodes: one for each node that is well, at the address that EC2 knows.

It runs on Slurm's controllers. The nodes have no right in the zone, so that one that was taken over cannot send users
anywhere but to its like. A node has a record while Slurm gives it work and EC2 says that an instance of a scaling group
of this network runs at its address, one that has the role of a GPU node by its tag: one that its spot guard or its
health check drains is out of the records within seconds. All controllers do the same, from the same answers; where no
answer comes, everything stays as it is.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Seconds between two questions to Slurm, and between two comparisons of the zone with EC2 where nothing has changed.
POLL_S, COMPARE_S = 2.0, 10.0
COMMAND_S = 8.0
#: Slurm's states of nodes that take work (sinfo(1), NODE STATE CODES). A node that is merely slow to answer bears a
#: mark after its state, and is "down" when Slurm gives it up.
WELL = frozenset({"idle", "mixed", "allocated", "allocated+", "completing", "planned", "reserved"})
MARKS = "*~#!%$@^-"
#: The tag that module gpu_pool gives its instances: what they do, with `+` between. Nodes have no right to write tags.
ROLES, GPU, CONTROLLER = "dualtrack:roles", "gpu", "controller"
#: The resolver asks again after this many seconds.
TTL_S = 10

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Record = Mapping[str, Any]


def log(text: str) -> None:
    """Say something to the journal."""
    print(text, flush=True)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command; one that is not there, or waits for a controller that does not answer, has failed."""
    try:  # an address is a node's own word, and need not be UTF-8
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def parse_nodes(stdout: str) -> frozenset[str]:
    """Return the addresses of the nodes that take work, from sinfo's lines `address|state`.

    Only those of which every line says so. An address is a node's own word: it may be another's, and may look like
    lines of sinfo's. Lines can be added so, and none can be taken away.
    """
    states: dict[str, list[str]] = {}
    for line in stdout.splitlines():
        address, _, state = line.strip().partition("|")
        states.setdefault(address.strip(), []).append(state.rstrip(MARKS))
    return frozenset(address for address, found in states.items() if address and WELL.issuperset(found))


def may_serve(instance: Mapping[str, Any]) -> bool:
    """Tell whether users may be led to an instance, by EC2's word of it: to a GPU node, and to no controller."""
    tags = {it["Key"]: it["Value"] for it in instance.get("Tags", ())}
    roles = tags.get(ROLES, "").split("+")
    return GPU in roles and CONTROLLER not in roles


def record(name: str, identifier: str, address: str) -> dict[str, Any]:
    """Return a node's record: one of many answers of equal right, of which a resolver gets up to eight."""
    return {
        "Name": name, "Type": "A", "SetIdentifier": identifier, "MultiValueAnswer": True, "TTL": TTL_S,
        "ResourceRecords": [{"Value": address}],
    }  # fmt: skip


def changes(records: Sequence[Record], name: str, wanted: Mapping[str, str]) -> list[tuple[str, Record]]:
    """Return what makes the A records of ``name`` those of ``wanted`` (instance to address): actions with records."""
    mine = {
        it.get("SetIdentifier", ""): it for it in records if it["Name"].rstrip(".") == name and it["Type"] == "A"
    }  # fmt: skip
    found: list[tuple[str, Record]] = [("DELETE", it) for identifier, it in mine.items() if identifier not in wanted]
    for identifier, address in sorted(wanted.items()):
        there = mine.get(identifier, {})
        if [value["Value"] for value in there.get("ResourceRecords", ())] != [address]:
            found.append(("UPSERT", record(name, identifier, address)))
    return found


@dataclass
class Zone:
    """The zone and EC2, by the API. Everything here may raise whatever boto3 raises."""

    zone: str
    vpc: str
    region: str
    endpoint: str = ""
    _clients: dict[str, Any] = field(default_factory=dict)

    def _client(self, service: Any) -> Any:
        if service not in self._clients:
            import boto3
            from botocore.config import Config

            limits = Config(connect_timeout=3, read_timeout=5, retries={"max_attempts": 3})
            self._clients[service] = boto3.client(
                service, region_name=self.region, endpoint_url=self.endpoint or None, config=limits
            )
        return self._clients[service]

    def running(self) -> dict[str, str]:
        """Return the instances that run in this network and that a scaling group has started.

        With the address that users may be led to; '' where they may not, such as a controller. Nobody but AWS can give
        an instance the tag that is asked for.
        """
        filters = [
            {"Name": "instance-state-name", "Values": ["running"]},
            {"Name": "vpc-id", "Values": [self.vpc]},
            {"Name": "tag-key", "Values": ["aws:autoscaling:groupName"]},
        ]
        pages = self._client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
        every = (it for page in pages for reservation in page["Reservations"] for it in reservation["Instances"])
        return {
            it["InstanceId"]: it["PrivateIpAddress"] if may_serve(it) else ""
            for it in every
            if it.get("PrivateIpAddress")
        }

    def records(self) -> list[Record]:
        """Return all records of the zone."""
        pages = self._client("route53").get_paginator("list_resource_record_sets").paginate(HostedZoneId=self.zone)
        return [it for page in pages for it in page["ResourceRecordSets"]]

    def change(self, todo: Sequence[tuple[str, Record]]) -> None:
        """Change records: all of them, or none."""
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": dict(it)} for action, it in todo]}
        self._client("route53").change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch=batch)


@dataclass
class Keeper:
    """What keeps the records of ``name``."""

    zone: Zone
    name: str
    run: Run = run
    well: frozenset[str] | None = None  # None: Slurm has not answered yet
    due: float = 0.0
    _said: str = ""

    def look(self, now: float) -> None:
        """Ask Slurm; compare the zone with EC2 when Slurm's answer is another, or when it is time (monotonic)."""
        done = self.run("sinfo", "--noheader", "--Node", "--format=%o|%T")
        if done.returncode == 0 and (well := parse_nodes(done.stdout)) != self.well:
            self.well, self.due = well, now
        if self.well is None or now < self.due:
            return
        self.due = now + COMPARE_S
        try:
            self.settle(self.well)
            said = ""
        except Exception as error:  # whatever it is, it may be over when it is asked again
            said = f"the records of {self.name} are as they were: {error}"
        if said and said != self._said:
            log(said)
        self._said = said

    def settle(self, well: frozenset[str]) -> None:
        """Make the records those of the nodes that are well. Without any running instance nothing is changed.

        Such an answer is a lie of the API: this controller is one.
        """
        running = self.zone.running()
        if not running:
            return
        wanted = {identifier: address for identifier, address in running.items() if address in well}
        todo = changes(self.zone.records(), self.name, wanted)
        if not todo:
            return
        self.zone.change(todo)
        for action, it in todo:
            values = ", ".join(value["Value"] for value in it.get("ResourceRecords", ())) or "an alias"
            log(f"{'joined' if action == 'UPSERT' else 'left'} {self.name}: {it.get('SetIdentifier')} ({values})")


def main(config: str) -> int:
    """Run until the unit is stopped; the records stay, for those who keep them then."""
    given = json.loads(Path(config).read_text())
    keeper = Keeper(Zone(given["zone"], given["vpc"], given["region"], given["endpoint"]), given["name"])
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    while not stop:
        keeper.look(time.monotonic())
        time.sleep(POLL_S)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
