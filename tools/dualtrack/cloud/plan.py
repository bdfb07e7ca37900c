"""What a plan would do, read from the machine-readable stream of `plan -json` and `apply -json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_VERBS = {"create": "created", "update": "changed", "delete": "destroyed", "replace": "replaced", "read": "read"}


@dataclass(frozen=True)
class ResourceChange:
    """A resource and its planned action: create, update, delete, replace, or move, which changes its address only."""

    address: str
    action: str


@dataclass(frozen=True)
class TofuPlan:
    """A saved plan: what it would change, and the file that holds it."""

    changes: tuple[ResourceChange, ...]
    outputs_change: bool
    file: Path
    #: The stack's variables that it was made with; empty where nobody asked for them.
    variables: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def counts(self) -> dict[str, int]:
        """How many resources would be added, changed and destroyed; a replacement is one of each end."""
        actions = [change.action for change in self.changes]
        replaced = actions.count("replace")
        return {
            "add": actions.count("create") + replaced,
            "change": actions.count("update"),
            "destroy": actions.count("delete") + replaced,
        }

    @property
    def summary(self) -> str:
        """One line for people."""
        if not self.changes:
            return "No changes"
        text = "{add} to add, {change} to change, {destroy} to destroy".format(**self.counts)
        moved = sum(change.action == "move" for change in self.changes)
        return f"{text}, {moved} to move in the state" if moved else text

    @property
    def text(self) -> str:
        """The whole plan for people: a line for each resource, then the summary."""
        marks = {"create": "+", "update": "~", "delete": "-", "replace": "-/+", "move": "→"}
        return "\n".join([f"{marks.get(c.action, '?'):>3} {c.address}" for c in self.changes] + [self.summary])


def read_plan(events: Iterable[Mapping[str, Any]], file: Path) -> TofuPlan:
    """Return the plan that the events of `plan -json` describe."""
    changes: list[ResourceChange] = []
    outputs_change = False
    for event in events:
        kind = event.get("type")
        if kind == "planned_change":
            change = event.get("change", {})
            if change.get("action") not in ("noop", "read"):
                changes.append(ResourceChange(change["resource"]["addr"], change["action"]))
        elif kind == "outputs":
            found = event.get("outputs", {}).values()
            outputs_change = any(output.get("action", "noop") != "noop" for output in found)
    return TofuPlan(tuple(changes), outputs_change, file)


def progress_line(event: Mapping[str, Any]) -> str | None:
    """Return the line that shows an event of `apply -json` to people, or None when there is nothing to show.

    The shape is ``address: created``; what takes long is named again with the seconds it has taken.
    """
    hook = event.get("hook", {})
    address = hook.get("resource", {}).get("addr")
    action = str(hook.get("action", ""))
    match event.get("type"):
        case "apply_complete" if action != "read":
            return f"{address}: {_VERBS.get(action, action)}"
        case "apply_progress":
            return f"{address}: {action}, {int(hook.get('elapsed_seconds', 0))} s"
        case "apply_errored":
            return f"{address}: failed"
        case _:
            return None
