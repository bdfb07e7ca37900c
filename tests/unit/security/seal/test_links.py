"""Where links lead is decided through the other links of the directory, not by their names alone."""

from __future__ import annotations

import os
import random
import tracemalloc
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.crypto import libcrypto
from dualtrack.security.seal import actions
from dualtrack.security.seal.links import MAX_LINKS, Links
from dualtrack.security.seal.slots import Sm2Recipient
from tests.support import reference_archive


def judged(*links: tuple[str, str]) -> tuple[bytes, str] | None:
    found = Links()
    for name, target in links:
        found.add(name.encode(), target.encode())
    return found.astray()


@pytest.mark.attack("who seals a directory", "leads outside by links through links", "prevented", "unseal")
@pytest.mark.parametrize(
    ("name", "link", "inside"),
    [
        ("l", "f", True), ("a/l", "../f", True), ("a/b/l", "../../f", True), ("l", ".", True), ("a/l", "..", True),
        ("l", "a//./b/", True), ("l", "nothing/../f", True),
        ("l", "..", False), ("l", "../f", False), ("a/l", "../../f", False), ("l", "/f", False),
        ("l", "a/../../f", False), ("a/l", "b/../../../f", False), ("l", "../l", False), ("l", "nothing/../..", False),
    ],
)  # fmt: skip
def test_one_link(name: str, link: str, inside: bool) -> None:
    found = judged((name, link))
    assert found == (None if inside else (name.encode(), "leads outside"))


@pytest.mark.parametrize(
    ("links", "astray"),
    [
        ([("x/y/up", "../.."), ("esc", "x/y/up/../../etc/hostname")], "esc"),
        ([("esc", "x/y/up/../../etc/hostname"), ("x/y/up", "../..")], "esc"),  # through one that comes later
        ([("d/e/p", "../../x"), ("y", "d/e/p/../../..")], "y"),
        ([("x/y/up", "../.."), ("in", "x/y/up/etc/hostname")], None),
        ([("x/y/up", ".."), ("in", "x/y/up/../f")], None),
        ([("a", "b/.."), ("b", "c"), ("c", "../o")], "a"),
        ([("b", "c"), ("a", "b/.."), ("c", ".")], "a"),
        ([("deep", "a/b/c"), ("in", "deep/../../f")], None),
        ([("deep", "a/b/c"), ("out", "deep/../../../../f")], "out"),
    ],
)
def test_links_through_links(links: list[tuple[str, str]], astray: str | None) -> None:
    found = judged(*links)
    assert (found[0].decode() if found else None) == astray


def test_loops_and_long_ways() -> None:
    for links in ([("a", "a")], [("a", "b"), ("b", "a")], [("a", "b/x"), ("b", "c"), ("c", "a/y")]):
        found = judged(*links)
        assert found
        assert "goes round" in found[1]
    chain = [(f"l{number}", f"l{number + 1}") for number in range(MAX_LINKS)]
    for order in (chain, chain[::-1]):
        assert judged(*order) is None
        found = judged(*order, ("first", "l0"))
        assert found
        assert "more than 40" in found[1]
    assert judged(("f", "."), ("twenty", "f/" * 39)) is None
    assert judged(("f", "."), ("twenty", "f/" * 40)) is not None


def test_the_system_follows_as_we_say(tmp_path: Path) -> None:
    """Random directories full of links: what we call inside leads to nothing outside; loops are loops."""
    chance = random.Random(4)
    for number in range(60):
        root = tmp_path / str(number) / "root"
        for folder in ("a/b", "c"):
            (root / folder).mkdir(parents=True)
        places = [f"{folder}{name}" for folder in ("", "a/", "a/b/", "c/") for name in ("l", "m", "n")]
        links = {}
        for place in chance.sample(places, 6):
            parts = chance.choices(["..", "a", "b", "c", "l", "m", "n", "."], k=chance.randint(1, 5))
            links[place] = "/".join(parts)
            (root / place).symlink_to(links[place])
        if judged(*sorted(links.items())) is None:
            for place in links:
                assert Path(os.path.realpath(root / place)).is_relative_to(root), links


def test_the_second_reader_walks_the_same_ways() -> None:
    """It walks each way anew, and knows every name on it; we keep the links only, and count what is below them."""
    chance, verdicts = random.Random(5), set[bool]()
    for _ in range(2000):
        names = ["a", "b", "l", "m"][: chance.randint(1, 4)]
        links = {}
        for _ in range(chance.randint(1, 6)):
            place = chance.choices(names, k=chance.randint(1, 4))
            links["/".join(place)] = "/".join(
                chance.choices([".", "..", "..", *names, *names], k=chance.randint(1, 12))
            )
        found = {it.encode(): reference_archive.Found("link", 0, 0, to.encode()) for it, to in links.items()}

        def stays(name: bytes, found: dict[bytes, reference_archive.Found] = found) -> bool:
            try:
                reference_archive.leads(found, name)
            except reference_archive.Alien:
                return False
            return True

        expected = next((name for name in found if not stays(name)), None)
        astray = judged(*links.items())
        assert (astray and astray[0]) == expected, links
        verdicts.add(expected is None)
    assert verdicts == {True, False}


@pytest.mark.attack("who seals a directory", "fills the memory with links", "prevented", "unseal: memory")
@pytest.mark.parametrize("target", ["a/" * 2046 + "a", "../../../d0/d/d/" + "a/" * 2030])
def test_a_target_takes_no_memory_for_names_that_are_not_there(target: str) -> None:
    links = [(f"d{number}/d/d/l", target) for number in range(50)]
    tracemalloc.start()
    try:
        assert judged(*links) is None
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2 * sum(len(name) + len(target) for name, target in links) + 200_000


@pytest.mark.parametrize("links", [[("x/y/up", "../.."), ("esc", "x/y/up/../../etc/hostname")], [("l", "l")]])
def test_a_directory_with_such_links_is_not_sealed(tmp_path: Path, links: list[tuple[str, str]]) -> None:
    for name, target in links:
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).symlink_to(target)
    to = Sm2Recipient(libcrypto.generate())
    with pytest.raises(BadInput, match="remove it"):
        actions.seal(str(tmp_path / "root"), str(tmp_path / "out"), [to], force=False, tick=lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
