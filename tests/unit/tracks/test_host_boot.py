"""Host keys are compared before anything is sent to a host, and learned only then."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dualtrack.core.errors import BadInput, Refused
from dualtrack.inventory import facts
from dualtrack.inventory.model import Host
from dualtrack.inventory.target import Site
from dualtrack.remote import host_keys
from dualtrack.remote.known_hosts import KnownHosts
from dualtrack.tracks import cloud, host_boot


def key(kind: str, number: int) -> str:
    return f"{kind} {base64.b64encode(bytes([number]) * 48).decode()}"


ED, ECDSA, OTHER = key("ssh-ed25519", 1), key("ecdsa-sha2-nistp256", 2), key("ssh-ed25519", 3)
#: As cloud-init prints it, with the kernel's times before its lines, and once more at a second boot.
CONSOLE = f"""
[   11.203911] cloud-init[612]: Cloud-init v. 22.4.2 running 'modules:config'
ci-info: no authorized SSH keys fingerprints found for user admin.
-----BEGIN SSH HOST KEY FINGERPRINTS-----
256 SHA256:abc root@ip-10-20-0-4 (ED25519)
-----END SSH HOST KEY FINGERPRINTS-----
-----BEGIN SSH HOST KEY KEYS-----
{OTHER} root@image
-----END SSH HOST KEY KEYS-----
[   14.881230] systemd[1]: more
-----BEGIN SSH HOST KEY KEYS-----
{ECDSA} root@ip-10-20-0-4
{ED} root@ip-10-20-0-4
-----END SSH HOST KEY KEYS-----
[   15.000000] cloud-init[700]: Cloud-init v. 22.4.2 finished
"""


def host(name: str = "spot-1", **more: Any) -> Host:
    return Host(name=name, address="192.0.2.7", user="admin", track="cloud", pool="spot", lifecycle="spot", **more)


class Place(Site):
    """A site whose known host keys are in a directory of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def known_hosts(self) -> KnownHosts:
        return KnownHosts(self.folder / "known_hosts")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Hosts answer with the key that is named after them, and have booted."""
    monkeypatch.setattr(host_keys, "wait_for_key", lambda name, *_, **__: {"other-1": OTHER}.get(name, ED))
    monkeypatch.setattr(host_boot, "first_boot", lambda *_: None)
    return Place(tmp_path)


def learned(place: Place) -> list[str]:
    file = place.known_hosts().file
    return file.read_text().splitlines() if file.exists() else []


def boot(place: Place, hosts: Sequence[Host], **more: Any) -> list[str]:
    asked: list[str] = []
    accept = more.pop("accept", asked.extend)
    host_boot.all_of(hosts, place.connection(), place, lambda _: None, accept=accept, **more)
    return asked


@pytest.mark.parametrize("trusted", [[ED], [ECDSA, ED], [OTHER, ED]])
def test_a_key_that_somebody_vouches_for_is_learned_without_a_question(place: Place, trusted: list[str]) -> None:
    assert boot(place, [host()], vouch=lambda _: trusted) == []
    assert learned(place) == [f"spot-1 {ED}"]


@pytest.mark.parametrize("trusted", [[], [ECDSA]])
def test_a_key_that_nobody_vouches_for_is_asked_for(place: Place, trusted: list[str]) -> None:
    (asked,) = boot(place, [host()], vouch=lambda _: trusted)
    assert asked == f"spot-1 at 192.0.2.7, host key {host_keys.fingerprint(ED)}"
    assert learned(place) == [f"spot-1 {ED}"]
    assert boot(place, [host()], vouch=lambda _: trusted) == []  # it is known now


@pytest.mark.parametrize("hosts", list(itertools.permutations(["spot-1", "spot-2", "other-1"])))
def test_one_wrong_key_stops_before_anything_is_learned(place: Place, hosts: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match=r"the host key of other-1 .* must be SHA256:.*: nothing was sent there"):
        boot(place, [host(it) for it in hosts], vouch=lambda _: [ED])
    assert learned(place) == []


def test_a_no_learns_nothing(place: Place) -> None:
    with pytest.raises(Refused, match="nobody vouches for spot-1"):
        boot(place, [host()], accept=host_boot.refuse)
    assert learned(place) == []


def test_keys_of_the_lab_s_hosts_are_taken_as_they_are(place: Place) -> None:
    """Nobody is asked, and no console: they may answer before the lab has written their keys down."""

    def console(_: Host) -> list[str]:
        raise AssertionError("it is asked")

    place.ephemeral = True
    assert boot(place, [host()], vouch=console, accept=host_boot.refuse) == []
    assert learned(place) == [f"spot-1 {ED}"]


def test_the_operator_s_own_word_is_enough(place: Place) -> None:
    assert boot(place, [host(host_key=ED)]) == []
    with pytest.raises(Refused, match="and must be SHA256:"):
        boot(place, [host("other-1", host_key=ED)])


def test_console_s_last_keys_are_those_of_the_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones may be those of the image."""
    consoles = iter(["", "booting", CONSOLE])
    api = SimpleNamespace(get_console_output=lambda **_: {"Output": next(consoles)})
    monkeypatch.setattr(cloud.instances.aws, "client", lambda *_: api)
    monkeypatch.setattr(cloud.waiting.time, "sleep", lambda _: None)
    said: list[str] = []
    vouch = cloud.by_console(SimpleNamespace(region="us-east-1"), "", said.append)  # type: ignore[arg-type]
    assert vouch(host(instance_id="i-1")) == [ECDSA, ED]
    assert said == ["waiting for the host keys on the console of spot-1, up to 7 minutes"]


@pytest.mark.parametrize("console", ["", "-----BEGIN SSH HOST KEY KEYS-----", CONSOLE.replace("KEYS-----", "")])
def test_console_without_keys_vouches_for_none(console: str) -> None:
    assert host_keys.printed(console) == []


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (ED, True), (f"{ED} root@vault", True), (ECDSA, True), (key("ssh-rsa", 4), True), ("", True),
        ("SHA256:abc", False), ("ssh-ed25519", False), (f"{ED}\\n{OTHER}", False), (key("ssh-dss", 5), False),
    ],
)  # fmt: skip
def test_facts_name_a_public_key(text: str, right: bool) -> None:
    document = f'provider: machines\nhosts: [{{name: a, address: 192.0.2.7, host_key: "{text}"}}]\n'.encode()
    if right:
        (found,) = facts.hosts(facts.parsed(document, Path("facts.yml")))
        assert found.host_key == " ".join(text.split()[:2])
    else:
        with pytest.raises(BadInput, match="host_key"):
            facts.parsed(document, Path("facts.yml"))
