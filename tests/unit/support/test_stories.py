"""Steps of a story: one that runs alone, or after a failure, gets the state that it continues from."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

STORY = """
import pathlib
import pytest
from tests.e2e.conftest import continues

LOG = pathlib.Path("log")

def note(word):
    with LOG.open("a") as file:
        file.write(word + " ")

@pytest.fixture(autouse=True)
def up(request):
    yield from continues(request, ("test_half", "test_up"), lambda: note("brought-up"))

def test_half(): note("half")
def test_up(): note("up")
def test_one(): note("one")
def test_fails(): note("fails"); assert False
def test_two(): note("two")
def test_three(): note("three")
"""


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("", "half up one fails brought-up two three"),
        ("one", "brought-up one"),
        ("two or three", "brought-up two three"),
        ("half or one", "half brought-up one"),
        ("up or one", "up one"),
    ],
)
def test_steps_begin_in_the_state_of_the_story(pytester: pytest.Pytester, chosen: str, expected: str) -> None:
    pytester.makeconftest("from tests.e2e.conftest import pytest_runtest_makereport")
    pytester.makepyfile(STORY)
    pytester.runpytest("-q", "-k", chosen, "-p", "no:cacheprovider")
    assert (pytester.path / "log").read_text().split() == expected.split()
