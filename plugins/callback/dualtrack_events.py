"""Tells the program that started Ansible what happens, one JSON object a line, on a pipe that it handed down.

Beside the usual output, not instead of it: the log stays what people know. Silent without DUALTRACK_EVENTS_FD.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: dualtrack_events
type: notification
short_description: events for `dualtrack`
description:
  - Writes one JSON object a line to the file descriptor that DUALTRACK_EVENTS_FD names.
"""


class CallbackModule(CallbackBase):
    """Writes plays, tasks, results and the final counts."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "dualtrack_events"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        handle = os.environ.get("DUALTRACK_EVENTS_FD", "")
        if handle:
            self._pipe = os.fdopen(int(handle), "w", encoding="utf-8", buffering=1)
            # Connections that outlive the run (ControlPersist) must not hold the pipe open.
            os.set_inheritable(int(handle), False)
        else:
            self.disabled = True

    def _tell(self, event: str, **fields: Any) -> None:
        self._pipe.write(json.dumps({"event": event, **fields}, default=str) + "\n")

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Name the play that begins."""
        self._tell("play", name=play.get_name())

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002 - Ansible's signature
        """Name the task that begins."""
        self._tell("task", task=task.get_name())

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Name the handler that begins."""
        self._tell("task", task=task.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        """Report a host that finished the task."""
        self._tell(
            "ok", host=result.host.get_name(), task=result.task.get_name(), changed=bool(result.result.get("changed"))
        )

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Report a host on which the task failed."""
        if not ignore_errors:
            self._tell(
                "failed", host=result.host.get_name(), task=result.task.get_name(), message=message(result.result)
            )

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Report a host that did not answer."""
        self._tell(
            "unreachable", host=result.host.get_name(), task=result.task.get_name(), message=message(result.result)
        )

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Report the counts of every host."""
        self._tell("stats", hosts={host: stats.summarize(host) for host in sorted(stats.processed)})


def message(result: dict[str, Any]) -> str:
    """Return what a person needs of a failed result: of a loop, the first item that failed."""
    for item in result.get("results", ()):
        if isinstance(item, dict) and (item.get("failed") or item.get("unreachable")):
            return message(item)
    text = str(result.get("msg") or "")
    said = str(result.get("stderr") or result.get("module_stderr") or result.get("stdout") or "").strip()
    # "non-zero return code" says nothing; the program's last line does.
    if said and (not text or text == "non-zero return code"):
        text = said.splitlines()[-1]
    return " ".join(text.split()) or "failed without a message"
