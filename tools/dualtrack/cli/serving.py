"""`dualtrack serving …`: the gateways' engines, tenants and their API keys, and a question to a model."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

import typer

from dualtrack.cli.confirm import DRY_RUN, YES, agreed
from dualtrack.cli.options import JSON, LISTING, float_option, output_path
from dualtrack.core.errors import BadInput, External, Findings
from dualtrack.core.output import check_read, document, echo, result, table
from dualtrack.inventory import deployment
from dualtrack.inventory.read import read_inventory
from dualtrack.serving import client, tenants
from dualtrack.serving import tune as tuning
from dualtrack.serving.client import End
from dualtrack.serving.tenants import Residency
from dualtrack.tracks import serving
from dualtrack.tracks import tune as measuring
from dualtrack.tracks import usage as tokens
from dualtrack.tracks.serving import ServingStatus, Told

app = typer.Typer(no_args_is_help=True)
key = typer.Typer(help="Tenants and their API keys; the gateways know them at once.", no_args_is_help=True)
app.add_typer(key, name="key")


class Where(StrEnum):
    """Where a tenant's requests may be answered."""

    local = "local"
    prefer_local = "prefer-local"
    any = "any"
    cloud = "cloud"


@app.command()
def status(json: bool = LISTING) -> None:
    """Show every engine as its gateway sees it. Exit code 1 when an engine is down or a gateway does not say.

    An engine that was taken out by hand (DRAIN, MAINT) is in order.
    """
    now = serving.status(serving.sites())
    result("serving-status", now, lambda: _show_engines(now), json=json)
    if found := now.findings():
        raise Findings("; ".join(found))


def _show_engines(now: ServingStatus) -> None:
    if now.engines:
        table(
            ("gateway", "model", "track", "engine", "state", "requests", "reason"),
            [(it.gateway, it.model, it.track, it.engine, it.state, str(it.requests), it.reason) for it in now.engines],
        )
    elif not now.problems:
        echo("no gateway has an engine", err=True)


@app.command()
def usage(json: bool = LISTING) -> None:
    """Show the tokens that each tenant has used this month. Exit code 1 when a gateway does not say."""
    now = tokens.usage(serving.sites())
    if json:
        document("serving-usage", now)
    else:
        limits = [f"{it.tokens_per_month:,}" if it.tokens_per_month else "none" for it in now.tenants]
        rows = [(it.tenant, f"{it.tokens:,}", limit) for it, limit in zip(now.tenants, limits, strict=True)]
        table(("tenant", f"tokens in {now.month or 'this month'}", "limit of each gateway"), rows)
    if now.problems:
        raise Findings("; ".join(now.problems))


@app.command()
def tune(
    model: str = typer.Argument("", metavar="[MODEL]", help="One that Triton serves; not needed where there is one."),
    host: str = typer.Option("", "--host", metavar="NAME", help="On this host; the first that serves it without it."),
    batch: list[int] = typer.Option(
        [], "--batch", metavar="N", min=1, max=64,
        help="Texts that run at once at most (may be repeated); 4, 16 and 64 without it.",
    ),
    delay_ms: list[float] = float_option(
        [], "--delay-ms", metavar="MS", min=0, max=10_000,
        help="Milliseconds that a text may wait for others (may be repeated); 0, 5 and 20 without it.",
    ),
    rate: float = float_option(
        None, "--rate", min=1, max=100_000,
        help="Texts a second at which the time is to be kept; the declared requests_per_s without it.",
    ),
    tokens: int = typer.Option(
        None, "--tokens", min=3, max=65_536, help="Of each text; the declared tokens of a usual one without it."
    ),
    clients: int = typer.Option(64, "--clients", min=1, max=1024, help="Clients that ask one after another."),
    seconds: float = float_option(4.0, "--seconds", min=1, max=600, help="How long each load lasts; two for each row."),
    chart: Path = typer.Option(
        None, "--chart", metavar="FILE.png", help="Draw it, too, as a PNG picture.", callback=output_path
    ),
    json: bool = LISTING,
) -> None:  # fmt: skip
    """Measure how a model of embeddings batches on its host, and propose a batch and a delay that keep its time.

    A second engine is started there beside the one that serves, for as long as it takes, with one instance; both share
    the processor. Exit code 1 when nothing that was tried keeps the time.
    """
    given = {
        "batches": batch or tuning.BATCHES, "delays_ms": delay_ms or tuning.DELAYS_MS, "clients": clients,
        "seconds": seconds, **({"rate": rate} if rate else {}), **({"tokens": tokens} if tokens else {}),
    }  # fmt: skip
    total = len(given["batches"]) * len(given["delays_ms"]) + 1  # type: ignore[arg-type]
    number = iter(range(1, total + 1))

    def say(row: tuning.TuningRow) -> None:
        echo(
            f"{next(number)} of {total}: batch {row.batch}, {row.delay_ms:g} ms: {row.texts_per_s:g} texts/s", err=True
        )

    found = measuring.measure(read_inventory(deployment.inventories()), model, host, given, say)
    if chart:
        tuning.draw(found, chart)
        echo(f"written: {chart}", err=True)
    if json:
        document("serving-tune", found)
    else:
        table(
            ("batch", "delay ms", "texts/s", "at once", "p95 ms, full", f"p95 ms, {found.rate:g}/s"),
            [
                (str(it.batch or "none"), f"{it.delay_ms:g}", f"{it.texts_per_s:g}", f"{it.mean_batch:g}",
                 f"{it.full_p95_ms:g}", f"{it.steady_p95_ms:g}")
                for it in found.rows
            ],
            title=f"{found.model} on {found.host}",
        )  # fmt: skip
        if found.best:
            # Without batching: a batch of 1 in the declaration, where 0 means "as latency_ms allows".
            echo(f"serving_models: batch: {found.best.batch or 1}, delay_ms: {found.best.delay_ms:g}")
    if not found.best:
        raise Findings(
            f"nothing that was tried answers 95 of 100 within {found.latency_ms} ms at {found.rate:g} a second"
        )


@key.command()
def add(
    tenant: str = typer.Argument(..., metavar="TENANT", help="Whose; a new one is made."),
    model: list[str] = typer.Option([], "--model", metavar="NAME", help="Only this model (may be repeated)."),
    all_models: bool = typer.Option(False, "--all-models", help="Every model; a new tenant's default."),
    residency: Where = typer.Option(
        None, "--residency", help="Where requests may be answered; a new tenant's default is local."
    ),
    sensitive: bool = typer.Option(
        None,
        "--sensitive/--not-sensitive",
        help="Requests may hold sensitive personal data; `dualtrack residency report` counts that apart.",
    ),
    screened: bool = typer.Option(
        None,
        "--screened/--not-screened",
        help="Requests with personal data in them are not answered on the cloud track, whatever --residency says.",
    ),
    requests_per_minute: int = typer.Option(
        None, "--requests-per-minute", min=0, help="The most in a minute, of all its keys; 0 for no limit, the default."
    ),
    tokens_per_minute: int = typer.Option(
        None, "--tokens-per-minute", min=0, help="The most tokens in a minute, read and written; 0 for no limit."
    ),
    tokens_per_month: int = typer.Option(
        None, "--tokens-per-month", min=0, help="The most tokens in a month, read and written; 0 for no limit."
    ),
    file: Path = typer.Option(
        None,
        "--file",
        metavar="FILE",
        help="Write to this file of tenants and tell no gateway: for use before the first gateway is up.",
        callback=output_path,
    ),
    json: bool = JSON,
) -> None:
    """Make an API key and show it, once: only its digest is kept. What is not named stays as the tenant has it.

    The file of tenants is written first, then every gateway is told. Exit code 4 when one could not be: `key apply`
    repeats it.
    """
    if model and all_models:
        raise BadInput("--model and --all-models exclude each other")
    where: Residency | None = residency.value if residency else None
    models = tuple(model) or ((tenants.ALL,) if all_models else None)
    changes = tenants.Changes(
        models=models, residency=where, sensitive=sensitive, screened=screened,
        requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute, tokens_per_month=tokens_per_month,
    )  # fmt: skip
    found = [] if file else serving.sites()
    if not file:
        serving.known_models(found, model)
    text, made = tenants.add(file or serving.tenants_file(found), tenant, changes)
    if not json:  # before anything else may fail: it cannot be shown again
        echo(text)
        echo(f"{made.id} of {tenant}; it is not shown again", err=True)
    told = serving.tell(found, f"serving key add {tenant} ({made.id})") if found else []
    if json:
        document("serving-key", {"tenant": tenant, "id": made.id, "added": made.added, "key": text, "gateways": told})
    _check(told)
    check_read(f"the key {made.id}")


@key.command(name="list")
def list_keys(json: bool = LISTING) -> None:
    """List tenants, what they may do, and their keys by id; never a key."""
    found = tenants.load(serving.tenants_file(serving.sites())).tenants
    if json:
        keys = [
            {"id": it.id, "tenant": tenant.name, "added": it.added, "models": tenant.models,
             "residency": tenant.residency, "sensitive": tenant.sensitive,
             "screened": tenant.screened,
             **{limit: getattr(tenant, limit) for limit in tenants.LIMITS}}
            for tenant in found for it in tenant.keys
        ]  # fmt: skip
        document("serving-keys", {"tenants": [it.name for it in found], "keys": keys})
        return
    rows = [
        (
            it.name,
            name,
            added,
            ", ".join(it.models),
            it.residency + ", sensitive" * it.sensitive + ", screened" * it.screened,
            *(str(getattr(it, limit) or "none") for limit in tenants.LIMITS),
        )
        for it in found
        for name, added in [(one.id, one.added) for one in it.keys] or [("no key", "")]
    ]
    table(("tenant", "key", "added", "models", "residency", "requests/minute", "tokens/minute", "tokens/month"), rows)


@key.command()
def revoke(
    name: str = typer.Argument(..., metavar="TENANT|KEY-ID", help="A tenant with all its keys, or one key by its id."),
    yes: bool = YES,
    dry_run: bool = DRY_RUN,
    json: bool = JSON,
) -> None:
    """Take a key, or a tenant with all of them, out of the file of tenants and of every gateway, at once.

    Shows which keys these are, and asks.
    """
    found = serving.sites()
    file = serving.tenants_file(found)
    _, gone = tenants.revoke(tenants.load(file), name)
    lines = [f"would revoke {it.id} of {it.tenant}" for it in gone] or [f"would remove {name}, which has no key"]
    if not agreed(lines, "Revoke what is named?", yes=yes, dry_run=dry_run, json=json):
        if json:
            document("serving-revoked", {"applied": False, "keys": gone, "gateways": []})
        return
    gone = tenants.remove(file, name)
    told = serving.tell(found, f"serving key revoke {name} ({', '.join(it.id for it in gone) or 'no key'})")
    if json:
        document("serving-revoked", {"applied": True, "keys": gone, "gateways": told})
    else:
        for it in gone:
            echo(f"revoked {it.id} of {it.tenant}")
        if not gone:
            echo(f"removed {name}, which had no key")
    _check(told)


@key.command()
def apply(json: bool = JSON) -> None:
    """Tell every gateway once more what the file of tenants says."""
    told = serving.tell(serving.sites(), "serving key apply")
    if json:
        document("serving-applied", {"gateways": told})
    else:
        for it in told:
            if not it.problem:
                echo(f"{it.gateway}: {'changed' if it.changed else 'nothing changed'}")
    _check(told)


def _check(told: Sequence[Told]) -> None:
    for it in told:
        if not it.problem and not it.running:
            echo(f"note: HAProxy does not run on {it.gateway}; it reads the keys when it starts", err=True)
    if problems := [f"{it.gateway} was not told: {it.problem}" for it in told if it.problem]:
        raise External("; ".join(problems), hint="the file of tenants is right; dualtrack serving key apply")


@app.command()
def chat(
    prompt: str = typer.Argument(..., metavar="PROMPT", help="What to ask; - reads it from stdin."),
    model: str = typer.Option("", "--model", metavar="NAME", help="Which model; not needed where there is one."),
    key_file: Path = typer.Option(
        None, "--key-file", metavar="FILE",
        help="A file with the API key; DUALTRACK_API_KEY, or chat.key beside the file of tenants without it.",
    ),
    # A small model may repeat itself until its context is full.
    max_tokens: int = typer.Option(512, "--max-tokens", min=1, help="The most tokens of the answer."),
    json: bool = JSON,
) -> None:  # fmt: skip
    """Ask a model through the gateway. The answer comes on stdout as it is made, then on stderr who made it."""
    text = client.read_prompt(prompt, sys.stdin.buffer)
    site = serving.sites()[0]
    serving.known_models([site], [model] if model else [])
    found = client.find_key(key_file, os.environ, serving.chat_key(site))
    asked = client.Client(site.endpoint.url, serving.ca_file(site), found)
    name = client.chosen(model, site.writers or (() if model else asked.models()))
    pieces: list[str] = []
    end: End | None = None
    for it in _ended(asked.chat(name, text, max_tokens), quiet=json):
        if isinstance(it, str):
            pieces.append(it)
        else:
            end = it
    if end is None:  # the client has said why by then
        raise External("the answer broke off")
    if json:
        document("serving-chat", {"model": name, "text": "".join(pieces), "end": end})
    else:
        echo(end.line, err=True)


def _ended(answer: Iterator[str | End], *, quiet: bool) -> Iterator[str | End]:
    """Show an answer's text as it comes, and end its line also when it breaks off."""
    shown = False
    try:
        for it in answer:
            if isinstance(it, str) and not quiet:
                echo(it, nl=False)
                shown = True
            yield it
    finally:
        if shown:
            echo()
