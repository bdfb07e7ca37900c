"""What commands that bring tracks up share: their options, the question before a change, and the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import typer

from dualtrack.cli.confirm import answer
from dualtrack.cloud import preflight, show
from dualtrack.cloud.bill import Bill, bill
from dualtrack.cloud.plan import TofuPlan
from dualtrack.cloud.prices import files
from dualtrack.core import turns
from dualtrack.core.characters import visible
from dualtrack.core.errors import Refused
from dualtrack.core.output import document, echo
from dualtrack.core.paths import STATE
from dualtrack.inventory import facts
from dualtrack.tracks import knowledge_site, serving

YES = typer.Option(False, "--yes", "-y", help="Do not ask before changing a real account.")
FULL = typer.Option(
    False, "--full", help="Configure also where nothing has changed since and the checks would say that all is well."
)


ACCEPT = typer.Option(
    False, "--accept-host-keys", help="Take the ssh host keys that nobody vouches for as they are, without a question."
)


def changing(command: str) -> AbstractContextManager[None]:
    """Return a context in which a command changes the deployment's hosts: one at a time, the others wait and say so.

    Within it a command may work on both tracks side by side.
    """
    return turns.turn(STATE / ".changing.lock", command, lambda text: echo(visible(text), err=True))


def facts_file(path: Path | None) -> Path:
    """Return the facts file that was named, or the default."""
    return path or facts.DEFAULT


def asked(yes: bool) -> Callable[[TofuPlan, str], bool]:
    """Return a question that shows a plan and its price before it is applied; with ``yes`` it only shows them."""

    def ask(plan: TofuPlan, owner: str) -> bool:
        echo(plan.text, err=True)
        if plan.variables:
            found = billed(plan)
            show.prices(found, err=True)
            ready = preflight.check(plan.variables, found.pools)
            show.preflight(ready, err=True)
            if ready.problems:
                raise Refused(f"{ready.problems[0]}{also(ready.problems)}", hint="nothing was changed")
        return yes or answer(f"Continue, in {owner}?")

    return ask


def accepting(given: bool) -> Callable[[Sequence[str]], None]:
    """Return a question that shows host keys which nobody vouches for; it is not asked where they are ``given``."""

    def accept(unknown: Sequence[str]) -> None:
        if given:
            return
        for line in unknown:
            echo(visible(line), err=True)
        hint = "--accept-host-keys takes them; `host_key` in the facts file names the right ones"
        if not answer(
            "Do the hosts' consoles show these keys (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)?", hint
        ):
            raise Refused("the host keys were not accepted: nothing was sent to the hosts", hint=hint)

    return accept


def also(problems: Sequence[str]) -> str:
    """Return how many problems there are beside the first one, in words; '' for none."""
    return f"; and {len(problems) - 1} more, listed above" if len(problems) > 1 else ""


def billed(plan: TofuPlan) -> Bill:
    """Return what the pools of a plan cost, by the price facts of the repository."""
    return bill(plan.variables, files.load(), time.time())


def show_settled(results: list[Any], json: bool) -> None:
    """Print the result of each track."""
    if json:
        document("up", {"tracks": results})
        return
    for it in results:
        what = "changed" if it.changed else "nothing changed"
        echo(f"{it.track} track: {it.hosts} hosts, {what}, {it.passed} checks passed")


def show_endpoints() -> None:
    """Print where models and the knowledge base answer, and how to ask them."""
    for it in serving.up():
        models = ", ".join(it.endpoint.models)
        if models:
            echo(f"{models} at {it.endpoint.url}/v1, certificates by {it.endpoint.ca_file}")
            echo('dualtrack serving chat "…" asks; dualtrack serving key add NAME makes a key for a client')
    if at := knowledge_site.site():
        echo(f"knowledge base at {at.url}/, certificates by {at.ca_file}")
        echo('dualtrack kb ask "…" --as NAME asks; dualtrack access token NAME --for knowledge signs in')
