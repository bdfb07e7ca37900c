"""The one module that runs OpenTofu, and the only one that knows python-terraform.

python-terraform turns options into a command line and writes variable files; that is what it is used for. Running the
command is done here: its own runner cannot pass an environment, gives no output before the end, and loses the process
on Ctrl-C, which would leave a state locked.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from python_terraform import IsFlagged, Terraform

from dualtrack.cloud import diagnose
from dualtrack.cloud.opentofu import Binary, Progress
from dualtrack.cloud.plan import TofuPlan, progress_line, read_plan
from dualtrack.core import aws, proc
from dualtrack.core.errors import BadInput, External, Interrupted


@dataclass(frozen=True)
class Tofu:
    """OpenTofu in one directory.

    ``folder`` holds the configuration, ``data`` what init makes (TF_DATA_DIR), ``log`` gets everything that is said.
    ``environment`` replaces this process's own.
    """

    binary: Binary
    folder: Path
    data: Path
    log: Path
    config: Path | None = None
    environment: Mapping[str, str] | None = None

    def signing(self, endpoint: str | None) -> Tofu:
        """Return OpenTofu with the credentials for an emulated API, if any, which it reads from its environment."""
        return replace(self, environment=aws.environment(endpoint)) if endpoint else self

    def init(self, backend: Mapping[str, str], backend_file: Path | None = None) -> None:
        """Prepare the directory: modules, provider, backend. ``backend`` wins over the settings in ``backend_file``."""
        # A file and pairs are one repeated option, which python-terraform cannot write from a dictionary.
        settings = ([str(backend_file)] if backend_file else []) + [f"{key}={value}" for key, value in backend.items()]
        options: dict[str, Any] = {"reconfigure": IsFlagged, "input": False, "backend-config": settings}
        code, text = self._capture("init", **options)
        if code != 0:
            raise diagnose.failure("preparing the stack", diagnose.parse_text(text), proc.last_line(text), self.log)

    def init_offline(self) -> None:
        """Prepare the directory without its backend: enough to validate and to test."""
        code, text = self._capture("init", backend=False, input=False)
        if code != 0:
            raise diagnose.failure("preparing the stack", diagnose.parse_text(text), proc.last_line(text), self.log)

    def validate(self) -> None:
        """Check the configuration against the provider's schema. Raises BadInput or External with what is wrong."""
        code, text = self._capture("validate", json=IsFlagged)
        try:
            found = json.loads(text)["diagnostics"]
        except (ValueError, KeyError):
            found = diagnose.parse_text(text)
        errors = [diagnostic for diagnostic in found if diagnostic.get("severity") == "error"]
        if code != 0 or errors:
            raise diagnose.failure("validation", errors, proc.last_line(text), self.log)

    def plan(self, variables: Mapping[str, Any], *, destroy: bool = False, refresh_only: bool = False) -> TofuPlan:
        """Return what an apply (or, with ``destroy``, a destroy) would do, saved in the data directory.

        With ``refresh_only`` it only compares the state with what there is: see `shown`.
        """
        file = self.data / "plan.tfplan"
        options: dict[str, Any] = {"json": IsFlagged, "input": False, "out": str(file), "var": dict(variables)}
        if destroy:
            options["destroy"] = IsFlagged
        if refresh_only:
            options["refresh-only"] = IsFlagged
        events = self._stream("the plan", None, "plan", **options)
        ignored = diagnose.ignored_variables(events)
        if ignored:
            raise BadInput("; ".join(ignored))
        return read_plan(events, file)

    def planned_variables(self, plan: TofuPlan) -> dict[str, Any]:
        """Return the values of the input variables that ``plan`` was made with."""
        return {name: entry.get("value") for name, entry in self.shown(plan).get("variables", {}).items()}

    def shown(self, plan: TofuPlan) -> dict[str, Any]:
        """Return a plan in OpenTofu's documented JSON, `resource_drift` among it."""
        code, text = self._capture("show", str(plan.file), json=IsFlagged, quiet=True)
        if code != 0:
            raise External(f"cannot read the plan: {proc.last_line(text)}")
        found: dict[str, Any] = json.loads(text)
        return found

    def apply(self, plan: TofuPlan, progress: Progress) -> None:
        """Carry ``plan`` out, with a line to ``progress`` for each resource.

        Raises Interrupted after Ctrl-C. After any failure the state holds what was made, and the next run carries on.
        """
        self._stream("the apply", progress, "apply", str(plan.file), json=IsFlagged, input=False)

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs, name => value; empty before the first apply."""
        code, text = self._capture("output", json=IsFlagged, quiet=True)
        if code != 0:
            raise diagnose.failure("reading the outputs", diagnose.parse_text(text), proc.last_line(text), self.log)
        return {name: entry["value"] for name, entry in json.loads(text).items()}

    def unlock(self, lock: str) -> None:
        """Break the lock with the id ``lock`` that a dead run left on the state."""
        code, text = self._capture("force-unlock", lock, force=IsFlagged)
        if code != 0:
            raise diagnose.failure("unlocking", diagnose.parse_text(text), proc.last_line(text), self.log)

    def _capture(self, command: str, *args: str, quiet: bool = False, **options: Any) -> tuple[int, str]:
        """Run a command to its end and return its exit code and output (stdout, then stderr when it failed)."""
        if command != "force-unlock":
            options["no-color"] = IsFlagged
        lines: list[str] = []
        code = self._run(lines.append, None, quiet, command, args, options)
        return code, "".join(lines)

    def _stream(
        self, what: str, progress: Progress | None, command: str, *args: str, **options: Any
    ) -> list[dict[str, Any]]:
        """Run a command that prints a JSON event a line; return the events, or raise what its diagnostics say."""
        events: list[dict[str, Any]] = []
        rest: list[str] = []

        def take(line: str) -> None:
            try:
                event = json.loads(line)
            except ValueError:
                rest.append(line)
                return
            events.append(event)
            shown = progress_line(event) if progress else None
            if shown and progress:
                progress(shown)

        code = self._run(take, progress, False, command, args, options)
        if code != 0:
            found = diagnose.errors_of(events) or diagnose.parse_text("".join(rest))
            fallback = proc.last_line("".join(rest)) if rest else str(events[-1].get("@message", "")) if events else ""
            raise diagnose.failure(what, found, fallback or "it printed nothing", self.log)
        return events

    def _run(
        self,
        take: Callable[[str], None],
        progress: Progress | None,
        quiet: bool,
        command: str,
        args: tuple[str, ...],
        options: dict[str, Any],
    ) -> int:
        """Run one command, hand every line of its output to ``take``, and return its exit code.

        The process gets a group of its own, so that Ctrl-C reaches it once, from here: twice would make it give up the
        resource in hand. A second Ctrl-C does just that.
        """
        driver = Terraform(working_dir=str(self.folder), terraform_bin_path=str(self.binary.path))
        words = driver.generate_cmd_string(command, *args, **options)
        interrupted = False
        self.log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.log.open("a", encoding="utf-8") as log, self._process(words) as process:
                assert process.stdout is not None  # noqa: S101 - it was asked for
                while True:
                    try:
                        for line in process.stdout:
                            if not quiet:
                                log.write(line)
                            take(line)
                        code = process.wait()
                        break
                    except KeyboardInterrupt:
                        interrupted = True
                        if progress:
                            progress("stopping: OpenTofu finishes the resource in hand (Ctrl-C again: at once)")
                        process.send_signal(signal.SIGINT)
        finally:
            driver.temp_var_files.clean_up()
        if interrupted or (code != 0 and _stopping()):
            raise Interrupted(
                "stopped: OpenTofu finished the resource in hand and released its lock",
                hint="what was made is in the state; the same command carries on from there",
            )
        return code

    @contextlib.contextmanager
    def _process(self, words: list[str]) -> Iterator[subprocess.Popen[str]]:
        self.data.mkdir(parents=True, exist_ok=True)
        given = os.environ if self.environment is None else self.environment
        environment = {
            **{name: value for name, value in given.items() if not name.startswith("TF_VAR_")},
            "TF_DATA_DIR": str(self.data),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
        }
        environment.pop("TF_CLI_ARGS", None)  # -no-color and the like would be given twice or to the wrong command
        own = environment.get("TF_CLI_CONFIG_FILE")
        if self.config:
            environment["TF_CLI_CONFIG_FILE"] = str(self.config)
        elif own and not Path(own).exists():
            del environment["TF_CLI_CONFIG_FILE"]  # a missing file is a warning on every command
        process = subprocess.Popen(
            words, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", process_group=0,
            umask=0o077,  # state and plans hold what outputs hide, and are this account's alone
        )  # fmt: skip
        with proc.tracked(process, patience=None):  # it finishes the resource in hand
            try:
                yield process
            except BaseException:
                # Whatever went wrong here: OpenTofu may end in order, however long that takes, and let go of its lock.
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                    process.wait()
                raise
            finally:
                if process.stdout:
                    process.stdout.close()


def _stopping() -> bool:
    """Return whether the main thread was told to stop all work while this one waited for OpenTofu."""
    try:
        proc.pause(0)
    except Interrupted:
        return True
    return False
