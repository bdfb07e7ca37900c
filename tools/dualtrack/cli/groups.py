"""The groups of commands, and the one place that imports them: when a command of theirs is called or explained.

A module of commands imports what it needs at its top. It is imported when one of its commands is invoked or when its
help is asked for, so that `dualtrack --version`, the list of groups and their completion stay quick. This is Click's
pattern of a lazy group (https://click.palletsprojects.com/en/stable/complex/#lazily-loading-subcommands) for Typer.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from dualtrack.cli.examples import EXAMPLES
from dualtrack.cli.renamed import keep_old_names
from dualtrack.core.output import check_stdout, stdout_is_closed


class Entry(NamedTuple):
    """A group or command of the top level."""

    name: str
    #: What its help begins with: what the list of commands shows. The rest of a command's help is its docstring.
    help: str
    #: Its module in `dualtrack.cli`, and the application or function there.
    module: str
    attribute: str = "app"
    #: More modules, whose `register` adds commands to the group.
    more: tuple[str, ...] = ()

    def load(self, wanted: str = "") -> Any:
        """Import the module and return the command; no further module where one has the command ``wanted``."""
        from dualtrack.cli import formats

        thing = getattr(importlib.import_module(f"dualtrack.cli.{self.module}"), self.attribute)
        app = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=False)
        app.callback()(lambda: None)
        if isinstance(thing, typer.Typer):
            for name in self.more:
                if wanted in _names(thing):
                    break
                importlib.import_module(f"dualtrack.cli.{name}").register(thing)
            app.add_typer(thing, name=self.name, help=self.help)
        else:
            app.command(name=self.name, context_settings=SETTINGS.get(self.name))(thing)
        command: Any = typer.main.get_command(app).commands[self.name]  # type: ignore[attr-defined] # it is a group
        command.rich_help_panel = PANEL_OF[self.name]
        formats.add(command)
        _explain(command, self.name)
        if stdout_is_closed():
            _refuse_to_print(command, self.name)
        keep_old_names(command, self.name)
        return command


def _names(group: typer.Typer) -> set[str]:
    """Return the names of a group's commands, before Click's commands are made of them."""
    made = {
        it.name or (it.callback.__name__.replace("_", "-") if it.callback else "") for it in group.registered_commands
    }
    return made | {str(it.name) for it in group.registered_groups}


def _explain(command: Any, path: str) -> None:
    """Add the examples to the help of a command, or of all commands of a group; names of arguments in upper case."""
    for it in command.params:
        if isinstance(it, TyperArgument) and it.metavar is None and it.name:
            it.metavar = it.name.upper() + "..." * (it.nargs != 1)
    if path in EXAMPLES:
        command.epilog = f"Example: {EXAMPLES[path]}"
    for name, it in getattr(command, "commands", {}).items():
        _explain(it, f"{path} {name}")


def _refuse_to_print(command: Any, path: str) -> None:
    """Make a command, or all commands of a group, end before they begin: what they print would be lost."""
    for name, it in getattr(command, "commands", {}).items():
        _refuse_to_print(it, f"{path} {name}")
    if not hasattr(command, "commands") and path not in WRITES_ELSEWHERE:
        command.invoke = lambda _: check_stdout()


def speaks_chinese(environment: Mapping[str, str]) -> bool:
    """Tell whether messages are to be in Chinese: the first of three variables that is set says it, as for gettext."""
    said = (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return next(filter(None, said), "").startswith("zh")


class LazyGroup(TyperGroup):
    """The top level: knows the names and the first lines of ENTRIES, and imports one when it is resolved."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._loaded: dict[str, Any] = {}
        words, panels = {it.name: it.help for it in ENTRIES}, PANEL_OF
        if speaks_chinese(os.environ):
            from dualtrack.cli import chinese

            self.help = chinese.SUMMARY
            words = {name: chinese.breakable(text) for name, text in chinese.HELP.items()}
            panels = {name: chinese.PANELS[panel] for name, panel in PANEL_OF.items()}
        for it in ENTRIES:
            self.commands[it.name] = TyperCommand(it.name, help=words[it.name], rich_help_panel=panels[it.name])

    def load(self, name: str) -> Any:
        """Return a command with its parameters and all of its commands. KeyError when there is none of this name."""
        if name not in self._loaded:
            self._loaded[name] = BY_NAME[name].load()
        return self._loaded[name]

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that is called, imported, and its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        if not name or not command:
            return name, command, rest
        if ctx.resilient_parsing:  # a shell completes
            return name, self._completed(name, rest), rest
        return name, self._loaded.get(name) or BY_NAME[name].load(rest[0] if rest else ""), rest

    def _completed(self, name: str, rest: list[str]) -> Any:
        """Return the command, or one that completes as it does and imports nothing."""
        if name in self._loaded:
            return self._loaded[name]
        from dualtrack.cli import completion

        if (found := completion.kept(name, rest, os.environ)) is None:
            found = self.load(name)
            completion.keep(name, found)
        return found


#: In the order of the help.
ENTRIES = (
    Entry("up", "Bring both tracks up on this machine's lab, configured and verified. A second run changes nothing.",
          "tracks", "up"),
    Entry("down", "Take both tracks down, and the lab with them. A failure of one track does not stop the other.",
          "tracks", "down"),
    Entry("init", "Write the first files of a site, checked: facts.yml for your servers, terraform.tfvars for a real"
          " AWS account.", "init", "init"),
    Entry("status", "Show both tracks: every host, whether it answers, and when it was last verified.",
          "status", "status"),
    Entry("doctor", "Check what this machine lacks, with the next step for each.", "doctor", "doctor"),
    Entry("explain", "Explain an exit code, a role (of a host, of Ansible), a field of the facts file, a variable, an"
          " alert.", "explain", "explain"),
    Entry("setup", "Build expensive artifacts once and share them between checkouts: OpenTofu, its provider, the"
          " lab's image.", "tracks", "setup"),
    Entry("cloud", "The cloud track: OpenTofu's stack and its instances.", "cloud"),
    Entry("local", "The local track: servers that you own.", "local"),
    Entry("verify", "Check by behaviour that hosts are as their roles promise. Exit code 1 when one is not.",
          "verify", "verify"),
    Entry("play", "Run a playbook on the hosts of the tracks that are up, such as a key rotation, or one phase again.",
          "play", "play"),
    Entry("state", "The state of a deployment in one sealed file: what another controller needs.", "state"),
    Entry("use", "Choose the stack that commands are about without --stack; without a name print the one in force.",
          "use", "use"),
    Entry("ssh", "Log in to a host of a track that is up, its host key verified, or run a command on it.", "hosts",
          "ssh"),
    Entry("logs", "Show the journal of a host of a track that is up. --json prints each entry as a line of JSON.",
          "hosts", "logs"),
    Entry("events", "List what this controller has recorded: decisions about pools, verifications, break-glass access,"
          " tracks.", "hosts", "events"),
    Entry("drift", "Compare what runs with what was declared: OpenTofu, the live API and the hosts' checks. Changes"
          " nothing.", "drift", "drift"),
    Entry("inventory", "Print the hosts of both tracks, from the stack's output, the live API and your facts file.",
          "inventory", "inventory"),
    Entry("failover", "Choose which track and which engines answer. Gateways exclude failed engines automatically.",
          "failover"),
    Entry("pools", "The GPU pools: on-demand fallback while spot has no capacity.", "pools"),
    Entry("spot", "Plan which GPUs to buy where and at which hour, and what spot saves.", "spot"),
    Entry("cost", "What the running site costs, and the monthly requests at which an owned server breaks even.",
          "cost"),
    Entry("tiers", "Storage tiers: cost, time of a restore, recovery budgets; and restores.", "tiers"),
    Entry("serving", "Models behind the gateways of the tracks that are up: engines, API keys, questions.", "serving"),
    Entry("kb", "The private knowledge base: take in documents, without personal data, and find what a person may see.",
          "kb", more=("kb_cluster", "kb_endpoint", "kb_eval")),
    Entry("sync", "Keep a knowledge base equal to another: whole versions come by rsync and replace the old one in one"
          " step.", "sync"),
    Entry("writeback", "Send local documents to another knowledge base, through S3: cleaned, reviewed, sealed, once.",
          "writeback"),
    Entry("pii", "Find personal data in texts, and remove it: identity cards, bank cards, telephones, passwords.",
          "pii"),
    Entry("residency", "Where requests are answered: which left the country, and the database of countries.",
          "residency"),
    Entry("store", "Checkpoints: from S3 into a cache on this host's disk, complete and verified; and into S3.",
          "store"),
    Entry("mirror", "All that an air-gapped site installs from, on a disk: signed, each file once.", "mirror"),
    Entry("seal", "Seal files, directories and pipes for their recipients; unseal, verify, change keys.\n\n"
          "[bold]dualtrack seal IN -o OUT[/] is short for `dualtrack seal new IN -o OUT`; a file that is named like a"
          " command is ./verify. To open: [bold]dualtrack unseal[/].", "seal"),
    Entry("unseal", "Open a sealed file, or - for stdin. A file or directory appears complete or not at all; IN stays"
          " unchanged.", "seal", "unseal"),
    Entry("keys", "Keys for `dualtrack seal`: make and show them; split a secret among custodians, and join it again.",
          "keys"),
    Entry("access", "Who may do what: one file of people and roles becomes accounts and sudo rules on hosts, rights in"
          " the search store, accounts in Slurm, and bindings for Kubernetes.", "access"),
    Entry("audit", "An audit trail in a hash chain (SM3), signed by keys that are destroyed after use (SM2): changed,"
          " removed or rolled back records are detected, also when root did it.",
          "audit", more=("audit_store", "audit_witness", "audit_keep")),
    Entry("pki", "A private certificate authority in a directory: who may connect to the search store, and as what.",
          "pki", more=("pki_renew",)),
    Entry("fabric", "InfiniBand: cables, width, speed, errors and subnet managers, compared with what you declared.",
          "fabric"),
    Entry("lab", "The lab: an emulated AWS whose instances, and your own servers, are live hosts on this machine.",
          "lab"),
    Entry("drill", "Drills on the lab: inject faults under load, and measure their effect.", "drill"),
)  # fmt: skip
BY_NAME = {it.name: it for it in ENTRIES}

#: Commands whose one result goes to stdout or, by `--output`, into a file instead: they look at stdout themselves.
WRITES_ELSEWHERE = {"seal new", "unseal", "keys join", "pii mask", "audit prove"}

#: Commands whose last words are another program's.
SETTINGS = {"ssh": {"allow_interspersed_args": False}}

#: The panels of the help, in its order.
PANELS = {
    "Start": ("up", "down", "init", "status", "doctor", "explain", "setup"),
    "Tracks": (
        "cloud",
        "local",
        "verify",
        "play",
        "state",
        "use",
        "ssh",
        "logs",
        "events",
        "drift",
        "inventory",
        "failover",
    ),
    "Cloud and cost": ("pools", "spot", "cost", "tiers"),
    "Models and knowledge": ("serving", "kb", "sync", "writeback", "pii", "residency"),
    "Data": ("store", "mirror"),
    "Security and audit": ("seal", "unseal", "keys", "access", "audit", "pki"),
    "Hosts": ("fabric",),
    "Lab": ("lab", "drill"),
}
PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}
