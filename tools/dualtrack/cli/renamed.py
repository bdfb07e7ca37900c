"""Names of commands and options that have changed. The old ones work for one release, hidden, with a notice."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from dualtrack.core.output import echo

#: Old path of a command, and the new one, in the same group.
COMMANDS = {
    "access end-glass": "access revoke",
    "audit begin": "audit init",
    "audit seal": "audit sign",
    "audit turn": "audit rotate-key",
    "store fill": "store prefetch",
}
#: Commands, and which of their options had which old names.
OPTIONS = {
    "access break-glass": {"--authority": "--pki"},
    "access token": {"--authority": "--pki"},
    "audit verify": {"--patience": "--max-head-age"},
    "audit witness": {"--every": "--interval"},
    "fabric check": {"--since": "--baseline"},
    "fabric draw": {"--since": "--baseline"},
    "inventory": {"--output": "--format", "-o": "--format"},
    "pki issue": {"--folder": "--pki"},
    "pki rotate": {"--folder": "--pki"},
    "pki show": {"--folder": "--pki"},
    "play": {"--check": "--dry-run"},
    "audit retain": {"--apply": "--yes"},
    "pools watch": {"--apply": "--yes"},
    "pools report": {"--since": "--hours"},
}


def notice(old: str, new: str) -> None:
    """Say on stderr that a name has changed; stdout stays as it is."""
    echo(f"dualtrack: `{old}` is now `{new}`; the old name goes with the next release", err=True)


def current(words: Sequence[str], names: dict[str, str], tell: Callable[[str, str], None]) -> list[str]:
    """Return a command's arguments with the options' new names; what comes after `--` is not looked at."""
    found, plain = [], False
    for word in words:
        plain = plain or word == "--"
        name, equals, value = word.partition("=")
        if word[:1] == "-" and word[1:2] not in ("-", "") and word not in names:
            name, equals, value = word[:2], "=", word[2:]  # -oyaml
        if name in names and not plain:
            tell(name, names[name])
            word = names[name] + equals + value
        found.append(word)
    return found


def keep_old_names(command: Any, path: str) -> None:
    """Let a command, or all commands of a group, be called by their old names, too."""
    if names := OPTIONS.get(path):
        _before(command, lambda words, quiet: current(words, names, _quiet if quiet else notice))
    commands = getattr(command, "commands", {})
    for name, it in list(commands.items()):
        keep_old_names(it, f"{path} {name}")
    for old, new in COMMANDS.items():
        group, _, last = old.rpartition(" ")
        if group == path:
            commands[last] = _alias(commands[new.rpartition(" ")[2]], old, new)


def _alias(command: Any, old: str, new: str) -> Any:
    """Return a hidden copy of a command that says its new name."""
    alias = copy.copy(command)
    alias.hidden = True

    def told(words: list[str], quiet: bool) -> list[str]:
        (_quiet if quiet else notice)(old, new)
        return words

    _before(alias, told)
    return alias


def _before(command: Any, change: Callable[[list[str], bool], list[str]]) -> None:
    """Pass a command's arguments through a function first; it is told whether this is for a shell's completion."""
    make_context = command.make_context

    def changed(name: str | None, words: list[str], *rest: Any, **more: Any) -> Any:
        return make_context(name, change(words, bool(more.get("resilient_parsing"))), *rest, **more)

    command.make_context = changed


def _quiet(_old: str, _new: str) -> None:
    pass
