"""A translation says which original it is of, and is not older than it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ci.translations import accept, problem, translations

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("path", translations(ROOT), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_translation_is_not_older_than_its_original(path: Path) -> None:
    assert problem(ROOT, path) is None


@pytest.mark.parametrize(("name", "original"), [("docs/zh/a.md", "docs/a.md"), ("README.zh-CN.md", "README.md")])
def test_a_changed_original_is_reported_until_the_translation_is_accepted(
    tmp_path: Path, name: str, original: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("# 标题\n", encoding="utf-8")
    (tmp_path / original).write_text("# Title\n")
    assert problem(tmp_path, path) == f"{name} does not name its original (see ci/translations.py)"
    accept(tmp_path, path)
    assert problem(tmp_path, path) is None
    (tmp_path / original).write_text("# Another title\n")
    assert str(problem(tmp_path, path)).startswith(f"{name} is older than {original}: ")
    accept(tmp_path, path)
    assert problem(tmp_path, path) is None
    assert path.read_text(encoding="utf-8").endswith("\n\n# 标题\n")
    (tmp_path / original).unlink()
    assert problem(tmp_path, path) == f"{name}: its original {original} does not exist"


def test_the_script_says_so_in_lint() -> None:
    done = subprocess.run([sys.executable, ROOT / "ci/translations.py"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
