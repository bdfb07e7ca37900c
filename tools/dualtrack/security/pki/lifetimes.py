"""How long a certificate is valid, and what is to be done about one: pure decisions on times."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec

#: What a certificate is for; its OU. A person's says whose it is, too: a host that is called so has no rights by that.
Kind = Literal["node", "shipper", "witness", "logger", "keeper", "engine", "gateway", "knowledge", "admin", "person"]
#: Kinds that lie on hosts, where a timer on the controller renews them (docs/adr/0050). A stolen key is good this long.
MACHINES = frozenset({"node", "shipper", "witness", "logger", "keeper", "engine", "gateway", "knowledge"})
MACHINE_DAYS = 30
#: The administrator's and people's are used out of the authority's directory by commands, which renew them.
OWN_DAYS = 7
CA_DAYS = 3650
#: With less left, an authority is a finding: it takes three steps and a renewal of all certificates to replace it.
CA_LATE = timedelta(days=90)
#: A certificate is renewed when less than this share of its life is left.
RENEW = 1 / 3
#: Renewal of a machine's certificate has evidently failed when less is left than this.
LATE = timedelta(days=7)
#: What its validity begins before the moment at which it is made: a host's clock may be behind.
BACKDATED = timedelta(minutes=5)

#: What is to be done about a certificate: nothing, a renewal, a renewal that is late, one that comes after the end.
State = Literal["", "due", "late", "over"]


class Life(msgspec.Struct, frozen=True):
    """When a certificate begins and ends, in UTC."""

    begins: datetime
    ends: datetime


def days(kind: str) -> int:
    """Return the number of days for which a new certificate of a kind is valid."""
    return MACHINE_DAYS if kind in MACHINES else OWN_DAYS


def lasts(kind: str, life: Life, now: datetime) -> bool:
    """Tell whether a certificate stays: it is not longer valid than one made today would be, and not due.

    Those of former releases were valid for more than a year: they count as due. ``kind`` is '' for a certificate that
    this authority does not issue, such as its own: that one may be valid for any time.
    """
    longest = timedelta(days=days(kind)) + BACKDATED if kind else timedelta.max
    return (life.ends - now) / (life.ends - life.begins) > RENEW and life.ends - now <= longest


def state(kind: str, life: Life, now: datetime) -> State:
    """Return what is to be done about a certificate of a kind; `late` and `due` are different only for machines."""
    if life.ends <= now:
        return "over"
    if kind in MACHINES and life.ends - now < min(LATE, RENEW * (life.ends - life.begins)):
        return "late"
    return "" if lasts(kind, life, now) else "due"
