"""Verifying an inventory: reading it, reaching its hosts, running the checks side by side, recording what came out."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from dualtrack.core import proc
from dualtrack.core.errors import External
from dualtrack.core.events import events
from dualtrack.core.paths import ROOT, STATE
from dualtrack.core.proc import last_line
from dualtrack.inventory import target as targets
from dualtrack.inventory.read import Inventory, read_inventory
from dualtrack.remote import connections, ssh_config
from dualtrack.verify import model, plan, record

Progress = Callable[[str], None]

SITE = ROOT / "ansible" / "site.yml"
ROLES = ROOT / "roles"
#: Test processes at once. They wait for hosts most of the time, so there may be more of them than cores; a host alone
#: keeps two of them waiting, and each costs it a login and us the start of pytest.
PROCESSES, PROCESSES_A_HOST = 4, 2


class Worker(msgspec.Struct, frozen=True):
    """A test process, the pipe on which it reports, and what it prints."""

    child: subprocess.Popen[str]
    pipe: int
    log: Path


def quiet(_: str) -> None:
    """Say nothing."""


def verify(
    inventories: Sequence[Path],
    *,
    roles: Sequence[str] | None = None,
    limit: str | None = None,
    progress: Progress | None = None,
    state: Path = STATE,
    inventory: Inventory | None = None,
) -> model.CheckReport:
    """Run the checks of every role on the hosts that have it, and return what they found.

    ``inventory`` is what `read_inventory` has just said of ``inventories``, where it was asked: that takes seconds.
    ``roles`` and ``limit`` (an Ansible pattern) narrow it. Without ``roles`` the result is recorded in
    `verified.json` in ``state``: a host is only called verified when all of its roles were looked at. Raises BadInput
    for an inventory that cannot be read or leaves no host, External when the test processes cannot run.
    """
    started = time.monotonic()
    say = progress or quiet
    inventory = inventory or read_inventory(inventories)
    groups = plan.groups_of(inventory)
    chosen = plan.plan(plan.read_plays(SITE), groups, with_checks(), roles=roles, limit=limit)
    variables = {name: inventory["_meta"]["hostvars"].get(name, {}) for name in chosen}
    with tempfile.TemporaryDirectory(prefix="dtv-") as folder:
        config = Path(folder) / "ssh_config"
        config.write_text(ssh_config.render(variables, Path(folder)))
        try:
            unreachable = connections.open_all(config, list(chosen), targets.signs_of_life)
            for name, reason in sorted(unreachable.items()):
                say(f"{name} cannot be reached: {reason}")
            identities = connections.identify(config, [name for name in chosen if name not in unreachable])
            wanted = {name: names for name, names in chosen.items() if name not in unreachable}
            checks = run_checks(Path(folder), config, wanted, with_defaults(wanted, variables), say)
        finally:
            connections.close_all(config, list(chosen))
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    report = model.build(
        chosen, unreachable, checks, seconds=round(time.monotonic() - started, 1), verified_at=now,
        identities=identities,
    )  # fmt: skip
    if not roles:
        record.save(state / "verified.json", report)
    return report


def with_checks() -> list[str]:
    """Return the roles that have checks."""
    return sorted(path.parent.parent.name for path in ROLES.glob("*/verify/test_*.py"))


def with_defaults(
    chosen: Mapping[str, Sequence[str]], variables: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return each host's variables over the defaults of its roles, as the roles saw them."""
    defaults = {role: read_defaults(ROLES / role) for role in {role for names in chosen.values() for role in names}}
    found = {}
    for name, names in chosen.items():
        found[name] = {key: value for role in names for key, value in defaults[role].items()} | dict(variables[name])
    return found


def read_defaults(role: Path) -> dict[str, Any]:
    """Return a role's defaults."""
    path = role / "defaults/main.yml"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def run_checks(
    folder: Path,
    config: Path,
    chosen: Mapping[str, list[str]],
    variables: Mapping[str, dict[str, Any]],
    say: Progress,
) -> list[model.Check]:
    """Run the checks in a few processes, each with its share of hosts and their roles, and return all results."""
    pairs = [(name, role) for name, roles in chosen.items() for role in roles]
    count = min(PROCESSES, PROCESSES_A_HOST * len(chosen), len(pairs))
    shares = [pairs[start::count] for start in range(count)]
    with ThreadPoolExecutor(max_workers=PROCESSES) as pool:
        workers: list[Worker] = []
        try:
            waiting = []
            for number, share in enumerate(shares):
                roles: dict[str, list[str]] = {}
                for name, role in share:
                    roles.setdefault(name, []).append(role)
                shard = model.Shard(str(config), roles, {name: variables[name] for name in roles})
                path = folder / f"shard-{number}.json"
                path.write_bytes(msgspec.json.encode(shard))
                workers.append(start(path, sorted({role for _, role in share})))
                waiting.append(pool.submit(listen, workers[-1], say))
            return [check for future in waiting for check in future.result()]
        except BaseException:
            for worker in workers:
                proc.end(worker.child)
            raise


def start(shard: Path, roles: Sequence[str]) -> Worker:
    """Start one test process, which reads its share of the work from ``shard``."""
    receive, send = os.pipe()
    files = [str(path) for role in roles for path in sorted((ROLES / role / "verify").glob("test_*.py"))]
    # Nothing of the checkout's own pytest settings or of installed plugins: these tests are not the project's.
    words = [
        sys.executable, "-m", "pytest", "-p", "dualtrack.verify.plugin", "-p", "no:cacheprovider", "-c", os.devnull,
        "--rootdir", str(ROOT), "--noconftest", "--import-mode=importlib", "--tb=short", "-q", *files,
    ]  # fmt: skip
    kept = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    more = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "DUALTRACK_VERIFY_PLAN": str(shard), "DUALTRACK_EVENTS_FD": str(send),
    }  # fmt: skip
    with shard.with_suffix(".log").open("w") as log:
        child = subprocess.Popen(
            words, cwd=ROOT, env=kept | more, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, text=True,
            pass_fds=(send,), start_new_session=True,
        )  # fmt: skip
    os.close(send)
    return Worker(child, receive, shard.with_suffix(".log"))


def listen(worker: Worker, say: Progress) -> list[model.Check]:
    """Return a process's results when it ends; External when it ended in another way than with results."""
    checks = []
    with proc.tracked(worker.child), os.fdopen(worker.pipe, encoding="utf-8", errors="replace") as lines:
        for event in events(lines):
            check = msgspec.convert(event, model.Check)
            checks.append(check)
            if check.outcome == "failed":
                say(f"{check.host}: not true that {check.check}")
        code = worker.child.wait()
    proc.pause(0)  # stopped on purpose: that is not a finding
    if code not in (0, 1):
        said = last_line(worker.log.read_text(errors="replace"))
        raise External(f"the checks could not run (pytest ended with {code}): {said}")
    return checks
