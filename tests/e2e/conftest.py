"""Stories: the tests of one file are steps, each of which begins in the state that the first ones bring about.

A step that runs alone (`pytest tests/e2e/test_pools.py -k money`), or after one that failed, gets that state first, so
that no step depends on one that is not named, and one failure is one failure.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.conftest import CLI, Cli, wait

#: Whether the state of a file's story holds; and whether a test has failed.
HOLDS, FAILED = pytest.StashKey[bool](), pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember which tests failed."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def continues(
    request: pytest.FixtureRequest, begins: Sequence[str], bring_about: Callable[[], object]
) -> Iterator[None]:
    """Run a step: a generator for an automatic fixture of the story's file.

    ``begins`` are the tests that bring the state about, the last of them completes it; without any, the story's set-up
    has done so. Before any other test ``bring_about`` does it where the state does not hold.
    """
    story = request.node.getparent(pytest.Module)
    name = request.node.originalname
    if name not in begins and not story.stash.get(HOLDS, not begins):
        bring_about()
    story.stash[HOLDS] = False
    yield
    story.stash[HOLDS] = not request.node.stash.get(FAILED, False) and name not in begins[:-1]


def tasks(site: Cli) -> int:
    """Return how many tasks have begun on the hosts of the local track."""
    return sum(log.read_text(errors="replace").count("\nTASK [") for log in site.state.glob("logs/configure-local*"))


def interrupt(site: Cli, *words: str) -> None:
    """Stop a command by Ctrl-C while it configures the local track."""
    before = tasks(site)
    process = subprocess.Popen([CLI, *words], env=site.env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        wait(lambda: tasks(site) >= before + 3 or process.poll() is not None, 120, "the local track to be configured")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "the next run continues from here" in err.splitlines()[-1]
    assert "Traceback" not in err


def half_read(site: Cli, name: str) -> None:
    """Leave a host as a run does that is stopped while apt reads its lists: with a new stamp, and packages missing."""
    for words in (
        ("apt-get", "remove", "--yes", "nvidia-container-toolkit"),
        ("find", "/var/lib/apt/lists", "-type", "f", "-delete"),
        ("touch", "/var/lib/apt/lists", "/var/lib/apt/periodic/update-success-stamp"),
    ):
        site("lab", "exec", name, "--", *words)


@contextmanager
def without(site: Cli, name: str) -> Iterator[None]:
    """Have the engines of a host out of their gateway's reach temporarily."""
    site.inside(name, "systemctl", "stop", "dualtrack-engines-tls.service")
    try:
        yield
    finally:
        site.inside(name, "systemctl", "start", "dualtrack-engines-tls.service")
