"""`dualtrack play`: a day-two playbook on the hosts of the tracks that are up."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import typer

from dualtrack.cli import names
from dualtrack.cli.bring_up import changing
from dualtrack.cli.confirm import DRY_RUN, YES, confirmed
from dualtrack.cli.options import LIMIT
from dualtrack.core.errors import BadInput, Missing
from dualtrack.core.output import Steps, echo
from dualtrack.inventory import deployment
from dualtrack.inventory import target as targets
from dualtrack.tracks import ansible_runner, unchanged


def play(
    playbook: str = typer.Argument(
        "",
        help="A playbook of ansible/playbooks, without .yml; all are listed without it.",
        autocompletion=names.playbooks,
    ),
    limit: str = LIMIT,
    check: bool = DRY_RUN,
    yes: bool = YES,
    settings: list[str] = typer.Option(
        None, "--set", metavar="NAME=VALUE", help="What the playbook is told. Never a secret: others can see it."
    ),
) -> None:
    """Run a playbook on the hosts of the tracks that are up, such as a key rotation, or one phase again.

    Asks first, except where all hosts are the lab's; --dry-run says what would change on them.
    """
    known = sorted(path.stem for path in (ansible_runner.SITE.parent / "playbooks").glob("*.yml"))
    if not playbook:
        for name in known:
            echo(name)
        return
    if playbook not in known:
        raise BadInput(f"there is no playbook {playbook!r}", hint=f"one of {', '.join(known)}")
    pairs = [word.partition("=") for word in settings or []]
    for name, equals, _ in pairs:
        if not name.isidentifier() or not equals:
            raise BadInput(f"--set {name}{equals}", hint="write it as NAME=VALUE, the name a variable's")
    inventories = deployment.inventories()
    if len(inventories) == 1 or not any(it.hosts for it in deployment.generated()):
        raise Missing("no track is up", hint="dualtrack local up, or cloud up")
    if not check and not yes and (real := _real(inventories)):
        confirmed(f"Run {playbook} on {limit or 'all hosts'} of {', '.join(real)}?")
    with nullcontext() if check else changing(f"play {playbook}"):
        if not check:
            unchanged.forget_matching(inventories, limit or "all")
        result = ansible_runner.configure(
            inventories,
            limit=limit,
            check=check,
            progress=Steps(),
            playbook=ansible_runner.SITE.parent / "playbooks" / f"{playbook}.yml",
            settings={name: value for name, _, value in pairs},
        )
    changed = {host: count for host, count in result.changed.items() if count}
    what = ", ".join(f"{host}: {count}" for host, count in changed.items()) or "nothing"
    echo(f"{playbook}: {'would change' if check else 'changed'} {what} ({result.seconds} s)", err=True)


def _real(inventories: list[Path]) -> list[str]:
    """Return the environments whose hosts are real."""
    lab = {targets.of(name).environment for name in ("lab", "emulator")}
    return sorted({it.name for it in inventories if it != deployment.COMMON} - lab)
