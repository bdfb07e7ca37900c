"""An ssh configuration from Ansible's connection variables (pure)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualtrack.core.errors import BadInput

#: ssh options with one letter that an inventory may hold, and their names in its configuration.
LETTERS = {"-F": "Include", "-J": "ProxyJump", "-i": "IdentityFile", "-l": "User", "-p": "Port"}


def render(hosts: Mapping[str, Mapping[str, Any]], control: Path) -> str:
    """Return the configuration for ``hosts`` (name to variables); sockets of shared connections lie in ``control``.

    Host keys are checked as Ansible checks them: nothing here turns it off.
    """
    lines = []
    for name, facts in hosts.items():
        lines.append(f"Host {name}")
        lines += [f"    {key} {_quoted(key, value)}" for key, value in settings(name, facts).items()]
    lines += [
        "Host *",
        "    BatchMode yes",
        "    ConnectTimeout 40",
        "    ServerAliveInterval 15",
        "    LogLevel ERROR",
        "    ControlMaster auto",
        f"    ControlPath {_quoted('', str(control / '%C'))}",
        "    ControlPersist 60",
    ]
    return "\n".join(lines) + "\n"


def settings(name: str, facts: Mapping[str, Any]) -> dict[str, str]:
    """Return one host's ssh settings; BadInput for connection variables that have no counterpart here."""
    connection = str(facts.get("ansible_connection", "ssh"))
    if connection not in {"ssh", "smart", "ansible.builtin.ssh"}:
        raise BadInput(f"{name}: ansible_connection is {connection}", hint="only hosts reached by ssh can be verified")
    found = {"HostName": str(facts.get("ansible_host", name))}
    for variable, key in (
        ("ansible_port", "Port"),
        ("ansible_user", "User"),
        ("ansible_ssh_private_key_file", "IdentityFile"),
    ):
        if facts.get(variable):
            found[key] = str(facts[variable])
    if "IdentityFile" in found:
        found["IdentitiesOnly"] = "yes"
    for variable in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
        found |= options(name, str(facts.get(variable, "")))
    return found


def options(name: str, arguments: str) -> dict[str, str]:
    """Return ssh arguments (`-o Key=value`, `-J jump`, …) as settings."""
    found = {}
    try:
        words = iter(shlex.split(arguments))
    except ValueError as error:
        raise BadInput(
            f"ssh arguments {arguments[:200]!r}: {error}", hint="make up writes the inventory again"
        ) from None
    for word in words:
        letter, rest = word[:2], word[2:]
        if letter != "-o" and letter not in LETTERS:
            raise BadInput(f"{name}: ssh argument {word!r} is not understood", hint="write it as -o Key=value")
        value = rest or next(words, "")
        if letter == "-o":
            key, _, value = value.partition("=") if "=" in value else value.partition(" ")
            found[key.strip()] = value.strip()
        else:
            found[LETTERS[letter]] = value
    return found


def _quoted(key: str, value: str) -> str:
    """Return a value as the file needs it; a proxy command is the rest of its line, whatever is in it."""
    return f'"{value}"' if " " in value and key.lower() != "proxycommand" else value
