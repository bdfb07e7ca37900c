"""`--format`: on every command with `--json`, the same document in each format, and nothing else on stdout."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from inspect import unwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.cli import commands
from dualtrack.cli.options import LISTING
from dualtrack.core import characters, formats
from dualtrack.core.output import document, echo, form, records, result, table
from dualtrack.security.access import break_glass, model
from tests.conftest import CLI, ROOT
from tests.unit.cli.test_cli import prints_table

FORMATS = ("table", "wide", "json", "yaml", "csv")
DOCUMENTS = {
    path: command for path, command in commands() if any("--json" in it.opts for it in command.params)
}  # fmt: skip
TEXT = st.text(st.characters(codec=None, exclude_categories=()))
#: These print their tables in modules of their own.
ELSEWHERE = {
    ("cloud", "plan"), ("verify",), ("spot", "plan"), ("spot", "apply"), ("cost", "report"), ("cost", "breakeven"),
    ("fabric", "check"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _anew() -> Any:
    form.reset()
    yield
    form.reset()


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DUALTRACK_LAB_DIR": str(folder)}
    return subprocess.run([CLI, *words], env=env, capture_output=True, text=True, check=False, timeout=60)


def printed(call: Any) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        call()
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize("path", DOCUMENTS, ids=" ".join)
def test_what_has_json_has_every_format(path: tuple[str, ...]) -> None:
    (option,) = [it for it in DOCUMENTS[path].params if "--format" in it.opts]
    assert tuple(option.type.choices) == FORMATS
    assert not option.required


@pytest.mark.parametrize("path", DOCUMENTS, ids=" ".join)
def test_what_prints_a_table_prints_it_with_csv(path: tuple[str, ...]) -> None:
    function = unwrap(DOCUMENTS[path].callback)
    listing = LISTING in (function.__defaults__ or ())
    assert listing == (prints_table(function) or path in ELSEWHERE)


def test_the_document_is_the_same_in_json_and_yaml(tmp_path: Path) -> None:
    as_json, short, as_yaml = (
        run(tmp_path, "doctor", *it) for it in (("--format", "json"), ("--json",), ("--format", "yaml"))
    )
    assert as_json.stdout == short.stdout
    assert yaml.safe_load(as_yaml.stdout) == json.loads(as_json.stdout)


def test_csv_has_the_columns_of_the_table_and_notes_go_to_stderr(tmp_path: Path) -> None:
    rows = list(csv.reader(io.StringIO(run(tmp_path, "doctor", "--format", "csv").stdout)))
    assert rows[0] == ["check", "state", "detail", "what to do"]
    assert {len(it) for it in rows} == {4}
    done = run(tmp_path, "pools", "report", "--format", "csv")
    assert done.stdout.startswith("field,value\nschema,dualtrack.pools-report/1\n")
    assert "there is no journal" in done.stderr


#: Commands that run without a lab, where nothing has been made yet.
WITHOUT_LAB = (
    ("access", "grants"), ("access", "matrix"), ("access", "people"), ("doctor",), ("drift",), ("events",),
    ("explain", "5"), ("explain", "gpus"), ("lab", "aws", "show"), ("lab", "status"), ("pii", "kinds"),
    ("pools", "report"), ("pools", "status"), ("status",), ("store", "list"), ("use",),
)  # fmt: skip


@pytest.mark.parametrize("words", WITHOUT_LAB, ids=" ".join)
def test_what_prints_a_document_prints_rows_with_csv(tmp_path: Path, words: tuple[str, ...]) -> None:
    as_json, as_csv = (run(tmp_path, *words, "--format", it) for it in ("json", "csv"))
    assert as_json.returncode == as_csv.returncode
    assert bool(as_json.stdout) == bool(as_csv.stdout)
    for rows in as_csv.stdout.split("\n\n"):
        assert len({len(it) for it in csv.reader(io.StringIO(rows))}) <= 1


def test_a_result_without_a_table_is_its_fields_with_csv() -> None:
    form.format = "csv"
    out, err = printed(lambda: result("test", {"up": False}, lambda: echo("it is down"), json=False))
    assert (out, err) == ("field,value\nschema,dualtrack.test/1\nup,false\n", "it is down\n")
    assert printed(lambda: result("test", {"a": 1}, lambda: table(("a",), []), json=False))[0] == "a\n"


def test_people_with_csv_have_their_break_glass_access(tmp_path: Path) -> None:
    access = model.load(ROOT / "inventories/access.yml")
    name = access.people[-1].name
    role = next(it for it in access.all_roles() if it not in access.people[-1].roles)
    grants = tmp_path / "grants.json"
    made = break_glass.Grant(
        id="7", name=name, role=role, reason="disk, full", since=datetime.now(UTC),
        until=datetime.now(UTC) + timedelta(hours=1),
    )  # fmt: skip
    grants.write_bytes(msgspec.json.encode(break_glass.Grants((made,))))
    done = run(tmp_path, "access", "people", "--grants", str(grants), "--format", "csv")
    rows = {it["name"]: it["break-glass access"] for it in csv.DictReader(io.StringIO(done.stdout))}
    assert rows[name].startswith(f"7: {role} until ")
    assert not any(text for it, text in rows.items() if it != name)


def test_csv_of_a_command_without_a_table_has_the_fields_of_its_document(tmp_path: Path) -> None:
    done = run(tmp_path, "use", "--format", "csv")
    assert done.stdout == "field,value\nschema,dualtrack.use/1\nstack,emulator\nfrom,default\n"


def test_an_empty_table_has_its_first_row(tmp_path: Path) -> None:
    assert run(tmp_path, "status", "--format", "csv").stdout.startswith("host,track,pool,")


def test_wide_has_further_columns(tmp_path: Path) -> None:
    narrow, wide = (run(tmp_path, "access", "people", "--format", it).stdout for it in ("table", "wide"))
    assert "grants" not in narrow
    assert "grants" in wide


@pytest.mark.parametrize(
    "words", [("doctor", "--json", "--format", "yaml"), ("doctor", "--format", "xml")], ids=" ".join
)
def test_what_cannot_be_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(tmp_path, *words)
    assert (done.returncode, done.stdout) == (2, "")


def test_the_stack_is_in_the_heading_of_tables_and_in_documents() -> None:
    form.stack = "aws"
    assert "Pools · stack aws" in printed(lambda: table(("a",), [("b",)], title="Pools"))[0]
    assert json.loads(printed(lambda: document("test", {"a": 1}))[0])["stack"] == "aws"


def test_records_come_one_by_one() -> None:
    def three() -> None:
        for number in range(3):
            records("test")({"number": number, "note": None})

    assert [json.loads(it)["number"] for it in printed(three)[0].splitlines()] == [0, 1, 2]
    form.format = "yaml"
    assert [it["number"] for it in yaml.safe_load_all(printed(three)[0])] == [0, 1, 2]
    form.format = "csv"
    assert printed(three)[0].splitlines()[:2] == ["schema,number,note", "dualtrack.test/1,0,"]


def test_a_second_table_begins_after_an_empty_line() -> None:
    form.format = "csv"

    def two() -> None:
        table(("a",), [("1",)])
        echo("a note")
        table(("b",), [("2",)])

    assert printed(two) == ("a\n1\n\nb\n2\n", "a note\n")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("=1+1", "'=1+1"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("-1+1", "'-1+1"), ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "\\t=1"), ("\r=1", "\\r=1"), ("＝1", "'＝1"), ("-oEvil", "'-oEvil"), ("-1\n=2", "'-1\\n=2"),
        ("-1", "-1"), ("+1,234.50", "+1,234.50"), ("-1e-05", "-1e-05"), ("-", "-"), ("a=b", "a=b"), ("", ""),
    ],
)  # fmt: skip
def test_no_cell_is_a_formula(cell: str, expected: str) -> None:
    form.format = "csv"
    out, _ = printed(lambda: table(("a", "b"), [(cell, "")]))
    assert list(csv.reader(io.StringIO(out)))[1] == [expected, ""]


@given(TEXT)
def test_every_character_shows_in_every_format(text: str) -> None:
    for name in ("yaml", "csv"):
        form.format = name
        out, _ = printed(lambda: document("test", {text: [text]}))
        assert not [it for it in out if it != "\n" and characters.hidden(it)]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda it: st.lists(it) | st.dictionaries(
    st.text(), it)))  # fmt: skip
def test_yaml_is_read_as_it_was(data: Any) -> None:
    assert yaml.safe_load(formats.yaml_text({"data": data})) == {"data": data}


@pytest.mark.parametrize(("text", "expected"), [('{"stack": "aws"}', "aws"), ("{}", None), ("[", None)])
def test_commands_about_running_tracks_name_their_stack(tmp_path: Path, text: str, expected: str | None) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/tracks.json").write_text(text)
    code = (
        "import typer; from dualtrack.cli import formats, groups; from dualtrack.cli.options import LISTING;"
        " from dualtrack.core.output import document\n"
        "def status(json: bool = LISTING): document('test', {})\n"
        "app = typer.Typer(); app.callback()(lambda: None); app.command('verify')(status)\n"
        "command = typer.main.get_command(app); formats.add(command)\n"
        "command.main(['verify', '--json'], prog_name='dualtrack')"
    )
    env = {**os.environ, "DUALTRACK_LAB_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout).get("stack") == expected
