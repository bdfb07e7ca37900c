"""The scenario file, and what it says of one launch or one call. Pure.

Written by `dualtrack lab aws …` or by hand. JSON; YAML where it is handed to `dualtrack lab aws set`.
"""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from dualtrack.core.errors import BadInput

#: The file's name in the lab's directory.
FILE = "aws-conditions.json"

Lifecycle = Literal["spot", "on-demand"]
#: `capacity` and `unfulfillable` are AWS's own shortage, in a zone; `quota` is the account's, wherever it launches.
Failure = Literal["capacity", "unfulfillable", "quota"]

#: Calls that can be answered with an empty list, and the field that is emptied. The last one leaves the groups there,
#: and takes the instances out of them.
LIES = {
    "DescribeAutoScalingGroups": "AutoScalingGroups",
    "DescribeInstances": "Reservations",
    "DescribeScalingActivities": "Activities",
    "DescribeSpotPriceHistory": "SpotPriceHistory",
    "DescribeAutoScalingGroups/Instances": "Instances",
}


class Denial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Launches that fail. '' matches any type and any zone; without ``launches`` until the file is changed."""

    error: Failure = "capacity"
    lifecycle: Lifecycle | Literal[""] = ""
    instance_type: str = ""
    zone: str = ""
    launches: int | None = None
    id: str = ""

    def matches(self, lifecycle: Lifecycle, instance_type: str, zone: str) -> bool:
        """Tell whether it is about such a launch."""
        return (
            self.lifecycle in ("", lifecycle)
            and self.instance_type in ("", instance_type)
            and self.zone in ("", zone)
        )  # fmt: skip

    @property
    def limit(self) -> int | None:
        """How often it applies, None for always."""
        return self.launches


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Calls of one action; without ``calls`` until the file is changed."""

    action: str
    calls: int | None = None
    id: str = ""

    @property
    def limit(self) -> int | None:
        """How often it applies, None for always."""
        return self.calls


class Throttle(Call, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Calls that are refused because there were too many of late."""


class Lie(Call, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Calls that are answered with an empty list (LIES says which can be)."""


class Delay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Calls of one action that are answered late, by ``seconds``."""

    action: str
    seconds: float
    calls: int | None = None
    id: str = ""

    @property
    def limit(self) -> int | None:
        """How often it applies, None for always."""
        return self.calls


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One point of a spot price curve: US$ an hour of one instance, from ``at`` on (ISO 8601 with its offset)."""

    instance_type: str
    zone: str
    at: datetime
    usd: float


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A placement score of a zone: 1 (will hardly get it) to 10."""

    zone: str
    score: int


Rule = Denial | Throttle | Delay | Lie


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Everything that is out of the ordinary. ``retry_s``: how long a short group waits before it tries again.

    ``price_file`` names a JSON file of prices (relative to the lab's directory), read after ``prices``.
    """

    source: str = ""  # where its facts are from, and of which day
    denials: tuple[Denial, ...] = ()
    throttles: tuple[Throttle, ...] = ()
    delays: tuple[Delay, ...] = ()
    lies: tuple[Lie, ...] = ()
    prices: tuple[Price, ...] = ()
    price_file: str = ""
    scores: tuple[Score, ...] = ()
    retry_s: float = 10


T = TypeVar("T")


def decode(data: bytes, kind: type[T], where: str) -> T:
    """Return JSON as ``kind``; BadInput names the file and what is wrong in it."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"{where} is not a scenario: {error}", hint="dualtrack lab aws clear removes it") from None


def parse(data: bytes, where: str) -> Scenario:
    """Return the scenario in a JSON file, checked; BadInput names the file and what is wrong in it."""
    return check(decode(data, Scenario, where), where)


def load(path: Path) -> Scenario:
    """Return the scenario in a JSON or YAML file, checked; BadInput when it cannot be read or is wrong."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from None
    if path.suffix not in (".yml", ".yaml"):
        return parse(data, str(path))
    try:
        return check(msgspec.yaml.decode(data, type=Scenario), str(path))
    except msgspec.MsgspecError as error:
        raise BadInput(f"{path} is not a scenario: {error}") from None


def check(it: Scenario, where: str) -> Scenario:
    """Return a scenario whose values make sense; BadInput otherwise."""
    problems = [
        *(f"{rule}: at least once" for rule in rules(it) if rule.limit is not None and rule.limit < 1),
        *(f"delay of {d.seconds} s" for d in it.delays if not 0 < d.seconds <= 600),
        *(f"{lie.action} cannot be answered with a lie" for lie in it.lies if lie.action not in LIES),
        *(f"price {p.usd} US$ of {p.instance_type}" for p in it.prices if not _is_price(p.usd)),
        *(f"the time {p.at} has no offset from UTC" for p in it.prices if p.at.tzinfo is None),
        *(f"score {s.score} of {s.zone}" for s in it.scores if not 1 <= s.score <= 10),
        *([f"retry_s {it.retry_s}"] if not 0.1 <= it.retry_s <= 3600 else []),
    ]
    if problems:
        raise BadInput(f"{where}: {problems[0]}", hint="docs/how-to/watch-pools.md shows a scenario")
    return it


def _is_price(usd: float) -> bool:
    return math.isfinite(usd) and usd > 0


def rules(it: Scenario) -> tuple[Rule, ...]:
    """Return every rule whose use is counted."""
    return (*it.denials, *it.throttles, *it.delays, *it.lies)


#: What AWS writes into a failed activity's StatusMessage, as seen in public reports of such failures (at most 255
#: characters: the API cuts what is longer).
CODES: dict[tuple[Lifecycle, Failure], tuple[str, str]] = {
    ("spot", "capacity"): (
        "InsufficientInstanceCapacity",
        "There is no Spot capacity available that matches your request.",
    ),
    ("spot", "unfulfillable"): (
        "UnfulfillableCapacity",
        "Unable to fulfill capacity due to your request configuration. Please adjust your request and try again.",
    ),
    ("spot", "quota"): ("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded."),
    ("on-demand", "capacity"): (
        "InsufficientInstanceCapacity",
        "We currently do not have sufficient {type} capacity in the Availability Zone you requested ({zone}). Our"
        " system will be working on provisioning additional capacity.",
    ),
    ("on-demand", "unfulfillable"): (
        "UnfulfillableCapacity",
        "Unable to fulfill capacity due to your request configuration. Please adjust your request and try again.",
    ),
    ("on-demand", "quota"): (
        "VcpuLimitExceeded",
        "You have requested more vCPU capacity than your current vCPU limit of 96 allows for the instance bucket that"
        " the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request"
        " an adjustment to this limit.",
    ),
}
STATUS_MESSAGE_CHARACTERS = 255


def status_message(lifecycle: Lifecycle, failure: Failure, instance_type: str, zone: str) -> str:
    """Return the StatusMessage of a failed launch."""
    code, text = CODES[lifecycle, failure]
    kind = "Spot" if lifecycle == "spot" else "On-Demand"
    text = text.format(type=instance_type, zone=zone)
    return f"Could not launch {kind} Instances. {code} - {text} Launching EC2 instance failed."[
        :STATUS_MESSAGE_CHARACTERS
    ]
