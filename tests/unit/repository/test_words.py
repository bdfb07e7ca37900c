"""The linter of words reads its list from docs/style.md, and reports prose only."""

from __future__ import annotations

from pathlib import Path

from ci.words import findings, prose, task_names, word_list

STYLE = (Path(__file__).resolve().parents[3] / "docs/style.md").read_text(encoding="utf-8")


def reported(text: str) -> list[tuple[int, str]]:
    return [(line, word) for line, word, _ in findings(text, word_list(STYLE))]


def test_every_row_of_the_list_is_read() -> None:
    table = STYLE.partition("\n## Word list\n")[2]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert len(word_list(STYLE)) == len(rows) > 20
    assert all(new for _, new in word_list(STYLE))


def test_words_are_found_with_their_line() -> None:
    text = "# Title\n\nThe Folder is\nno regular file. A site without a way\nout mends it.\n"
    assert sorted(reported(prose(text))) == [(3, "Folder"), (3, "is no"), (4, "without a way out"), (5, "mends")]


def test_what_is_right_is_not_found() -> None:
    assert reported("There is no directory. It is no longer there. The history; recommend, amend.") == []


def test_code_and_targets_of_links_are_not_read() -> None:
    text = "`folder` [text](folder.md) <folder>\n\n```sh\nfolder\n```\n\nfolder\n"
    assert reported(prose(text)) == [(7, "folder")]


def test_quotations_are_read_where_they_are_not_excepted() -> None:
    text = 'It said "is no folder".\n'
    assert reported(prose(text, quotes=False)) == []
    assert {word for _, word in reported(prose(text))} == {"folder", "is no"}


def test_of_yaml_the_names_of_tasks_are_read() -> None:
    assert reported(task_names("# folder\n- name: Make a folder\n  file: {path: folder}\n")) == [(2, "folder")]
