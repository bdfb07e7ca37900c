"""The fabric file: what it may say in short, and that what is wrong in it is one line with the next step."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core.errors import BadInput
from dualtrack.hosts.fabric import hostlist, spec
from dualtrack.hosts.fabric.model import End

GOOD = """\
speed: HDR
switches: ["leaf[1-2]", spine1]
managers: {active: node1, standby: leaf2}
cables:
  - leaf[1-2]/[1-2] -- node[1-4]
  - {ends: "leaf[1-2]/9 -- spine1/[1-2]", width: 2x, speed: ndr}
"""


def load(tmp_path: Path, text: str) -> spec.Declared:
    path = tmp_path / "fabric.yml"
    path.write_text(text)
    return spec.load(path)


def test_short_forms_are_written_out(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD)
    assert [str(cable) for cable in found.cables] == [
        "leaf1/1 -- node1/mlx5_0/1",
        "leaf1/2 -- node2/mlx5_0/1",
        "leaf2/1 -- node3/mlx5_0/1",
        "leaf2/2 -- node4/mlx5_0/1",
        "leaf1/9 -- spine1/1",
        "leaf2/9 -- spine1/2",
    ]
    assert {(cable.width, cable.speed) for cable in found.cables} == {("4x", "HDR"), ("2x", "NDR")}
    assert (found.active, found.standby) == ("node1/mlx5_0", "leaf2")


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("leaf1/7", End("leaf1", 7)),
        ("node1", End("node1/mlx5_0", 1)),
        ("node1/2", End("node1/mlx5_0", 2)),
        ("node1/HCA-1", End("node1/HCA-1", 1)),
        ("node1/mlx5_3/2", End("node1/mlx5_3", 2)),
    ],
)
def test_ends(text: str, end: End) -> None:
    assert spec.parse_end(text, frozenset({"leaf1"}), "mlx5_0") == end


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "node[1-4]",
            "node[1,2,3,1]",
            r"port node1/mlx5_0/1 is named twice: in 'leaf\[1-2\].*correct one of the lines",
        ),
        ("leaf[1-2]/9", "leaf[1-2]/2", r"port leaf1/2 is named twice: .* and in 'leaf\[1-2\]/2 -- spine1"),
        ("node[1-4]", "node[1-5]", "4 ends on the left and 5 on the right"),
        ("node[1-4]", "node[4-1]", r"\[4-1\].* is not a range"),
        ("node[1-4]", "node[1-4", "a bracket too many"),
        (" -- node", " - node", "is not a cable .*leaf1/7 -- spine1/1"),
        ("leaf[1-2]/[1-2]", "leaf[1-4]", "names no port of switch leaf1"),
        ("node[1-4]", "node[1-4]/a/b/1", "is not understood"),
        ("speed: HDR", "speed: HDR100", "'HDR100' is a rate .*width: 2x and speed: HDR"),
        ("speed: HDR", "speed: fast", "speed 'fast' is unknown"),
        ("speed: HDR\n", "", "no speed is given"),
        ("width: 2x", "width: 3x", "width '3x' is unknown"),
        ("active: node1", "active: nod1", r"managers: nod1 is on no cable \(did you mean node1\?\)"),
        ("standby: leaf2", "standby: node1", "both active and standby"),
        ("spine1]", "spine1, spine2]", "switch spine2 has no cable"),
        ("speed: HDR", "speed: HDR\nspede: HDR", "unknown field `spede`.*explains every field"),
        ("speed: HDR", "speed: HDR\ncounters: {SymbolError: 1}", "did you mean SymbolErrorCounter"),
        ("speed: HDR", "speed: HDR\nnames: {leaf1: hello}", "'hello' is not a GUID"),
        ("speed: HDR", "speed: HDR\nnames: {leaf1: '0x1', leaf2: '01'}", "leaf1 and leaf2 have the same GUID"),
        ("speed: HDR", "speed: [", "is not valid YAML"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in GOOD
    with pytest.raises(BadInput, match=said) as caught:
        load(tmp_path, GOOD.replace(before, after, 1))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "fabric.yml"))


def test_file_that_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="dualtrack fabric declare writes one"):
        spec.load(tmp_path / "none.yml")
    with pytest.raises(BadInput, match="is a directory"):
        spec.load(tmp_path)
    with pytest.raises(BadInput, match="names no cables"):
        load(tmp_path, "switches: []\ncables: []\nspeed: HDR\n")


def test_thresholds_are_changed_and_switched_off(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD + "counters: {PortXmitWait: 1000, SymbolErrorCounter: null}\n").thresholds
    assert found["PortXmitWait"] == 1000
    assert "SymbolErrorCounter" not in found
    assert found["LinkDownedCounter"] == 10


@given(st.integers(0, 300), st.integers(0, 60), st.integers(1, 4))
def test_a_range_stands_for_its_numbers(first: int, more: int, width: int) -> None:
    found = hostlist.expand(f"a[{first:0{width}d}-{first + more}]b")
    assert [int(text[1:-1]) for text in found] == list(range(first, first + more + 1))
    assert len(set(found)) == more + 1


def test_a_range_beyond_all_fabrics_is_refused() -> None:
    with pytest.raises(BadInput):
        hostlist.expand("a[1-999999]")
    with pytest.raises(BadInput):
        hostlist.expand("a[1-9999][1-9999]")
