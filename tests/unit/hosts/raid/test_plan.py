"""Software RAID: what the tools print is understood, and a plan never touches a disk that holds something."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.hosts.raid import parse
from dualtrack.hosts.raid.plan import Array, Probe, RaidPlan, conf, declared, filesystems, plan

# Recorded on Debian 12 (mdadm 4.2, kernel 6.1), shortened.
MDSTAT = """\
Personalities : [linear] [raid1] [raid10] [raid6] [raid5] [raid4]
md127 : active raid10 nvme3n1[3] nvme2n1[2] nvme1n1[1] nvme0n1[0]
      1044480 blocks super 1.2 512K chunks 2 near-copies [4/4] [UUUU]
      bitmap: 0/1 pages [0KB], 65536KB chunk

md126 : active (auto-read-only) raid1 nvme5n1[1](S) nvme4n1[0](F)
      523264 blocks super 1.2 [2/1] [_U]
      [>....................]  recovery =  4.3% (45568/1044480) finish=0.3min speed=45568K/sec

md125 : inactive nvme6n1[0](S)
      523264 blocks super 1.2

md0 : active raid0 nvme8n1[1] nvme7n1[0]
      1044480 blocks super 1.2 512k chunks

unused devices: <none>
"""
DETAIL = """\
MD_LEVEL=raid10
MD_DEVICES=4
MD_METADATA=1.2
MD_UUID=eb8854c4:653727b9:f536596a:708932a0
MD_DEVNAME=data
MD_NAME=vault-1:data
MD_DEVICE_dev_nvme2n1_ROLE=2
MD_DEVICE_dev_nvme2n1_DEV=/dev/nvme2n1
"""
UUID = "eb8854c4:653727b9:f536596a:708932a0"
WIPEFS = '{"signatures": [{"device": "x", "offset": "0x1000", "type": "linux_raid_member", "label": "vault-1:data"}]}'


def disk(number: int) -> str:
    return f"/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_vault-1-{number}"


DATA: dict[str, Any] = {"name": "data", "level": "raid10", "members": [disk(n) for n in range(4)], "mount": "/srv/data"}


def array(**more: Any) -> Array:
    [found], problems = declared([{**DATA, **more}])
    assert problems == ()
    return found


def member(name: str = "data", uuid: str = UUID) -> str:
    return f"MD_LEVEL=raid10\nMD_DEVICES=4\nMD_NAME=vault-1:{name}\nMD_UUID={uuid}\n"


class Bed:
    """A host to plan for: disks that are blank until something is put on them."""

    def __init__(self, disks: int = 6) -> None:
        self.links = {disk(n): f"nvme{n}n1" for n in range(disks)}
        self.mdstat = ""
        self.details: dict[str, str] = {}
        self.examines: dict[str, str] = {}
        self.signatures: dict[str, str] = {}
        self.entries = [
            {"name": f"nvme{n}n1", "kname": f"nvme{n}n1", "size": 1, "mountpoints": [None]} for n in range(disks)
        ]

    def holds(self, number: int, kind: str) -> Bed:
        self.signatures[disk(number)] = json.dumps({"signatures": [{"type": kind}]})
        return self

    def mounted(self, number: int, where: str) -> Bed:
        self.entries[number]["mountpoints"] = [where]
        return self

    def used_by(self, number: int, holder: str) -> Bed:
        self.entries[number]["children"] = [{"name": holder, "kname": holder, "size": 1, "mountpoints": [None]}]
        return self

    def running(self, members: str, count: str = "[4/4] [UUUU]", extra: str = "", level: str = "raid10") -> Bed:
        self.mdstat = f"md127 : active {level} {members}\n      1 blocks super 1.2 {count}\n{extra}\n"
        self.details = {"md127": DETAIL}
        return self

    def member(self, number: int, name: str = "data", uuid: str = UUID) -> Bed:
        self.examines[disk(number)] = member(name, uuid)
        return self.holds(number, "linux_raid_member")

    def probe(self) -> Probe:
        return Probe(
            links=self.links,
            mdstat=self.mdstat,
            details=self.details,
            examines=self.examines,
            signatures=self.signatures,
            lsblk=json.dumps({"blockdevices": self.entries}),
        )


ALL = "nvme3n1[3] nvme2n1[2] nvme1n1[1] nvme0n1[0]"


def whole() -> Bed:
    bed = Bed().running(ALL)
    for number in range(4):
        bed.member(number).used_by(number, "md127")
    return bed


def argv(found: RaidPlan) -> list[str]:
    assert found.problems == ()
    return [" ".join(step.argv) for step in found.steps]


def test_mdstat_is_understood() -> None:
    found = parse.mdstat(MDSTAT)
    assert set(found) == {"md127", "md126", "md125", "md0"}
    assert found["md127"].level == "raid10"
    assert found["md127"].members[0] == parse.Member(device="nvme3n1")
    assert (found["md127"].raid_devices, found["md127"].working, found["md127"].action) == (4, 4, "")
    assert found["md126"].action == "recovery"
    assert [(m.device, m.spare, m.faulty) for m in found["md126"].members] == [
        ("nvme5n1", True, False),
        ("nvme4n1", False, True),
    ]
    assert (found["md125"].active, found["md0"].level, found["md0"].raid_devices) == (False, "raid0", 0)
    assert parse.mdstat("") == {}


def test_identity_and_signatures_are_understood() -> None:
    assert parse.identity(DETAIL) == parse.Identity(uuid=UUID, name="data", level="raid10", raid_devices=4)
    assert parse.identity("") is None
    assert parse.signatures(WIPEFS) == ("linux_raid_member",)
    assert parse.signatures("") == ()


def test_blank_disks_become_an_array() -> None:
    found = plan([array()], Bed().probe())
    assert argv(found) == [
        "mdadm --create /dev/md/data --run --name=data --metadata=1.2 --level=10 --raid-devices=4 --chunk=512K"
        f" --bitmap=internal {disk(0)} {disk(1)} {disk(2)} {disk(3)}"
    ]
    assert found.created == ("data",)


def test_spares_are_given_at_creation() -> None:
    [line] = argv(plan([array(spares=[disk(4)])], Bed().probe()))
    assert "--spare-devices=1" in line
    assert line.endswith(disk(4))


def test_array_as_declared_needs_nothing() -> None:
    assert plan([array()], whole().probe()) == RaidPlan()


def test_stopped_array_is_started_and_not_made_again() -> None:
    bed = Bed()
    for number in range(3):
        bed.member(number)
    assert argv(plan([array()], bed.probe())) == [f"mdadm --assemble /dev/md/data --uuid={UUID} --run"]


def test_two_arrays_of_one_name_are_left_to_the_operator() -> None:
    bed = Bed().member(0).member(1, uuid="other")
    assert "2 arrays of that name" in plan([array()], bed.probe()).problems[0]


@pytest.mark.parametrize(
    ("bed", "said"),
    [
        (Bed().holds(1, "xfs"), "not blank (xfs)"),
        (Bed().holds(1, "gpt"), "not blank (gpt)"),
        (Bed().holds(1, "crypto_LUKS"), "nvme_raid_allow_destroy"),
        (Bed().mounted(1, "/home"), "mounted at /home"),
        (Bed().used_by(1, "md9"), "in use by md9"),
        (Bed().member(1, name="other"), "not blank"),
        (Bed(3), "there is no disk"),
    ],
)
def test_disk_that_is_not_free_stops_everything(bed: Bed, said: str) -> None:
    found = plan([array()], bed.probe())
    assert said in found.problems[0]
    assert (found.steps, found.created) == ((), ())


def test_named_disk_is_erased_and_only_that_one() -> None:
    bed = Bed().holds(1, "xfs").holds(2, "ext4")
    assert len(plan([array()], bed.probe(), [disk(1)]).problems) == 1
    lines = argv(plan([array()], bed.probe(), [disk(1), disk(2)]))
    assert lines[:2] == [f"wipefs --all {disk(1)}", f"wipefs --all {disk(2)}"]


@pytest.mark.parametrize("bed", [Bed().mounted(1, "/home"), Bed().used_by(1, "md9")])
def test_disk_in_use_is_refused_even_when_it_was_named(bed: Bed) -> None:
    assert plan([array()], bed.holds(1, "xfs").probe(), [disk(1)]).problems


def test_disk_that_comes_back_is_put_back() -> None:
    bed = whole().running("nvme3n1[3] nvme2n1[2] nvme0n1[0]", "[4/3] [U_UU]")
    bed.entries[1].pop("children")
    assert argv(plan([array()], bed.probe())) == [f"mdadm /dev/md127 --add {disk(1)}"]


def test_failed_disk_is_replaced_by_the_one_that_is_declared_instead() -> None:
    bed = whole().running("nvme3n1[3] nvme2n1[2] nvme1n1[1](F) nvme0n1[0]", "[4/3] [U_UU]")
    wanted = array(members=[disk(0), disk(5), disk(2), disk(3)])
    assert argv(plan([wanted], bed.probe())) == [
        "mdadm /dev/md127 --remove /dev/nvme1n1",
        f"mdadm /dev/md127 --add {disk(5)}",
    ]


def test_replacement_that_is_not_blank_is_refused() -> None:
    bed = whole().running("nvme3n1[3] nvme2n1[2] nvme0n1[0]", "[4/3] [U_UU]").holds(5, "ext4")
    bed.entries[1].pop("children")
    assert "not blank" in plan([array(members=[disk(0), disk(5), disk(2), disk(3)])], bed.probe()).problems[0]


def test_lost_disk_is_a_warning_as_long_as_the_array_runs() -> None:
    bed = whole().running("nvme3n1[3] nvme2n1[2] nvme0n1[0]", "[4/3] [U_UU]")
    bed.links[disk(1)] = ""
    found = plan([array()], bed.probe())
    assert (found.problems, found.steps) == ((), ())
    assert disk(1) in found.warnings[0]


def test_more_members_make_it_grow_when_it_is_at_rest() -> None:
    wanted = array(members=[disk(n) for n in range(6)])
    assert argv(plan([wanted], whole().probe())) == [
        f"mdadm /dev/md127 --add {disk(4)}",
        f"mdadm /dev/md127 --add {disk(5)}",
        "mdadm --grow --raid-devices=6 /dev/md127",
    ]
    busy = whole().running(ALL, extra="      [>...]  resync =  4.3% (1/2) finish=1min speed=1K/sec")
    found = plan([wanted], busy.probe())
    assert "busy (resync)" in found.warnings[0]
    assert not any("--grow" in step.argv for step in found.steps)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"level": "raid6"}, "a level is not changed"),
        ({"members": [disk(0), disk(1), disk(2)]}, "not declared"),
    ],
)
def test_what_cannot_be_done_in_place_is_refused(changes: dict[str, Any], said: str) -> None:
    assert said in plan([array(**changes)], whole().probe()).problems[0]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{**DATA, "name": "Data"}], "array name"),
        ([{**DATA, "level": "raid3"}], "array 'data'"),
        ([{**DATA, "members": [disk(0)]}], "needs 2 members"),
        ([{**DATA, "members": [disk(0), disk(0)]}], "named twice"),
        ([{**DATA, "members": ["/dev/nvme0n1", disk(1)]}], "not a stable name"),
        ([{**DATA, "chunk_kib": 100}], "power of two"),
        ([{**DATA, "filesystem": "none"}], "mount point"),
        ([{**DATA, "mount": ""}], "mount point"),
        ([{**DATA, "level": "raid0", "spares": [disk(5)]}], "cannot use spares"),
        ([DATA, {**DATA, "members": [disk(4), disk(5)]}], "declared twice"),
        ([DATA, {**DATA, "name": "other"}], "in data and other"),
        ([{**DATA, "colour": "blue"}], "colour"),
    ],
)
def test_declaration_that_makes_no_sense_is_one_line(entries: list[dict[str, Any]], said: str) -> None:
    problems = declared(entries)[1]
    assert said in "; ".join(problems)
    assert all("\n" not in problem for problem in problems)


def test_two_names_of_one_disk_are_noticed() -> None:
    bed = Bed()
    bed.links[disk(1)] = bed.links[disk(0)]
    assert "are one disk" in plan([array()], bed.probe()).problems[0]


def test_file_system_is_made_on_a_blank_array_only() -> None:
    bed = whole()
    assert argv(filesystems([array()], bed.probe())) == ["mkfs.xfs -q -L data /dev/md/data"]
    bed.signatures["md127"] = '{"signatures": [{"type": "xfs"}]}'
    assert filesystems([array()], bed.probe()) == RaidPlan()
    bed.signatures["md127"] = '{"signatures": [{"type": "crypto_LUKS"}]}'
    assert "crypto_LUKS" in filesystems([array()], bed.probe()).problems[0]
    # What shines through on an array that was made a moment ago is of the disks' earlier life.
    assert argv(filesystems([array()], bed.probe(), ["data"])) == ["mkfs.xfs -q -f -L data /dev/md/data"]
    assert filesystems([array(filesystem="none", mount="")], bed.probe()) == RaidPlan()


def test_boot_is_told_the_names() -> None:
    assert conf(whole().probe()) == [f"ARRAY /dev/md/data metadata=1.2 UUID={UUID}"]


@given(
    st.lists(st.sampled_from(["", "xfs", "gpt", "crypto_LUKS", "mounted", "held"]), min_size=4, max_size=4),
    st.sets(st.integers(0, 3)),
)
def test_no_disk_with_something_on_it_is_ever_in_a_step_unless_it_was_named(states: list[str], named: set[int]) -> None:
    bed = Bed(4)
    for number, state in enumerate(states):
        if state == "mounted":
            bed.mounted(number, "/x")
        elif state == "held":
            bed.used_by(number, "dm-0")
        elif state:
            bed.holds(number, state)
    found = plan([array()], bed.probe(), [disk(n) for n in named])
    forbidden = {
        disk(n) for n, state in enumerate(states) if state in ("mounted", "held") or (state and n not in named)
    }
    touched = {word for step in found.steps for word in step.argv}
    assert not forbidden & touched
    assert bool(found.problems) == bool(forbidden)
