"""The systemd unit that runs the watch. Pure text; `systemd-analyze security` rates it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dualtrack.core.errors import BadInput

USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")

#: https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html
TEMPLATE = """\
# Printed by `dualtrack pools unit`. Put it into /etc/systemd/system/dualtrack-pools.service, then:
#   install -d -o {user} -m 0750 {folder}
#   systemctl daemon-reload && systemctl enable --now dualtrack-pools
[Unit]
Description=Watch of the GPU pools: on-demand while spot is short
Documentation=file://{root}/docs/how-to/watch-pools.md
Wants=network-online.target
After=network-online.target
# An error that stays (a ceiling, a price file) must be looked at, not tried for ever.
StartLimitIntervalSec=600
StartLimitBurst=5

[Service]
Type=exec
ExecStart={command}
User={user}
Environment=DUALTRACK_STATE_DIR={state}
Environment=PYTHONDONTWRITEBYTECODE=1
# AWS_PROFILE and its kin, mode 0600, root's; on an instance with a role of its own nothing is needed.
EnvironmentFile=-/etc/dualtrack/pools.env
Restart=on-failure
RestartSec=30
WorkingDirectory=/

# It reads its program, calls one API over TLS, and writes one directory.
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
ReadWritePaths={folder}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
ProcSubset=pid
CapabilityBoundingSet=
AmbientCapabilities=
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077
MemoryMax=512M
TasksMax=64

[Install]
WantedBy=multi-user.target
"""


def unit(program: Path, arguments: Sequence[str], *, user: str, root: Path, state: Path, folder: Path) -> str:
    """Return the unit. ``folder`` is the only one that it may write, ``state`` where the stack's state is.

    BadInput for a user name that systemd would not take.
    """
    if not USER.fullmatch(user):
        raise BadInput(f"user {user!r}", hint="lower-case letters, digits, _ and -, such as dualtrack")
    homes = ("/home/", "/root/", "/run/user/")
    at_home = any(f"{path}/".startswith(homes) for path in (program, root, state, folder))
    return TEMPLATE.format(
        command=" ".join(quoted(str(word)) for word in (program, *arguments)), user=user, root=root,
        state=quoted(str(state), command=False), folder=quoted(str(folder), command=False),
        home="read-only" if at_home else "yes",
    )  # fmt: skip


def quoted(word: str, *, command: bool = True) -> str:
    """Return a word as systemd reads it whole: quoted where it must be, its own signs doubled.

    Only in a ``command`` (ExecStart) `$` is one of them.
    """
    word = word.replace("%", "%%").replace("$", "$$" if command else "$")
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./$-]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
