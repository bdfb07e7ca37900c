"""`dualtrack store …`: checkpoints from S3 into a cache on this host's disk, and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dualtrack.cli import names as completed
from dualtrack.cli.confirm import DRY_RUN, YES, agreed
from dualtrack.cli.options import JSON, LISTING, float_option
from dualtrack.core.errors import Exit, Findings, Refused
from dualtrack.core.output import document, echo, table
from dualtrack.core.progress import Progress, size
from dualtrack.data.checkpoints import actions, prefetch_list
from dualtrack.data.checkpoints import address as addresses
from dualtrack.data.checkpoints import prefetch as fills
from dualtrack.data.checkpoints import pull as pulls
from dualtrack.data.checkpoints import push as pushes
from dualtrack.data.checkpoints.cache import Cache
from dualtrack.data.checkpoints.remote import Remote

if TYPE_CHECKING:
    from dualtrack.security.seal.slots import Identity

app = typer.Typer(no_args_is_help=True)

ADDRESS = typer.Argument(
    ..., metavar="ADDRESS", help="s3://BUCKET/PATH@VERSION[#sha256:DIGEST], …@latest, or s3://BUCKET/PATH."
)
CACHE = typer.Option(None, "--cache", metavar="DIRECTORY", help="The cache; DUALTRACK_STORE or your own without it.")
REGION = typer.Option("", "--region", help="The bucket's region; your AWS settings' without it.")
ENDPOINT = typer.Option("", "--endpoint", metavar="URL", help="Another S3 than AWS's; AWS_ENDPOINT_URL without it.")
JOBS = typer.Option(8, "--jobs", min=1, max=64, help="Parts side by side.")
NAMED = f"A name in `store list`, its beginning of at least {actions.SHORTEST} characters, or an address"
NAMES = typer.Argument(None, metavar="[NAME]…", help=f"{NAMED}; all without it.", autocompletion=completed.checkpoints)
GONE = typer.Argument(..., metavar="NAME…", help=f"{NAMED}.", autocompletion=completed.checkpoints)


def _cache(option: Path | None) -> Cache:
    """Return the cache, after a line on stderr for each version in it that is damaged."""
    found = Cache(actions.directory(option))
    for line in actions.damages(found):
        echo(line, err=True)
    return found


def _identities(keys: list[Path], passphrase_file: Path | None) -> Sequence[Identity]:
    if not keys and not passphrase_file:
        return ()
    from dualtrack.security.seal import keyfiles

    return keyfiles.identities(keys, passphrase_file)


@app.command()
def pull(
    address: str = ADDRESS,
    cache: Path = CACHE,
    budget: str = typer.Option("", "--budget", metavar="SIZE", help="What the cache may hold, as 400GB."),
    refresh: bool = typer.Option(False, "--refresh", help="Ask the bucket also for a version that is here already."),
    identity: list[Path] = typer.Option(
        [], "--identity", "-i", help="A private SM2 key file: files that end in .sealed are opened on the way."
    ),
    passphrase_file: Path = typer.Option(
        None, "--passphrase-file", help="A file whose one line is the passphrase they are sealed with."
    ),
    jobs: int = JOBS,
    region: str = REGION,
    endpoint: str = ENDPOINT,
    json: bool = JSON,
) -> None:
    """Bring a checkpoint into the cache and print where it is.

    It appears when all of it is there and checked; with a digest in the address it is the version that was meant, or
    nothing, whoever else may write to the bucket. A pull that was ended, in whatever way, continues where it was; of
    many that ask for the same version one pulls and the others wait. What was not used for longest makes room.

    With a key, sealed files are verified and opened between the network and the disk: what lies in the cache is plain,
    for its owner and group to read, and belongs on an encrypted volume.
    """
    found = pulls.pull(
        (wanted := addresses.parse(address)), _cache(cache),
        lambda: Remote(wanted.bucket, region=region, endpoint=endpoint, jobs=jobs),
        jobs=jobs, budget=actions.bytes_of(budget) if budget else None, refresh=refresh,
        say=lambda text: echo(text, err=True), show=lambda total: Progress("pulled", total),
        identities=_identities(identity, passphrase_file),
    )  # fmt: skip
    if json:
        document("store-pull", found)
    else:
        echo(found.path)


@app.command(name="prefetch")
def fill(
    file: Path = typer.Argument(
        ..., metavar="FILE", help="Names the versions, s3://BUCKET/PATH@VERSION[#sha256:DIGEST], one a line."
    ),
    cache: Path = CACHE,
    budget: str = typer.Option("", "--budget", metavar="SIZE", help="What the cache may hold, as 400GB."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Bring nothing: say how far each one is."),
    jobs: int = JOBS,
    region: str = REGION,
    endpoint: str = ENDPOINT,
    json: bool = LISTING,
) -> None:
    """Bring all versions that a file names into the cache; one that cannot be had does not stop the others.

    None of them makes another one go: when they do not fit together, that is an error. With --dry-run the exit code is
    1 when one is not complete.
    """
    wanted, where = prefetch_list.read(file), _cache(cache)
    found = fills.look(where, wanted) if dry_run else fills.fill(
        wanted, where, lambda bucket: Remote(bucket, region=region, endpoint=endpoint, jobs=jobs),
        jobs=jobs, budget=actions.bytes_of(budget) if budget else None,
        say=lambda text: echo(text, err=True), show=lambda total: Progress("pulled", total),
    )  # fmt: skip
    if json:
        document("store-fill", {"versions": found})
    else:
        rows = [(it.address, it.state, f"{size(it.done)} of {size(it.size)}" if it.size else "") for it in found]
        table(("version", "state", "there"), rows)
    if any(it.state != "complete" for it in found):
        raise typer.Exit(int(Exit.FINDINGS))


@app.command()
def push(
    source: Path = typer.Argument(..., metavar="DIRECTORY", help="A directory of files: the checkpoint."),
    address: str = typer.Argument(..., metavar="ADDRESS", help="s3://BUCKET/PATH@VERSION."),
    jobs: int = JOBS,
    region: str = REGION,
    endpoint: str = ENDPOINT,
    json: bool = JSON,
) -> None:
    """Upload a directory to a bucket as a version. A complete version can be pulled and never changes.

    The command prints the name of the version with its digest. A pull by that name returns this content or fails.
    A version contains files only. Directories without files are not part of it.
    """
    wanted = addresses.parse(address)
    total = sum(it.stat().st_size for it in source.rglob("*") if it.is_file()) if source.is_dir() else 0
    with Progress("pushed", total) as tick:
        remote = Remote(wanted.bucket, region=region, endpoint=endpoint, jobs=jobs)
        found = pushes.push(source, wanted, remote, jobs=jobs, tick=tick)
    if json:
        document("store-push", found)
    else:
        echo(f"{found.address}: {found.files} files, {size(found.size)}; {size(found.sent)} were sent")


@app.command(name="list")
def list_(cache: Path = CACHE, json: bool = LISTING) -> None:
    """Show what the cache holds: complete versions, the last used first, and unfinished ones."""
    where = _cache(cache)
    rows = actions.rows(where)
    if json:
        document("store-list", {"cache": str(where.root), "free": where.free(), "versions": rows})
        return
    table(
        ("name", "state", "size", "last used", "in use", "from"),
        [
            (it.key, it.state, size(it.size),
             f"{datetime.fromtimestamp(it.used, UTC):%Y-%m-%d %H:%M}" if it.used else "", "yes" if it.in_use else "",
             it.source)
            for it in rows
        ],
        title=f"{where.root}, {size(where.free())} free",
    )  # fmt: skip


@app.command()
def verify(names: list[str] = NAMES, cache: Path = CACHE, json: bool = JSON) -> None:
    """Read versions whole and compare every digest. What is wrong is taken out of the cache; exit code 1 then."""
    wrong = actions.verify(Cache(actions.directory(cache)), names or (), lambda text: echo(text, err=True))
    if json:
        document("store-verify", {"wrong": wrong})
    if wrong:
        key, found = next(iter(wrong.items()))
        more = f", and {len(wrong) - 1} more versions" if len(wrong) > 1 else ""
        raise Findings(f"{key}: {found[0]}{more}", hint="taken out of the cache: pull it again")


@app.command()
def gc(
    cache: Path = CACHE,
    budget: str = typer.Option("", "--budget", metavar="SIZE", help="What the cache may hold, as 400GB."),
    free: str = typer.Option("0", "--free", metavar="SIZE", help="What shall be free on its disk, as 200GB."),
    stale: float = float_option(7, "--stale-days", min=0, help="Unfinished pulls that old are removed, too."),
    keep: Path = typer.Option(None, "--keep", metavar="FILE", help="Names versions that stay, as for `prefetch`."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Remove nothing: say what would go."),
    json: bool = JSON,
) -> None:
    """Make room: old unfinished pulls, then what was not used for longest; never what is in use.

    Exit code 1 when the budget or the free space cannot be had, since too much is in use or must stay.
    """
    limit, wanted = actions.bytes_of(budget) if budget else None, actions.bytes_of(free)
    found = actions.gc(
        _cache(cache), budget=limit, free=wanted, stale_days=stale, dry_run=dry_run,
        keep=prefetch_list.read(keep) if keep else (),
    )  # fmt: skip
    if json:
        document("store-gc", found)
    else:
        for key in (*found.unfinished, *found.evicted):
            echo(f"{'would remove' if dry_run else 'removed'} {key}")
        echo(f"{size(found.freed)} freed; {size(found.kept)} held, {size(found.free)} free")
    if found.free < wanted or (limit is not None and found.kept > limit):
        raise typer.Exit(int(Exit.FINDINGS))


@app.command()
def remove(names: list[str] = GONE, cache: Path = CACHE, yes: bool = YES, dry_run: bool = DRY_RUN) -> None:
    """Show which versions have these names, and remove them unless they are in use."""
    where = _cache(cache)
    found = actions.chosen(where, names)
    if used := [it.key for it in found if it.in_use]:
        raise Refused(f"{used[0]} is in use")
    lines = [
        f"would remove {it.key}, {size(it.size)}, {f'from {it.entry.address}' if it.entry else 'damaged'}"
        for it in found
    ]
    if not agreed(lines, "Remove what is named?", yes=yes, dry_run=dry_run):
        return
    for it in found:
        if not where.evict(it.key):
            raise Refused(f"{it.key} is in use")
        echo(f"removed {it.key}")


@app.command(context_settings={"ignore_unknown_options": True})
def hold(
    name: str = typer.Argument(..., metavar="NAME", help=f"{NAMED}.", autocompletion=completed.checkpoints),
    command: list[str] = typer.Argument(..., metavar="-- COMMAND…"),
    cache: Path = CACHE,
) -> None:
    """Run a command while a version is held: it is not evicted. Its directory is in DUALTRACK_CHECKPOINT."""
    actions.hold(_cache(cache), name, command)
