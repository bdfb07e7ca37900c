"""`dualtrack up`, `cloud …`, `local …`, `status`, `verify`, `setup`, `doctor`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dualtrack.core.output import echo, json_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from dualtrack.core.task_graph import Say, Task
    from dualtrack.inventory.target import Stack

JSON = typer.Option(False, "--json", help="Print one JSON document instead of a table.")
YES = typer.Option(False, "--yes", "-y", help="Do not ask before changing a real account.")
FACTS = typer.Option(
    None,
    "--facts",
    envvar="DUALTRACK_FACTS",
    help="Your facts file; inventories/local/facts.yml without it.",
    show_default=False,
)
KEY = typer.Option(
    "", "--ssh-public-key", help="(aws) The public key that instances shall accept; ~/.ssh/id_ed25519.pub without it."
)


FULL = typer.Option(
    False, "--full", help="Configure also where nothing has changed since and the checks would say that all is well."
)


class StackName(StrEnum):
    """The stacks under terraform/stacks."""

    emulator = "emulator"
    aws = "aws"


STACK = typer.Option(StackName.emulator, "--stack", help="Which account: the lab's emulated AWS, or a real one.")

cloud = typer.Typer(help="The cloud track: OpenTofu's stack and its instances.", no_args_is_help=True)
local = typer.Typer(help="The local track: servers that you own.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    app.add_typer(cloud, name="cloud")
    app.add_typer(local, name="local")
    for command in (up, down, status, verify, setup, doctor):
        app.command()(command)


def _stack(name: StackName) -> Stack:
    return name.value


def _facts(path: Path | None) -> Path:
    from dualtrack.inventory import facts

    return path or facts.DEFAULT


def _confirm(yes: bool) -> Callable[[Any, str], bool]:
    def ask(plan: Any, owner: str) -> bool:
        echo(plan.text, err=True)
        return yes or typer.confirm(f"Go on, in {owner}?", err=True)

    return ask


def _setup_tasks() -> list[Task]:
    from dualtrack.cloud import opentofu, provider
    from dualtrack.core.paths import cache_dir
    from dualtrack.core.task_graph import Task
    from dualtrack.data.mirror import build as mirror
    from dualtrack.hosts import bundle
    from dualtrack.lab import rootfs, site_countries, vm

    return [
        Task("root file system", rootfs.build),
        Task("virtual machines' image", vm.ensure),
        Task("OpenTofu", opentofu.ensure),
        Task("AWS provider", lambda say: provider.cli_config(opentofu.ensure(say), say), needs=("OpenTofu",)),
        Task("mirror", lambda say: mirror(cache_dir() / "mirror", say)),
        Task("checkpoint program", lambda say: bundle.ensure(*rootfs.python(), say)),
        Task("countries", site_countries.ensure),
    ]


def setup(quiet: bool = typer.Option(False, "--quiet", "-q", help="No progress.")) -> None:
    """Build what is dear to build, once for all checkouts: OpenTofu, its provider, the lab's image, the mirror …"""
    from dualtrack.core import task_graph

    task_graph.run(_setup_tasks(), quiet=quiet)


def up(facts: Path | None = FACTS, full: bool = FULL, json: bool = JSON) -> None:
    """Bring both tracks up on this machine's lab, configured and verified. Again: nothing changes.

    Hosts that were configured with exactly what is here now are only verified, and configured when a check fails.
    """
    from dualtrack.core import task_graph
    from dualtrack.core.task_graph import Task
    from dualtrack.lab import control
    from dualtrack.tracks import cloud as cloud_track
    from dualtrack.tracks import local as local_track

    def cloud_up(say: Say) -> object:
        return cloud_track.up("emulator", confirm=_confirm(True), say=say, full=full)

    tasks = [
        *_setup_tasks(),
        Task("lab", control.up, needs=("root file system", "mirror")),
        Task("cloud track", cloud_up, needs=("lab", "AWS provider")),
        Task("local track", lambda say: local_track.up(_facts(facts), say=say, full=full), needs=("lab",)),
    ]
    results = task_graph.run(tasks, quiet=json)
    _settled([results["cloud track"], results["local track"]], json)
    if not json:
        _show_status(json=False)
        _show_endpoints()


def _show_endpoints() -> None:
    from dualtrack.tracks import knowledge_site, serving

    for it in serving.up():
        models = ", ".join(it.endpoint.models)
        if models:
            echo(f"{models} at {it.endpoint.url}/v1, certificates by {it.endpoint.ca_file}")
            echo('dualtrack serving chat "…" asks; dualtrack serving key add NAME makes a key for a client')
    if at := knowledge_site.site():
        echo(f"knowledge base at {at.url}/, certificates by {at.ca_file}")
        echo('dualtrack kb ask "…" --as NAME asks; dualtrack access token NAME --for knowledge signs in')


def down() -> None:
    """Take both tracks down, and the lab with them. A track that cannot be taken down does not keep the other one."""
    from dualtrack.core.errors import DualtrackError, Interrupted
    from dualtrack.core.output import Steps
    from dualtrack.inventory import deployment
    from dualtrack.tracks import cloud as cloud_track
    from dualtrack.tracks import local as local_track

    now, steps, problem = deployment.current(), Steps(), None
    if now.stack == "aws":
        echo("the cloud track is a real account: dualtrack cloud down --stack aws takes it down", err=True)
    else:
        try:
            cloud_track.down("emulator", confirm=_confirm(True), say=steps.named("cloud"))
        except Interrupted:
            raise
        except DualtrackError as error:
            problem = error
            steps(f"cloud: {error}: going on with the local track")
    local_track.down(Path(now.facts) if now.facts else _facts(None), steps.named("local"))
    if problem is not None:
        raise problem


@cloud.command("up")
def cloud_up(stack: StackName = STACK, yes: bool = YES, key: str = KEY, full: bool = FULL, json: bool = JSON) -> None:
    """Apply the stack, wait for its instances, configure and verify them. On a real account the plan is shown first."""
    from dualtrack.core.output import Steps
    from dualtrack.tracks import cloud as track

    _settled([track.up(_stack(stack), confirm=_confirm(yes), say=Steps(quiet=json), key=key, full=full)], json)


@cloud.command("join")
def cloud_join(stack: StackName = STACK, json: bool = JSON) -> None:
    """Configure and verify the instances that came since the last run, or were not in order at its end; no others."""
    from dualtrack.core.output import Steps
    from dualtrack.tracks import cloud as track

    settled = track.join(_stack(stack), say=Steps(quiet=json))
    if settled is None and not json:
        echo("no instance is new", err=True)
    else:
        _settled([settled] if settled else [], json)


@cloud.command("variables")
def cloud_variables(stack: StackName = STACK) -> None:
    """Print the stack's variables, defaults and files together, as JSON that could be such a file."""
    import json as text

    from dualtrack.cloud import variables
    from dualtrack.tracks import cloud as track

    found = variables.read(variables.folder(stack.value)) | track.own_variables()
    echo(json_text(text.dumps(found, indent=2, ensure_ascii=False).encode()))


@cloud.command("plan")
def cloud_plan(stack: StackName = STACK, key: str = KEY) -> None:
    """Say what `cloud up` would change in the stack; nothing is changed."""
    from dualtrack.core.output import Steps
    from dualtrack.tracks import cloud as track

    echo(track.plan(_stack(stack), confirm=_confirm(False), say=Steps(), key=key))


@cloud.command("down")
def cloud_down(stack: StackName = STACK, yes: bool = YES) -> None:
    """Destroy the stack. On a real account: only after you have seen the plan and said yes."""
    from dualtrack.core.output import Steps
    from dualtrack.tracks import cloud as track

    there = track.down(_stack(stack), confirm=_confirm(yes), say=Steps())
    echo("the cloud track is down" if there else "the cloud track was down", err=True)


@cloud.command("unlock")
def cloud_unlock(
    lock: str = typer.Argument(..., help="The id that the error named."), stack: StackName = STACK
) -> None:
    """Break the lock that a dead run left on the stack's state. Only when nobody else is at work on it."""
    from dualtrack.cloud import stack as stacks

    stacks.unlock(_stack(stack), lock)
    echo("the lock is gone", err=True)


@local.command("up")
def local_up(facts: Path | None = FACTS, full: bool = FULL, json: bool = JSON) -> None:
    """Bring up, configure and verify the servers that the facts file describes."""
    from dualtrack.core.output import Steps
    from dualtrack.tracks import local as track

    _settled([track.up(_facts(facts), say=Steps(quiet=json), full=full)], json)


@local.command("down")
def local_down(facts: Path | None = FACTS) -> None:
    """Remove the local track's lab hosts. Real machines are left as they are."""
    from dualtrack.core.output import Steps
    from dualtrack.inventory import deployment
    from dualtrack.tracks import local as track

    path = facts or Path(deployment.current().facts or _facts(None))
    echo("the local track is down" if track.down(path, Steps()) else "the local track was down", err=True)


def status(json: bool = JSON) -> None:
    """Show both tracks: every host, whether it answers, and when it was last verified."""
    _show_status(json)


def _show_status(json: bool) -> None:
    from dualtrack.core.output import document, table
    from dualtrack.tracks import status as both

    now = both.status()
    if json:
        document("status", now)
        return
    columns = ("host", "track", "pool", "lifecycle", "address", "state", "verified")
    rows = [(h.name, h.track, h.pool, h.lifecycle, h.address, h.state, h.verified_at or "never") for h in now.hosts]
    if rows:
        table(columns, rows)
    for problem in now.problems:
        echo(problem, err=True)
    if not now.hosts and not now.problems:
        echo("both tracks are down: make up", err=True)


def verify(
    inventory: list[Path] = typer.Option(
        None, "--inventory", "-i", help="An Ansible inventory; the tracks that are up without it."
    ),
    role: list[str] = typer.Option(None, "--role", help="Only this role's checks (may be repeated)."),
    limit: str = typer.Option(None, "--limit", "-l", help="Only these hosts: an Ansible pattern."),
    json: bool = JSON,
) -> None:
    """Check by behaviour that hosts are as their roles promise. Exit code 1 when one is not."""
    from dualtrack import verify as checks
    from dualtrack.core.errors import Exit
    from dualtrack.core.output import Steps, document
    from dualtrack.inventory import deployment

    report = checks.verify(
        list(inventory or deployment.inventories()),
        roles=list(role or []) or None,
        limit=limit,
        progress=Steps(quiet=json),
    )
    if json:
        document("verify", report)
    else:
        checks.show(report)
    if not report.ok:
        raise typer.Exit(int(Exit.FINDINGS))


def doctor(json: bool = JSON) -> None:
    """Say what this machine lacks, and the next step for each."""
    from dualtrack.core.errors import Exit
    from dualtrack.core.output import document, table
    from dualtrack.lab import doctor as machine

    found = machine.diagnose()
    if json:
        document("doctor", found)
    else:
        table(("check", "state", "detail", "what to do"), [(c.name, c.state, c.detail, c.fix) for c in found.checks])
    if not found.ok:
        raise typer.Exit(int(Exit.MISSING))


def _settled(results: list[Any], json: bool) -> None:
    from dualtrack.core.output import document

    if json:
        document("up", {"tracks": results})
        return
    for it in results:
        what = "changed" if it.changed else "nothing changed"
        echo(f"{it.track} track: {it.hosts} hosts, {what}, {it.passed} checks passed")
