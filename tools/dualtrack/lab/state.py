"""What the lab keeps on disk: desired hosts, the supervisor's record, the operator's key and ssh configuration."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.core.files import read, write_atomically
from dualtrack.core.paths import state_dir
from dualtrack.core.proc import run
from dualtrack.lab.model import HostSpec, Layout
from dualtrack.remote.known_hosts import KnownHosts

log = logging.getLogger("labd")
#: `cut`: off at once, as when the mains fail. `on`: the button of a host that is off.
Power = Literal["cut", "on"]
#: The key exchange with lab hosts, whose network ends in this machine. The one that ssh would choose (sntrup761) costs
#: an emulated host 0.3 s more for each login.
KEX = "^curve25519-sha256"


class HostState(msgspec.Struct, frozen=True):
    """One host as the supervisor sees it. `state` is about the machine, not about what is configured on it."""

    spec: HostSpec
    state: Literal["running", "stopped", "failed"]


class Record(msgspec.Struct, frozen=True):
    """What the supervisor says of itself. `boot` changes whenever the emulator starts, and with it forgets."""

    pid: int
    port: int
    hosts: tuple[HostState, ...] = ()


class Running(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """A running instance, as the emulator tells the supervisor. ``pool`` is its tag, '' for one that is in none.

    ``roles`` are those of its tag.
    """

    id: str
    address: str
    kind: str
    pool: str
    roles: tuple[str, ...] = ()


class Store:
    """The lab's directory (`.lab`), by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = Layout.of(folder)

    @property
    def record_file(self) -> Path:
        """The supervisor's record."""
        return self.folder / "run/lab.json"

    @property
    def instances_file(self) -> Path:
        """The instances that run, written by the emulator when they change."""
        return self.folder / "run/instances.json"

    @property
    def credentials_file(self) -> Path:
        """The operator's keys of the emulated API, new after each `lab down`."""
        return self.folder / "run/aws-credentials"

    @property
    def port_file(self) -> Path:
        """The loopback port of the emulated API: the same after a restart where it is free."""
        return self.folder / "port"

    @property
    def key(self) -> Path:
        """The private key with which the operator reaches lab hosts."""
        return self.folder / "ssh/id_ed25519"

    @property
    def known_hosts(self) -> KnownHosts:
        """The host keys of its hosts, among those of the whole deployment."""
        return KnownHosts(self.folder / "ssh/known_hosts")

    @property
    def ssh_config(self) -> Path:
        """`ssh -F` file with an entry for every lab host."""
        return self.folder / "ssh/config"

    def host_folder(self, name: str) -> Path:
        """The overlay of one host."""
        return self.folder / "hosts" / name

    def host_log(self, name: str) -> Path:
        """The console of one host."""
        return self.folder / "logs/hosts" / f"{name}.log"

    def record(self) -> Record | None:
        """Return the supervisor's record, None when no supervisor has written one."""
        return read(self.record_file, Record)

    def desired(self) -> list[HostSpec]:
        """Return the hosts declared by `lab host add` (not emulated instances); a damaged file is none."""
        specs = []
        for path in sorted((self.folder / "hosts.d").glob("*.json")):
            try:
                spec = read(path, HostSpec)
            except BadInput as error:
                log.error("%s", error)
                continue
            specs += [spec] if spec else []
        return specs

    def declare(self, spec: HostSpec) -> None:
        """Declare a host; the supervisor starts it within a second."""
        write_atomically(self.folder / "hosts.d" / f"{spec.name}.json", msgspec.json.encode(spec))

    def retract(self, name: str) -> bool:
        """Take a declaration back; the supervisor removes the host. False when there was none."""
        path = self.folder / "hosts.d" / f"{name}.json"
        if not path.exists():
            return False
        path.unlink()
        return True

    def wish_power(self, name: str, wish: Power) -> None:
        """Ask the supervisor to press a host's power button."""
        write_atomically(self.folder / "run/power" / name, wish.encode())

    def power_wishes(self) -> list[tuple[str, str]]:
        """Return what was asked for and not done yet, by host."""
        return [(path.name, path.read_text()) for path in sorted((self.folder / "run/power").glob("[!.]*"))]

    def power_done(self, name: str) -> None:
        """Forget a wish."""
        (self.folder / "run/power" / name).unlink(missing_ok=True)

    def public_key(self) -> str:
        """Return the operator's public key, made at the first call."""
        if not self.key.exists():
            self.key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "dualtrack-lab", "-f", self.key])
        return self.key.with_suffix(".pub").read_text()

    def proxy_command(self) -> str:
        """Return the ssh ProxyCommand that leads into the namespace."""
        return f"ip netns exec {self.layout.namespace} nc %h %p"

    def write_ssh_config(self, hosts: Iterable[HostSpec]) -> None:
        """Write the `ssh -F` file for ``hosts``."""
        text = "".join(
            f"Host {spec.name} {spec.instance_id or spec.address}\n"
            f"    HostName {spec.address}\n    HostKeyAlias {spec.name}\n    User {spec.user}\n"
            + (self._shared_connection(spec.name) if spec.kind == "qemu" else "")
            for spec in hosts
        )
        text += (
            f"Host *\n    IdentityFile {self.key}\n    IdentitiesOnly yes\n"
            f"    UserKnownHostsFile {self.known_hosts.file}\n"
            f"    ProxyCommand {self.proxy_command()}\n    ConnectTimeout 40\n    LogLevel ERROR\n"
            # A host whose power is cut says nothing; an emulated one may be busy temporarily.
            f"    ServerAliveInterval 15\n    ServerAliveCountMax 8\n    KexAlgorithms {KEX}\n"
        )
        write_atomically(self.ssh_config, text.encode())

    def _shared_connection(self, name: str) -> str:
        """Return the settings by which commands in a row log in to a host once: a login costs an emulated one 1 s."""
        self.layout.connections.mkdir(mode=0o700, exist_ok=True)
        path = self.layout.connections / name
        return f"    ControlMaster auto\n    ControlPath {path}\n    ControlPersist 60\n"

    def disconnect(self, name: str = "*") -> None:
        """Close the shared ssh connection of a host that went off, or of all hosts: commands would wait for it."""
        for path in self.layout.connections.glob(name):
            run(["ssh", "-O", "exit", "-o", f"ControlPath={path}", path.name], check=False)
            path.unlink(missing_ok=True)
        if name == "*":
            shutil.rmtree(self.layout.connections, ignore_errors=True)

    @property
    def audit_keys(self) -> Path:
        """Where the deployment registers the audit keys of the lab's hosts."""
        return state_dir(self.folder, os.environ.get("DUALTRACK_STATE_DIR")) / "audit-keys"

    def retire_trail(self, name: str) -> None:
        """Put a host's registered audit key aside, numbered: its trail went with its disk, the next one is another.

        Here a host goes because somebody says so by its name. Elsewhere a trail that is gone is a finding (role audit).
        """
        path = self.audit_keys / f"{name}.pem"
        gone = path.parent / "gone"
        lives = sorted(gone.glob(f"{name}.*.pem"))
        current = path.with_name(f"{name}.{len(lives) + 1}.pem") if lives else path
        if current.is_file():
            gone.mkdir(exist_ok=True)
            current.replace(gone / f"{name}.{len(lives) + 1}.pem")

    def clear(self) -> None:
        """Forget hosts, their audit keys and the supervisor; other keys and logs stay."""
        for path in (*(self.folder / name for name in ("hosts", "hosts.d", "run", "shared")), self.audit_keys):
            shutil.rmtree(path, ignore_errors=True)
        (self.folder / "aws-conditions.json").unlink(missing_ok=True)
