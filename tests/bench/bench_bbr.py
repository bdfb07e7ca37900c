"""One connection over a long and lossy path: BBR, which the role tcp_bbr chooses, against CUBIC, Linux's default.

In a virtual machine two network namespaces are joined by a link of 50 Mb/s. What comes to the receiver waits 50 ms, and
one packet in a hundred is lost. Loss alone holds CUBIC down, whatever the link could carry, and BBR fills the link: so
the ratio is of this rate, which is as much as an emulated processor carries.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping

from lab_host import BIN, lab_host

HOST = "bench-bbr"
RUNS = 5
SECONDS = 6
#: After each run of one algorithm comes one of the other, so that what else the machine does falls on both alike.
OURS, PEER = "bbr", "cubic"
RATE_MBIT, DELAY_MS, LOSS_PERCENT = 50, 50, 1

#: netem stands at the receiver's door (an ifb device), not at the sender's: there a lost packet would be known at once.
#: One packet a segment (gso_max_segs): otherwise a link without hardware carries, and netem drops, 64 KiB at a time.
PATH = f"""
modprobe -a tcp_bbr sch_fq sch_netem
modprobe ifb numifbs=0
ip netns add far && ip netns add near
ip link add out netns near gso_max_segs 1 type veth peer name in netns far gso_max_segs 1
ip -n near address add 192.0.2.1/24 dev out && ip -n near link set out up
ip -n far address add 192.0.2.2/24 dev in && ip -n far link set in up
tc -n near qdisc add dev out root fq
ip -n far link add door type ifb && ip -n far link set door up
tc -n far qdisc add dev in handle ffff: ingress
tc -n far filter add dev in parent ffff: matchall action mirred egress redirect dev door
tc -n far qdisc add dev door root netem delay {DELAY_MS}ms loss {LOSS_PERCENT}% rate {RATE_MBIT}mbit limit 1000
ip netns exec far iperf3 --server --daemon
timeout -k 1 20 ip netns exec near ping -q -c 5 -i 0.5 192.0.2.2
"""
#: The first second is not counted: both begin alike, by slow start.
RUN = (
    f"timeout -k 5 {SECONDS + 20} ip netns exec near"
    f" iperf3 --client 192.0.2.2 --congestion %s --omit 1 --time {SECONDS} --json"
)


def inside(script: str) -> str:
    """Run a script as root in the machine and return what it printed; a failure is shown and ends the benchmark."""
    words = [BIN / "dualtrack", "lab", "exec", HOST, "--", "sh", "-eu"]
    done = subprocess.run(words, input=script, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        sys.exit(f"in {HOST}, exit code {done.returncode}:\n{script}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def once(algorithm: str) -> tuple[float, int]:
    """Send for some seconds; return what arrived in Mb/s, and how many segments had to be sent again."""
    end = json.loads(inside(RUN % algorithm))["end"]
    used = end["sender_tcp_congestion"], end["receiver_tcp_congestion"]
    if used[0] != algorithm:
        sys.exit(f"{algorithm} was asked for, and {used} were used")
    return end["sum_received"]["bits_per_second"] / 1e6, end["sum_sent"]["retransmits"]


def loss() -> float:
    """Return the percentage of packets that the path has lost: what netem says, not what it was told."""
    [queue] = json.loads(inside("tc -n far -s -j qdisc show dev door"))
    return float(100 * queue["drops"] / (queue["packets"] + queue["drops"]))


def show(taken: Mapping[str, list[tuple[float, int]]]) -> None:
    """Print each algorithm's median and range, and ours as a multiple of the peer's."""
    medians = {name: statistics.median(speed for speed, _ in runs) for name, runs in taken.items()}
    for name, runs in taken.items():
        speeds = [speed for speed, _ in runs]
        again = statistics.median(count for _, count in runs)
        ratio = f"   {medians[name] / medians[PEER]:5.1f} x {PEER}" if name != PEER else ""
        print(
            f"  {name:8} {medians[name]:7.2f} Mb/s   ({min(speeds):.2f} to {max(speeds):.2f}, median of {len(runs)};"
            f" {again:.0f} segments sent again){ratio}"
        )


def main() -> None:
    """Lay the path, send over it by turns, and print the ratio."""
    taken: dict[str, list[tuple[float, int]]] = {OURS: [], PEER: []}
    with lab_host(HOST, kind="qemu"):
        trip = inside(PATH).splitlines()[-1]
        for _ in range(RUNS):
            for algorithm, runs in taken.items():
                runs.append(once(algorithm))
        lost = loss()
    print(f"\nOne connection, {RATE_MBIT} Mb/s, {DELAY_MS} ms, {LOSS_PERCENT} % loss ({lost:.2f} % seen), fq; {trip}")
    show(taken)


if __name__ == "__main__":
    main()
