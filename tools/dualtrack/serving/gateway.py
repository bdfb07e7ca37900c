"""What a gateway is, and speaking with the program on its host (`dualtrack.hosts.agents.gateway`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

import msgspec

from dualtrack.core.errors import External
from dualtrack.serving import tenants
from dualtrack.serving.residency import Counted

PROGRAM = ("sudo", "-n", "/usr/local/sbin/dualtrack-gateway")

#: Writes its stdin into the journal of a host as root; the audit trail takes what bears this name (role audit). Not an
#: argument: ssh hands arguments to a shell.
NOTE = ("sudo", "-n", "/usr/bin/logger", "--tag", "dualtrack", "--priority", "authpriv.notice")

#: Runs a command on a gateway's host with this on stdin and returns its stdout; External where it fails.
Run = Callable[[Sequence[str], str], str]
#: What a model makes: texts, or vectors of them.
Api = Literal["completions", "embeddings"]
T = TypeVar("T")


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where the API of a gateway answers: base URL (without /v1), and the file of the authority that it is known by.

    ``models`` are those that it has by its inventory, and in a status by its own word, ``tracks`` the tracks that their
    engines run on, ``gateway`` is the host's name.
    """

    url: str
    ca_file: str
    models: tuple[str, ...]
    tracks: tuple[str, ...]
    gateway: str


class Applied(msgspec.Struct, frozen=True):
    """What telling a gateway did: whether anything there was otherwise, and whether its HAProxy runs."""

    changed: bool
    running: bool


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """An engine as the gateway sees it: HAProxy's state (UP, DOWN, DRAIN, MAINT …), and why in ``last_check``.

    ``requests`` counts since the gateway has started, ``active`` are those that are worked on now.
    """

    model: str
    track: str
    engine: str
    state: str
    requests: int
    active: int
    last_check: str


class GatewayStatus(msgspec.Struct, frozen=True):
    """All engines of a gateway, and for how many seconds it has run."""

    engines: tuple[Engine, ...]
    since_s: int


class Changed(msgspec.Struct, frozen=True):
    """Whether what a gateway was told was otherwise there."""

    changed: bool


class Steering(msgspec.Struct, frozen=True):
    """What operators have said: the track that is asked ``first`` (``usual``: by each tenant), and those held."""

    first: str
    held: tuple[str, ...]


class Tokens(msgspec.Struct, frozen=True):
    """What each tenant has used on a gateway in a ``month`` (2026-11, UTC): tokens read and written.

    ``lost`` says that more was used than was counted, and why; '' otherwise.
    """

    month: str
    tokens: Mapping[str, int]
    lost: str = ""


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Where an engine answers (IPv4), and how many requests it gets at once (0 for any number).

    ``host`` is the name in the certificate that it shows.
    """

    host: str
    address: str
    port: int
    requests: int = 0


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model's probe with the API that it is asked by, whether it calls tools, and its engines by name."""

    prompt: str
    expected: str
    engines: Mapping[str, Where]
    api: Api = "completions"
    tools: bool = False


class Gateway(msgspec.Struct, frozen=True):
    """A gateway host, by what runs commands there."""

    name: str
    run: Run

    def note(self, text: str) -> None:
        """Have the host's audit trail record who is about to change what; External where it cannot be told."""
        self.run(NOTE, f"{text}\n")

    def apply(self, found: tenants.Tenants) -> Applied:
        """Make the gateway take these tenants' keys and no others; External where it cannot be told."""
        given = msgspec.json.encode(tenants.maps(found)).decode()
        return self._said(self.run([*PROGRAM, "apply"], given), Applied)

    def status(self) -> GatewayStatus:
        """Ask how its engines are; External where it does not say."""
        return self._said(self.run([*PROGRAM, "status"], ""), GatewayStatus)

    def engines(self, track: str, models: Mapping[str, Model]) -> bool:
        """Say which engines of a track answer as which models; return whether that was otherwise there."""
        given = msgspec.json.encode({"models": models}).decode()
        return self._said(self.run([*PROGRAM, "engines", track], given), Changed).changed

    def tokens(self) -> Tokens:
        """Ask what tenants have used this month; External where it does not say."""
        return self._said(self.run([*PROGRAM, "tokens"], ""), Tokens)

    def persons(self, year: int | None) -> Counted:
        """Ask whose requests went to the cloud track in a year, this one without it; External where it does not say."""
        words = [*PROGRAM, "persons", *([str(year)] if year else [])]
        return self._said(self.run(words, ""), Counted)

    def steering(self) -> Steering:
        """Ask what operators have said; External where it does not say."""
        found = self._said(self.run([*PROGRAM, "steering"], ""), dict[str, str])
        held = sorted(key.removeprefix("held.") for key in found if key.startswith("held."))
        return Steering(found.get("first", "usual"), tuple(held))

    def steer(self, verb: str, what: str, model: str | None = None) -> bool:
        """Switch to a track, hold one, drain an engine, or release either; return whether that was otherwise.

        With ``model`` an engine is drained or released for this model alone.
        """
        words = [*PROGRAM, verb, what, *([] if model is None else [model])]
        return self._said(self.run(words, ""), Changed).changed

    def _said(self, text: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise External(
                f"what dualtrack-gateway on {self.name} prints is not understood: {error}",
                hint="is it of this version? make up",
            ) from None
