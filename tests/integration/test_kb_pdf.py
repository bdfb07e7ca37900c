"""PDF: words and mail addresses that go over the end of a line are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.data.mirror import artifacts
from dualtrack.knowledge.pii.mask import mask_parts
from tests.integration.test_kb import pdf
from tests.integration.test_kb_tables import read


@pytest.fixture(scope="session")
def python() -> Path:
    return artifacts.environment("knowledge")


def lines(*said: str) -> bytes:
    return pdf(") Tj 0 -14 Td (".join(said))


def test_words_over_the_end_of_a_line(python: Path) -> None:
    texts = {
        ("for infor-", "mation"): "for information", ("tel 0755-", "23456789"): "tel 0755-\n23456789",
        ("a -", "b"): "a -\nb", ("one", "-two"): "one\n-two", ("A1-", "B2"): "A1-\nB2", ("see", "@bo"): "see\n@bo",
        ("It ends here.", "Company"): "It ends here.\nCompany",
    }  # fmt: skip
    found = read(python, "pdf", [lines(*it) for it in texts])
    assert [blocks for blocks, _ in found] == [[it] for it in texts.values()]


def test_an_address_is_masked_wherever_its_line_ends(python: Path) -> None:
    """With a hyphen within a word, and without one at each sign."""
    name, host, top = "li.wei", "huawei", "com"
    whole = f"{name}@{host}.{top}"
    broken = [(f"{name}@{host[:at]}-", f"{host[at:]}.{top} for") for at in range(1, len(host))]
    broken += [(f"{name}@", f"{host}.{top} for"), (name, f"@{host}.{top} for"), (f"{name}@{host}.", f"{top} for")]
    found = read(python, "pdf", [lines("write to", *it) for it in broken])
    for it, (blocks, _) in zip(broken, found, strict=True):
        assert whole in blocks[0], it
        assert mask_parts(blocks)[0] == ["write to\n[email] for"], it
