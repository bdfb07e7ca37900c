"""What others wrote is shown as it is: it commands no terminal, hides nothing, and ends no command."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from dualtrack.core import characters, output
from dualtrack.core.characters import visible
from dualtrack.core.output import document, echo, table
from tests.conftest import ROOT

ANY = st.text(st.characters(codec=None, exclude_categories=()))
HOSTILE = (
    "Invalid user x [preauth]", "COMMAND=[hidden thing] rm -rf", ":smile:", "[link=http://evil]click[/link]",
    "a [/] b", "[/red]", "[conceal]x[/conceal]", "up", "\x1b]0;pwned\x07", "\x9b2J", "a\rb", "a\nb",
    "user\u202egnp.exe", "\u2028", "\udcff", "\\x1b", "a\u3164b", "\u2800", "ro\u034fot",
)  # fmt: skip
#: Letters and marks that show nothing, from Unicode's list of what may be left out when it is drawn.
BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(
    chr(it) for begin, end in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF)) for it in range(begin, end + 1)
)


@pytest.fixture(autouse=True)
def _form() -> Iterator[None]:
    """What an earlier test's command has set is of this process."""
    output.form.reset()
    yield
    output.form.reset()


def printed(text: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        table(("what", text), [(text, "next")], title=text)
    return out.getvalue()


def unseen(text: str) -> set[str]:
    hidden = {it for it in text if unicodedata.category(it) in characters.UNSEEN or it in BLANK}
    return hidden - {"\n"}


@pytest.mark.attack("who writes to a log", "commands the reader's terminal", "prevented", "one escape for all output")
@pytest.mark.parametrize("text", HOSTILE)
def test_table_shows_every_character(text: str) -> None:
    shown = printed(text)
    assert not unseen(shown)
    assert shown.count(visible(text)) == 3


@given(ANY)
@example("\U000e0101")
def test_everything_shows(text: str) -> None:
    assert not unseen(visible(text))
    assert "\n" not in visible(text)
    assert visible("".join(it for it in text if not unseen(it) and it != "\n")) == text.translate(
        {ord(it): None for it in {*unseen(text), "\n"}}
    )


@given(ANY)
def test_lines_and_progress_command_nothing(text: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        echo(text)
        output.Steps()(text)
    assert not unseen(out.getvalue()) - {"\t"}
    assert not unseen(err.getvalue())
    assert err.getvalue().count("\n") == 1


@pytest.mark.attack(
    "who names files", "ends a command by a name that is not UTF-8", "prevented", "one escape for all output"
)
def test_json_of_what_is_no_text() -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        document("test", {"names": ["a\udcff", ("b\udcfe", {"c\udcfd": 1})]})
    assert json.loads(out.getvalue())["names"] == ["a\\udcff", ["b\\udcfe", {"c\\udcfd": 1}]]


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_json_is_the_same_document(text: str) -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        document("test", {"text": text, text: 1})
    assert not unseen(out.getvalue())
    assert json.loads(out.getvalue()) == {"schema": "dualtrack.test/1", "text": text} | {text: 1}


def test_words_have_their_colours_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in printed("failed")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31mfailed" in printed("failed")


def test_commands_print_by_this_module_alone() -> None:
    """Programs that run on hosts, and what plays another program, have their own."""
    own = {"output.py", "progress.py", "hostvars.py", "signed.py", "certificates.py"}
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "tools/dualtrack").rglob("*.py")
        if path.name not in own and not {"agents", "lab"} & set(path.relative_to(ROOT).parts)
        if re.search(r"(?<![\w.])print\(|typer\.echo|secho|sys\.stdout\.write|sys\.stderr\.write", path.read_text())
    ]
    assert found == []


WORDS = st.lists(
    st.lists(st.from_regex(r"[a-z0-9.:/-]{1,70}", fullmatch=True), min_size=3, max_size=3), min_size=1, max_size=5
)


@given(WORDS, st.integers(20, 140))
def test_no_word_of_a_table_is_cut_however_narrow_the_terminal_is(rows: list[list[str]], width: int) -> None:
    out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "console", lambda **_: out)
        output.table(("host", "instance", "what"), rows)
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    for row in rows:
        assert any(all(word in line for word in row) for line in shown.splitlines()), (row, shown)
