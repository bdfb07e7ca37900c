"""Settings of this machine that labs need otherwise: what they were is kept, and the last lab puts it back."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dualtrack.core.files import locked, read, write_atomically

#: One record for all labs of the machine, gone with a reboot as the settings themselves are: value by path.
KEPT = Path("/run/dualtrack/settings.json")
NAMESPACES = Path("/run/netns")
#: A host has 6 to 8 inotify instances (systemd 5 and one if it has path units, systemd-logind 1, dbus-daemon 1), all
#: on the account of the machine's root. The kernel's default is 128: beyond some 20 hosts, no path unit starts, and
#: then no host boots. An instance that nobody opens takes no memory.
INOTIFY, INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances"), 4096


def change(setting: Path, value: str) -> None:
    """Give a setting another value; what the first lab found is kept."""
    with locked(KEPT):
        kept = _kept()
        if str(setting) not in kept:
            write_atomically(KEPT, msgspec.json.encode({**kept, str(setting): setting.read_text().strip()}))
        setting.write_text(value)


def allow_hosts() -> None:
    """Let the machine have as many inotify instances as many hosts need; a higher limit is left as it is."""
    if int(INOTIFY.read_text()) < INSTANCES:
        change(INOTIFY, str(INSTANCES))


def restore() -> None:
    """Put back what the first lab found, unless another lab still needs its own."""
    with locked(KEPT):
        if any(NAMESPACES.glob("dt-*")):
            return
        for path, value in _kept().items():
            setting = Path(path)
            if setting.exists():  # a network device may be gone
                setting.write_text(value)
        KEPT.unlink(missing_ok=True)


def _kept() -> dict[str, str]:
    return read(KEPT, dict[str, str]) or {}
