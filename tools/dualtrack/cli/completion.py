"""What shells complete of a command's options and a group's commands, kept in a file, so that no command is imported.

`LazyGroup` asks here while a shell completes. A file for each entry of the top level holds names and help texts; the
first completion that has to import the entry writes it. It counts as long as the sources are the same. What it cannot
say (values of options and arguments), and any trouble with it, leads to the import.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from dualtrack.cli.renamed import keep_old_names
from dualtrack.core.paths import cache_dir

PACKAGE = Path(__file__).resolve().parents[1]
#: Attributes of what is kept, as Typer's classes take them.
OPTION = ("is_flag", "multiple", "count", "help", "hidden", "nargs")
COMMAND = ("help", "short_help", "hidden", "deprecated")
PARSING = ("allow_interspersed_args", "ignore_unknown_options", "allow_extra_args")


def kept(name: str, rest: Sequence[str], environment: Mapping[str, str]) -> Any:
    """Return a command that completes as the entry ``name`` does; None where only that one can, or nothing is kept.

    ``rest`` are the whole words after the name; the word that is being typed is in the environment.
    """
    try:
        document = json.loads(_file(name).read_bytes())
        if document["of"] != sources():
            return None
        spec = document["command"]
        return _made(name, spec) if begins_option(environment) or _is_group(spec, rest) else None
    except Exception:
        return None


def keep(name: str, command: Any) -> None:
    """Keep what an entry's command completes; without a cache directory, or for a group of its own kind, nothing."""
    from dualtrack.core.files import write_atomically

    with contextlib.suppress(Exception):
        text = json.dumps({"of": sources(), "command": _spec(command)})
        _file(name).parent.mkdir(exist_ok=True)
        write_atomically(_file(name), text.encode())


def begins_option(environment: Mapping[str, str]) -> bool:
    """Tell whether the word that is being typed begins the name of an option; False where that takes a shell's eye."""
    place = None
    if (text := environment.get("_TYPER_COMPLETE_ARGS")) is None:
        text, place = environment.get("COMP_WORDS", ""), int(environment.get("COMP_CWORD", "0"))
    words = text.split()
    if not words or any(it in text for it in "'\"\\") or "--" in words[:-1] or place not in (None, len(words) - 1):
        return False
    if environment.get("_TYPER_COMPLETE_WORD_TO_COMPLETE", words[-1]) != words[-1]:  # PowerShell's
        return False
    return not text[-1:].isspace() and words[-1].startswith("-") and "=" not in words[-1]


def sources() -> list[Any]:
    """Return what changes when a source of this program does: of all, how many, their sizes and times, added up."""
    found = [(it.st_size, it.st_mtime_ns) for it in _stats(str(PACKAGE))]
    return [str(PACKAGE), typer.__version__, len(found), sum(it for it, _ in found), sum(it for _, it in found)]


def _stats(directory: str) -> Iterator[os.stat_result]:
    with os.scandir(directory) as entries:
        for it in entries:
            if it.name.endswith(".py"):
                yield it.stat()
            elif it.name != "__pycache__" and it.is_dir():
                yield from _stats(it.path)


def _file(name: str) -> Path:
    return cache_dir() / "completion" / f"{name}.json"


def _is_group(spec: dict[str, Any], words: Sequence[str]) -> bool:
    """Tell whether words lead to a group, whose commands' names are what is completed."""
    for it in words:
        spec = spec.get("commands", {}).get(it, {})
    return "commands" in spec


def _spec(command: Any) -> dict[str, Any]:
    if type(command) not in (TyperCommand, TyperGroup):
        raise TypeError(f"{command.name} parses its words itself")
    options = [it for it in command.params if isinstance(it, TyperOption)]
    found = {
        **{name: getattr(command, name) for name in COMMAND},
        "parsing": {name: getattr(command, name) for name in PARSING},
        "settings": {name: it for name, it in command.context_settings.items() if name in PARSING},
        "options": [
            {"name": it.name, "opts": it.opts, "more": it.secondary_opts, "is": {n: getattr(it, n) for n in OPTION}}
            for it in options
        ],
    }
    if isinstance(command, TyperGroup):
        found["commands"] = {name: _spec(it) for name, it in command.commands.items()}
    return found


def _made(path: str, spec: dict[str, Any]) -> Any:
    """Return a command without arguments and callback, whose options take any value."""
    made = _command(path, spec)
    keep_old_names(made, path)
    return made


def _command(name: str, spec: dict[str, Any]) -> Any:
    about = {it: spec[it] for it in COMMAND}
    about |= {"name": name, "params": [_option(it) for it in spec["options"]], "context_settings": spec["settings"]}
    if "commands" in spec:
        return TyperGroup(**about, commands={name: _command(name, it) for name, it in spec["commands"].items()})
    made = TyperCommand(**about)
    for attribute, value in spec["parsing"].items():
        setattr(made, attribute, value)
    return made


def _option(spec: dict[str, Any]) -> TyperOption:
    about = dict(spec["is"])
    if about["is_flag"] or about["count"]:
        del about["nargs"]
    made = TyperOption(param_decls=[spec["name"], *spec["opts"]], **about)
    made.opts, made.secondary_opts = spec["opts"], spec["more"]
    return made
