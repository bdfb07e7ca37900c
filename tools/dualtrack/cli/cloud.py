"""`dualtrack cloud …`: the stack of a track and its instances."""

from __future__ import annotations

import json as text
import sys
from datetime import UTC, datetime
from pathlib import Path

import typer

from dualtrack.cli import confirm
from dualtrack.cli.bring_up import (
    ACCEPT,
    FULL,
    YES,
    accepting,
    also,
    asked,
    billed,
    changing,
    show_endpoints,
    show_settled,
)
from dualtrack.cli.context import StackName
from dualtrack.cli.options import JSON, LISTING, STACK, float_option, output_path
from dualtrack.cloud import preflight, state_bucket, variables
from dualtrack.cloud import show as shown
from dualtrack.cloud import stack as stacks
from dualtrack.core import files
from dualtrack.core.daemon import Daemon
from dualtrack.core.errors import BadInput, Findings
from dualtrack.core.output import Steps, document, echo, json_text, result, table
from dualtrack.core.paths import ROOT, STATE
from dualtrack.inventory import target
from dualtrack.inventory.target import Stack
from dualtrack.tracks import cloud as cloud_track
from dualtrack.tracks import join_watch, trial

app = typer.Typer(no_args_is_help=True)
INTERVAL = float_option(30.0, "--interval", metavar="SECONDS", min=1, max=3600, help="From one look to the next.")
KEY = typer.Option(
    "", "--ssh-public-key", help="(aws) The public key that instances shall accept; ~/.ssh/id_ed25519.pub without it."
)


@app.command("bootstrap")
def cloud_bootstrap(
    stack: StackName = STACK,
    bucket: str = typer.Option("", "--bucket", metavar="NAME", help="Its name; made of account and region without it."),
    yes: bool = confirm.YES,
    dry_run: bool = confirm.DRY_RUN,
    json: bool = JSON,
) -> None:
    """Make the bucket that keeps a real account's state, and backend.hcl, or repair it. Asks before.

    The bucket is private, encrypted, versioned and answers over TLS alone. `cloud plan` and `cloud up` refuse another.
    """
    if target.of(stack.value).ephemeral:
        raise BadInput(f"the state of the stack {stack.value} is a file", hint="--stack aws")
    planned = state_bucket.plan(stack.value, bucket)
    applied = False
    if planned.changes:
        lines = [f"would {it}" for it in planned.changes]
        question = f"Change this in account {planned.owner}?"
        if applied := confirm.agreed(lines, question, yes=yes, dry_run=dry_run, json=json):
            state_bucket.carry_out(planned)
    if json:
        said = {"applied": applied, "place": planned.place, "changes": planned.changes, "unseen": planned.found.unseen}
        document("cloud-bootstrap", said, stack=stack.value)
        return
    for line in planned.found.unseen:
        echo(line, err=True)
    if applied or not planned.changes:
        echo(f"the state's bucket {planned.place.bucket} is in order", err=True)


@app.command("up")
def cloud_up(
    stack: StackName = STACK,
    yes: bool = YES,
    key: str = KEY,
    accept: bool = ACCEPT,
    full: bool = FULL,
    json: bool = JSON,
) -> None:
    """Apply the stack, wait for its instances, configure and verify them. On a real account the plan is shown first."""
    with changing("cloud up"):
        settled = cloud_track.up(
            stack.value, confirm=asked(yes), accept=accepting(accept), say=Steps(quiet=json), key=key, full=full
        )
    show_settled([settled], json)
    if not json:
        show_endpoints()


@app.command("join")
def cloud_join(stack: StackName = STACK, accept: bool = ACCEPT, json: bool = JSON) -> None:
    """Configure and verify the instances that came since the last run, or were not in order at its end; no others."""
    with changing("cloud join"):
        settled = cloud_track.join(stack.value, accept=accepting(accept), say=Steps(quiet=json))
    if settled is None and not json:
        echo("no instance is new", err=True)
    else:
        show_settled([settled] if settled else [], json)


@app.command("watch")
def cloud_watch(
    stack: StackName = STACK,
    once: bool = typer.Option(False, "--once", help="Look once and end, with exit code 1 where one did not join."),
    interval: float = INTERVAL,
    accept: bool = ACCEPT,
) -> None:
    """Join every instance that AWS starts, from now on: configured and verified, as `cloud join` does it.

    An instance that cannot be configured is tried again after a minute, then less and less often. Ctrl-C ends it.
    """
    say = Steps()
    found = join_watch.Watch(
        stack.value, accept=accepting(accept), turn=lambda: changing("cloud watch"), say=say
    )  # fmt: skip
    if once:
        if not found.round():
            raise Findings("not every instance has joined", hint="dualtrack verify shows what is wrong on a host")
        return
    with Daemon() as daemon:
        say(f"watching the instances of the stack {stack.value}")
        found.run(daemon, interval)


@app.command("unit")
def cloud_unit(
    user: str = typer.Option("dualtrack", "--user", help="Who runs it; must be able to read this checkout."),
    interval: float = INTERVAL,
    stack: StackName = STACK,
) -> None:
    """Print a systemd unit that runs `cloud watch`, shut off from all that it does not need."""
    program = Path(sys.executable).parent / "dualtrack"
    echo(join_watch.unit(program, stack.value, interval, user=user, root=ROOT, state=STATE.resolve()), nl=False)


@app.command("try")
def cloud_try(
    stack: StackName = STACK,
    instance_type: str = typer.Option(trial.TYPE, "--type", metavar="TYPE", help="The type of its two instances."),
    limit: float = float_option(1.0, "--limit", metavar="USD", help="Refuse a trial that may cost more than this."),
    usd_per_hour: float = float_option(
        None, "--usd-per-hour", metavar="USD", help="What one instance costs, where its price is not known here."
    ),
    end: bool = typer.Option(False, "--end", help="Only take down what an interrupted trial left."),
    report: Path = typer.Option(
        None, "--report", metavar="FILE", help="Write the report there, as Markdown.", callback=output_path
    ),
    accept: bool = ACCEPT,
    yes: bool = confirm.YES,
    dry_run: bool = confirm.DRY_RUN,
    json: bool = LISTING,
) -> None:
    """Try a real account for less than a dollar: two small instances, a checkpoint, and everything taken down again.

    Shows the price and asks. Exit code 1 where a step did not work, or something is left in the account.
    """
    say = Steps(quiet=json)
    if end:
        _end_trial(stack.value, say, yes=yes, dry_run=dry_run, json=json)
        return
    offered = trial.offer(stack.value, instance_type=instance_type, usd_per_hour=usd_per_hour, limit_usd=limit)
    lines = [f"would try, {offered.lines[0]}", *offered.lines[1:]]
    if not confirm.agreed(lines, "Try this?", yes=yes, dry_run=dry_run, json=json):
        if json:
            document("cloud-try", {"applied": False, "offer": offered}, stack=stack.value)
        return
    found = trial.run(offered, accept_host_keys=accept, say=say, now=datetime.now(UTC))
    if report:
        files.write_output(report, trial.markdown(found).encode())

    def show() -> None:
        rows = [("yes" if it.ok else "NO", it.what, f"{it.seconds:.0f} s", it.error) for it in found.steps]
        table(("proven", "what", "took", "why not"), rows, title=f"Trial of {found.began}")

    result("cloud-try", {"applied": True, "report": found}, show, json=json, stack=stack.value)
    if not found.ok:
        hint = "" if found.left == () else "dualtrack cloud try --end takes down what is left"
        raise Findings(next((it.error for it in found.steps if not it.ok), "it is not ended"), hint=hint)


def _end_trial(stack: Stack, say: Steps, *, yes: bool, dry_run: bool, json: bool) -> None:
    where = trial.unfinished()
    line = f"would take the trial down, in the stack {where}"
    # One that was killed before it made anything has left its directory alone.
    agreed = confirm.agreed([line], "Take it down?", yes=yes, dry_run=dry_run, json=json) if where else not dry_run
    ended = bool(agreed and trial.end(say))
    # A trial of another machine, or of a state that is gone: only the account knows of it.
    left = [] if where and not ended else trial.others(stack)
    if json:
        document("cloud-try", {"applied": ended, "trial": bool(where), "left": left}, stack=where or stack)
    elif ended or not where:
        echo("the trial is ended: nothing is left" if ended else "no trial was started on this machine", err=True)
    if left:
        raise Findings(f"left by trials of other machines: {', '.join(left)}", hint="who began them ends them")


@app.command("variables")
def cloud_variables(stack: StackName = STACK) -> None:
    """Print the stack's variables, defaults and files together, as JSON that could be such a file."""
    found = variables.of_operator(stack.value)
    echo(json_text(text.dumps(found, indent=2, ensure_ascii=False).encode()))


@app.command("plan")
def cloud_plan(stack: StackName = STACK, key: str = KEY, json: bool = LISTING) -> None:
    """Say what `cloud up` would change in the stack, what its pools cost and what they need; nothing is changed.

    Exit code 1 where they cannot start in this account: a quota, a type, an image or a role is missing.
    """
    plan = cloud_track.plan(stack.value, confirm=asked(False), say=Steps(quiet=json), key=key)
    found = billed(plan)
    ready = preflight.check(plan.variables, found.pools, cloud_track.endpoint(stack.value))

    def show() -> None:
        shown.prices(found)
        shown.preflight(ready)
        echo(plan.summary)

    changes = [{"address": it.address, "action": it.action} for it in plan.changes]
    said = {"changes": changes, **plan.counts, "cost": found, "preflight": ready}
    result("cloud-plan", said, show, json=json, stack=stack.value)
    if ready.problems:
        raise Findings(f"the pools cannot start: {ready.problems[0]}{also(ready.problems)}")


@app.command("down")
def cloud_down(stack: StackName = STACK, yes: bool = YES) -> None:
    """Destroy the stack. On a real account: only after you have seen the plan and said yes."""
    with changing("cloud down"):
        there = cloud_track.down(stack.value, confirm=asked(yes), say=Steps())
    echo("the cloud track is down" if there else "the cloud track was down", err=True)


@app.command("unlock")
def cloud_unlock(
    lock: str = typer.Argument(..., help="The id that the error named."),
    stack: StackName = STACK,
    yes: bool = confirm.YES,
    dry_run: bool = confirm.DRY_RUN,
) -> None:
    """Break the lock that a dead run left on the stack's state, and ask before. Only when nobody else works on it."""
    line = f"would break the lock {lock} on the state of the stack {stack.value}"
    if not confirm.agreed([line], "Is nobody at work on this stack?", yes=yes, dry_run=dry_run):
        return
    stacks.unlock(stack.value, lock)
    echo("the lock is gone", err=True)
