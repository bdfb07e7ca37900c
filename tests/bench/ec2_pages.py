"""Recorded DescribeInstances pages for 10,000 instances, served on loopback as the EC2 API would serve them.

The recording is one real answer (moto's, as AWS writes it) with a reservation, addresses, ids and tags per instance.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

INSTANCE = (
    "<item><reservationId>r-{n:017x}</reservationId><ownerId>123456789012</ownerId><groupSet/><instancesSet><item>"
    "<architecture>x86_64</architecture><blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><attachTime>"
    "2026-11-25T00:49:31.000Z</attachTime><deleteOnTermination>true</deleteOnTermination><status>attached</status>"
    "<volumeId>vol-{n:017x}</volumeId></ebs></item></blockDeviceMapping><clientToken>f38a474c-c972-4c0e-bb19-{n:012x}"
    "</clientToken><ebsOptimized>false</ebsOptimized><hypervisor>xen</hypervisor>{life}<networkInterfaceSet><item>"
    "<attachment><attachTime>2026-11-25T00:49:31.000Z</attachTime><attachmentId>eni-attach-{n:017x}</attachmentId>"
    "<deleteOnTermination>true</deleteOnTermination><deviceIndex>0</deviceIndex><status>attached</status>"
    "<networkCardIndex>0</networkCardIndex></attachment><description/><groupSet><item><groupId>sg-7d6c09ddcecf1a43a"
    "</groupId><groupName>nodes</groupName></item></groupSet><ipv6AddressesSet/><macAddress>02:00:00:e8:3a:44"
    "</macAddress><networkInterfaceId>eni-{n:017x}</networkInterfaceId><ownerId>123456789012</ownerId>"
    "<privateIpAddress>{ip}</privateIpAddress><privateIpAddressesSet><item><primary>true</primary><privateIpAddress>"
    "{ip}</privateIpAddress></item></privateIpAddressesSet><sourceDestCheck>true</sourceDestCheck><status>in-use"
    "</status><subnetId>subnet-53ff50d68d80fdfc4</subnetId><vpcId>vpc-5a13ab36be3dbfb6f</vpcId><interfaceType>interface"
    "</interfaceType></item></networkInterfaceSet><rootDeviceName>/dev/xvda</rootDeviceName><rootDeviceType>ebs"
    "</rootDeviceType><groupSet><item><groupId>sg-7d6c09ddcecf1a43a</groupId><groupName>nodes</groupName></item>"
    "</groupSet><sourceDestCheck>true</sourceDestCheck><tagSet><item><key>Name</key><value>dualtrack-{pool}</value>"
    "</item><item><key>dualtrack:pool</key><value>{pool}</value></item><item><key>dualtrack:track</key><value>cloud"
    "</value></item><item><key>dualtrack:lifecycle</key><value>{pool_life}</value></item><item><key>dualtrack:roles"
    "</key><value>gpu</value></item><item><key>dualtrack:gpus</key><value>8</value></item></tagSet>"
    "<virtualizationType>hvm</virtualizationType><metadataOptions><state>applied</state><httpTokens>required"
    "</httpTokens><httpPutResponseHopLimit>1</httpPutResponseHopLimit><httpEndpoint>enabled</httpEndpoint>"
    "</metadataOptions><instanceId>i-{n:017x}</instanceId><imageId>ami-12345678</imageId><instanceState><code>16</code>"
    "<name>running</name></instanceState><privateDnsName>{dns}</privateDnsName><dnsName/><reason/><keyName>k</keyName>"
    "<amiLaunchIndex>0</amiLaunchIndex><productCodes/><instanceType>p4de.24xlarge</instanceType><launchTime>"
    "2026-11-25T00:49:31.000Z</launchTime><placement><groupName/><tenancy>default</tenancy><availabilityZone>"
    "us-east-1{zone}</availabilityZone></placement><monitoring><state>disabled</state></monitoring>"
    "<subnetId>subnet-53ff50d68d80fdfc4</subnetId><vpcId>vpc-5a13ab36be3dbfb6f</vpcId><privateIpAddress>{ip}"
    "</privateIpAddress></item></instancesSet></item>"
)


def instance(number: int) -> str:
    """Return the XML of instance ``number``; the first hex digits differ, as real ids do."""
    spot = number % 4 != 0
    ip = f"10.{20 + number // 65536}.{number // 256 % 256}.{number % 256}"
    return INSTANCE.format(
        n=(number * 0x9E3779B97F4A7C15) % (1 << 68),
        ip=ip,
        dns=f"ip-{ip.replace('.', '-')}.ec2.internal",
        zone="abc"[number % 3],
        pool="spot" if spot else "ondemand",
        pool_life="spot" if spot else "on-demand",
        life="<instanceLifecycle>spot</instanceLifecycle>" if spot else "",
    )


def pages(count: int, size: int = 1000) -> list[bytes]:
    """Return the pages of ``count`` instances."""
    found = []
    for begin in range(0, count, size):
        items = "".join(map(instance, range(begin, min(begin + size, count))))
        token = f"<nextToken>{begin + size}</nextToken>" if begin + size < count else ""
        found.append(
            '<?xml version="1.0" encoding="UTF-8"?>\n<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            f"<requestId>8f7724cf</requestId><reservationSet>{items}</reservationSet>{token}</DescribeInstancesResponse>".encode()
        )
    return found


def serve(count: int) -> tuple[ThreadingHTTPServer, str]:
    """Serve the pages on a free loopback port; return the server (call shutdown) and its URL."""
    recorded = {size: pages(count, size) for size in (500, 1000)}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if form["Action"] == ["DescribeInstances"]:
                size = int(form.get("MaxResults", ["1000"])[0])
                size = size if size in recorded else 1000
                body = recorded[size][int(form.get("NextToken", ["0"])[0]) // size]
            else:  # the aws_ec2 plugin asks for more; it gets an empty answer of the right name
                name = re.sub(r"\W", "", form["Action"][0])
                body = f'<{name}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"></{name}Response>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


@contextlib.contextmanager
def served(count: int) -> Iterator[str]:
    """Serve the pages from a process of their own; yield the URL.

    Of its own, because a child's peak memory, as the kernel counts it, starts at its parent's: pages held here would
    be counted for whatever is measured.
    """
    words = [sys.executable, __file__, str(count)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        # Leaving this block waits for the server: without its end here, for ever where what is measured fails.
        try:
            assert process.stdout is not None
            if not (url := process.stdout.readline().strip()):
                sys.exit("the page server did not start")
            yield url
        finally:
            process.terminate()


if __name__ == "__main__":
    if int(sys.argv[1]) < 0:
        sys.exit("an inventory has no fewer instances than none")
    running, address = serve(int(sys.argv[1]))
    print(address, flush=True)
    threading.Event().wait()
