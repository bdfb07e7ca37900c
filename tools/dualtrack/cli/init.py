"""`dualtrack init`: the first files of a site, from questions or from options."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

from dualtrack.cli.confirm import DRY_RUN, YES, answer, ask, confirmed
from dualtrack.cloud import variables
from dualtrack.core.errors import BadInput, Refused
from dualtrack.core.files import check_output, write_atomically, write_output
from dualtrack.core.output import echo
from dualtrack.inventory.facts import ROLES
from dualtrack.tracks import initial

FACTS = Path("facts.yml")


def init(
    host: list[str] = typer.Option(
        [], "--host", metavar="NAME=ADDRESS[,roles=ROLE+ROLE][,gpus=N]", help="A server of yours (may be repeated)."
    ),
    user: str = typer.Option("ops", "--user", help="The login user of your servers; needs sudo without a password."),
    key: str = typer.Option(
        "", "--ssh-private-key", metavar="FILE", help="The key to log in with; your ssh agent's without it."
    ),
    region: str = typer.Option(initial.USUAL, "--region", help="The AWS region."),
    operator: list[str] = typer.Option(
        [], "--operator-cidr", metavar="RANGE", help="Addresses that may open ssh to instances (may be repeated)."
    ),
    image: str = typer.Option("", "--image", metavar="AMI", help="Debian 12 for amd64 in that region."),
    facts: Path = typer.Option(FACTS, "--facts", metavar="FILE", help="Write the facts file there."),
    tfvars: Path = typer.Option(
        None, "--tfvars", metavar="FILE", help="Write the variables there; the stack's terraform.tfvars without it."
    ),
    force: bool = typer.Option(False, "--force", help="Replace files that are there."),
    yes: bool = YES,
    dry_run: bool = DRY_RUN,
) -> None:
    """Write the first files of a site, checked: facts.yml for your servers, terraform.tfvars for a real AWS account.

    Asks for what it needs. With --host or --operator-cidr it asks no questions, and writes the files that they are for.
    """
    if yes and not host and not operator:
        raise BadInput("--yes needs the answers as options", hint="--host, or --operator-cidr and --image")
    given = bool(host or operator)
    target = tfvars or variables.folder("aws") / "terraform.tfvars"
    servers = [initial.server(it) for it in host]
    if not given:
        if answer("Do you have servers of your own (local track)?"):
            _must_be_new(facts, force)
            user, key = _ask("Login user", user), _ask("Private key, empty for your ssh agent")
            servers = list(_servers())
        if answer("Do you use a real AWS account (cloud track)?"):
            _must_be_new(target, force)
            region = _ask("Region", region)
            operator = _ask("Addresses that may open ssh, such as 203.0.113.7/32").split(",")
            image = _ask("Image (AMI) of Debian 12 for amd64 there")
    if facts.absolute() == target.absolute():
        raise BadInput(f"both files would be {facts}", hint="--facts and --tfvars name two files")
    if operator and not image:
        raise BadInput("there is no image for the instances", hint="--image AMI: Debian 12 for amd64 in that region")
    made: dict[Path, str] = {}
    if servers:
        made[facts] = initial.facts_text(servers, user, key, facts)
    if operator:
        cloud = initial.Cloud(region=region, operator_cidrs=tuple(it.strip() for it in operator), image=image)
        made[target] = initial.tfvars_text(cloud)
    if not made:
        echo("nothing to write: dualtrack up brings the lab up without any file", err=True)
        return
    for path in made:
        _must_be_new(path, force)
    for path, text in made.items():
        echo(f"== {path}\n{text}", nl=False)
    if dry_run:
        return
    if not yes:
        confirmed("Write this?")
    _write(made)
    if target in made:
        variables.values_of(target)
        echo("next: dualtrack cloud plan --stack aws", err=True)
    if facts in made:
        echo(f"next: dualtrack local up --facts {facts}", err=True)


def _write(made: dict[Path, str]) -> None:
    """Write all files, or leave all as they were: the same command can be repeated."""
    done: list[tuple[Path, bytes | None, int]] = []
    try:
        for path, text in made.items():
            there = path.is_file()
            before, mode = path.read_bytes() if there else None, path.stat().st_mode if there else 0
            write_output(path, text.encode())
            done.append((path, before, stat.S_IMODE(mode)))
    except BaseException:
        for path, before, mode in reversed(done):
            if before is None:
                path.unlink()
            else:
                write_atomically(path, before, mode)
        raise
    for path in made:
        echo(f"written: {path}", err=True)


def _servers() -> Iterator[dict[str, Any]]:
    """Ask for servers until a name is empty."""
    names = set[str]()

    def new(name: str) -> str:
        if name in names:
            raise BadInput(f"{name} is there already", hint="an empty name ends the list")
        return initial.host_name(name) if name else ""

    while name := _ask("Name of a server, empty for no more", read=new):
        names.add(name)
        address = _ask(f"IPv4 address of {name}", read=initial.address)
        roles = _ask(f"Roles, any of {', '.join(ROLES)}, separated by +", read=initial.roles)
        gpus = _ask("How many GPUs", "8", read=initial.count) if "gpu" in roles.split("+") else ""
        yield initial.server(f"{name}={address}" + f",roles={roles}" * bool(roles) + f",gpus={gpus}" * bool(gpus))


def _ask(question: str, default: str = "", read: Callable[[str], str] = str) -> str:
    return ask(question, read, default, hint="dualtrack init --help names options")


def _must_be_new(path: Path, force: bool) -> None:
    if os.path.lexists(path) and not force:
        raise Refused(f"{path} is there already", hint="--force replaces it; --facts and --tfvars name other files")
    check_output(path)
