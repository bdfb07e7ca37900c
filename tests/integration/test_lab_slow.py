"""A lab whose parts are slow or stopped: what continues without them, what is forced, and what the errors say."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dualtrack.lab import cgroup, life
from dualtrack.lab.state import Store
from tests.conftest import Cli, living, wait

SERVERS = ("one", "two", "three")


@pytest.fixture
def impatient(lab: Cli) -> Iterator[Cli]:
    """The lab's command line, with waits a tenth as long."""
    lab.env["DUALTRACK_PATIENCE"] = "0.1"
    try:
        yield lab
    finally:
        del lab.env["DUALTRACK_PATIENCE"]


@pytest.fixture
def facts(lab: Cli) -> Path:
    """A facts file of three servers that are up, and one beside them that is in no facts file."""
    path = lab.folder / "facts.yml"
    hosts = [{"name": name, "address": f"10.30.1.{10 + at}"} for at, name in enumerate(SERVERS)]
    path.write_text(yaml.safe_dump({"provider": "lab", "user": "ops", "hosts": hosts}))
    for host in hosts:
        lab("lab", "host", "add", host["name"], "--address", host["address"])
    lab("lab", "host", "add", "bystander")
    return path


def names(lab: Cli) -> set[str]:
    return {str(host["name"]) for host in lab.json("lab", "status")["hosts"]}


def remains(lab: Cli, name: str) -> list[str]:
    """Return what is left of a host: its processes, its files."""
    store = Store(lab.folder)
    return (
        living(f"{store.layout.cgroup}/hosts/{name}")
        + [str(store.host_folder(name))] * store.host_folder(name).exists()
    )


def test_down_takes_hosts_down_by_force_when_the_supervisor_does_not(impatient: Cli, facts: Path) -> None:
    supervisor = impatient.json("lab", "status")["pid"]
    assert all(remains(impatient, name) for name in SERVERS)
    os.kill(supervisor, signal.SIGSTOP)
    try:
        done = impatient("local", "down", "--facts", str(facts))
    finally:
        os.kill(supervisor, signal.SIGCONT)
    assert "with no progress for" in done.stderr
    assert "still there: taking down by force" in done.stderr
    for name in SERVERS:
        assert f"{name} was taken down by force" in done.stderr
        assert remains(impatient, name) == []
    # Nobody else was hit, and the supervisor agrees once it continues.
    assert remains(impatient, "bystander")
    wait(lambda: names(impatient) == {"bystander"}, 30, "the supervisor's own view")
    again = impatient("local", "down", "--facts", str(facts))
    assert "the local track was down" in again.stderr


def test_stopped_and_frozen_processes_of_a_host_do_not_keep_it(impatient: Cli, facts: Path) -> None:
    store = Store(impatient.folder)
    for pid in living(f"{store.layout.cgroup}/hosts/one"):
        os.kill(int(pid), signal.SIGSTOP)
    (life.group(store, "two") / "cgroup.freeze").write_text("1")
    done = impatient("local", "down", "--facts", str(facts))
    assert "by force" not in done.stderr
    assert [remains(impatient, name) for name in SERVERS] == [[], [], []]


def test_host_that_an_earlier_attempt_left_behind_is_removed(impatient: Cli, facts: Path) -> None:
    """As when `down` was stopped between taking the declaration back and seeing the host go."""
    supervisor = impatient.json("lab", "status")["pid"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        (impatient.folder / "hosts.d/one.json").unlink()
        done = impatient("local", "down", "--facts", str(facts))
    finally:
        os.kill(supervisor, signal.SIGCONT)
    assert "the local track is down" in done.stderr
    assert [remains(impatient, name) for name in SERVERS] == [[], [], []]


def test_host_that_stops_while_it_boots_is_given_up_with_its_last_words(impatient: Cli) -> None:
    store = Store(impatient.folder)
    group = life.group(store, "still")

    def freeze() -> None:
        # Not before its first words, so that there is something to be told.
        wait(lambda: group.is_dir() and life.size(store.host_log("still")), 60, "the first words of the host")
        (group / "cgroup.freeze").write_text("1")

    thread = threading.Thread(target=freeze)
    thread.start()
    done = impatient("lab", "host", "add", "still", check=False)
    thread.join()
    assert done.returncode == 4
    assert "for host still to answer ssh, with no progress for 6 s; last seen: console: " in done.stderr
    impatient("lab", "host", "remove", "still")
    assert remains(impatient, "still") == []


def test_lock_that_is_held_for_nothing_names_its_holder(impatient: Cli) -> None:
    with (impatient.folder / "lock").open("w") as file, subprocess.Popen(["sleep", "600"]) as idle:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(f"{idle.pid} a program that sleeps\n")
            file.flush()
            begin = time.monotonic()
            done = impatient("lab", "up", check=False)
        finally:
            idle.kill()
    assert done.returncode == 5
    assert f"with no progress for 12 s; last seen: {idle.pid} a program that sleeps" in done.stderr
    assert time.monotonic() - begin > 12


def test_work_is_seen_as_processor_time(lab: Cli) -> None:
    store = Store(lab.folder)
    before = life.signs(store, "bystander")
    lab("lab", "ssh", "bystander", "timeout 3 sh -c 'while :; do :; done'", check=False)
    assert life.signs(store, "bystander") > before
    assert cgroup.processor_seconds(life.group(store, "nobody")) == 0
    assert life.signs(store, "nobody") == (0, 0)


def test_lab_with_a_stopped_supervisor_goes_down(lab: Cli) -> None:
    os.kill(lab.json("lab", "status")["pid"], signal.SIGSTOP)
    lab("lab", "down")
    assert living(Store(lab.folder).layout.cgroup) == []
