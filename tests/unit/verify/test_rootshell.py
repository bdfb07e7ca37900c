"""The root shell of the checks: every command's output, errors and exit code are its own, whatever they hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host

from dualtrack.verify.rootshell import RootShell


@pytest.fixture
def shell() -> Iterator[RootShell]:
    found = RootShell("here", ["/bin/sh"])
    yield found
    found.close()


@pytest.mark.parametrize(
    ("command", "args", "out", "err", "code"),
    [
        ("true", (), "", "", 0),
        ("printf %s; printf bad >&2; exit 3", ("it's",), "it's", "bad", 3),
        ("echo one\necho two", (), "one\ntwo\n", "", 0),
        ("cat; echo end", (), "end\n", "", 0),  # no input, and not the next command
        ("exit 255", (), "", "", 255),
        ("printf 'line without an end'", (), "line without an end", "", 0),
        ("printf '\\n\\n'", (), "\n\n", "", 0),
        ("echo 密", (), "密\n", "", 0),
        ("set -e; false; echo never", (), "", "", 1),
    ],
)
def test_command_answers_for_itself(
    shell: RootShell, command: str, args: tuple[str, ...], out: str, err: str, code: int
) -> None:
    for _ in range(2):
        done = Host(shell).run(command, *args)
        assert (done.stdout, done.stderr, done.rc) == (out, err, code)


def test_commands_share_nothing(shell: RootShell) -> None:
    shell.run("cd /; word=set; ulimit -n 64; export word")
    assert shell.run("echo ${word:-unset}").stdout == "unset\n"
    assert shell.run("pwd").stdout.strip() == str(Path.cwd())
    assert shell.run("ulimit -n").stdout != "64\n"


def test_large_output_comes_whole(shell: RootShell) -> None:
    done = shell.run("head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2")
    assert (len(done.stdout_bytes), len(done.stderr_bytes)) == (3_000_000, 1_000_000)


def test_process_that_goes_on_in_the_background_is_not_waited_for(shell: RootShell) -> None:
    pid = shell.run("sleep 60 & echo $!").stdout.strip()
    assert shell.run("kill %s", pid).rc == 0


def test_host_that_is_lost_is_an_error_and_the_next_command_asks_again() -> None:
    shell = RootShell("gone", ["sh", "-c", "echo 'ssh: no route' >&2"])
    for _ in range(2):
        with pytest.raises(RuntimeError, match="gone has ended: ssh: no route"):
            shell.run("true")
    shell.close()


def test_nothing_is_left_on_the_host(tmp_path: Path) -> None:
    shell = RootShell("here", ["env", f"TMPDIR={tmp_path}", "/bin/sh"])
    shell.run("true")
    assert list(tmp_path.iterdir())
    shell.close()
    assert not list(tmp_path.iterdir())


def test_checks_learn_which_host_it_is_and_how_it_is_reached() -> None:
    shell = RootShell("log-1", ["/bin/sh"], "/tmp/ssh_config")
    assert (shell.host.name, shell.ssh_config) == ("log-1", "/tmp/ssh_config")
