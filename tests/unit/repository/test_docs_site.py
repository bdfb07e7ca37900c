"""The site's links: rewritten from the repository's Markdown, and checked in what was built."""

from __future__ import annotations

from pathlib import Path

import pytest
from ci import docs_site


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {
        "docs/index.md": "# Entry\n",
        "docs/how-to/README.md": "# Guides\n\n## Disks\n\n- [B](b.md)\n- [A](a.md)\n",
        "docs/how-to/a.md": "# A\n",
        "docs/how-to/b.md": "# B `code`\n",
        "docs/zh/index.md": "# 首页\n",
        "docs/zh/tutorial/x.md": "# 教程\n",
        "roles/audit/README.md": "# audit\n",
        "inventories/facts.yml": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(docs_site, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "language", "text", "expected"),
    [
        ("docs/how-to/a.md", "en", "[x](../../roles/audit/README.md#v)", "[x](../reference/roles/audit.md#v)"),
        ("roles/audit/README.md", "en", "[x](../../docs/how-to/a.md)", "[x](../../how-to/a.md)"),
        ("docs/how-to/a.md", "en", "[the facts](../../inventories/facts.yml)", "the facts (`inventories/facts.yml`)"),
        ("docs/how-to/a.md", "en", "[`inventories/facts.yml`](../../inventories/facts.yml)", "`inventories/facts.yml`"),
        ("docs/index.md", "en", "[中文](zh/index.md)", '<a href="zh/index.html">中文</a>'),
        ("docs/zh/tutorial/x.md", "zh", "[x](../../how-to/README.md)", '<a href="../../how-to/index.html">x</a>'),
        ("docs/index.md", "en", "`[x](none.md)` [y](#top) [z](https://example.com)", None),
        ("docs/index.md", "en", "```sh\n[x](none.md)\n```\n", None),
    ],
)
def test_links_are_rewritten(tree: Path, source: str, language: str, text: str, expected: str | None) -> None:
    (tree / source).write_text(text, encoding="utf-8")
    problems: list[str] = []
    assert docs_site.rewritten(source, language, problems) == (expected or text)
    assert problems == []


def test_a_link_to_nothing_is_reported(tree: Path) -> None:
    (tree / "docs/index.md").write_text("# Entry\n\n[x](how-to/none.md)\n")
    assert docs_site.prepare(tree / "build") == ["docs/index.md: how-to/none.md does not exist"]


@pytest.mark.usefixtures("tree")
def test_the_navigation_follows_the_index_and_its_headings() -> None:
    guides = ["how-to/README.md", {"Disks": [{"B code": "how-to/b.md"}, {"A": "how-to/a.md"}]}]
    roles = [{"Roles": [{"audit": "reference/roles/audit.md"}]}]
    assert docs_site.navigation("en") == [{"Entry": "index.md"}, {"How-to guides": guides}, {"Reference": roles}]
    assert docs_site.toml([{'a "b"': ["中"]}]) == r'[{"a \"b\"" = ["中"]}]'


def test_the_built_site_is_checked(tmp_path: Path) -> None:
    (tmp_path / "zh").mkdir()
    (tmp_path / "app.js").write_text("")
    (tmp_path / "zh/index.html").write_text('<h1 id="标题">x</h1><a href="../index.html">en</a>', encoding="utf-8")
    (tmp_path / "index.html").write_text(
        '<script src="app.js"></script><link href="https://fonts.example/x.css"><a href="https://example.com">out</a>'
        '<a href="zh/index.html#%E6%A0%87%E9%A2%98">zh</a><a href="zh/index.html#none">a</a><a href="none.html">b</a>'
    )
    assert docs_site.check(tmp_path) == [
        "index.html loads https://fonts.example/x.css",
        "index.html: none.html does not exist",
        "index.html: zh/index.html#none: no such heading",
    ]
