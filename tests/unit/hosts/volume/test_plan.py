"""Encrypted volumes: a plan never takes a device that holds something or is in use, and never loses a key."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtrack.hosts.volume import plan
from dualtrack.hosts.volume.plan import CIPHER, UNFINISHED, Decision, Found, Volume, decide, declared, escrow_problems
from dualtrack.security.seal import secret_sharing

DEVICE = "/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_vault-1-1"
OTHER = "/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_vault-1-2"
WEIGHTS: dict[str, Any] = {
    "name": "weights", "device": DEVICE, "mount": "/srv/weights", "unlock": "key_file", "key_file": "/weights.key",
    "key_device": "LABEL=KEYS",
}  # fmt: skip
NOTES: dict[str, Any] = {
    "name": "notes", "device": OTHER, "mount": "/srv/notes", "unlock": "tang", "tang_url": "http://10.30.0.5:7500",
    "tang_thumbprint": "abc",
}  # fmt: skip


def volume(**more: Any) -> Volume:
    [found], problems = declared([{**WEIGHTS, **more}])
    assert problems == ()
    return found


#: A blank device, and a key medium without a key on it.
BLANK = Found(
    there=True, kernel="nvme0n1", signatures=(), luks=False, cipher="", label="", open=False, opened_from="",
    content=(), holders=(), mounts=(), key_file="absent",
)  # fmt: skip


def host(**more: Any) -> Found:
    return msgspec.structs.replace(BLANK, **more)


def encrypted(label: str = "weights", **more: Any) -> Found:
    return host(
        **{"signatures": ("crypto_LUKS",), "luks": True, "cipher": CIPHER, "label": label, "key_file": "present"} | more
    )


def opened(label: str = "weights", **more: Any) -> Found:
    return encrypted(
        label, **{"open": True, "opened_from": "nvme0n1", "holders": ("dm-0",), "content": ("xfs",)} | more
    )


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{**WEIGHTS, "name": "Weights"}], "volume name"),
        ([{**WEIGHTS, "name": "my-weights"}], "volume name"),
        ([{**WEIGHTS, "name": "w" * 32}], "31 at most"),
        ([{**WEIGHTS, "device": "/dev/nvme0n1"}], "not a name that stays"),
        ([{**WEIGHTS, "device": "/dev/md127"}], "not a name that stays"),
        ([{**WEIGHTS, "mount": "srv/weights"}], "write it as /srv/weights"),
        ([{**WEIGHTS, "mount": "/"}], "not a mount point"),
        ([{**WEIGHTS, "mount": "/srv/weights/"}], "not a mount point"),
        ([{**WEIGHTS, "mount": "/srv/../home"}], "not a mount point"),
        ([{**WEIGHTS, "mount": "/srv/my weights"}], "not a mount point"),
        ([{**WEIGHTS, "unlock": "magic"}], "unlock"),
        ([{**WEIGHTS, "filesystem": "btrfs"}], "filesystem"),
        ([{**WEIGHTS, "colour": "blue"}], "colour"),
        ([{key: value for key, value in WEIGHTS.items() if key != "mount"}], "mount"),
        ([{**WEIGHTS, "key_file": ""}], "key_file goes with"),
        ([{**WEIGHTS, "key_file": "weights.key"}], "begin it with /"),
        ([{**WEIGHTS, "unlock": "tpm2"}], "key_file goes with"),
        ([{**WEIGHTS, "unlock": "tpm2", "key_file": ""}], "key_device holds a key_file"),
        ([{**WEIGHTS, "tang_url": "http://10.30.0.5:7500"}], "both, and with that alone"),
        ([{**NOTES, "tang_thumbprint": ""}], "both, and with that alone"),
        ([{**NOTES, "tang_url": ""}], "both, and with that alone"),
        ([{**NOTES, "unlock": "passphrase"}], "both, and with that alone"),
        ([WEIGHTS, {**NOTES, "name": "weights"}], "two volumes have the name weights"),
        ([WEIGHTS, {**NOTES, "device": DEVICE}], f"two volumes have the device {DEVICE}"),
        ([WEIGHTS, {**NOTES, "mount": "/srv/weights"}], "two volumes have the mount /srv/weights"),
        ([WEIGHTS, {**WEIGHTS, "name": "b", "device": OTHER, "mount": "/srv/b"}], "the key file /weights.key"),
    ],
)
def test_declaration_that_makes_no_sense_is_one_line(entries: list[dict[str, Any]], said: str) -> None:
    problems = declared(entries)[1]
    assert said in "; ".join(problems)
    assert all("\n" not in problem for problem in problems)


def test_sound_declarations_are_taken() -> None:
    plain = {"mount": "/srv/a-b/c_d.e", "filesystem": "ext4", "options": ["noatime", "nodev"]}
    entries = [
        WEIGHTS,
        NOTES,
        {**plain, "name": "a", "device": "/dev/md/a", "unlock": "tpm2"},
        # One path on two media is two files.
        {**WEIGHTS, "name": "b", "device": "/dev/mapper/vg-b", "mount": "/srv/b", "key_device": "LABEL=MORE"},
    ]
    volumes, problems = declared(entries)
    assert problems == ()
    assert [(each.name, each.filesystem) for each in volumes][:3] == [
        ("weights", "xfs"),
        ("notes", "xfs"),
        ("a", "ext4"),
    ]
    assert volumes[2].options == ("noatime", "nodev")


def test_blank_device_becomes_a_volume() -> None:
    made = Decision(name="weights", make=True, filesystem=True)
    assert decide(volume(), BLANK) == made
    assert decide(volume(unlock="tpm2", key_file="", key_device=""), host(key_file="")) == made


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (host(there=False, kernel="", key_file=""), "there is no device"),
        (host(mounts=("/home", "/mnt")), "mounted at /home, /mnt"),
        (host(holders=("md127",)), "in use by md127"),
        (encrypted(holders=("dm-3",)), "in use by dm-3"),
        (encrypted("other"), "not blank (the volume 'other')"),
        (encrypted(""), "not blank (crypto_LUKS)"),
        (encrypted("", signatures=()), "not blank (an encrypted volume)"),
        (host(signatures=("xfs",)), "not blank (xfs)"),
        (host(signatures=("gpt", "PMBR")), "sm4_volume_allow_destroy"),
        # Not even cryptsetup could read that header.
        (host(signatures=("crypto_LUKS",)), "not blank (crypto_LUKS)"),
        (encrypted(cipher="aes-xts-plain64"), "encrypted with aes-xts-plain64"),
        (opened(cipher="aes-xts-plain64"), "encrypted with aes-xts-plain64"),
        (host(key_file="wrong rights (644, owner 0)"), "chmod 0400"),
        (encrypted(key_file="wrong rights (400, owner 1000)"), "owner 1000"),
        (host(key_file="no key device: findfs LABEL=KEYS: unable to resolve"), "unable to resolve"),
        (host(key_file="present"), "there already and may open something else"),
        (encrypted(key_file="absent"), "is gone: docs/how-to/lost-volume-key.md"),
        (opened(key_file="absent"), "is gone"),
        (opened(opened_from="nvme7n1"), "is open from nvme7n1"),
        (host(open=True), "is open from elsewhere"),
        (opened("other"), "not made by this role (label 'other')"),
        (opened("", luks=False, signatures=()), "not made by this role"),
        # Whoever opened it may have put something into it.
        (opened(UNFINISHED), "open and unfinished: close it first (cryptsetup close weights)"),
    ],
)
def test_what_could_lose_data_or_a_key_is_refused(found: Found, said: str) -> None:
    decision = decide(volume(), found)
    assert said in decision.problem
    assert decision == Decision(name="weights", problem=decision.problem)
    assert "\n" not in decision.problem


def test_named_device_is_erased_and_only_that_one() -> None:
    old = host(signatures=("xfs",))
    erased = Decision(name="weights", make=True, erase_first=True, filesystem=True)
    assert decide(volume(), old, [OTHER, DEVICE]) == erased
    assert decide(volume(), encrypted("other", key_file="absent"), [DEVICE]) == erased
    assert decide(volume(), encrypted("other", key_file="absent", signatures=()), [DEVICE]) == erased
    for others in ([OTHER], [DEVICE + "0"], [DEVICE[:-1]], ["nvme0n1"], ["/dev/nvme0n1"], ["weights"]):
        assert decide(volume(), old, others).problem


@pytest.mark.parametrize(
    "found",
    [
        host(signatures=("xfs",), mounts=("/home",)),
        host(signatures=("xfs",), holders=("dm-3",)),
        opened("other", key_file="absent"),
        opened(UNFINISHED),
        opened(opened_from="nvme7n1"),
        # It would be a new volume, whose key would take the place of a key that is there.
        host(signatures=("xfs",), key_file="present"),
        # A volume of ours, whatever is wrong with it, is not what was meant: there is `erase` for that.
        encrypted(cipher="aes-xts-plain64"),
        encrypted(key_file="absent"),
    ],
)
def test_some_devices_are_refused_even_when_they_were_named(found: Found) -> None:
    assert decide(volume(), found, [DEVICE]).problem


@pytest.mark.parametrize("key_file", ["absent", "present"])
def test_volume_whose_keys_were_not_kept_is_made_anew(key_file: str) -> None:
    made = Decision(name="weights", make=True, erase_first=True, filesystem=True)
    assert decide(volume(), encrypted(UNFINISHED, key_file=key_file)) == made
    assert decide(volume(), encrypted(UNFINISHED, key_file=key_file, cipher="aes-xts-plain64")) == made


@pytest.mark.parametrize("allow", [[], [DEVICE]])
def test_finished_volume_is_left_alone(allow: list[str]) -> None:
    assert decide(volume(), opened(), allow) == Decision(name="weights")
    assert decide(volume(), encrypted(), allow) == Decision(name="weights")
    # Its maker was stopped before the file system; one that is closed cannot be looked into.
    assert decide(volume(), opened(content=()), allow) == Decision(name="weights", filesystem=True)


def test_recovery_key_has_a_place_before_it_is_made() -> None:
    five = [f"{name}.pub" for name in "abcde"]
    assert escrow_problems(five, 3, "/srv/keep") == []
    assert escrow_problems(five[:2], 2, "/srv/keep") == []
    assert "sm4_volume_keep_dir is empty" in escrow_problems(five, 3, "")[0]
    assert "a custodian twice" in escrow_problems([*five, "a.pub"], 3, "/srv/keep")[0]
    for threshold, count in ((6, 5), (1, 5), (0, 0), (2, 1), (-1, 5)):
        assert f"{threshold} of {count} custodians" in escrow_problems(five[:count], threshold, "/srv/keep")[0]
    many = [str(number) for number in range(secret_sharing.MAX_CUSTODIANS + 1)]
    assert f"{secret_sharing.MAX_CUSTODIANS} at most" in escrow_problems(many, 3, "/srv/keep")[0]
    assert escrow_problems(many[1:], 3, "/srv/keep") == []
    assert plan.MAX_CUSTODIANS == secret_sharing.MAX_CUSTODIANS


@settings(max_examples=1000)
@given(
    found=st.builds(
        Found,
        there=st.just(True),
        kernel=st.just("nvme0n1"),
        signatures=st.sampled_from([(), ("xfs",), ("crypto_LUKS",)]),
        luks=st.booleans(),
        cipher=st.sampled_from(["", CIPHER, "aes-xts-plain64"]),
        label=st.sampled_from(["", "weights", "other", UNFINISHED]),
        open=st.booleans(),
        opened_from=st.sampled_from(["", "nvme0n1", "nvme7n1"]),
        content=st.sampled_from([(), ("xfs",)]),
        holders=st.sampled_from([(), ("dm-0",)]),
        mounts=st.sampled_from([(), ("/home",)]),
        key_file=st.sampled_from(["", "absent", "present", "wrong rights (644, owner 0)", "no key device: none"]),
    ),
    allow=st.lists(st.sampled_from([DEVICE, OTHER])),
)
def test_nothing_that_holds_something_is_ever_taken_unless_it_was_named(found: Found, allow: list[str]) -> None:
    decision = decide(volume(), found, allow)
    if decision.problem:
        assert decision == Decision(name="weights", problem=decision.problem)
    if decision.make:
        unfinished = found.luks and found.label == UNFINISHED
        holds = found.luks or found.signatures != ()
        assert not holds or unfinished or DEVICE in allow
        assert (found.mounts, found.holders, found.open) == ((), (), False)
        assert not (found.luks and found.label == "weights")
        assert found.key_file in ("", "absent") or (unfinished and found.key_file == "present")
        assert decision.erase_first == holds
    if decision.filesystem:
        assert decision.make or (found.open and found.opened_from == found.kernel and not found.content)
