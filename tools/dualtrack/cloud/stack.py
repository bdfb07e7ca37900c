"""Bringing a stack up and taking it down: what `make cloud-up` and `make cloud-down` do before any host is configured.

The configuration is copied from `terraform/` to `.state/tofu/<stack>/` and run there: the checkout may be read-only,
and state, provider links and lock files stay out of it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dualtrack.cloud import account, backend, opentofu, provider, state_bucket
from dualtrack.cloud.clock import offset_notice
from dualtrack.cloud.opentofu import Binary, Progress
from dualtrack.cloud.plan import TofuPlan
from dualtrack.cloud.tofu import Tofu
from dualtrack.core import paths
from dualtrack.core.errors import BadInput, External, Missing, Refused
from dualtrack.core.files import alone
from dualtrack.inventory import target as targets
from dualtrack.inventory.target import Stack

#: Shown the plan and, for a real account, whose it is; answers whether to continue.
Confirm = Callable[[TofuPlan, str], bool]

#: A destroy needs no key, but the variable has no default: this one satisfies its check and opens nothing.
_NO_KEY = "ssh-ed25519 AAAA none"
#: What init makes, below its data directory.
_MADE = ("modules/modules.json", "providers")


@dataclass(frozen=True)
class Up:
    """What `up` did: the outputs (empty when only planned and never applied), whether a resource changed, the plan."""

    outputs: dict[str, Any]
    changed: bool
    plan: TofuPlan


def up(
    stack: Stack,
    *,
    endpoint: str | None = None,
    ssh_public_key: str,
    confirm: Confirm,
    progress: Progress = lambda _: None,
    plan_only: bool = False,
    variables: Mapping[str, Any] | None = None,
) -> Up:
    """Make the stack what its configuration says, and return its outputs.

    ``endpoint`` is the emulated API's address (stack emulator only). ``confirm`` is asked before anything changes on a
    real account, and not for the emulator. ``variables`` win over the stack's files. With ``plan_only`` nothing
    changes. Raises BadInput for what the configuration refuses, Refused when not confirmed, Missing and External
    otherwise, Interrupted after Ctrl-C; after each of them the next `up` carries on.
    """
    with _exclusive(stack), _disk_errors():
        owner = _owner(stack)
        home = _home(stack)
        if owner is None:
            _forget_if_stale(home, _endpoint(stack, endpoint), progress)
        else:
            state_bucket.check(stack, owner.account, progress)
        tofu = _prepare(stack, progress).signing(endpoint)
        values = {**(variables or {}), "ssh_public_key": ssh_public_key.strip()}
        if targets.of(stack).ephemeral:
            values["aws_endpoint"] = _endpoint(stack, endpoint)
        progress("comparing the stack with its configuration")
        plan = tofu.plan(values)
        if plan.changes or plan_only:
            plan = replace(plan, variables=tofu.planned_variables(plan))
            _check_clock(plan.variables, progress)
        progress(f"plan: {plan.summary}")
        if plan_only:
            return Up(tofu.outputs(), False, plan)
        if plan.changes and owner and not confirm(plan, str(owner)):
            raise Refused("not confirmed: nothing was changed")
        if plan.changes or plan.outputs_change:
            tofu.apply(plan, progress)
        if plan.changes:
            # Of a resource that others hang on to, the state has what it was before they came: without this all of that
            # would be drift (see `refresh`).
            progress("writing down what there is now")
            tofu.apply(tofu.plan(values, refresh_only=True), progress)
        return Up(tofu.outputs(), bool(plan.changes), plan)


def down(
    stack: Stack,
    *,
    endpoint: str | None = None,
    confirm: Confirm,
    progress: Progress = lambda _: None,
    variables: Mapping[str, Any] | None = None,
) -> bool:
    """Destroy everything in the stack; return whether there was anything.

    ``variables`` are those of `up`: with another region OpenTofu would take what is there for gone, and forget it.

    A real account's stack is never destroyed without ``confirm`` saying yes. An emulator that is gone, or has lost its
    memory, holds nothing to destroy: its state is put aside. Raises like `up`.
    """
    with _exclusive(stack), _disk_errors():
        owner = _owner(stack)
        home = _home(stack)
        values: dict[str, Any] = {**(variables or {}), "ssh_public_key": _NO_KEY}
        if targets.of(stack).ephemeral:
            if not _state(home).exists():
                return False
            if not endpoint or not account.answers(endpoint):
                _put_aside(home, "the emulator is not running", progress)
                return False
            try:
                if _forget_if_stale(home, endpoint, progress):
                    return False
            except _Damaged:
                _put_aside(home, "the emulator's state is damaged (dualtrack lab down forgets what it made)", progress)
                return False
            values["aws_endpoint"] = endpoint
        tofu = _prepare(stack, progress).signing(endpoint)
        plan = tofu.plan(values, destroy=True)
        if not plan.changes:
            return False
        if owner and not confirm(plan, str(owner)):
            raise Refused("not confirmed: nothing was destroyed")
        tofu.apply(plan, progress)
        return True


@dataclass(frozen=True)
class Refreshed:
    """The stack's state beside what there is: a refresh-only plan's JSON, and when it was last applied ('' unknown)."""

    plan: dict[str, Any]
    applied: str


def refresh(stack: Stack, *, endpoint: str | None = None, progress: Progress = lambda _: None) -> Refreshed:
    """Compare the stack's state with what there is, and change neither. Raises Missing when the stack is not up."""
    with _exclusive(stack), _disk_errors():
        _owner(stack)
        home = _home(stack)
        values: dict[str, Any] = {"ssh_public_key": _NO_KEY}
        applied = ""
        if targets.of(stack).ephemeral:
            if not _state(home).exists():
                raise Missing("the cloud track's stack (emulator) is not up", hint="make cloud-up")
            values["aws_endpoint"] = _endpoint(stack, endpoint)
            applied = f"{datetime.fromtimestamp(_state(home).stat().st_mtime, UTC):%Y-%m-%dT%H:%M:%SZ}"
        tofu = _prepare(stack, progress).signing(endpoint)
        progress("comparing the stack with what there is")
        return Refreshed(tofu.shown(tofu.plan(values, refresh_only=True)), applied)


def outputs(stack: Stack) -> dict[str, Any]:
    """Return the outputs of the stack as it was last applied. Raises Missing when it never was."""
    home = _home(stack)
    if targets.of(stack).ephemeral and not _state(home).exists():
        raise Missing("the cloud track's stack (emulator) is not up", hint="make cloud-up")
    if targets.of(stack).ephemeral:
        # OpenTofu's own state: reading it saves the start of a program, on the path of every status.
        try:
            found = json.loads(_state(home).read_text()).get("outputs", {})
        except ValueError:
            raise External(
                f"{_state(home)} is not a state file", hint="make cloud-down cloud-up makes it anew"
            ) from None
        values = {name: entry["value"] for name, entry in found.items()}
    else:
        values = _prepare(stack, lambda _: None).outputs()
    if not values:
        raise Missing(f"the cloud track's stack ({stack}) is not up", hint="make cloud-up")
    return values


def unlock(stack: Stack, lock: str) -> None:
    """Break the lock that a dead run left on the stack's state; ``lock`` is the id that the error named."""
    _prepare(stack, lambda _: None).unlock(lock)


def stage(folder: str, target: Path) -> Path:
    """Copy `terraform/` to ``target`` and return the copy of ``folder`` (such as ``stacks/emulator``) in it.

    Links are followed, unchanged files keep their time, files that are gone from the source go from the copy; what init
    and tests made there stays.
    """
    source = paths.ROOT / "terraform"
    wanted = {path.relative_to(source): path for path in _sources(source)}
    for path in _sources(target):
        if path.relative_to(target) not in wanted and path.name != ".terraform.lock.hcl":
            path.unlink()
    for relative, path in wanted.items():
        copy = target / relative
        if copy.exists() and copy.read_bytes() == path.read_bytes():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return target / folder


def _sources(root: Path) -> Iterator[Path]:
    """Yield the files of a configuration tree: no state, nothing that init made."""
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root).parts
        if not path.is_file() or ".terraform" in inside or ".tfstate" in path.name:
            continue
        if path.suffix in (".tf", ".hcl", ".tfvars", ".json"):
            yield path


def _home(stack: Stack) -> Path:
    return paths.STATE / "tofu" / stack


def _state(home: Path) -> Path:
    return home / "terraform.tfstate"


def _endpoint(stack: Stack, endpoint: str | None) -> str:
    if not endpoint:
        raise BadInput(f"stack {stack} needs the emulated API's address", hint="dualtrack lab up starts it")
    return endpoint


def _owner(stack: Stack) -> account.Identity | None:
    """Return whose account it is, None for the emulator; asked first: without credentials nothing else can work."""
    return None if targets.of(stack).ephemeral else account.whoami()


def _prepare(stack: Stack, progress: Progress) -> Tofu:
    """Return OpenTofu ready to plan: binary, copy of the configuration, provider, backend.

    Init is skipped when nothing that it depends on has changed since it last succeeded and what it made is still there,
    which it is not in a restored state.
    """
    home = _home(stack)
    home.mkdir(parents=True, exist_ok=True)
    binary = opentofu.ensure(progress)
    _check_writer(_state(home), binary)
    # To each program its own copy: a lock file names the registry of the program that wrote it.
    directory = stage(f"stacks/{stack}", home / binary.path.name / "src")
    data = home / binary.path.name / "data"
    log = home / "last-run.log"
    log.unlink(missing_ok=True)
    file, settings = backend.settings(stack, _state(home), directory, binary)
    stamp = data / "initialised.json"
    key = _digest(directory.parent.parent, str(binary.path), str(binary.version), json.dumps(settings))
    known = _read_stamp(stamp)
    if known.get("key") == key and all((data / it).exists() for it in _MADE):
        config = Path(known["config"]) if known.get("config") else None
        if config is None or config.exists():
            return Tofu(binary, directory, data, log, config)
    progress(f"preparing stack {stack} ({binary.label})")
    config = provider.cli_config(binary, progress, older=targets.of(stack).ephemeral)
    tofu = Tofu(binary, directory, data, log, config)
    stamp.unlink(missing_ok=True)
    tofu.init(settings, file)
    stamp.write_text(json.dumps({"key": key, "config": str(config or "")}))
    return tofu


def _check_writer(state: Path, binary: Binary) -> None:
    """Refuse a local state that a newer program wrote, before OpenTofu does it in ten lines."""
    try:
        writer = str(json.loads(state.read_text())["terraform_version"])
    except (OSError, ValueError, KeyError):
        return
    if opentofu.parse_version(writer) > binary.version:
        raise Refused(
            f"the stack's state was written by version {writer}, and {binary.label} cannot read it",
            hint="put the newer program first on the PATH, or name it in DUALTRACK_TOFU",
        )


def _read_stamp(stamp: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _digest(tree: Path, *words: str) -> str:
    """Return a digest of what init reads: providers, modules and backend stand in the .tf and .hcl files."""
    digest = hashlib.sha256("\0".join(words).encode())
    for path in _sources(tree):
        if path.suffix in (".tf", ".hcl") and ".tftest." not in path.name and path.name != ".terraform.lock.hcl":
            digest.update(str(path.relative_to(tree)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _check_clock(variables: Mapping[str, Any], progress: Progress) -> None:
    zone = variables.get("time_zone") or {}
    notice = offset_notice(str(zone.get("name")), str(zone.get("utc_offset")), datetime.now(UTC))
    if notice:
        progress(notice)


def _forget_if_stale(home: Path, endpoint: str, progress: Progress) -> bool:
    """Put the emulator's state aside when the emulator no longer knows what it describes; return whether it did."""
    vpc = _vpc_of(_state(home))
    if vpc is None or account.knows_vpc(endpoint, vpc.name, vpc.region):
        return False
    _put_aside(home, f"the emulator has lost its memory ({vpc.name} is gone)", progress)
    return True


def _put_aside(home: Path, why: str, progress: Progress) -> None:
    backup = home / f"stale-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.tfstate"
    _state(home).rename(backup)
    (home / "terraform.tfstate.backup").unlink(missing_ok=True)
    progress(f"{why}: its old state is put aside as {backup.name}")
    for old in sorted(home.glob("stale-*.tfstate"))[:-5]:
        old.unlink()


class _Damaged(External):
    """A state file that is not one."""


@dataclass(frozen=True)
class _Vpc:
    name: str
    region: str


def _vpc_of(state: Path) -> _Vpc | None:
    """Return the VPC in a state file, or None when it has none (or there is no state)."""
    if not state.exists():
        return None
    try:
        resources = json.loads(state.read_text()).get("resources", [])
        return next(
            _Vpc(instance["attributes"]["id"], instance["attributes"]["arn"].split(":")[3])
            for resource in resources
            if resource["type"] == "aws_vpc" and resource["mode"] == "managed"
            for instance in resource["instances"]
        )
    except StopIteration:
        return None
    except (ValueError, KeyError, TypeError):
        raise _Damaged(
            f"{state} is damaged", hint="make cloud-down puts it aside, or restore terraform.tfstate.backup over it"
        ) from None


@contextmanager
def _exclusive(stack: Stack) -> Iterator[None]:
    """One run at a time on a stack of this checkout. The kernel frees the lock of a run that died."""
    home = _home(stack)
    with _disk_errors():
        home.mkdir(parents=True, exist_ok=True)
    taken = f"another run is at work on stack {stack}"
    with alone(home / ".run.lock", taken, hint="wait for it, or stop it", mode=0o644):
        # OpenTofu locks the state file through the kernel, too: a note that is left without its holder says nothing.
        for left in home.glob(".terraform.tfstate.lock.info"):
            left.unlink()
        yield


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:  # that is a defect of ours, or a file taken away: not the disk
        raise
    except OSError as exc:
        said = f"cannot write {exc.filename or paths.STATE}: {exc.strerror}"
        raise External(said, hint="free or unlock the disk") from exc
