"""`dualtrack mirror …`: everything that an air-gapped site installs from, on a disk."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from dualtrack.cli.options import JSON
from dualtrack.core.errors import Findings
from dualtrack.core.output import Steps, document, echo
from dualtrack.core.paths import cache_dir
from dualtrack.core.progress import Progress, size
from dualtrack.data.mirror import builder, check, offline
from dualtrack.data.mirror import serve as serving
from dualtrack.lab import doctor

app = typer.Typer(no_args_is_help=True)

KEY = typer.Option(
    None, "--key", metavar="FILE", help="The public key, which came another way; this machine's own without it."
)
FROM = typer.Option(None, "--from", metavar="DIRECTORY", help="The mirror; where build puts one without --dest.")
EXPIRED = typer.Option(
    None, "--accept-expired", metavar="DATE", help="Take a mirror that was valid until DATE: no newer one can be had."
)


def _place(option: Path | None) -> Path:
    return option.resolve() if option else cache_dir() / "carried"


def _key(option: Path | None) -> Path:
    return option or Path(os.environ.get("DUALTRACK_MIRROR_KEY") or cache_dir() / "mirror-key/public.asc")


@app.command()
def build(
    dest: Path = typer.Option(
        None, "--dest", metavar="DIRECTORY", help="Where to: a directory on the disk, or a new one."
    ),
    only: list[str] = typer.Option(
        [], "--only", metavar="PART", help="own, debian, wheels, go, maven or models; again for more. All without it."
    ),
    model: list[str] = typer.Option([], "--model", metavar="ADDRESS", help="s3://BUCKET/PATH@VERSION, to carry along."),
    engine: list[str] = typer.Option(
        [], "--engine", metavar="NAME", help="vllm or sglang, to carry its wheels along, 4.3 GB each."
    ),
    days: int = typer.Option(
        90, "--valid-days", metavar="N", min=1, max=3650, help="How long sites take it; then they want a newer one."
    ),
    json: bool = JSON,
) -> None:
    """Fetch what a site needs, and sign it. Ended in the middle it continues; again, it brings what is new.

    Packages that dualtrack builds (own), Debian's, Python wheels with the AWS provider, Go modules with OpenTofu, Maven
    artifacts, versions of models. What was there before serves until the new mirror is whole.
    """
    say = Steps(quiet=json)
    made = builder.build(
        _place(dest), doctor.needs, parts=only or builder.PARTS, models=model, engines=engine, days=days, say=say
    )
    if json:
        document("mirror", made)
        return
    echo(f"{'built' if made.changed else 'up to date'}: {made.path}, {made.files} files, {size(made.stored)}")
    echo(f"its public key, which must go another way: {made.key}")
    echo(f"valid until {made.until}")


@app.command()
def verify(source: Path = FROM, key: Path = KEY, accept_expired: str = EXPIRED, json: bool = JSON) -> None:
    """Check a mirror that was carried in: signature, date and every digest. Exit code 1 names what is wrong."""
    folder, accepted = _place(source), offline.accepted(accept_expired)
    total = sum(it.size for it in check.read(folder, _key(key)).files.values())
    with Progress("read", total) as tick:
        found = check.check(folder, _key(key), tick, accepted=accepted)
    if json:
        document("mirror-check", found)
    elif not found.problems:
        echo(f"{folder}: {found.files} files, {size(found.bytes)}, all as they were signed, valid until {found.until}")
    if found.problems:
        for line in found.problems[1:]:
            echo(line, err=True)
        raise Findings(f"{folder}: {found.problems[0]}")


@app.command()
def serve(
    source: Path = FROM,
    key: Path = KEY,
    bind: str = typer.Option("127.0.0.1", "--bind", metavar="ADDRESS", help="Where to listen; 0.0.0.0 is everywhere."),
    port: int = typer.Option(8391, "--port", min=0, max=65535, help="0 takes a free one."),
    accept_expired: str = EXPIRED,
) -> None:
    """Serve a mirror to the site's machines over HTTP until Ctrl-C, and say how they use it."""
    folder = _place(source)
    with serving.server(folder, _key(key), bind, port, accepted=offline.accepted(accept_expired)) as server:
        base = f"http://{server.server_address[0]!s}:{server.server_port}"
        echo(f"serving {folder} at {base}; Ctrl-C ends it")
        echo(f"apt:  {base}/debian and {base}/apt, signed by {_key(key)}")
        echo(f"pip:  PIP_INDEX_URL={base}/wheels/simple/")
        echo(f"Go:   GOPROXY={base}/go GOSUMDB=off")
        server.serve_forever()
