"""The systemd timer on the controller that renews certificates every day: its units, and whether it works."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import msgspec

from dualtrack.cloud.pools.unit import quoted
from dualtrack.core import files, proc
from dualtrack.core.errors import External, Missing
from dualtrack.core.paths import expanded

NAME = "dualtrack-certificates"
#: Where systemd says that it is this machine's first process.
RUNNING = Path("/run/systemd/system")
SYSTEM = Path("/etc/systemd/system")

TIMER = """\
# Written by `dualtrack pki timer install`; `dualtrack pki timer remove` takes it away.
[Unit]
Description=Renew the certificates of hosts every day
Documentation=file://{root}/docs/how-to/renew-certificates.md

[Timer]
OnCalendar=daily
RandomizedDelaySec=4h
# A day that the machine was off for is made up for when it starts.
Persistent=true

[Install]
WantedBy=timers.target
"""
#: https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html
SERVICE = """\
# Written by `dualtrack pki timer install`; `dualtrack pki timer remove` takes it away.
[Unit]
Description=Renew the certificates of hosts that are due
Documentation=file://{root}/docs/how-to/renew-certificates.md
{network}
[Service]
Type=oneshot
ExecStart={command}
Environment=DUALTRACK_STATE_DIR={state}
Environment=PYTHONDONTWRITEBYTECODE=1
WorkingDirectory=/
# A host that hangs does not keep the next day's renewal from its start.
TimeoutStartSec=2h

{hardening}{sandbox}"""
#: What every service of a controller has that runs Ansible, whoever manages it.
HARDENING = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
UMask=0077
TasksMax=512
"""
#: What only the manager of the system can give: a user's would need a namespace in which ssh does not trust its files.
NETWORK = "Wants=network-online.target\nAfter=network-online.target\n"
SANDBOX = """\
# It reads its program and its keys, connects to hosts by ssh, and writes the state, the authority's directory, and what
# Ansible unpacks into a directory of its own.
Environment=ANSIBLE_HOME=/tmp/ansible
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={state} {folder}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
CapabilityBoundingSet=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
SystemCallFilter=@system-service
"""
CRON = "0 4 * * * "


class Units(msgspec.Struct, frozen=True, kw_only=True):
    """Unit files by name, the directory that they belong into, and the same as a line for cron."""

    place: Path
    files: dict[str, str]
    cron: str


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What systemd says of the timer. ``next`` and ``last`` are its words for times, '' for none."""

    installed: bool
    active: bool
    next: str
    last: str
    result: str

    @property
    def ok(self) -> bool:
        """Whether certificates are renewed: the timer runs, and its last renewal did not fail."""
        return self.active and self.result == "success"

    @property
    def line(self) -> str:
        """The state as one line."""
        if not self.installed:
            return "no timer is installed"
        last = f"last: {self.last}, {self.result}" if self.last else "no renewal yet"
        return f"the timer {'runs' if self.active else 'does not run'}; next: {self.next or 'none'}; {last}"

    @property
    def remedy(self) -> str:
        """The next step where it is not in order."""
        if not self.active:
            return "dualtrack pki timer install"
        return f"{' '.join(['journalctl', *_manager(), '-u', NAME])} says why; then dualtrack pki renew"


def units(program: Path, folder: Path, *, root: Path, state: Path) -> Units:
    """Return the units that renew the certificates of an authority: of the system for root, else of the user."""
    words = [str(it) for it in (program, "pki", "renew", "--yes", "--pki", folder)]
    whole = not _manager()
    paths = {"state": quoted(str(state), command=False), "folder": quoted(str(folder), command=False)}
    values = {
        "root": root, "command": " ".join(map(quoted, words)), "state": paths["state"],
        "network": NETWORK if whole else "",
        "hardening": HARDENING,
        "sandbox": SANDBOX.format(**paths) if whole else "",
    }  # fmt: skip
    found = {f"{NAME}.service": SERVICE.format(**values), f"{NAME}.timer": TIMER.format(**values)}
    # A percent sign ends the command of a line in crontab.
    cron = CRON + shlex.join(["env", f"DUALTRACK_STATE_DIR={state}", *words]).replace("%", r"\%")
    return Units(place=_place(), files=found, cron=cron)


def install(wanted: Units) -> list[str]:
    """Write the units and start the timer; return what was done. Missing where systemd does not run."""
    if not RUNNING.is_dir():
        raise Missing("systemd does not run on this machine", hint=f"put this line into cron: {wanted.cron}")
    files.make_folder(wanted.place, 0o755)
    for name, text in wanted.files.items():
        files.write_atomically(wanted.place / name, text.encode())
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", f"{NAME}.timer")
    lines = [f"{wanted.place / NAME}.timer renews certificates every day"]
    if _manager():
        lines.append("it runs while you are logged in; at other times, too, after: loginctl enable-linger")
    return lines


def remove(*, write: bool) -> list[str]:
    """Stop the timer and remove its units, with ``write``; return what is done."""
    there = [path for suffix in ("timer", "service") if (path := _place() / f"{NAME}.{suffix}").is_file()]
    if write and there:
        if RUNNING.is_dir():
            _systemctl("disable", "--now", f"{NAME}.timer")
        for path in there:
            path.unlink()
        if RUNNING.is_dir():
            _systemctl("daemon-reload")
    return [f"{'removed' if write else 'would remove'} {path}" for path in there] or ["no timer is installed"]


def state() -> State:
    """Ask systemd about the timer and its service."""
    installed = (_place() / f"{NAME}.timer").is_file()
    if not installed or not RUNNING.is_dir():
        return State(installed=installed, active=False, next="", last="", result="")
    names = "--property=ActiveState,NextElapseUSecRealtime,LastTriggerUSec"
    timer = shown(_systemctl("show", names, f"{NAME}.timer"))
    service = shown(_systemctl("show", "--property=Result,ExecMainExitTimestamp", f"{NAME}.service"))
    return State(
        installed=True, active=timer.get("ActiveState") == "active", next=timer.get("NextElapseUSecRealtime", ""),
        last=service.get("ExecMainExitTimestamp", ""), result=service.get("Result", ""),
    )  # fmt: skip


def shown(text: str) -> dict[str, str]:
    """Return the properties that `systemctl show` printed."""
    return {name: value for name, _, value in (line.partition("=") for line in text.splitlines())}


def _systemctl(*words: str) -> str:
    if shutil.which("systemctl") is None:
        raise Missing("systemctl is not installed", hint="renew by cron (docs/how-to/renew-certificates.md)")
    done = proc.run(["systemctl", *_manager(), *words], check=False)
    if done.returncode != 0:
        raise External(f"systemctl {' '.join(words)}: {proc.last_line(done.stderr)}", hint="is it yours to change?")
    return done.stdout


def _manager() -> list[str]:
    """Return the option that speaks to the user's own manager; none for root, who has the system's."""
    return ["--user"] if os.geteuid() else []


def _place() -> Path:
    return expanded(os.environ.get("XDG_CONFIG_HOME") or "~/.config") / "systemd/user" if _manager() else SYSTEM
