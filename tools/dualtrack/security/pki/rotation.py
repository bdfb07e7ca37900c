"""Another authority in the place of the old one, in three steps, of which none cuts anybody off.

    both     a new authority is made; ca.pem has both, so that who gets it trusts both. The old one issues.
    new      the new one issues; both are trusted, and the key of tokens is another one. Only when everybody has that
             ca.pem.
    alone    the old one goes out of ca.pem. Only when no certificate of it is left. What it stated stays valid: its
             certificate is kept in former.pem, which nobody who connects is checked by.

Which it is follows from ca.pem alone: the authority that stands first issues. One rename decides, so there is no state
between; the new one's key waits in next.key until it is its turn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import msgspec
from cryptography import x509

from dualtrack.core.errors import BadInput, Refused
from dualtrack.core.files import destroy, locked, sync_path, write_atomically
from dualtrack.security.pki import authority

Step = Literal["both", "new", "alone"]
#: settled: one authority; the others are called after the last step that was taken.
State = Literal["settled", "both", "new"]
#: Certificates that are used straight out of the directory, and made again when they are asked for: the
#: administrator's, people's (`dualtrack audit search --as`), and those that `dualtrack verify` asks under.
OWN_KINDS, OWN = frozenset({"admin", "person"}), "dualtrack-verify"


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a directory stands: ``bundle`` is the SHA-256 of ca.pem, ``old`` the certificates that the old one issued.

    ``authorities`` are those in ca.pem, the one that issues first; ``next`` is the step that comes next.
    """

    state: State
    next: Step
    authorities: tuple[str, ...]
    bundle: str
    old: tuple[str, ...]
    changed: bool = False


def look(folder: Path) -> Rotation:
    """Return where a directory stands; BadInput where it holds no authority."""
    path = folder / "ca.pem"
    if not path.is_file():
        raise BadInput(f"{folder} holds no authority", hint="`dualtrack pki issue` makes one")
    found = authority.trusted(path)
    issuing, others = found[0], found[1:]
    state: State = "settled"
    if others:
        state = "both" if authority.generation(issuing) < authority.generation(others[0]) else "new"
    following: dict[State, Step] = {"settled": "both", "both": "new", "new": "alone"}
    return Rotation(
        state=state, next=following[state], authorities=tuple(authority.called(it) for it in found),
        bundle=hashlib.sha256(path.read_bytes()).hexdigest(),
        old=tuple(f"{it.parent.name} {it.stem}" for it in _issued_by_others(folder, issuing)),
    )  # fmt: skip


def due(at: Rotation, step: Step) -> bool:
    """Tell whether a step is the next one, False where it was taken; Refused where another one comes first."""
    if step not in get_args(Step):
        raise BadInput(f"there is no step '{step}'", hint=f"one of {', '.join(get_args(Step))}")
    passed = {"settled": ("alone",), "both": ("both",), "new": ("both", "new")}[at.state]
    if at.next != step and step not in passed:
        raise Refused(f"the step '{step}' is not the next one", hint=f"--step {at.next}")
    return at.next == step


def take(
    folder: Path, step: Step, have: Sequence[str] = (), *, forget: bool = False, now: datetime | None = None
) -> Rotation:
    """Take a step, or nothing where it was taken; Refused where another one comes first.

    ``have`` are digests of ca.pem (SHA-256) as nodes and hosts have it: `new` wants them to be the present one.
    ``forget`` removes certificates of the old authority that nobody renewed: their hosts are gone.
    """
    at = look(folder)
    if due(at, step) and step == "both":
        authority.ensure(folder, now=now)
    with locked(folder / "ca.pem"):
        sync_path(folder)  # a step that was taken by a process that was killed may not be on the disk yet
        at = look(folder)
        authority.tidy(folder)
        if not due(at, step):
            return at
        found = authority.trusted(folder / "ca.pem")
        if step == "both":
            _write(folder, [found[0], authority.following(folder, found[0], now or datetime.now(UTC))])
        elif step == "new":
            _everybody(at, have)
            # Who has a copy of the directory could be anybody for ever by it. Another one is made when it is asked for.
            destroy(folder / authority.TOKEN_KEY)
            _write(folder, [found[1], found[0]])
            authority.tidy(folder)
        else:
            _nobody(folder, found[0], forget=forget)
            authority.remember(folder, found[1:])
            _write(folder, found[:1])
    return msgspec.structs.replace(look(folder), changed=True)


def _everybody(at: Rotation, have: Sequence[str]) -> None:
    if not have:
        raise Refused(
            "who has not both authorities yet would be cut off",
            hint="bring ca.pem to every node and host, then --have its sha256sum as they have it",
        )
    if other := sorted({it for it in have if it.lower() != at.bundle}):
        raise Refused(f"somebody has another ca.pem ({other[0][:16]}…, and it should be {at.bundle[:16]}…)",
                      hint="bring it there first")  # fmt: skip


def _nobody(folder: Path, issuing: x509.Certificate, *, forget: bool) -> None:
    """See that no certificate of the old authority is left; what only the controller uses is made when it is needed."""
    left = list(_issued_by_others(folder, issuing))
    for path in list(left):
        if forget or path.parent.name in OWN_KINDS or path.stem.startswith(OWN):
            path.unlink()
            path.with_suffix(".key").unlink(missing_ok=True)
            left.remove(path)
    if left:
        names = ", ".join(f"{it.parent.name} {it.stem}" for it in left[:5]) + (", …" if len(left) > 5 else "")
        raise Refused(
            f"{len(left)} certificates are the old authority's: {names}",
            hint="the roles renew theirs, `dualtrack pki issue` others; --forget those of hosts that are gone",
        )


def _issued_by_others(folder: Path, issuing: x509.Certificate) -> Iterator[Path]:
    for kind in get_args(authority.Kind):
        for path in sorted((folder / kind).glob("*.pem")):
            if not authority.issued_by(path, issuing):
                yield path


def _write(folder: Path, certificates: Sequence[x509.Certificate]) -> None:
    write_atomically(folder / "ca.pem", b"".join(authority.pem(it) for it in certificates))
    sync_path(folder)
