"""`dualtrack up`, `down` and `setup`: both tracks on this machine's lab."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import typer

from dualtrack.cli.bring_up import FULL, asked, changing, facts_file, show_endpoints, show_settled
from dualtrack.cli.local import leaving
from dualtrack.cli.options import ENDS, FACTS, JSON
from dualtrack.cli.status import show_status
from dualtrack.cloud import opentofu, provider
from dualtrack.core import task_graph
from dualtrack.core.errors import DualtrackError, Interrupted
from dualtrack.core.output import Steps, echo
from dualtrack.core.paths import cache_dir
from dualtrack.core.task_graph import Say, Task
from dualtrack.data.mirror import build as mirror
from dualtrack.hosts import bundle
from dualtrack.inventory import deployment
from dualtrack.lab import control, rootfs, site_countries, vm
from dualtrack.tracks import cloud as cloud_track
from dualtrack.tracks import local as local_track
from dualtrack.tracks import provision


def _setup_tasks() -> list[Task]:
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
    """Build expensive artifacts once and share them between checkouts: OpenTofu, its provider, the lab's image."""
    task_graph.run(_setup_tasks(), quiet=quiet, kind="setup")


def up(facts: Path | None = FACTS, full: bool = FULL, json: bool = JSON) -> None:
    """Bring both tracks up on this machine's lab, configured and verified. A second run changes nothing.

    Hosts that were configured with exactly what is here now are only verified, and configured when a check fails.
    """

    def cloud_up(say: Say) -> object:
        return cloud_track.up("emulator", confirm=asked(True), say=say, full=full)

    tasks = [
        *_setup_tasks(),
        Task("lab", control.up, needs=("root file system", "mirror")),
        Task("cloud track", cloud_up, needs=("lab", "AWS provider")),
        Task("local track", lambda say: local_track.up(facts_file(facts), say=say, full=full), needs=("lab",)),
    ]
    with changing("up"):
        now = deployment.current()
        results = task_graph.run(tasks, quiet=json, kind="up again" if now.stack or now.facts else "up")
        settled = [cast("provision.Settled", results[f"{it} track"]) for it in ("cloud", "local")]
        # Each may have been configured before the other one's hosts were known.
        if not all(it.unchanged for it in settled):
            say = Steps(quiet=json)
            settled = [provision.caught_up(it, "lab", say.named(f"{it.track} track")) for it in settled]
    show_settled(settled, json)
    if not json:
        show_status(json=False)
        show_endpoints()


def down(dry_run: bool = ENDS) -> None:
    """Take both tracks down, and the lab with them. A failure of one track does not stop the other."""
    if dry_run:
        now = deployment.current()
        for it in control.status().hosts if now.stack != "aws" else ():
            if it.instance_id:
                echo(f"would destroy the instance {it.name}")
        for name in leaving(_facts(now)):
            echo(f"would remove the host {name}")
        return
    with changing("down"):
        _down()


def _facts(now: deployment.Current) -> Path:
    return Path(now.facts) if now.facts else facts_file(None)


def _down() -> None:
    now, steps, problem = deployment.current(), Steps(), None
    if now.stack == "aws":
        echo("the cloud track is a real account: dualtrack cloud down --stack aws takes it down", err=True)
    else:
        try:
            cloud_track.down("emulator", confirm=asked(True), say=steps.named("cloud"))
        except Interrupted:
            raise
        except DualtrackError as error:
            problem = error
            steps(f"cloud: {error}: going on with the local track")
    local_track.down(_facts(now), steps.named("local"))
    if problem is not None:
        raise problem
