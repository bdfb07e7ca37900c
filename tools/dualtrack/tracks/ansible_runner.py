"""Running the site playbook: Ansible as a child process, its events as progress, its failure as one line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.core import proc
from dualtrack.core.errors import BadInput, External, Missing
from dualtrack.core.events import events
from dualtrack.core.paths import ROOT, STATE
from dualtrack.core.paths import environment as places
from dualtrack.core.proc import last_line

#: What `progress` is: called with one line of text.
Progress = Callable[[str], None]

SITE = ROOT / "ansible" / "site.yml"
CONFIG = ROOT / "ansible" / "ansible.cfg"


def quiet(_: str) -> None:
    """Say nothing."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Where and why a run failed on one host."""

    host: str
    task: str
    message: str
    unreachable: bool = False

    @property
    def line(self) -> str:
        """The failure as a sentence of one line."""
        if self.unreachable:
            return f"{self.host} cannot be reached: {self.message}"
        return f"{self.host}: {self.task}: {self.message}"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did: per host the tasks that changed something (0 for none), and where it failed."""

    changed: dict[str, int]
    failures: tuple[Failure, ...]
    seconds: float
    log: str

    @property
    def ok(self) -> bool:
        """Whether every host was configured."""
        return not self.failures


class ConfigureFailed(External):
    """A host could not be configured; `result` holds what happened on all of them."""

    def __init__(self, result: Result) -> None:
        self.result = result
        first, rest = result.failures[0], len(result.failures) - 1
        more = f", and {rest} more" if rest else ""
        super().__init__(f"{first.line}{more}", hint=f"all of it: {result.log}")


def configure(
    inventories: Sequence[Path],
    *,
    limit: str | None = None,
    tags: str = "",
    skip_tags: str = "",
    check: bool = False,
    log: Path | None = None,
    progress: Progress | None = None,
    playbook: Path = SITE,
    settings: Mapping[str, Any] | None = None,
) -> Result:
    """Run ``playbook`` on the hosts of ``inventories`` and return what changed.

    ``limit`` is an Ansible pattern, ``tags`` or ``skip_tags`` choose plays; ``check`` changes nothing and counts
    what would change. ``settings`` are variables that win over all others; they are in the argument list, so none
    may be a secret. The whole output is appended to ``log``, `logs/configure.log` of the state without it;
    ``progress`` gets one line a task, and one for each host that changed or failed. Raises ConfigureFailed when a host
    fails or cannot be reached, External when Ansible does. On Ctrl-C Ansible and all that it started are ended before
    Interrupted or KeyboardInterrupt is passed on.
    """
    program = Path(sys.executable).with_name("ansible-playbook")
    if not program.exists():
        raise Missing("ansible-playbook is not in this environment", hint="make setup")
    for path in inventories:
        if not path.exists():
            raise BadInput(f"no such inventory: {path}")
    log = log or STATE / "logs" / "configure.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    receive, send = os.pipe()
    command = command_line(program, playbook, inventories, limit=limit, check=check)
    command[1:1] = [f"--tags={tags}"] if tags else [f"--skip-tags={skip_tags}"] if skip_tags else []
    if settings:
        command[1:1] = ["--extra-vars", msgspec.json.encode(settings).decode()]
    with log.open("a", encoding="utf-8") as sink:
        sink.write(f"\n=== {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {' '.join(command[1:])}\n")
        sink.flush()
        where = sink.tell()
        child = subprocess.Popen(
            command, cwd=CONFIG.parent, env=environment(os.environ, send), stdin=subprocess.DEVNULL, stdout=sink,
            stderr=subprocess.STDOUT, pass_fds=(send,), start_new_session=True,
        )  # fmt: skip
    os.close(send)
    with proc.tracked(child), os.fdopen(receive, encoding="utf-8", errors="replace") as pipe:
        changed, failures = collect(events(pipe), progress or quiet)
        code = child.wait()
    proc.pause(0)  # stopped on purpose: what Ansible says of that is not a failure of a host
    result = Result(changed=changed, failures=failures, seconds=round(time.monotonic() - started, 1), log=str(log))
    if result.failures:
        raise ConfigureFailed(result)
    if code != 0:
        with log.open(encoding="utf-8", errors="replace") as text:
            text.seek(where)
            said = complaint(text.read())
        raise External(f"ansible-playbook failed with exit code {code}: {said}", hint=f"all of it: {log}")
    return result


def command_line(
    program: Path, playbook: Path, inventories: Sequence[Path], *, limit: str | None, check: bool
) -> list[str]:
    """Return the words that run the playbook."""
    words = [str(program)]
    for path in inventories:
        words += ["--inventory", str(path.resolve())]
    if limit:
        # The inventory's own check runs on localhost, which no pattern of hosts includes.
        words += ["--limit", f"{limit},localhost"]
    if check:
        words += ["--check", "--diff"]
    return [*words, str(playbook)]


def environment(given: os._Environ[str] | dict[str, str], events_fd: int) -> dict[str, str]:
    """Return the environment of the run: ours, with Ansible's settings, and without what would change its output."""
    kept = {key: value for key, value in given.items() if key not in {"ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_FORCE_COLOR"}}
    return kept | {
        "ANSIBLE_CONFIG": str(CONFIG),
        "ANSIBLE_CALLBACKS_ENABLED": "dualtrack_events",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        "ANSIBLE_NOCOLOR": "true",
        "DUALTRACK_EVENTS_FD": str(events_fd),
        "PYTHONUNBUFFERED": "1",
        **places(),
    }


def collect(happened: Iterable[dict[str, Any]], progress: Progress) -> tuple[dict[str, int], tuple[Failure, ...]]:
    """Turn events into progress lines as they come, and return the changes by host and the failures at the end."""
    changed: dict[str, int] = {}
    failures: list[Failure] = []
    for event in happened:
        match event.get("event"):
            case "task":
                progress(event["task"])
            case "ok" if event["changed"]:
                changed[event["host"]] = changed.get(event["host"], 0) + 1
                progress(f"{event['task']}: {event['host']} changed")
            case "ok":
                changed.setdefault(event["host"], 0)
            case "failed" | "unreachable" as kind:
                failure = Failure(
                    host=event["host"], task=event["task"], message=event["message"], unreachable=kind == "unreachable"
                )
                failures.append(failure)
                progress(failure.line)
            case "stats":
                # The play's own count is the truth: it has looped tasks once and knows what was rescued.
                changed = {host: counts["changed"] for host, counts in event["hosts"].items()}
                failed = {
                    host for host, counts in event["hosts"].items() if counts["failures"] or counts["unreachable"]
                }
                failures = [failure for failure in failures if failure.host in failed]
    changed.pop("localhost", None)
    return changed, tuple(failures)


def complaint(output: str) -> str:
    """Return the line of Ansible's output that says why it gave up before any host was touched."""
    for line in output.splitlines():
        if line.startswith(("[ERROR]: ", "ERROR! ")):
            return line.split(": " if line.startswith("[") else "! ", 1)[1].strip()
    return last_line(output)
