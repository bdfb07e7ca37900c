"""How a document is called where it is shown: its path, without personal data."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.knowledge import versions
from tests.support.knowledge_base import take_in


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("李雷-E12345678.md", "护照号码：E12345678", "李雷-[passport].md"),
        ("visa_E12345678.v2.md", "护照号码：E12345678", "visa_[passport].v2.md"),
        ("13912345678.md", "见附件", "[phone].md"),
        ("E12345678.md", "见附件", "E12345678.md"),
        ("密码.md", "Abc12345 是例子", "密码.md"),
        ("a/Welcome2024!.md", "初始密码：Welcome2024!", "a/[secret].md"),
    ],
)
def test_a_value_of_the_text_is_in_its_path_neither(tmp_path: Path, name: str, text: str, shown: str) -> None:
    path = tmp_path / "docs" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    take_in(tmp_path / "base", tmp_path / "docs")
    [entry] = versions.load(tmp_path / "base").entries
    assert entry.source == shown
    assert name != "密码.md" or entry.text == text
