"""Who runs a command on the controller."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

#: The account that a process's session logged in as (kernel, CONFIG_AUDIT): it stays with `sudo` and `su`.
LOGIN = Path("/proc/self/loginuid")
_NOBODY = 2**32 - 1


def operator() -> str:
    """Return the name of the account that runs this command; where it is root's, of the account behind it.

    The kernel says who that is. Only root's command believes `SUDO_USER`, where no session logged in.
    """
    if own := os.getuid():
        return _name(own)
    try:
        login = int(LOGIN.read_text())
    except (OSError, ValueError):
        login = _NOBODY
    if login not in (0, _NOBODY):
        return _name(login)
    try:
        return pwd.getpwnam(os.environ.get("SUDO_USER", "")).pw_name
    except (KeyError, ValueError):  # there is none of that name
        return _name(0)


def _name(account: int) -> str:
    try:
        return pwd.getpwuid(account).pw_name
    except KeyError:
        return str(account)
