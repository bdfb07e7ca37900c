"""From what OpenTofu says when it fails to the one line, and the exit code, that a user gets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dualtrack.core.errors import BadInput, DualtrackError, External, Missing

_CREDENTIALS_HINT = "log in (aws sso login, aws configure) and check AWS_PROFILE"
# What a user can fix in a file, by the summary that OpenTofu gives to it.
_INPUT = re.compile(
    r"invalid value for|resource precondition failed|module output value precondition failed|unsuitable value|"
    r"no value for required variable|undeclared variable|invalid expression|unsupported argument|"
    r"invalid variable value|"
    r"argument or block definition required|variables not allowed|invalid reference|reserved variable|"
    r"invalid multi-line string|missing item separator|unclosed configuration block|"
    r"required variable not set|inappropriate value|invalid character|missing newline",
    re.IGNORECASE,
)


def errors_of(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the diagnostics of severity error among ``events``."""
    found = [event["diagnostic"] for event in events if event.get("type") == "diagnostic"]
    return [diagnostic for diagnostic in found if diagnostic.get("severity") == "error"]


def ignored_variables(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each value that was given to a variable which does not exist.

    OpenTofu only warns and continues without it; a misspelt `pool` would apply the default pools.
    """
    found = [event["diagnostic"] for event in events if event.get("type") == "diagnostic"]
    lines = [
        one_line(diagnostic) for diagnostic in found if diagnostic.get("summary") == "Value for undeclared variable"
    ]
    return [re.sub(r" If you meant to use this value.*", "", line) for line in lines]


def parse_text(text: str) -> list[Mapping[str, Any]]:
    """Return the errors in the output of a command without ``-json`` (init), in the shape that `errors_of` has."""
    found: list[Mapping[str, Any]] = []
    for block in re.split(r"(?m)^[\s│╷]*Error: ", text)[1:]:
        lines = [line.strip("│╵╷ ").strip() for line in block.splitlines()]
        found.append({"severity": "error", "summary": lines[0], "detail": " ".join(filter(None, lines[1:]))})
    return found


def failure(what: str, diagnostics: Sequence[Mapping[str, Any]], fallback: str, log: Path) -> DualtrackError:
    """Return the error to raise when ``what`` ("the plan", "the apply") failed.

    ``diagnostics`` are its errors; ``fallback`` is the last line it printed, for a failure without any. ``log`` holds
    everything it said.
    """
    if not diagnostics:
        return External(f"{what} failed: {fallback}; all of it: {log}")
    text = " ".join(one_line(diagnostic) for diagnostic in diagnostics)
    special = _known(text)
    if special:
        return special
    first = one_line(diagnostics[0])
    # One mistake in a map is often reported once for each entry, in the same words.
    others = {one_line(diagnostic) for diagnostic in diagnostics} - {first}
    more = f"; and {len(others)} more, see {log}" if others else ""
    if all(_INPUT.search(str(diagnostic.get("summary", ""))) for diagnostic in diagnostics):
        return BadInput(f"{first}{more}")
    return External(f"{what} failed: {first}{more or f'; all of it: {log}'}")


def one_line(diagnostic: Mapping[str, Any]) -> str:
    """Return a diagnostic as one line: where (for the user's own files), and what.

    The detail of a validation is our own sentence: it says everything, so the summary above it is dropped.
    """
    summary = str(diagnostic.get("summary", "")).strip()
    detail = str(diagnostic.get("detail", ""))
    ours = "This was checked by the validation rule" in detail or "precondition failed" in summary.lower()
    detail = " ".join(detail.split("This was checked by the validation rule")[0].split())
    text = detail if ours and detail else f"{summary}: {detail}" if detail else summary
    span = diagnostic.get("range") or {}
    file = str(span.get("filename", ""))
    if file.endswith((".tfvars", ".tfvars.json")) and not file.startswith("/"):
        return f"{file}, line {span['start']['line']}: {text}"
    return text


def _known(text: str) -> DualtrackError | None:
    lowered = text.lower()
    if "error acquiring the state lock" in lowered:
        who = _field(text, "Who")
        created = _field(text, "Created")
        identity = _field(text, "ID")
        by = f" by {who}" if who else ""
        since = f" since {created}" if created else ""
        return External(
            f"the state is locked{by}{since}",
            hint=f"another run is at work; if it is dead: dualtrack cloud unlock {identity or 'ID'}",
        )
    if any(word in lowered for word in ("expiredtoken", "token has expired", "security token included in the request")):
        return External("the AWS credentials have expired or are not valid", hint=_CREDENTIALS_HINT)
    if any(word in lowered for word in ("no valid credential sources", "nocredentialproviders", "no credentials")):
        return Missing("there are no AWS credentials", hint=_CREDENTIALS_HINT)
    if "no space left on device" in lowered:
        return External("the disk is full", hint="free some space and run it again: what was made is in the state")
    return None


def _field(text: str, name: str) -> str:
    found = re.search(rf"\b{name}:\s+(.+?)(?=\s+(?:ID|Path|Operation|Who|Version|Created|Info):|\s{{2,}}|$)", text)
    return found.group(1).strip() if found else ""
