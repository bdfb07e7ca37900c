"""`dualtrack pii …`: personal data in texts, found and taken out."""

from __future__ import annotations

from pathlib import Path

import typer

from dualtrack.cli.options import LISTING
from dualtrack.core.errors import BadInput, Findings
from dualtrack.core.output import document, echo, table
from dualtrack.knowledge.pii.kinds import KINDS

app = typer.Typer(no_args_is_help=True)
SOURCE = typer.Argument(..., metavar="FILE", help="A text in UTF-8, or - for stdin.")


@app.command()
def scan(source: str = SOURCE) -> None:
    """Print what is found and where, as JSON: kind, start and end (in characters), never the value.

    Exit code 1 when anything is found.
    """
    from dualtrack.knowledge.pii import actions

    found = actions.find(source)
    document("pii-scan", found)
    if found.findings:
        raise Findings(f"found {_counted(found.kinds)}")


@app.command()
def mask(
    source: str = SOURCE,
    output: str = typer.Option("-", "--output", "-o", help="Where to: a new file, or - for stdout."),
    policy: str = typer.Option(
        "mask",
        "--policy",
        help="mask: its kind stays, [phone]; pseudonym: a code stays as well; remove: nothing stays.",
    ),
    key_file: Path = typer.Option(
        None, "--key-file", help="For pseudonyms: a file, mode 0600, of at least 32 random bytes."
    ),
    tenant: str = typer.Option(
        "", "--tenant", help="For pseudonyms: whose text it is. The same value has another code for another tenant."
    ),
    force: bool = typer.Option(False, "--force", help="Replace the output file when it exists."),
) -> None:
    """Write the text without personal data. Where some would be left, nothing is written and the exit code is 4."""
    from dualtrack.knowledge.pii import actions
    from dualtrack.knowledge.pii.mask import POLICIES

    if policy not in POLICIES:
        raise BadInput(f"--policy is one of {', '.join(POLICIES)}")
    kinds = actions.clean(source, output, policy, key_file=key_file, tenant=tenant, force=force)  # type: ignore[arg-type]
    echo(f"took out {_counted(kinds)}" if kinds else "found no personal data", err=True)


@app.command()
def kinds(json: bool = LISTING) -> None:
    """List the kinds that are looked for, and how GB/T 35273-2020 and GB/T 45574-2025 rank them."""
    if json:
        document("pii-kinds", {"kinds": list(KINDS.values())})
        return
    rows = [(it.name, it.english, it.chinese, it.gb35273, it.gb45574) for it in KINDS.values()]
    table(("kind", "what", "中文", "GB/T 35273", "GB/T 45574"), rows)


@app.command()
def screen(
    address: str = typer.Option("127.0.0.1", "--address", help="Where it is asked: on loopback."),
    port: int | None = typer.Option(
        None, "--port", min=1, max=65535, help="Where it is asked. Default: the socket that systemd passes."
    ),
) -> None:
    """Tell a gateway, as long as it runs, which requests hold personal data (role gateway)."""
    from dualtrack.knowledge.pii import screen as screening

    screening.serve(address, port)


def _counted(found: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
