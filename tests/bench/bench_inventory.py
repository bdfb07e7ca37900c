"""An inventory of 10,000 instances from recorded API pages: ours, bare boto3, and the amazon.aws.aws_ec2 plugin."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import ec2_pages
from measure import measure, show

COUNT = 10_000
BIN = Path(sys.executable).parent
PEERS = BIN.parents[1] / ".venv-bench/bin"

BARE = """
import boto3, json, sys
keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
ec2 = boto3.client("ec2", endpoint_url=sys.argv[1], region_name="us-east-1", **keys)
pages = ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 1000})
found = (i for p in pages for r in p["Reservations"] for i in r["Instances"])
hosts = {i["InstanceId"]: {"ansible_host": i["PrivateIpAddress"]} for i in found}
assert len(hosts) == int(sys.argv[2])
json.dump(hosts, sys.stdout)
"""

PLUGIN = """
plugin: amazon.aws.aws_ec2
regions: [us-east-1]
endpoint_url: {url}
aws_access_key_id: x
aws_secret_access_key: x
hostnames: [instance-id]
compose: {{ansible_host: private_ip_address}}
keyed_groups: [{{key: placement.availability_zone, prefix: zone}}, {{key: instance_type, prefix: type}}]
"""


def main() -> None:
    """Measure and print."""
    with ec2_pages.served(COUNT) as url, tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "inventory.aws_ec2.yml")
        config.write_text(PLUGIN.format(url=url))
        env = {"ANSIBLE_INVENTORY_ENABLED": "amazon.aws.aws_ec2", "ANSIBLE_LOCALHOST_WARNING": "false"}
        ours = measure("dualtrack inventory", [str(BIN / "dualtrack"), "inventory", "--endpoint", url], runs=5)
        bare = measure("bare boto3", [str(BIN / "python"), "-c", BARE, url, str(COUNT)])
        plugin = measure(
            "amazon.aws.aws_ec2 plugin",
            [str(PEERS / "ansible-inventory"), "-i", str(config), "--list"],
            runs=1,
            env=env,
        )
    show(f"inventory of {COUNT:,} instances, cold process, recorded pages", ours, [bare, plugin])


if __name__ == "__main__":
    main()
