"""What a gateway's program writes, tells HAProxy, and reads from it. HAProxy itself: molecule scenario `gateway`."""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.hosts.agents import gateway, gateway_main
from dualtrack.hosts.agents.gateway import (
    BadInput,
    Refused,
    commands,
    parse_map,
    parse_stat,
    parse_uptime,
    parse_wanted,
)
from tests.support.fake_haproxy import Haproxy

FILES = (*gateway.NAMES, *gateway.BESIDE)
WORDS = st.from_regex(gateway.WORD, fullmatch=True)
MAPS = st.fixed_dictionaries({name: st.dictionaries(WORDS, WORDS, max_size=20) for name in FILES})
NOTHING: dict[str, dict[str, str]] = {
    "keys": {},
    "limits": {},
    "allowed": {},
    "routes": {},
    "sensitive": {},
    "screened": {},
    "budgets": {},
}

STAT = """\
# pxname,svname,qcur,scur,stot,status,check_status,check_code,last_chk,check_desc,
f,FRONTEND,,0,9,OPEN,,,,,
model-smollm2.local,sovereign-1,0,2,41,UP,L7OK,200,OK,Layer7 check passed,
model-smollm2.local,sovereign-2,0,0,7,DOWN,L4CON,,Connection refused,Layer4 connection problem,
model-smollm2.local,sovereign-3,0,0,0,UP 1/3,L7STS,503,"Service Unavailable, loading",Layer7 wrong status,
model-smollm2.local,BACKEND,0,2,48,UP,,,,,
model-r1.local,spot-1,0,0,0,MAINT (via x),,,,,
model-r1.local,spot-2,0,0,0,no check,,,,,
other,x,0,0,0,UP,,,,,

"""


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Haproxy]:
    it = Haproxy(tmp_path)
    yield it
    it.end()


def apply(folder: Path, wanted: Any) -> dict[str, bool]:
    return gateway.apply(json.dumps(wanted).encode(), folder, folder / "admin.sock")


def files(folder: Path) -> dict[str, dict[str, str]]:
    return {
        name: dict(line.split(" ", 1) for line in (folder / f"{name}.map").read_text().splitlines()) for name in FILES
    }


def of(tenant: str, keys: int) -> dict[str, dict[str, str]]:
    return {
        "keys": {hashlib.sha256(b"%d" % number).hexdigest(): tenant for number in range(keys)},
        "limits": {tenant: "60"},
        "allowed": {f"{tenant}/*": "1"},
        "routes": {tenant: "local"},
        "sensitive": {tenant: "1"},
        "screened": {tenant: "1"},
        "budgets": {tenant: "1000:0"},
    }


def in_force(tenant: str, keys: int) -> dict[str, dict[str, str]]:
    """Return those of them that are HAProxy's."""
    return {name: entries for name, entries in of(tenant, keys).items() if name in gateway.NAMES}


def test_maps_come_into_files_and_into_force_and_go(tmp_path: Path, haproxy: Haproxy) -> None:
    for wanted in (of("research", 1000), of("research", 2), NOTHING):
        assert apply(tmp_path, wanted) == {"changed": True, "running": True}
        assert files(tmp_path) == {**haproxy.maps(), "budgets": wanted["budgets"]} == wanted
        haproxy.told.clear()
        assert apply(tmp_path, wanted) == {"changed": False, "running": True}
        assert {it.split()[0] for it in haproxy.told} == {"show"}
    assert {(tmp_path / f"{name}.map").stat().st_mode & 0o777 for name in FILES} == {0o600}
    assert {path.name for path in tmp_path.iterdir()} == {"admin.sock", *(f"{name}.map" for name in FILES)}


def test_without_haproxy_there_are_the_files(tmp_path: Path) -> None:
    assert apply(tmp_path, of("a", 1)) == {"changed": True, "running": False}
    assert apply(tmp_path, of("a", 1)) == {"changed": False, "running": False}
    assert files(tmp_path) == of("a", 1)
    with pytest.raises(gateway.NotRunning):
        gateway.status(tmp_path / "admin.sock")


def test_a_socket_that_nobody_listens_on(tmp_path: Path, haproxy: Haproxy) -> None:
    haproxy.end()
    assert haproxy.path.exists()
    assert apply(tmp_path, NOTHING)["running"] is False


def test_haproxy_with_other_settings_reads_the_files_when_it_gets_these(tmp_path: Path, haproxy: Haproxy) -> None:
    haproxy.force.clear()
    assert apply(tmp_path, of("a", 1)) == {"changed": True, "running": False}
    assert files(tmp_path) == of("a", 1)


def test_running_map_that_went_astray_is_put_right_where_the_file_is(tmp_path: Path, haproxy: Haproxy) -> None:
    apply(tmp_path, of("a", 3))
    for path in haproxy.force:
        haproxy.force[path].append("stray entry")
        assert apply(tmp_path, of("a", 3)) == {"changed": True, "running": True}
        assert haproxy.maps() == in_force("a", 3)


@pytest.mark.parametrize("verb", ["show", "prepare", "add", "commit"])
@pytest.mark.parametrize("answer", ["", "Permission denied\n\n"])
def test_refusal_changes_nothing_that_runs_and_is_repaired(
    tmp_path: Path, haproxy: Haproxy, verb: str, answer: str
) -> None:
    apply(tmp_path, of("a", 3))
    haproxy.says = lambda text: answer if text.startswith(verb) else None
    with pytest.raises(Refused, match="Permission denied" if answer else "without an answer"):
        apply(tmp_path, of("b", 400))
    assert haproxy.maps() == in_force("a", 3)
    assert not any(haproxy.begun.values())  # nothing is kept that was not committed
    assert files(tmp_path) == of("b", 400)
    haproxy.says = lambda _: None
    assert apply(tmp_path, of("b", 400))["changed"]
    assert haproxy.maps() == in_force("b", 400)


def test_reload_in_between_is_no_success(tmp_path: Path, haproxy: Haproxy) -> None:
    haproxy.says = lambda text: "\n" if text.startswith("commit") else None  # taken by the process that ends
    with pytest.raises(Refused, match="reloaded"):
        apply(tmp_path, of("a", 1))


def test_a_reload_that_has_begun_before_leaves_no_revoked_key(
    tmp_path: Path, haproxy: Haproxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new process has read the old files; the old one still has the socket when it is first asked."""
    apply(tmp_path, of("a", 3))
    before = {path: list(lines) for path, lines in haproxy.force.items()}

    def finished() -> list[gateway.Haproxy]:
        haproxy.force.update(before)  # the new process has taken the socket over
        return []

    monkeypatch.setattr(gateway, "replaced", finished)
    assert apply(tmp_path, NOTHING) == {"changed": True, "running": True}
    assert haproxy.maps() == {name: {} for name in gateway.NAMES}


@pytest.fixture
def replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, Haproxy]]:
    """Processes that reloads have replaced, by their numbers, behind the first one."""
    processes = {pid: Haproxy(tmp_path, socket=f"{pid}.sock") for pid in (845, 901)}
    first = Haproxy(tmp_path, socket="master.sock")
    first.first(processes)
    monkeypatch.setattr(gateway, "MASTER", first.path)
    everything = [first, *processes.values()]
    yield processes
    for it in everything:
        it.end()


def test_processes_that_were_replaced_get_the_maps_too(
    tmp_path: Path, haproxy: Haproxy, replaced: dict[int, Haproxy]
) -> None:
    for wanted in (of("a", 400), of("b", 3)):
        assert apply(tmp_path, wanted)["changed"]
        expected = {name: entries for name, entries in wanted.items() if name in gateway.NAMES}
        assert all(it.maps() == expected for it in (haproxy, *replaced.values()))
        assert not apply(tmp_path, wanted)["changed"]


def test_first_process_that_starts_itself_anew_is_waited_for(
    tmp_path: Path, haproxy: Haproxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile the old process has the socket of commands, and the new one has read the old maps."""
    apply(tmp_path, of("a", 3))
    before = {path: list(lines) for path, lines in haproxy.force.items()}
    place = tmp_path / "master.sock"
    monkeypatch.setattr(gateway, "MASTER", place)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))  # nobody listens
    looks, first = 0, None

    def waited(_: float) -> None:
        nonlocal looks, first
        if (looks := looks + 1) == 3:
            haproxy.force.update(before)
            place.unlink()
            first = Haproxy(tmp_path, socket=place.name)
            first.first({})

    monkeypatch.setattr(gateway.time, "sleep", waited)
    assert apply(tmp_path, NOTHING) == {"changed": True, "running": True}
    assert haproxy.maps() == {name: {} for name in gateway.NAMES}
    assert first is not None
    first.end()


def test_one_that_was_replaced_has_the_maps_of_a_former_release(
    tmp_path: Path, haproxy: Haproxy, replaced: dict[int, Haproxy]
) -> None:
    apply(tmp_path, of("a", 3))
    for name in gateway.NAMES:
        older = replaced[845]
        taken = older.force.pop(str(tmp_path / f"{name}.map"))
        wanted = of(name, 2)
        assert apply(tmp_path, wanted) == {"changed": True, "running": True}
        assert haproxy.maps() == in_force(name, 2)
        assert older.force == {path: lines for path, lines in haproxy.force.items() if Path(path).stem != name}
        older.force[str(tmp_path / f"{name}.map")] = taken


@pytest.mark.parametrize("verb", ["show", "prepare", "add", "commit"])
@pytest.mark.parametrize("answer", ["Permission denied\n\n", ""])
def test_one_that_was_replaced_may_end_but_not_refuse(
    tmp_path: Path, haproxy: Haproxy, replaced: dict[int, Haproxy], verb: str, answer: str
) -> None:
    def ends(text: str) -> str | None:
        return "" if text.startswith(verb) and replaced.pop(845, None) else None

    # The first one refuses, and the other learns what is wanted all the same.
    replaced[845].says = lambda text: answer if text.startswith(f"{verb} map ") else None
    with pytest.raises(Refused, match="Permission denied" if answer else "without an answer"):
        apply(tmp_path, of("a", 3))
    assert haproxy.maps() == replaced[901].maps() == in_force("a", 3)
    replaced[845].says = ends
    assert apply(tmp_path, of("b", 3)) == {"changed": True, "running": True}
    assert 845 not in replaced
    assert haproxy.maps() == replaced[901].maps() == in_force("b", 3)


def test_one_that_was_replaced_and_does_not_answer_is_not_waited_for(
    tmp_path: Path, haproxy: Haproxy, replaced: dict[int, Haproxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "REPLACED_S", 0.1)
    done = threading.Event()
    replaced[845].says = lambda _: "" if done.wait(60) else None
    with pytest.raises(Refused, match="timed out"):
        apply(tmp_path, of("a", 3))
    done.set()
    assert haproxy.maps() == replaced[901].maps() == in_force("a", 3)


def test_a_key_is_known_last(tmp_path: Path, haproxy: Haproxy) -> None:
    apply(tmp_path, of("a", 1))
    [commit] = [it for it in haproxy.told if it.startswith("commit")]
    assert re.findall(r"(\w+)\.map", commit) == ["allowed", "limits", "routes", "sensitive", "screened", "keys"]


@given(MAPS)
def test_every_command_fits_and_all_of_them_say_all(wanted: dict[str, dict[str, str]]) -> None:
    for entries in wanted.values():
        found = list(commands(Path("/etc/dualtrack/gateway/maps/keys.map"), 7, entries))
        lines = [line for it in found for line in it.split("\n")[1:-2]]
        assert all(len(it) <= 1 << 14 and it.endswith("\n\n") and "\n\n" not in it[:-1] for it in found)
        assert dict(line.split(" ", 1) for line in lines) == entries
    assert parse_wanted(json.dumps(wanted).encode()) == wanted


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"keys": {}, "limits": {}}',
        json.dumps({**NOTHING, "more": {}}).encode(), json.dumps({**NOTHING, "keys": []}).encode(),
        json.dumps({**NOTHING, "keys": {"a": 1}}).encode(), json.dumps({**NOTHING, "keys": {"a": {}}}).encode(),
        json.dumps(NOTHING).replace('"keys": {}', '"keys": {"a": "b", "a": "c"}').encode(),
        json.dumps(NOTHING).replace('"keys": {}', '"keys": {}, "keys": {}').encode(),
        b" " * (gateway.INPUT_BYTES + 1),
        *(json.dumps({**NOTHING, "keys": pair}).encode() for it in (
            "", "a b", "a\n", "a\nb", "a\tb", "a;b", "#a", "a\\b", "<<", "a\0", "\x1b[0m", "ü", "\ud800", "a" * 257,
        ) for pair in ({it: "b"}, {"a": it})),
    ],
    ids=lambda data: repr(data[:50]),
)  # fmt: skip
def test_bad_input_touches_nothing(tmp_path: Path, haproxy: Haproxy, data: bytes) -> None:
    with pytest.raises(BadInput):
        gateway.apply(data, tmp_path, haproxy.path)
    assert not haproxy.told
    assert [path.name for path in tmp_path.iterdir()] == ["admin.sock"]


def test_engines() -> None:
    found = {it["engine"]: it for it in parse_stat(STAT)}
    assert found["sovereign-1"] == {
        "model": "smollm2", "track": "local", "engine": "sovereign-1", "state": "UP", "requests": 41, "active": 2,
        "last_check": "Layer7 check passed (200)",
    }  # fmt: skip
    assert {name: it["state"] for name, it in found.items()} == {
        "sovereign-1": "UP", "sovereign-2": "DOWN", "sovereign-3": "UP", "spot-1": "MAINT", "spot-2": "no check",
    }  # fmt: skip
    assert found["sovereign-2"]["last_check"] == "Layer4 connection problem: Connection refused"
    assert found["sovereign-3"]["last_check"] == "Layer7 wrong status (503): Service Unavailable, loading"


def test_state_of_servers_is_kept_as_it_is_told(tmp_path: Path, haproxy: Haproxy) -> None:
    state, told = tmp_path / "servers.state", "1\n# be_id be_name srv_id\n4 model-a 1\n"
    haproxy.says = lambda _: told
    assert gateway.save(state, haproxy.path) == {"changed": True}
    assert gateway.save(state, haproxy.path) == {"changed": False}
    haproxy.says = lambda _: "Unknown command\n"
    with pytest.raises(gateway.Refused):
        gateway.save(state, haproxy.path)
    assert state.read_text() == told


def test_since() -> None:
    assert parse_uptime("Uptime: 0d 0h00m03s\nUptime_sec: 3\nMemmax_MB: 0\n") == 3
    with pytest.raises(Refused):
        parse_uptime("Unknown command\n")


@given(st.text() | st.builds("# pxname,svname,{}".format, st.text()))
def test_other_text_is_refused_or_has_its_shape(text: str) -> None:
    for parse in (parse_stat, parse_map, parse_uptime):
        try:
            found = parse(text)
        except Refused:
            continue
        assert isinstance(found, list | int)


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_hostile_statistics(engine: str, number: str, said: str) -> None:
    quoted = ['"' + it.replace('"', '""').replace("\r", "") + '"' for it in (engine, number, said)]
    [found] = parse_stat(f"# pxname,svname,stot,last_chk,\nmodel-m,{','.join(quoted)},\n") or [{"requests": 0}]
    assert isinstance(found["requests"], int)


@pytest.mark.parametrize(
    ("words", "data", "code", "said"),
    [
        ([], b"", 2, "usage"),
        (["apply", "x"], b"", 2, "usage"),
        (["apply"], b"\x1b", 2, "not JSON"),
        (["status"], b"", 1, "run"),
        (["engines"], b"", 2, "usage"),
        (["engines", "../etc"], b"", 2, "usage"),
        (["engines", "cloud"], b"\x1b", 2, "not JSON"),
    ],
)
def test_exit_codes_and_one_line(
    words: list[str], data: bytes, code: int, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(gateway.status, "__defaults__", (tmp_path / "none",))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert gateway_main.main(words) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), "\x1b" in err) == ("", 1, False)
    assert said in err
