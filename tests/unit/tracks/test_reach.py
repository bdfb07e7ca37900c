"""How hosts are reached: the ssh command line, known keys, and when a first boot is over."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dualtrack.core import proc
from dualtrack.core.errors import External
from dualtrack.core.waiting import GaveUp
from dualtrack.inventory.model import Host
from dualtrack.remote.known_hosts import KnownHosts
from dualtrack.tracks import host_boot

HOST = Host(
    name="gateway-1", address="10.30.0.12", user="ops", track="local", pool="owned", lifecycle="owned", port=2222
)


def done(code: int, out: str = "", err: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(["ssh"], code, out, err)


def test_ssh_words() -> None:
    arguments = "-o 'ProxyCommand=ip netns exec dt-1 nc %h %p' -o UserKnownHostsFile=/k"
    words = host_boot.ssh_words(
        HOST, lambda _: {"ansible_ssh_common_args": arguments, "ansible_ssh_private_key_file": "/key"}
    )
    assert words[0] == "ssh"
    assert words[words.index("-p") + 1] == "2222"
    assert words[words.index("-i") + 1] == "/key"
    assert words[-1] == "ops@10.30.0.12"
    assert host_boot.proxy_of(words) == "ip netns exec dt-1 nc %h %p"


def test_without_a_key_the_agent_is_left_to_choose() -> None:
    words = host_boot.ssh_words(HOST, lambda _: {})
    assert "-i" not in words
    assert "IdentitiesOnly=yes" not in words
    assert host_boot.proxy_of(words) == ""


def test_known_is_by_the_whole_name(tmp_path: Path) -> None:
    known = KnownHosts(tmp_path / "ssh/known_hosts")
    assert not known.has("gateway-1")
    known.learn("gateway-10", "ssh-ed25519 AAAA")
    assert not known.has("gateway-1")
    known.learn("gateway-1", "ssh-ed25519 AAAA")
    assert known.has("gateway-1")
    known.forget(["gateway-1"])
    assert (known.has("gateway-1"), known.has("gateway-10")) == (False, True)


@pytest.mark.parametrize(
    ("said", "goes_on"),
    [
        (done(0, "status: done"), False),
        (done(1, "status: error"), False),
        (done(124, "status: running\n1234"), True),
        (done(255, err="Permission denied (publickey)"), True),
        (done(255, err="@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @"), False),
    ],
)
def test_goes_on(said: subprocess.CompletedProcess[str], goes_on: bool) -> None:
    assert host_boot.goes_on(said) is goes_on


def test_detail_is_one_line_of_bounded_length() -> None:
    assert host_boot.detail(done(1, "status: error\n  detail: x\n")) == "status: error detail: x"
    assert host_boot.detail(done(255, err="refused\n")) == "refused"
    assert len(host_boot.detail(done(1, "y" * 1000))) == 300


class Boot:
    """Answers of a host to one login after another; the last one stays."""

    def __init__(self, *answers: subprocess.CompletedProcess[str] | External) -> None:
        self.answers = list(answers)

    def __call__(self, *_: object, **__: object) -> subprocess.CompletedProcess[str]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, External):
            raise answer
        return answer


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DUALTRACK_PATIENCE", "0.003")
    return monkeypatch


def test_slow_first_boot_is_waited_for(quick: pytest.MonkeyPatch) -> None:
    hangs = External("ssh did not finish within 90 s")
    quick.setattr(proc, "run", Boot(done(255, err="refused"), hangs, done(124, "running 10"), done(0, "done")))
    host_boot.first_boot(HOST, lambda _: {}, lambda _: None, 180)


def test_failed_first_boot_is_told_in_cloud_init_s_words(quick: pytest.MonkeyPatch) -> None:
    quick.setattr(proc, "run", Boot(done(1, "status: error\ndetail: no user data")))
    with pytest.raises(External, match="first boot of gateway-1 failed: status: error detail: no user data"):
        host_boot.first_boot(HOST, lambda _: {}, lambda _: None, 180)


def test_first_boot_that_stands_still_is_given_up(quick: pytest.MonkeyPatch) -> None:
    quick.setattr(proc, "run", Boot(done(124, "status: running 1234")))
    with pytest.raises(GaveUp, match=r"no progress for 0\.54 s; last seen: status: running 1234"):
        host_boot.first_boot(HOST, lambda _: {}, lambda _: None, 180)
