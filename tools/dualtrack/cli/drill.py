"""`dualtrack drill …`: break something on purpose while work continues, and count what it cost."""

from __future__ import annotations

import typer

from dualtrack.cli.options import LISTING
from dualtrack.core.errors import Exit, External
from dualtrack.core.output import Steps, document, echo, result, table
from dualtrack.lab.scenarios import attacks
from dualtrack.lab.scenarios import failover as failover_scenario
from dualtrack.lab.scenarios import spot as spot_scenario
from dualtrack.lab.scenarios.spot import SpotReport

app = typer.Typer(no_args_is_help=True)


@app.command()
def audit(
    short: bool = typer.Option(False, "--short", help="Without the attacks that need a whole host: minutes less."),
    json: bool = LISTING,
) -> None:
    """Attack the audit trail, the search store and what protects both, and print what prevents or finds each attack.

    Exit code 1 when one was missed, 4 when one could not be tried. Runs on this machine alone, against servers and
    hosts that it makes and removes; nothing that is in use is touched. Takes about 8 minutes (--short) or 25.
    """
    report = attacks.drill(Steps(quiet=json), short=short)
    if json:
        document("drill-audit", report)
    else:
        rows = [(it.who, it.what, it.outcome, it.by, str(it.ways), f"{it.seconds:.2f}") for it in report.rows]
        table(("who", "does what", "which is", "by", "ways", "seconds"), rows)
        echo(report.headline)
        if report.broken:
            echo(report.broken)
    if any(it.outcome == "missed" for it in report.rows):
        raise typer.Exit(int(Exit.FINDINGS))
    if not report.ok:
        raise External(f"no attack was missed, but the drill did not finish: {report.broken or report.headline}")


@app.command()
def spot(
    short: bool = typer.Option(False, "--short", help="Shorter jobs, a shorter notice, and no shortage of quota."),
    json: bool = LISTING,
) -> None:
    """Take spot nodes back while 20 jobs run, let spot be short, let it return; exit code 1 when work was lost.

    Exit code 4 when no work was lost, and something did not come while the drill waited: the end of a job, a node.
    Needs the lab's cloud track (`dualtrack cloud up`). Takes about 5 minutes (--short) or 15; longer on a busy machine.
    """
    report = spot_scenario.spot(Steps(quiet=json), short=short)
    result("drill-spot", report, lambda: _show(report), json=json)
    if report.verdict in ("lost", "twice"):
        raise typer.Exit(int(Exit.FINDINGS))
    if not report.ok:
        raise External(f"no work was lost, but the drill did not finish: {report.gave_up or report.headline}")


@app.command()
def failover(json: bool = LISTING) -> None:
    """Have engines, the link and the gateway fail while clients ask 200 times a second, and count what it cost them.

    Clients also stream from the engine that fails; the drill counts the streams that were cut, and those that were told
    so. Exit code 1 when a request that no engine had taken failed, when a cut stream had no error event, when a failure
    was known too late, or when a request that must stay on the local track left it. Needs both tracks of the lab with a
    gateway (`make up`); what the drill brings to them it takes away again. Takes about 10 minutes.
    """
    report = failover_scenario.failover(Steps(quiet=json))
    if json:
        document("drill-failover", report)
    else:
        columns = ("fault", "where", "requests", "wrong", "failed", "lost", "refused", "repeated", "streams", "cut",
                   "told", "detected s", "slowest s", "back s")  # fmt: skip
        table(columns, [
            (
                it.fault, it.where, str(it.requests), str(it.wrong), str(sum(it.failed.values())), str(it.lost),
                str(it.refused), str(it.repeated), str(it.streams), str(it.cut), str(it.told), _seconds(it.detected_s),
                _seconds(it.slowest_s), _seconds(it.back_s),
            )
            for it in report.rows
        ])  # fmt: skip
        echo(f"{report.left} requests that must stay came to the cloud track; {report.seconds:.0f} s in all")
    for problem in report.problems:
        echo(problem, err=True)
    if report.problems:
        raise typer.Exit(int(Exit.FINDINGS))


def _seconds(it: float | None) -> str:
    return "" if it is None else f"{it:.1f}"


def _show(report: SpotReport) -> None:
    table(("after s", "what", "which"), [(f"{it.after_s:.0f}", it.kind, it.what) for it in report.timeline])
    for it in report.reclaimed:
        echo(
            f"{it.node}: drained {_after(it.drained_s)} and its {len(it.jobs)} jobs requeued {_after(it.requeued_s)} "
            "the notice was seen"
        )
    money, jobs = report.money, report.jobs
    if money.usd is not None and money.usd_on_demand is not None:
        echo(
            f"nodes: {money.usd:.2f} US$ at the dated prices, {money.usd_on_demand:.2f} all on demand; "
            f"on-demand fallback took {money.fallback_hours:.2f} node hours"
        )
    echo(f"{report.headline}; {jobs.starts - jobs.jobs} starts more than jobs ({report.seconds:.0f} s)")


def _after(seconds: float | None) -> str:
    return f"{seconds:.1f} s after" if seconds is not None else "never after"
