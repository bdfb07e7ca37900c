"""The linter of words reads its list from docs/style.md, and reports prose only, in Markdown as in source files."""

from __future__ import annotations

from pathlib import Path

from ci.words import comments, files, findings, prose, python, texts, wide, word_list

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


def test_a_word_is_found_across_lines_but_not_across_code() -> None:
    assert reported(python('"""It is\n    no file.\n"""\n')) == [(1, "is no")]
    assert reported(python("# It is\n# no file.\n")) == [(1, "is no")]
    assert reported(python('x = 1  # so it is\ny("no file")\n')) == []


def test_of_python_comments_docstrings_and_messages_are_read() -> None:
    text = (
        '"""Doc of a folder."""\n'
        "def folder(folder: str) -> str:  # the folder\n"
        "    there = {'folder': folder}\n"
        "    return f'{folder} is a folder, not {folder / \"folder\"}'\n"
    )
    assert reported(python(text)) == [(1, "folder"), (2, "folder"), (4, "folder")]


def test_of_python_code_in_prose_is_not_read() -> None:
    assert reported(python('"""`folder`, ``folder`` and\n    folder: a key, folder=1\n"""\nx = "folder"\n')) == []


def test_of_yaml_comments_names_messages_and_descriptions_are_read() -> None:
    text = (
        "# a folder\n- name: Make a folder\n  file: {path: folder}\n  vars:\n    folder: x folder\n"
        "  description: >-\n    C(folder), a\n    folder.\n  type: folder\n  fail_msg: no folder\n"
    )
    assert reported(texts(text)) == [(1, "folder"), (2, "folder"), (8, "folder"), (10, "folder")]


def test_of_opentofu_comments_and_descriptions_are_read() -> None:
    text = 'folder = "a folder" # a folder\ndescription   = "A folder."\n'
    assert reported(texts(text)) == [(1, "folder"), (2, "folder")]


def test_of_shell_and_templates_comments_are_read() -> None:
    assert reported(comments('cd "$folder" # the folder\n{# a folder #}\n${folder#folder}\n')) == [
        (1, "folder"),
        (2, "folder"),
    ]


def test_descriptions_of_units_are_read() -> None:
    assert reported(comments("[Unit]\nDescription=Makes the folder\nfolder=folder\n")) == [(2, "folder")]


def test_every_kind_of_file_is_read() -> None:
    read = {name: how.__name__ for name, how in files()}
    assert read["README.md"] == read["roles/base/README.md"] == "prose"
    assert read["ci/words.py"] == read["tools/dualtrack/core/files.py"] == "python"
    assert read["roles/base/meta/argument_specs.yml"] == read["terraform/modules/network/main.tf"] == "texts"
    assert read["Makefile"] == read["ci/lint.sh"] == read["roles/gateway/templates/haproxy.cfg.j2"] == "comments"
    assert not {"docs/style.md", "roles/serving/files/gateway.py"} & set(read)


def test_wide_prose_is_found_and_what_cannot_be_broken_is_not() -> None:
    long = "word " * 30
    page = f"{long}\n\n| {long} |\n\n```\n{long}\n```\n\n- [a](https://host/{'x' * 150})\n\n- {long}\n\n`{long}`\n"
    assert list(wide(page)) == [(1, 150), (11, 152)]
