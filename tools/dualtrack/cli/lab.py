"""`dualtrack lab …`: the emulated AWS and its live hosts."""

from __future__ import annotations

import os
from enum import StrEnum

import typer

from dualtrack.cli import lab_aws, names
from dualtrack.cli.options import ENDS, JSON, LISTING, float_option
from dualtrack.core.output import Steps, document, echo, result, table
from dualtrack.lab import control, power, removal
from dualtrack.lab import gpu as fake
from dualtrack.lab import reclaim as spot
from dualtrack.lab.control import LabStatus

app = typer.Typer(no_args_is_help=True)
hosts = typer.Typer(help="Hosts of the local track's kind: add, remove.", no_args_is_help=True)
app.add_typer(hosts, name="host")
disks = typer.Typer(help="The NVMe disks of a virtual machine: list, pull, insert.", no_args_is_help=True)
app.add_typer(disks, name="disk")
app.add_typer(lab_aws.app, name="aws")

HOST = typer.Argument(..., metavar="HOST", help="A host of the lab.", autocompletion=names.lab_hosts)
NAME = typer.Argument(..., metavar="NAME", help="A host of the lab.", autocompletion=names.lab_hosts)
DISK = typer.Argument(..., metavar="DISK", help="Its serial number.")


class Kind(StrEnum):
    """What a lab host is made of."""

    nspawn = "nspawn"
    qemu = "qemu"


class GpuFailure(StrEnum):
    """Failures of the whole driver."""

    mismatch = "nvml-mismatch"
    no_driver = "no-driver"


@app.command()
def up(json: bool = LISTING) -> None:
    """Bring the lab up, or repair it after a crash. Running hosts are left alone."""
    _show(control.up(Steps(quiet=json)), json)


@app.command()
def down(dry_run: bool = ENDS) -> None:
    """Remove every host, process, mount, namespace and device of the lab. Keys, logs and caches stay."""
    if dry_run:
        for line in (*(f"host {it.name}" for it in control.status().hosts), *removal.leftovers()):
            echo(f"would remove the {line}")
        return
    control.down(Steps())


@app.command()
def status(json: bool = LISTING) -> None:
    """Show the lab: its hosts, and where the emulated AWS API answers on loopback (`aws_endpoint`)."""
    _show(control.status(), json)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def ssh(
    host: str = HOST, command: list[str] = typer.Argument(None, help="A command to run; without one, a shell.")
) -> None:
    """Log in to HOST (a name, an instance id or an address) over ssh, its host key checked."""
    words = control.ssh_command(host, _command(command or []))
    os.execvp(words[0], words)  # noqa: S606 - replaces this process, so that signals and the terminal are ssh's


@app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def exec_(host: str = HOST, command: list[str] = typer.Argument(..., help="The command, after `--`.")) -> None:
    """Run a command as root inside HOST without ssh: `dualtrack lab exec HOST -- COMMAND …`."""
    words = control.exec_command(host, _command(command))
    os.execvp(words[0], words)  # noqa: S606


@app.command()
def gpu(
    host: str = HOST,
    index: int = typer.Option(None, "--gpu", help="Only this GPU; all without it."),
    utilization: int = typer.Option(None, min=0, max=100, help="Per cent."),
    memory_used: int = typer.Option(None, min=0, help="MiB in use."),
    ecc: int = typer.Option(None, min=0, help="Uncorrected ECC errors."),
    xid: int = typer.Option(None, min=0, help="Last XID error; 79 makes the GPU fall off the bus."),
    failure: GpuFailure = typer.Option(None, help="Make every call fail as the driver would."),
    reset: bool = typer.Option(False, "--reset", help="Back to eight healthy GPUs (or as many as the host has)."),
) -> None:
    """Inject what the fake `nvidia-smi` of HOST reports: utilisation, memory, ECC and XID errors."""
    found = control.find(host)
    fake.apply(
        control.root_of(found),
        found.gpus,
        index=index,
        utilization=utilization,
        memory_used=memory_used,
        ecc=ecc,
        xid=xid,
        failure=failure.value if failure else None,
        reset=reset,
    )


@hosts.command()
def add(
    name: str,
    address: str = typer.Option("", help="An address in 10.30.0.0/16; a free one without it."),
    gpus: int = typer.Option(0, min=0, max=16, help="GPUs that its fake nvidia-smi answers for."),
    user: str = typer.Option("ops", help="The login user, with sudo."),
    kind: Kind = typer.Option(
        Kind.nspawn, help="A container, or a virtual machine with a kernel and disks of its own."
    ),
    disk_count: int = typer.Option(
        0, "--disks", min=0, max=12, help="(qemu) NVMe disks, their serials NAME-1, NAME-2 …"
    ),
    disk_size: int = typer.Option(768, min=16, max=65536, help="(qemu) MiB of each disk."),
    json: bool = JSON,
) -> None:
    """Add a server of the local track's kind and wait until it takes ssh.

    A container takes about two seconds, an emulated virtual machine about a minute.
    """
    host = control.add_host(
        name,
        address=address,
        gpus=gpus,
        user=user,
        kind=kind.value,
        disks=[f"{name[:17]}-{number}" for number in range(1, disk_count + 1)],
        disk_mib=disk_size,
        say=Steps(quiet=json),
    )
    if json:
        document("lab-host", {"host": host})
    else:
        echo(f"{host.name} is up at {host.address}: dualtrack lab ssh {host.name}")


@hosts.command()
def remove(name: str = NAME) -> None:
    """Take a server down and delete its disk. One that is not there is reported, with exit code 0."""
    gone = removal.remove_host(name, Steps())
    echo(f"{name} is removed" if gone else f"nothing to remove: no host is called {name}", err=True)


@app.command("power-cut")
def power_cut(host: str = HOST) -> None:
    """Cut the power of HOST: off at once, unwritten data lost. Its disks stay; it stays off until `power-on`."""
    echo(f"{power.cut(host).name} is off", err=True)


@app.command("power-off")
def power_off(host: str = HOST) -> None:
    """Shut HOST down in good order and wait until it is off."""
    echo(f"{power.off(host).name} is off", err=True)


@app.command("power-on")
def power_on(host: str = HOST) -> None:
    """Switch HOST on and wait until it takes ssh."""
    echo(f"{power.on(host).name} is up", err=True)


@app.command()
def reclaim(
    host: str = HOST,
    notice: float = float_option(120, "--notice", metavar="SECONDS", help="How long before; 0: gone without a word."),
    recommend: bool = typer.Option(False, "--recommend", help="Only a rebalance recommendation; nothing is taken."),
) -> None:
    """Reclaim the spot instance HOST as AWS does: a notice in its metadata, and its end when the notice is over."""
    found = control.find(host)
    it = spot.ask(control.store().folder, found, notice=notice, recommend=recommend)
    if recommend:
        echo(f"{found.name} is recommended to be rebalanced", err=True)
    else:
        echo(f"{found.name} ({found.instance_id}) ends at {spot.stamp(it.due or 0)}", err=True)


@disks.command("list")
def list_disks(host: str = HOST, json: bool = LISTING) -> None:
    """List the disks of HOST by serial number, also those that are pulled."""
    found = power.disks(host)
    if json:
        document("lab-disks", {"disks": found})
        return
    table(("disk", "state"), [(disk.serial, "in its slot" if disk.present else "pulled") for disk in found])


@disks.command()
def pull(host: str = HOST, disk: str = DISK) -> None:
    """Pull DISK (its serial number) out of HOST, running or not. What is on it stays on it."""
    echo(f"{power.pull(host, disk)} is pulled", err=True)


@disks.command()
def insert(
    host: str = HOST,
    disk: str = DISK,
    new: int = typer.Option(
        0, "--new", min=0, max=65536, metavar="MIB", help="A new, empty disk of this size instead."
    ),
) -> None:
    """Put DISK back into HOST, or with --new an empty one under a serial number that HOST has not seen."""
    echo(f"{power.insert(host, disk, blank_mib=new)} is in its slot", err=True)


def _command(words: list[str]) -> list[str]:
    """Return the words after an optional `--`."""
    return words[1:] if words[:1] == ["--"] else words


def _show(status: LabStatus, json: bool) -> None:
    result("lab-status", status, lambda: _table(status), json=json)


def _table(status: LabStatus) -> None:
    if not status.up:
        echo("the lab is down: dualtrack lab up")
        return
    echo(f"AWS API   {status.aws_endpoint}   (from the hosts: {status.aws_endpoint_inside})")
    echo(f"AWS keys  {status.aws_credentials_file}")
    echo(f"network   namespace {status.namespace}")
    rows = [
        (h.name, h.address, h.state, h.kind, h.instance_id or "-", str(h.gpus or "-"), h.user) for h in status.hosts
    ]
    table(("host", "address", "state", "kind", "instance", "GPUs", "user"), rows)
