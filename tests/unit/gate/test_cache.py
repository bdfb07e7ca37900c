"""The result cache: what passed runs again when one of its inputs changes, and only then.

On a small checkout with units of its own, run by the real gate: real processes, control groups, and the kernel's word
of which files they open.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from ci.gate.gate import Gate
from ci.gate.results import EXPIRY_S, Results, stale, untrusted
from ci.gate.tracing import source
from ci.gate.tree import Tree
from ci.gate.units import Unit

from tests.conftest import wait

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="asking the kernel which files are opened takes root")

FILES = {
    "shared.txt": "1",
    "one/input.txt": "1",
    "two/input.txt": "1",
    "two/listed/a": "",
    "two/tool.sh": "#!/bin/sh\ncat two/input.txt\n",
    "two/empty/keep": "",
    "code/thing.py": "VALUE = 1\n",
    "unrelated/notes.md": "1",
}
PYTHON = f"{sys.executable} -B -c 'import sys; sys.path.insert(0, \"code\"); import thing'"
#: Each unit, and what it reads: directly, by a script, by a listing, as a Python module, through a link, by its name.
COMMANDS = {
    "one": "cat shared.txt one/input.txt",
    "two": "cat shared.txt; sh two/tool.sh; ls two/listed",
    "python": PYTHON,
    "link": "cat link.txt",
    "one/probe": "cat one/input.txt; test ! -e one/extra.txt",
}


class Checkout:
    """A checkout with units, and the results that are kept of them."""

    def __init__(self, root: Path) -> None:
        self.root, self.kept, self.runs = root / "tree", Results(root / "results"), 0
        self.root.mkdir()
        for name, text in FILES.items():
            self.write(name, text)
        (self.root / "link.txt").symlink_to("one/input.txt")
        (self.root / ".gitignore").write_text("__pycache__/\nignored.txt\n.lab/\n")
        self.git("init", "-q")
        self.commit()

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def git(self, *words: str) -> None:
        settings = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        subprocess.run(["git", *settings, *words], cwd=self.root, check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")

    def gate(
        self, *, environ: dict[str, str] | None = None, machine: str = "m", jobs: int = 1, every: bool = False
    ) -> Gate:
        self.runs += 1
        self.said: list[str] = []
        clean = {key: value for key, value in os.environ.items() if not untrusted({key: value})}
        return Gate(
            self.root, self.root.parent / f"run-{self.runs}", self.kept, environment=machine, expected={}, jobs=jobs,
            every=every, say=self.said.append, environ=clean | (environ or {}),
        )  # fmt: skip

    def run(
        self, commands: dict[str, str] | None = None, *, environ: dict[str, str] | None = None, machine: str = "m",
        jobs: int = 1, every: bool = False,
    ) -> dict[str, str]:  # fmt: skip
        """Run the gate; return what became of each unit."""
        gate = self.gate(environ=environ, machine=machine, jobs=jobs, every=every)
        units = [
            Unit(part="unit", name=name, command=("sh", "-c", command))
            for name, command in (commands or COMMANDS).items()
        ]
        return {outcome.name: outcome.state for outcome in gate.run(units)}

    def ran(self, **options: object) -> set[str]:
        """Return the names of the units that ran, and did not come from the cache."""
        return {name for name, state in self.run(**options).items() if state != "cached"}  # type: ignore[arg-type]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    found = Checkout(tmp_path)
    assert found.ran() == set(COMMANDS)
    assert found.ran() == set()
    return found


EVERY = set(COMMANDS)


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda it: it.write("shared.txt", "2"), {"one", "two"}),
        (lambda it: it.write("one/input.txt", "2"), {"one", "link", "one/probe"}),
        (lambda it: it.write("two/input.txt", "2"), {"two"}),
        (lambda it: it.write("two/tool.sh", "cat two/input.txt"), {"two"}),
        (lambda it: (it.root / "two/tool.sh").chmod(0o755), {"two"}),
        (lambda it: it.write("two/listed/b", ""), {"two"}),
        (lambda it: (it.root / "two/listed/a").unlink(), {"two"}),
        (lambda it: (it.root / "two/listed/a").rename(it.root / "two/listed/c"), {"two"}),
        (lambda it: it.write("code/thing.py", "VALUE = 2\n"), {"python"}),
        (lambda it: it.write("code/json.py", ""), {"python"}),
        (lambda it: it.write("unrelated/notes.md", "2"), set()),
        (lambda it: it.write("unrelated/more.md", "2"), set()),
        (lambda it: it.write("ignored.txt", "2"), set()),
    ],
    ids=["shared", "one", "script's", "script", "mode", "added", "removed", "renamed", "module", "hiding module",
         "unrelated", "unrelated and new", "ignored"],
)  # fmt: skip
def test_what_depends_on_a_change_runs_again_and_nothing_else(
    checkout: Checkout, change: Callable[[Checkout], None], again: set[str]
) -> None:
    change(checkout)
    checkout.commit()
    assert checkout.ran() == again
    assert checkout.ran() == set()


def test_a_file_that_appears_where_a_test_looks_for_it_by_name_is_a_change(checkout: Checkout) -> None:
    checkout.write("one/extra.txt", "")
    checkout.commit()
    assert checkout.run()["one/probe"] == "failed"


def test_a_link_that_leads_elsewhere_is_a_change(checkout: Checkout) -> None:
    (checkout.root / "link.txt").unlink()
    (checkout.root / "link.txt").symlink_to("two/input.txt")
    checkout.commit()
    assert "link" in checkout.ran()


def test_a_change_that_is_taken_back_finds_the_older_result(checkout: Checkout) -> None:
    checkout.write("two/input.txt", "2")
    checkout.commit()
    assert checkout.ran() == {"two"}
    checkout.write("two/input.txt", "1")
    checkout.commit()
    assert checkout.ran() == set()


def test_another_checkout_of_the_same_tree_has_the_results(checkout: Checkout, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", checkout.root, tmp_path / "clone"], check=True)
    checkout.root = tmp_path / "clone"
    assert checkout.ran() == set()


def test_another_machine_or_command_has_no_results(checkout: Checkout) -> None:
    assert checkout.ran(machine="other") == EVERY
    assert checkout.ran(commands={**COMMANDS, "one": "cat one/input.txt"}) == {"one"}


def test_what_failed_runs_again(checkout: Checkout) -> None:
    commands = {"fails": "cat one/input.txt; exit 3"}
    assert checkout.run(commands) == {"fails": "failed"}
    assert checkout.run(commands) == {"fails": "failed"}


def test_tests_without_a_test_failed(checkout: Checkout) -> None:
    """pytest ends with 5 where it has collected nothing."""
    program = "import pytest, sys; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', 'one']))"
    command = (sys.executable, "-B", "-c", program)
    outcomes = checkout.gate().run([Unit(part="unit", name="nothing", command=command, junit=True)])
    assert [it.state for it in outcomes] == ["failed"]


def test_everything_runs_when_it_is_asked_for(checkout: Checkout) -> None:
    assert checkout.ran(every=True) == EVERY


def test_a_variable_that_tests_read_turns_the_cache_off(checkout: Checkout) -> None:
    assert checkout.ran(environ={"DUALTRACK_WHOLE": "1"}) == EVERY
    assert "DUALTRACK_WHOLE" in checkout.said[0]
    checkout.write("two/input.txt", "2")
    checkout.commit()
    assert "two" in checkout.ran(environ={"DUALTRACK_WHOLE": "1"})
    assert checkout.ran() == {"two"}  # what ran with the variable was not kept


def test_an_input_that_git_does_not_track_is_not_trusted(checkout: Checkout) -> None:
    checkout.write("one/new.txt", "1")
    commands = {"new": "cat one/new.txt"}
    assert checkout.ran(commands=commands) == {"new"}
    assert any("not tracked" in line for line in checkout.said)
    assert checkout.ran(commands=commands) == {"new"}
    checkout.commit()
    assert checkout.ran(commands=commands) == {"new"}
    assert checkout.ran(commands=commands) == set()


def test_a_file_that_changes_while_tests_run_is_not_trusted(checkout: Checkout) -> None:
    commands = {"writes": "cat two/input.txt; echo more >> two/input.txt"}
    assert checkout.ran(commands=commands) == {"writes"}
    assert any("changed while the tests ran" in line for line in checkout.said)
    checkout.commit()
    assert checkout.ran(commands=commands) == {"writes"}


def test_units_side_by_side_do_not_take_each_others_inputs(checkout: Checkout) -> None:
    """Long-lived processes at least: of one that has ended nobody can say whose it was, and it counts for all."""
    read = f"{sys.executable} -c 'import time; [(open(\"%s\").read(), time.sleep(0.01)) for _ in range(50)]'"
    commands = {"first": read % "one/input.txt", "second": read % "two/input.txt"}
    assert set(checkout.run(commands, jobs=2).values()) == {"passed"}
    one, two = "one/input.txt", "two/input.txt"
    for name, mine, other in (("first", one, two), ("second", two, one)):
        [result] = checkout.kept.load(f"unit:{name}")
        assert mine in result.inputs
        assert other not in result.inputs


def test_short_lived_programs_are_not_missed(checkout: Checkout) -> None:
    """Hundreds of processes that open one file each and end, two units at once: every file is an input."""
    for number in range(200):
        checkout.write(f"many/{number}", "")
    checkout.commit()
    commands = {"many": "for i in $(seq 0 199); do cat many/$i; done; for i in $(seq 0 199); do cat many/$i; done"}
    commands["other"] = commands["many"].replace("$i", "$((199-i))")
    checkout.run(commands, jobs=2)
    for name in commands:
        [result] = checkout.kept.load(f"unit:{name}")
        assert {f"many/{number}" for number in range(200)} <= result.inputs.keys()


def test_what_a_unit_leaves_behind_ends_with_it(checkout: Checkout) -> None:
    state = checkout.run({"leaves": "setsid sleep 300 >/dev/null 2>&1 & echo $! > ignored.txt"})
    assert state == {"leaves": "passed"}
    status = Path(f"/proc/{(checkout.root / 'ignored.txt').read_text().strip()}/stat")
    assert not status.exists() or ") Z " in status.read_text()


def test_told_to_stop_twice_it_kills_what_does_not_end_and_says_what_that_was(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a time limit ends the gate: a unit may take minutes to clean up, or never end."""
    monkeypatch.setattr("ci.gate.gate.ONCE_S", 0.0)
    begun = checkout.root / "ignored.txt"

    def stop() -> None:
        wait(begun.exists, 60, "the unit")
        os.kill(os.getpid(), signal.SIGINT)
        wait(lambda: [line for line in checkout.said if line.startswith("stopped")], 60, "what it says")
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in the background
    thread = threading.Thread(target=stop)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            checkout.run({"deaf": "trap '' INT; echo $$ > ignored.txt; sleep 300 & wait; sleep 300"})
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    [said] = [line for line in checkout.said if line.startswith("stopped")]
    assert "0 of 1 units had ended" in said
    assert "unit:deaf for " in said
    assert not Path(f"/proc/{begun.read_text().strip()}").exists()


def test_old_results_and_damaged_ones_do_not_count(checkout: Checkout, tmp_path: Path) -> None:
    [result] = checkout.kept.load("unit:one")
    tree = Tree(checkout.root)
    assert stale(result, tree, result.environment, result.at + EXPIRY_S - 1) == ""
    assert stale(result, tree, result.environment, result.at + EXPIRY_S + 1) == "its result is too old"
    for path in (tmp_path / "results").iterdir():
        path.write_text("{")
    assert checkout.ran() == EVERY


def test_every_byte_of_every_input_counts(checkout: Checkout) -> None:
    """Whatever a result names as its input, a change of it makes the result invalid."""
    for name in COMMANDS:
        [result, *_] = checkout.kept.load(f"unit:{name}")
        for path in [it for it in result.inputs if it and not it.endswith("/")]:
            place = checkout.root / path
            if place.is_symlink():
                continue
            before = place.read_bytes()
            place.write_bytes(before + b"#")
            assert stale(result, Tree(checkout.root), result.environment) == f"{path} changed"
            place.write_bytes(before)
        assert stale(result, Tree(checkout.root), result.environment) == ""


def test_compiled_modules_stand_for_their_source() -> None:
    assert source("tools/a/__pycache__/b.cpython-311.pyc") == "tools/a/b.py"
    assert source("tests/__pycache__/test_x.cpython-311-pytest-9.0.1.pyc") == "tests/test_x.py"
    assert source("__pycache__/b.cpython-311.opt-1.pyc") == "b.py"
    assert source("tools/a/b.py") == "tools/a/b.py"
