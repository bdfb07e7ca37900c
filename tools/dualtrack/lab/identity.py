"""Who a lab host is before its first boot: the files that a cloud's metadata or an installer would have written."""

from __future__ import annotations

from pathlib import Path

from dualtrack.core.proc import run
from dualtrack.lab.model import HostSpec, Layout


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write one file of a host, with the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def outer_apt_settings() -> str:
    """Return this machine's own `Acquire` settings (proxies, certificates) in apt's syntax, for the hosts."""
    dump = run(["apt-config", "dump"], check=False).stdout
    keep = ("Acquire::http", "Acquire::https", "Acquire::ftp", "Acquire::Retries")
    settings = "".join(f"{line}\n" for line in dump.splitlines() if line.startswith(keep))
    return settings + 'Acquire::Languages "none";\n'


def resolver() -> str:
    """Return a resolv.conf that works from inside the namespace: never a stub on this machine's loopback."""
    for path in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        if path.is_file() and "nameserver 127." not in (text := path.read_text()):
            return text
    return ""


def lay(root: Path, spec: HostSpec, layout: Layout, public_key: str, *, nic: str) -> None:
    """Write the host's identity below ``root``: name, address, package sources' settings, who may log in.

    ``nic`` is how networkd finds the network card (`Name=host0`). An emulated instance gets its login from the metadata
    service instead.
    """
    etc = root / "etc"
    gateway = layout.gateway(spec.ip)
    prefix = gateway.network.prefixlen
    write(etc / "hostname", f"{spec.name}\n")
    write(etc / "hosts", f"127.0.0.1 localhost\n127.0.1.1 {spec.name}\n")
    write(etc / "resolv.conf", resolver())
    write(
        etc / "systemd/network/10-lab.network",
        f"[Match]\n{nic}\n[Network]\nAddress={spec.address}/{prefix}\nGateway={gateway.ip}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
    )
    write(etc / "apt/apt.conf.d/90outer", outer_apt_settings())
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if bundle.exists():
        write(etc / "ssl/certs/ca-certificates.crt", bundle.read_text())
    if not spec.instance_id:
        write(
            etc / "cloud/cloud-init.disabled",
            "A server that its operator owns: nothing is asked of a metadata service.\n",
        )
        write(etc / f"sudoers.d/90-{spec.user}", f"{spec.user} ALL=(ALL) NOPASSWD:ALL\n", 0o440)
        write(root / f"home/{spec.user}/.ssh/authorized_keys", public_key, 0o600)
        (root / f"home/{spec.user}/.ssh").chmod(0o700)
        key = host_key(root)
        key.parent.mkdir(parents=True, exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", spec.name, "-f", key])


def host_key(root: Path) -> Path:
    """Return where the host's private ssh key lies below ``root``; the public half is beside it, with `.pub`."""
    return root / "etc/ssh/ssh_host_ed25519_key"
