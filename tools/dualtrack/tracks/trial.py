"""What to do first with a real account (`dualtrack cloud try`): everything once, with two small instances, for cents.

A trial is a deployment of its own beside the operator's: its state lies in `.state/try`, and each has a name of its own
(`dualtrack-try-` and six digits), so that nothing of another one is ever taken for its. Each step is the command that
an operator would type, so that the documented way is proven. Whatever happens, it is taken down, and the account is
asked what is left. AWS itself ends the instances after an hour, by a schedule of their group.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.cloud import account, backend, leftovers, variables
from dualtrack.cloud.bill import bill
from dualtrack.cloud.prices import MONTH_HOURS, files
from dualtrack.core import aws, paths, waiting
from dualtrack.core.characters import visible
from dualtrack.core.errors import DualtrackError, External, Interrupted, Refused
from dualtrack.core.files import read, write_atomically
from dualtrack.core.task_graph import Say
from dualtrack.inventory import deployment
from dualtrack.inventory import target as targets
from dualtrack.inventory.target import Stack

PREFIX, POOL, HOSTS = "dualtrack-try", "try", 2
TYPE = "m6i.large"
DISK_GB = 20
#: After how long AWS ends the instances, whatever has become of this machine.
LIFE = timedelta(hours=1)
#: US$ an hour of a public IPv4 address (https://aws.amazon.com/vpc/pricing), and of a GB and month of gp3
#: (https://aws.amazon.com/ebs/pricing), in us-east-1.
ADDRESS_USD, GP3_USD = 0.005, 0.08
#: Bytes of the checkpoint that is pushed and pulled.
SIZE = 8 << 20
#: The file that says where a trial is.
WHERE = "where.json"
#: The file with the variables of its stack.
VARIABLES = "variables.json"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step: what it proves, whether it did, how long it took, and why it did not."""

    what: str
    ok: bool
    seconds: float
    error: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial proved, when and where; ``left`` is what it left in the account, None where nobody looked."""

    began: str
    stack: Stack
    account: str
    region: str
    instance_type: str
    most_usd: float
    steps: tuple[Step, ...]
    left: tuple[str, ...] | None

    @property
    def ok(self) -> bool:
        """Tell whether every step was taken and nothing is left."""
        return all(it.ok for it in self.steps) and self.left == ()


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial would do: where, with which variables, and what it costs at most, in US$.

    ``others`` is what trials that nobody ended have left in the account.
    """

    stack: Stack
    account: str
    region: str
    name: str
    instance_type: str
    most_usd: float
    variables: dict[str, Any]
    others: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """Say it, a line each."""
        return [
            f"in {self.account}, region {self.region}: {HOSTS} × {self.instance_type}, a network and a bucket, all of"
            f" which are named {self.name}…",
            "for some minutes; AWS ends the instances an hour after your answer, whatever happens here",
            f"at most US$ {self.most_usd:.2f}: instances, addresses and disks in that hour, without traffic and tax",
            *(f"there already, of a trial that nobody ended: {it}" for it in self.others),
        ]


def offer(stack: Stack, *, instance_type: str = TYPE, usd_per_hour: float | None = None, limit_usd: float) -> Offer:
    """Return what a trial would do; Refused where its price is not known or above the limit, or one was not ended.

    ``usd_per_hour`` is what one instance costs where the repository does not know it.
    """
    if _folder().exists():
        raise Refused("a trial was not ended", hint="dualtrack cloud try --end takes it down")
    if targets.of(stack).ephemeral and deployment.current().stack == stack:
        raise Refused("the lab's cloud track is up, and a trial would take its addresses", hint="make cloud-down")
    owner, own, name = _owner(stack), variables.of_operator(stack), f"{PREFIX}-{secrets.token_hex(3)}"
    ours: dict[str, Any] = {
        "name": name,
        "pools": {
            POOL: {
                "lifecycle": "on-demand", "roles": ["serving"], "instance_types": [instance_type], "min": 0,
                "desired": HOSTS, "max": HOSTS, "disk_gb": DISK_GB,
            }
        },
        "time_zone": {"name": "UTC", "utc_offset": "+00:00"},
        "storage": {"weights": {}},
        "serving": None, "traffic": None, "watch": {},
    }  # fmt: skip
    [row] = bill(own | ours, files.load(), time.time()).pools
    known = row.usd_per_hour if usd_per_hour is None else HOSTS * usd_per_hour
    if known is None:
        hint = "--usd-per-hour says what one costs, --type names another one"
        raise Refused(f"no price is known for {instance_type} in {own['region']}", hint=hint)
    beside = HOSTS * (ADDRESS_USD + DISK_GB * GP3_USD / MONTH_HOURS)
    most = (known + beside) * (LIFE / timedelta(hours=1))
    if most > limit_usd:
        raise Refused(f"a trial may cost US$ {most:.2f}, and the limit is {limit_usd:.2f}", hint="--limit or --type")
    return Offer(
        stack=stack, account=owner, region=str(own["region"]), name=name, instance_type=instance_type, most_usd=most,
        # All of them, not ours alone: what is destroyed must be what was made, whatever the files say by then.
        variables={key: value for key, value in (own | ours).items() if key != "ssh_public_key"},
        others=tuple(others(stack)),
    )  # fmt: skip


def others(stack: Stack) -> list[str]:
    """Return what trials have left in the account and region of a stack; [] where an emulated account is not there."""
    target = targets.of(stack)
    return (
        []
        if target.problem()
        else leftovers.find(f"{PREFIX}-*", str(variables.of_operator(stack)["region"]), target.endpoint())
    )


def run(it: Offer, *, accept_host_keys: bool, say: Say, now: datetime) -> Report:
    """Take every step, take everything down whatever happened, and return what was proven.

    After Ctrl-C, and after a signal that ends the process, it is taken down first: what interrupted is raised then.
    """
    trial = _Trial(it.stack, it.region, it.name, say)
    targets.of(it.stack).up(say)
    trial.folder.mkdir(mode=0o700, parents=True)
    where = _Where(stack=it.stack, account=it.account, region=it.region, name=it.name)
    write_atomically(trial.folder / WHERE, msgspec.json.encode(where))
    # Counted from now on: the question may have been answered an hour after it was asked.
    pool = {**it.variables["pools"][POOL], "schedules": {"end": {"at": f"{now + LIFE:%H:%M}", "desired": 0}}}
    write_atomically(trial.folder / VARIABLES, json.dumps({**it.variables, "pools": {POOL: pool}}).encode())
    interrupted: BaseException | None = None
    try:
        with trial.step("the plan can be carried out: types, image, quotas, roles"):
            trial.call("cloud", "plan", "--stack", it.stack)
        with trial.step("instances start, print their host keys, let ssh in, and are configured and verified"):
            options = ["--accept-host-keys"] if accept_host_keys else []
            trial.call("cloud", "up", "--stack", it.stack, "--yes", *options)
        with trial.step("a checkpoint is pushed into the bucket"):
            address = trial.push()
        with trial.step("both instances pull it, by their role alone, through the network's endpoint"):
            trial.pull(address)
    except _Failed:
        pass
    except (KeyboardInterrupt, Interrupted) as error:
        interrupted = error
    trial.end()
    if interrupted:
        raise interrupted
    return Report(
        began=f"{now:%Y-%m-%dT%H:%M:%SZ}", stack=it.stack, account=it.account, region=it.region,
        instance_type=it.instance_type, most_usd=round(it.most_usd, 2), steps=tuple(trial.steps), left=trial.left,
    )  # fmt: skip


def unfinished() -> Stack | None:
    """Return the stack of a trial that was not ended; None where there is none."""
    found = read(_folder() / WHERE, _Where)
    return found.stack if found else None


def end(say: Say) -> tuple[Step, ...]:
    """Take down what an earlier trial left, where that was; nothing where there is none.

    External names what is left; Refused where the credentials are another account's.
    """
    found = read(_folder() / WHERE, _Where)
    if found is None:  # it had made nothing by then
        if _folder().exists():
            _remove(_folder())
        return ()
    if found.account != (owner := _owner(found.stack)):
        hint = "log in there: nothing was looked at here"
        raise Refused(f"the trial is in {found.account}, and these credentials are of {owner}", hint=hint)
    trial = _Trial(found.stack, found.region, found.name, say)
    trial.end()
    if failed := next((it for it in trial.steps if not it.ok), None):
        raise External(f"the trial is not ended: {failed.error}", hint="dualtrack cloud try --end tries again")
    return tuple(trial.steps)


def _owner(stack: Stack) -> str:
    """Return whose account it is; not which user, since another one may end a trial."""
    return "the emulator" if targets.of(stack).ephemeral else f"account {account.whoami().account}"


def _folder() -> Path:
    return paths.STATE / "try"


class _Where(msgspec.Struct, frozen=True, kw_only=True):
    """Where a trial is, as its directory keeps it: what `end` takes down, whatever the options are then."""

    stack: Stack
    account: str
    region: str
    name: str


class _Failed(Exception):
    """A step failed, which is written down."""


class _Trial:
    """The steps that were taken, and the directory that a trial's own state is in."""

    def __init__(self, stack: Stack, region: str, name: str, say: Say) -> None:
        self.stack, self.region, self.name, self.say = stack, region, name, say
        self.folder = _folder()
        self.steps: list[Step] = []
        self.left: tuple[str, ...] | None = None

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Time a step and write down how it ended; an interruption is raised again."""
        self.say(what)
        begin, error = time.monotonic(), ""
        try:
            yield
        except (KeyboardInterrupt, Interrupted):
            error = "interrupted"
            raise
        except Exception as failed:
            error = (
                str(failed) if isinstance(failed, DualtrackError | OSError) else f"{type(failed).__name__}: {failed}"
            )
        finally:
            done = Step(what=what, ok=not error, seconds=round(time.monotonic() - begin, 1), error=error)
            self.steps.append(done)
        if error:
            self.say(f"failed: {error}")
            raise _Failed

    def call(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        """Run a command of `dualtrack` in the trial's own state and return what it printed.

        In a process group of its own: a Ctrl-C reaches it once, by this process, and OpenTofu ends in order. A second
        one within the same command would make it stop where it is. It ends where this process is killed.
        """
        setting = {
            **os.environ, **paths.environment(), "DUALTRACK_STATE_DIR": str(self.folder.absolute()),
            "DUALTRACK_LAB_DIR": str(paths.LAB.absolute()), "DUALTRACK_VARIABLES": VARIABLES,
            backend.KEY: f"dualtrack/{self.name}.tfstate", **(env or {}),
        }  # fmt: skip
        program = Path(sys.executable).with_name("dualtrack")
        interrupted: KeyboardInterrupt | None = None
        with (self.folder / "stdout").open("w+") as printed:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "INT", program, *words], env=setting, stdin=subprocess.DEVNULL,
                stdout=printed, process_group=0, cwd=self.folder,
            )  # fmt: skip
            while process.returncode is None:
                try:
                    process.wait()
                except KeyboardInterrupt as error:
                    interrupted = error
                    process.send_signal(signal.SIGINT)
            printed.seek(0)
            said = printed.read()
        if interrupted:
            raise interrupted
        if process.returncode:
            raise External(f"dualtrack {' '.join(words)} ended with exit code {process.returncode}")
        return said

    def push(self) -> str:
        """Push a checkpoint of random bytes; return its name with the digest."""
        endpoint = targets.of(self.stack).endpoint()
        [bucket] = leftovers.buckets(self.name, self.region, endpoint)
        checkpoint = self.folder / "checkpoint"
        checkpoint.mkdir()
        (checkpoint / "model.safetensors").write_bytes(os.urandom(SIZE))
        options = ["--endpoint", endpoint] if endpoint else []
        env = {**aws.environment(endpoint), "AWS_DEFAULT_REGION": self.region}
        said = self.call(
            "store", "push", str(checkpoint.absolute()), f"s3://{bucket}/try@v1", *options, "--json", env=env
        )
        return str(json.loads(said)["address"])

    def pull(self, address: str) -> None:
        """Have the hosts bring a checkpoint, and wait until each has all of it."""
        target = targets.of(self.stack)
        group = self.folder / "inventories" / target.environment / "group_vars" / f"pool_{POOL}.yml"
        group.parent.mkdir(parents=True, exist_ok=True)
        group.write_text(f"model_store_versions: [{json.dumps(address)}]\n")
        self.call("play", "models", "--yes")
        rows = json.loads(self.call("status", "--json"))["hosts"]
        hosts = [row["name"] for row in rows if row["pool"] == POOL]
        if len(hosts) != HOSTS:
            raise External(f"{len(hosts)} of {HOSTS} instances are there: {', '.join(hosts)}")
        states: dict[str, str] = {}

        def complete() -> bool:
            for host in hosts:
                ask = "sudo dualtrack-store prefetch /etc/dualtrack/store.versions --dry-run --json || true"
                said = self.call("ssh", host, "--", ask)
                found = json.loads(said)["versions"] if said.strip() else []
                states[host] = "; ".join(f"{it['state']} {it.get('error') or ''}" for it in found)
            return all(it.split() == ["complete"] for it in states.values())

        waiting.until(
            complete, "the checkpoint on both instances", stall=120, progress=lambda: dict(states), interval=2,
            last=lambda: f"{states}",
        )  # fmt: skip

    def end(self) -> None:
        """Take everything down and see what is left. The trial's state stays until nothing is.

        Whatever fails, the rest is tried: a bucket that cannot be emptied must not keep instances running.
        """
        target = targets.of(self.stack)

        def emptied() -> None:
            for bucket in [] if target.problem() else leftovers.buckets(self.name, self.region, target.endpoint()):
                leftovers.empty(bucket, self.region, target.endpoint())

        def destroyed() -> None:
            self.call("cloud", "down", "--stack", self.stack, "--yes")

        def nothing_left() -> None:
            # An emulated account ends with its lab, and with it all that was in it.
            found = [] if target.problem() else leftovers.find(self.name, self.region, target.endpoint())
            self.left = tuple(found)
            if found:
                raise External(f"left in the account: {', '.join(found)}", hint="dualtrack cloud try --end")

        before = len(self.steps)
        for what, work in (
            ("the bucket is emptied", emptied),
            ("everything is destroyed", destroyed),
            ("the account has nothing of it any more", nothing_left),
        ):
            with suppress(_Failed), self.step(what):
                work()
        if all(it.ok for it in self.steps[before:]):
            _remove(self.folder)


def _remove(folder: Path) -> None:
    from dualtrack.security.seal import removal

    removal.remove(folder)


def markdown(report: Report) -> str:
    """Return a report for people: what was proven, on which date."""

    def cell(text: str) -> str:
        return visible(text).replace("|", r"\|")

    rows = "\n".join(
        f"| {it.what} | {'yes' if it.ok else 'NO: ' + cell(it.error)} | {it.seconds:.0f} s |" for it in report.steps
    )
    left = "unknown" if report.left is None else ", ".join(report.left) or "nothing"
    return (
        f"# Trial of {report.began}\n\n"
        f"{report.account}, region {report.region}, stack {report.stack}: {HOSTS} × {report.instance_type}, at most"
        f" US$ {report.most_usd:.2f}.\n\n"
        f"| What | Proven | Took |\n| --- | --- | --- |\n{rows}\n\nLeft in the account: {left}.\n"
    )
