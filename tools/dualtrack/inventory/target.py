"""Where machines are, and what differs there: the real AWS, the lab, or the operator's own machines.

Everything else treats them alike. A target is a plug-in: an entry point of the group `dualtrack.targets`, by the name
of a stack (`aws`, `emulator`) or of a provider in a facts file (`lab`, `machines`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, PackageNotFoundError, distribution
from typing import TYPE_CHECKING, Literal, Protocol

from dualtrack.core import paths
from dualtrack.core.errors import BadInput, Missing
from dualtrack.core.task_graph import Say
from dualtrack.inventory.render import Connection, direct
from dualtrack.remote.known_hosts import KnownHosts

if TYPE_CHECKING:
    from dualtrack.inventory.facts import Facts

GROUP = "dualtrack.targets"
Stack = Literal["aws", "emulator"]


class Target(Protocol):
    """One kind of place where machines are."""

    #: The directory of inventories/ with its variables, and the groups that all of its hosts are in.
    environment: str
    groups: tuple[str, ...]
    #: Its cloud is forgotten when it ends: state is a file here, and nothing is asked before it changes.
    ephemeral: bool

    def up(self, say: Say) -> None:
        """Have the target itself ready; nothing where it always is."""

    def problem(self) -> str:
        """Return why nothing can be asked of it now, '' when it can."""

    def endpoint(self) -> str:
        """Return the address of its cloud API, '' for AWS's own; External when it does not answer."""

    def public_key(self, path: str = "") -> str:
        """Return the public ssh key that its instances shall accept; BadInput where there is none."""

    def connection(self, private_key: str = "") -> Connection:
        """Return how its hosts are reached."""

    def known_hosts(self) -> KnownHosts:
        """Return the host keys by which its hosts are recognized."""

    def signs_of_life(self, host: str) -> object:
        """Return what changes while a host boots or shuts down; the same for ever where that cannot be seen."""

    def seed(self, roles: set[str], say: Say) -> None:
        """Have there what hosts with these roles find at a real site: models."""

    def provide(self, facts: Facts, say: Say) -> bool:
        """Have the hosts of a facts file; return whether there are new ones."""

    def withdraw(self, hosts: list[str], say: Say) -> bool:
        """Remove the hosts of a facts file; return whether there were any."""

    def departing(self, say: Say) -> AbstractContextManager[None]:
        """Wait at the end of the block for instances that were terminated in it."""

    def release(self, say: Say) -> None:
        """Take the target itself down when no track and nobody's host needs it."""


class Site:
    """What targets with lasting machines have in common: nothing is made or removed, and keys are the operator's."""

    environment = "local"
    groups: tuple[str, ...] = ()
    ephemeral = False

    def up(self, say: Say) -> None:
        """Do nothing."""

    def problem(self) -> str:
        """Return ''."""
        return ""

    def endpoint(self) -> str:
        """Return '': AWS's own."""
        return ""

    def public_key(self, path: str = "") -> str:
        """Return the operator's public key: the file at ``path``, or else the usual one."""
        candidates = (
            [paths.expanded(path)]
            if path
            else [paths.expanded("~/.ssh") / name for name in ("id_ed25519.pub", "id_rsa.pub")]
        )
        for candidate in candidates:
            if candidate.is_file():
                return candidate.read_text()
        raise BadInput(
            f"no ssh public key in {candidates[0]}",
            hint="ssh-keygen -t ed25519 makes one; --ssh-public-key names another",
        )

    def connection(self, private_key: str = "") -> Connection:
        """Return how hosts are reached: straight, with the host keys that `up` learned."""
        return direct(self.known_hosts().file, private_key)

    def known_hosts(self) -> KnownHosts:
        """Return the host keys that this deployment has learned."""
        return KnownHosts(paths.STATE / "known_hosts")

    def signs_of_life(self, host: str) -> object:  # noqa: ARG002 - nothing is known of any
        """Return nothing that changes."""
        return None

    def seed(self, roles: set[str], say: Say) -> None:
        """Do nothing."""

    def provide(self, facts: Facts, say: Say) -> bool:  # noqa: ARG002 - as they are
        """Do nothing: the machines are there."""
        return False

    def withdraw(self, hosts: list[str], say: Say) -> bool:  # noqa: ARG002 - none of them
        """Leave the machines as they are, and say so."""
        say("these are your own machines: nothing on them is changed")
        return False

    def departing(self, say: Say) -> AbstractContextManager[None]:  # noqa: ARG002 - nothing to say
        """Do nothing."""
        return nullcontext()

    def release(self, say: Say) -> None:
        """Do nothing."""


def of(name: str) -> Target:
    """Return the target of a stack or a provider; BadInput for a name that no plug-in has."""
    for point in _points():
        if point.name == name:
            return _made(point)
    raise BadInput(f"there is no target {name!r}", hint=f"there are: {', '.join(sorted(set(names())))}")


def names() -> Iterator[str]:
    """Yield the names of all targets."""
    yield from (point.name for point in _points())


@cache
def _made(point: EntryPoint) -> Target:
    made: Target = point.load()()
    return made


def _points() -> EntryPoints:
    """Return the entry points of our own distribution: to look through all that are installed takes 10 ms."""
    try:
        return distribution("dualtrack").entry_points.select(group=GROUP)
    except PackageNotFoundError:
        raise Missing("dualtrack runs from its files and is not installed", hint="make setup") from None


def signs_of_life(host: str) -> object:
    """Return a host's signs of life, whichever target it is of."""
    return tuple(_made(point).signs_of_life(host) for point in {it.value: it for it in _points()}.values())
