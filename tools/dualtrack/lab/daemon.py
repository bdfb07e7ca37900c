"""The supervisor: keeps the emulator alive and one live host per running instance and declared server.

One thread, because hosts die with the thread that started them (that is what makes a kill -9 of the supervisor leave
nothing behind). Everything it needs to know after a restart is on disk or in the emulated API.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from dualtrack.core import aws
from dualtrack.core.daemon import Daemon, run
from dualtrack.core.errors import DualtrackError
from dualtrack.core.files import write_atomically
from dualtrack.inventory.names import host_names
from dualtrack.lab import cgroup, network, nspawn, reclaim, vm
from dualtrack.lab.model import Actual, HostSpec, Published, ports_of, reconcile
from dualtrack.lab.state import HostState, Record, Running, Store

log = logging.getLogger("labd")
POLL_S = 0.5
#: The region of the emulated API that is asked for what instance types have (the emulator stack's own).
REGION = "us-east-1"
#: The images of the emulated API: what the emulator stack names, and no other.
IMAGES = Path(__file__).with_name("images.json")
#: What makes and boots a host, by its kind.
MACHINES = {"nspawn": nspawn, "qemu": vm}


class Supervisor:
    """The running lab. `step` is one round: look, decide, act."""

    def __init__(self, store: Store, port: int, rootfs: Path, mirror: Path) -> None:
        self.store, self.port, self.rootfs, self.mirror = store, port, rootfs, mirror
        self.layout = store.layout
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.actual: dict[str, Actual] = {}
        self.emulator: subprocess.Popen[bytes] | None = None
        self.forwarders: dict[tuple[str, Published], subprocess.Popen[bytes]] = {}
        endpoint = f"http://127.0.0.1:{port}"
        aws.sign_with(endpoint, store.credentials_file)
        self.ec2 = aws.client("ec2", REGION, endpoint, attempts=1, timeout=10)
        self.instances: list[HostSpec] = []
        self.told = b""
        self.gpus: dict[str, int] = {}
        self.written: Record | None = None

    def start_emulator(self) -> None:
        """Start the emulator, also again after it died: its memory, and with it every instance, is then gone."""
        if self.emulator is not None and self.emulator.poll() is None:
            return
        if self.emulator is not None:
            log.warning("the emulator ended with %s: starting it again, empty", self.emulator.returncode)
        self.store.instances_file.unlink(missing_ok=True)  # of one that is gone
        self.told = b""
        self.emulator = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "dualtrack.lab.emulator",
             self.layout.namespace, str(self.port), str(self.mirror), str(self.store.folder)],
            stdin=subprocess.DEVNULL,
            # Without a list of its own the emulator reads all of Amazon's images: 0.5 s and 60 MB that nobody asks for.
            env={**os.environ, "MOTO_AMIS_PATH": str(IMAGES)},
        )  # fmt: skip

    def running_instances(self) -> list[HostSpec]:
        """Return the running instances as hosts; the last known ones until the emulator tells of others."""
        try:
            data = self.store.instances_file.read_bytes()
        except FileNotFoundError:  # it has just started
            return self.instances
        if data == self.told:
            return self.instances
        found = msgspec.json.decode(data, type=list[Running])
        try:
            before = {spec.name: spec for spec in self.instances}
            self.instances = [
                HostSpec(
                    name=name, address=i.address, user="admin", gpus=self.gpu_count(i.kind), instance_id=i.id,
                    published=network.published(before.get(name), ports_of(i.roles)),
                )
                for name, i in zip(host_names([(i.pool, i.id) for i in found]), found, strict=True)
            ]  # fmt: skip
            self.told = data
        except (BotoCoreError, ClientError) as error:
            # Silence is not "all gone": the hosts that we know stay as they are until the API says otherwise.
            log.warning("the emulated API does not answer: %s", error)
        return self.instances

    def gpu_count(self, kind: str) -> int:
        """Return how many GPUs an instance type has, by the API's own facts."""
        if kind not in self.gpus:
            info = self.ec2.describe_instance_types(InstanceTypes=[kind])["InstanceTypes"][0]
            self.gpus[kind] = sum(gpu["Count"] for gpu in info.get("GpuInfo", {}).get("Gpus", []))
        return self.gpus[kind]

    def watch(self) -> None:
        """Notice hosts that ended: powered off (exit 0), or died."""
        for name, process in self.processes.items():
            known = self.actual[name]
            if known.alive and process.poll() is not None:
                clean = process.returncode == 0
                log.warning("host %s %s", name, "powered itself off" if clean else f"died ({process.returncode})")
                self.actual[name] = Actual(
                    spec=known.spec, alive=False, deaths=known.deaths + (not clean), stopped=clean
                )

    def kill(self, name: str) -> None:
        """End a host as a power cut does: all its processes at once."""
        cgroup.remove(cgroup.hierarchy() / self.layout.cgroup / "hosts" / name)
        self.store.disconnect(name)

    def press_buttons(self) -> None:
        """Do what `lab power-cut` and `power-on` asked for: a cut host stays off until it is switched on."""
        for name, wish in self.store.power_wishes():
            known = self.actual.get(name)
            if known is not None and wish == "cut" and known.alive:
                log.info("cutting the power of %s", name)
                try:
                    self.kill(name)
                except (DualtrackError, OSError) as error:  # the wish stays, for the next round
                    log.error("host %s stays on: %s", name, error)
                    continue
                self.processes[name].wait(timeout=10)
                self.actual[name] = Actual(spec=known.spec, alive=False, stopped=True)
            elif known is not None and wish == "on" and not known.alive:
                self.actual[name] = Actual(spec=known.spec, alive=False)
            self.store.power_done(name)

    def reclaim(self) -> None:
        """Terminate the instances whose notice is over; the API starts their replacements."""
        for name in reclaim.due(self.store.folder, time.time()):
            try:
                log.info("taking %s back", name)
                self.ec2.terminate_instances(InstanceIds=[name])
            except (BotoCoreError, ClientError) as error:
                if "NotFound" not in str(error):
                    log.warning("%s is not terminated yet: %s", name, error)
                    continue
            reclaim.done(self.store.folder, name)

    def step(self) -> None:
        """Do one round."""
        if self.emulator is not None and self.emulator.poll() is not None:
            self.instances = []
        self.start_emulator()
        self.watch()
        self.press_buttons()
        self.reclaim()
        plan = reconcile([*self.store.desired(), *self.running_instances()], self.actual)
        self.store.known_hosts.forget([name for name in plan.remove if self.remove(name)])
        for spec in plan.start:
            self.start(spec)
        self.forward()
        self.publish()

    def forward(self) -> None:
        """Have each published port of a living host on this machine's loopback, also again after its forwarder died."""
        living = [host.spec for host in self.actual.values() if host.alive]
        wanted = {(spec.address, it) for spec in living for it in spec.published}
        for gone in set(self.forwarders) - wanted:
            process = self.forwarders.pop(gone)
            process.kill()
            process.wait(timeout=10)
        for address, it in sorted(wanted):
            if (address, it) not in self.forwarders or self.forwarders[address, it].poll() is not None:
                self.forwarders[address, it] = network.forwarder(self.layout.namespace, address, it)

    def remove(self, name: str) -> bool:
        """Remove a host and return whether it is gone; one that survives being killed is tried again next time."""
        log.info("removing %s", name)
        try:
            self.kill(name)
        except (DualtrackError, OSError) as error:
            log.error("host %s cannot be removed: %s", name, error)
            return False
        self.actual.pop(name)
        process = self.processes.pop(name, None)
        shutil.rmtree(self.store.host_folder(name), ignore_errors=True)
        if process is not None:
            process.wait(timeout=10)
        return True

    def start(self, spec: HostSpec) -> None:
        """Start one host; a host that cannot be prepared counts as dead, and is tried again a few times."""
        before = self.actual.get(spec.name)
        folder = self.store.host_folder(spec.name)
        try:
            machine = MACHINES[spec.kind]
            machine.prepare(folder, spec, self.store)
            if not spec.instance_id:
                self.store.known_hosts.learn(spec.name, machine.public_key(folder))
            log.info("starting %s at %s", spec.name, spec.address)
            self.processes[spec.name] = machine.boot(
                folder, spec, self.layout, self.rootfs, self.store.host_log(spec.name)
            )
            self.actual[spec.name] = Actual(spec=spec, alive=True, deaths=before.deaths if before else 0)
        except (DualtrackError, OSError) as error:
            log.error("host %s cannot start: %s", spec.name, error)
            self.actual[spec.name] = Actual(spec=spec, alive=False, deaths=(before.deaths if before else 0) + 1)

    def publish(self) -> None:
        """Write the record and the ssh configuration when something changed."""
        hosts = tuple(
            HostState(host.spec, "running" if host.alive else "stopped" if host.stopped else "failed")
            for host in self.actual.values()
        )
        record = Record(os.getpid(), self.port, hosts)
        if record != self.written:
            self.store.write_ssh_config(host.spec for host in self.actual.values())
            write_atomically(self.store.record_file, msgspec.json.encode(record))
            self.written = record

    def run(self, daemon: Daemon) -> None:
        """Go round until told to stop."""
        for _ in daemon.rounds(POLL_S):
            self.step()


def main(folder: str, port: str, rootfs: str, mirror: str) -> None:
    """Run the supervisor of the lab in ``folder``."""
    store = Store(Path(folder))
    cgroup.enter(cgroup.hierarchy() / store.layout.cgroup / "supervisor")
    run(lambda daemon: Supervisor(store, int(port), Path(rootfs), Path(mirror)).run(daemon))


if __name__ == "__main__":
    main(*sys.argv[1:])
