"""From how many calls a month on a server of one's own is cheaper than the cloud. Pure.

Money is ¥ a month of 365.25 / 12 days. A server costs the same whether it works or not; the cloud costs by the call,
but never less than the nodes that stay up. One server can serve so many calls and no more: beyond that another one is
bought, and where a full server is more expensive by the call than the cloud, no number of calls makes it pay.
"""

from __future__ import annotations

import math

import msgspec

from dualtrack.cloud.cost.assumptions import MAY_BE_ZERO, Assumptions, figures, with_figure
from dualtrack.cloud.prices import MONTH_DAYS, MONTH_HOURS

SECONDS = MONTH_HOURS * 3600
#: What the guide says, and how near a result must be to count as the same.
GUIDE_CALLS = 500_000
NEAR = 0.02


class Reckoning(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides for one set of assumptions: ¥ a month, ¥ a call, calls a month.

    ``break_even_calls_per_month`` is None where local never pays, 0 where it pays without a single call. That many
    need ``servers``, and it holds to ``holds_to_calls_per_month``, which is what they can serve.
    """

    break_even_calls_per_month: int | None
    servers: int
    holds_to_calls_per_month: int | None
    why: str
    server_cny_per_month: float
    local_fixed_cny_per_month: float
    cloud_fixed_cny_per_month: float
    cloud_minimum_cny_per_month: float
    cloud_cny_per_call: float
    full_server_cny_per_call: float
    server_calls_per_month: float


class Swing(msgspec.Struct, frozen=True, kw_only=True):
    """How far one assumption moves the result; None is "never"."""

    figure: str
    value: float
    low: float
    high: float
    at_low: int | None
    at_high: int | None


class BreakEvenReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `dualtrack cost breakeven` prints."""

    break_even_calls_per_month: int | None
    guide_calls_per_month: int
    agrees_with_guide: bool
    reckoning: Reckoning
    swing_percent: float
    sensitivity: tuple[Swing, ...]
    assumptions: Assumptions


def reckon(of: Assumptions) -> Reckoning:
    """Return both sides and where they meet."""
    local, cloud, tokens = of.local, of.cloud, of.call.tokens.value
    node = cloud.node_usd_per_hour.value * of.exchange.cny_per_usd
    call = tokens / (cloud.tokens_per_s.value * cloud.utilisation.value) / 3600 * node
    power = local.power_kw.value * local.power_cny_per_kwh.value * MONTH_HOURS
    server = local.day_cny.value * MONTH_DAYS + power
    capacity = local.tokens_per_s.value * local.utilisation.value * SECONDS / tokens
    minimum = cloud.minimum_nodes.value * node * MONTH_HOURS
    calls, servers, why = _meet(
        server, capacity, call, minimum, local.staff_cny_per_month.value - cloud.staff_cny_per_month.value
    )
    return Reckoning(
        break_even_calls_per_month=calls,
        servers=servers,
        holds_to_calls_per_month=None if calls is None else math.floor(servers * capacity),
        why=why,
        server_cny_per_month=server,
        local_fixed_cny_per_month=local.staff_cny_per_month.value,
        cloud_fixed_cny_per_month=cloud.staff_cny_per_month.value,
        cloud_minimum_cny_per_month=minimum,
        cloud_cny_per_call=call,
        full_server_cny_per_call=server / capacity,
        server_calls_per_month=capacity,
    )


def _meet(
    server: float, capacity: float, call: float, minimum: float, more_staff: float
) -> tuple[int | None, int, str]:
    """Return the least calls a month at which local is no more expensive, the servers for them, and the reason.

    Local with ``k`` servers costs ``k * server + more_staff`` more than nothing, the cloud ``max(minimum, n * call)``;
    ``n`` may be ``k * capacity`` at most.
    """
    if server + more_staff <= minimum:
        return 0, 1, "the cloud's nodes that stay up cost more than the server, even if nobody calls"
    if server + more_staff <= 0:
        return 0, 1, "the cloud's people cost more than the server and its own"
    spare = capacity * call - server  # what one full server saves
    if spare <= 0:
        return None, 0, "a call costs less in the cloud than on a server that is full: more calls do not change that"
    # Calls are whole: where so few fit a server that this matters, the next number of servers for which it cannot.
    least = max(1, math.ceil(more_staff / spare))
    for servers in (least, least + 1, math.ceil((more_staff + 2 * call) / spare)):
        calls = math.ceil(max(0.0, servers * server + more_staff) / call)
        if calls <= math.floor(servers * capacity):
            break
    if servers > 1:
        return calls, servers, f"one full server does not pay for its people: {servers} together do"
    return calls, servers, "from here on the server costs less than the calls would in the cloud"


def report(of: Assumptions, swing_percent: float = 50.0) -> BreakEvenReport:
    """Return the break-even with its sensitivity, what moves it most first."""
    found = reckon(of)
    swings = sorted((_swing(of, name, value, swing_percent / 100) for name, value in figures(of).items() if value),
                    key=_spread, reverse=True)  # fmt: skip
    calls = found.break_even_calls_per_month
    agrees = calls is not None and abs(calls - GUIDE_CALLS) <= NEAR * GUIDE_CALLS
    return BreakEvenReport(
        break_even_calls_per_month=calls,
        guide_calls_per_month=GUIDE_CALLS,
        agrees_with_guide=agrees,
        reckoning=found,
        swing_percent=swing_percent,
        sensitivity=tuple(swings),
        assumptions=of,
    )


def _swing(of: Assumptions, name: str, value: float, part: float) -> Swing:
    low, high = value * (1 - part), value * (1 + part)
    if name.endswith("utilisation"):
        high = min(high, 1.0)
    if name == "cloud.minimum_nodes":
        low, high = math.floor(low), math.ceil(high)
    if low == 0 and name not in MAY_BE_ZERO:
        low = value / 100  # nothing at all would be no case
    at_low, at_high = (reckon(with_figure(of, name, end)).break_even_calls_per_month for end in (low, high))
    return Swing(figure=name, value=value, low=low, high=high, at_low=at_low, at_high=at_high)


def _spread(of: Swing) -> float:
    if of.at_low is None or of.at_high is None:
        return math.inf if of.at_low != of.at_high else 0.0
    return abs(of.at_high - of.at_low)
