"""Volumes are encrypted with SM4, open from what is not on them, and cannot be missed without being noticed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dualtrack.verify.eventually import settled

#: For so many seconds after its start a host may still be opening its volumes: an emulated one is slow.
BOOTING_S = 420


def volumes(hostvars: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the host promises; skips where it promises none."""
    if not hostvars["sm4_volume_volumes"]:
        pytest.skip("no volume is declared for this host")
    return list(hostvars["sm4_volume_volumes"])


def header(host: Any, volume: dict[str, Any]) -> dict[str, Any]:
    """Return the header's own description."""
    found: dict[str, Any] = json.loads(
        host.check_output("cryptsetup luksDump --dump-json-metadata %s", volume["device"])
    )
    return found


def test_volume_is_mounted_and_takes_a_synced_write(host: Any, hostvars: dict[str, Any]) -> None:
    """What is mounted is the open volume."""
    for volume in volumes(hostvars):
        right, ask = f"/dev/mapper/{volume['name']}", f"findmnt --noheadings --output SOURCE {volume['mount']}"
        # The boot does not wait for a volume: a key server is asked when there is a network, and after that.
        left = BOOTING_S - float(host.check_output("cat /proc/uptime").split()[0])
        source = settled(lambda: host.run(ask).stdout.strip(), lambda it: it == right, left)  # noqa: B023
        assert source == right, f"{volume['mount']} is {source or 'not mounted'}"
        probe = f"{volume['mount']}/.dualtrack-verify"
        host.check_output("echo written > %s && sync %s && rm %s", probe, probe, probe)


def test_kernel_encrypts_with_sm4(host: Any, hostvars: dict[str, Any]) -> None:
    """The running mapping, not the header, says SM4 in XTS mode."""
    for volume in volumes(hostvars):
        table = host.check_output("dmsetup table --target crypt %s", volume["name"]).split()
        assert table[3] == "sm4-xts-plain64", f"{volume['name']} is encrypted with {table[3]}"


def test_keys_are_as_promised(host: Any, hostvars: dict[str, Any]) -> None:
    """One recovery key and one key that opens at boot; only a passphrase could be guessed, and is stretched."""
    for volume in volumes(hostvars):
        found = header(host, volume)
        assert len(found["keyslots"]) == 2, f"{volume['name']} has {len(found['keyslots'])} keys"
        if volume["unlock"] == "passphrase":
            assert "argon2id" in {slot["kdf"]["type"] for slot in found["keyslots"].values()}
        kinds = {token["type"] for token in found["tokens"].values()}
        wanted = {"tang": {"clevis"}, "tpm2": {"systemd-tpm2"}}.get(volume["unlock"], set())
        assert kinds == wanted, f"{volume['name']} has the tokens {sorted(kinds)}"


def test_key_that_opens_at_boot_does_open(host: Any, hostvars: dict[str, Any]) -> None:
    """What the boot will use is tried now, without opening anything."""
    tried = [volume for volume in volumes(hostvars) if volume["unlock"] in ("tang", "key_file")]
    if not tried:
        pytest.skip("a TPM or a person opens this host's volumes: neither can be tried from here")
    for volume in tried:
        if volume["unlock"] == "tang":
            [token] = header(host, volume)["tokens"].values()
            [slot] = token["keyslots"]
            opens = "clevis luks pass -d %s -s %s | cryptsetup open --test-passphrase --key-file - %s"
            host.check_output(opens, volume["device"], slot, volume["device"])
            continue
        medium, path = volume.get("key_device", ""), volume["key_file"]
        attach = f"mount -o ro $(findfs {medium}) /mnt && cd /mnt" if medium else "cd /"
        test = f"cryptsetup open --test-passphrase --key-file ./{path} {volume['device']}"
        rights = host.check_output("unshare --mount sh -c %s", f"{attach} && {test} && stat --format %u:%a ./{path}")
        assert rights == "0:400", f"{path} belongs to {rights}"


def test_boot_opens_it_and_goes_on_without_it(host: Any, hostvars: dict[str, Any]) -> None:
    """The boot has it on its list, does not hang on it, and calls for help when it stays locked."""
    for volume in volumes(hostvars):
        unit = f"systemd-cryptsetup@{volume['name']}.service"
        called = set(host.check_output("systemctl show --property OnFailure --value %s", unit).split())
        wanted = {f"dualtrack-volume-locked@{volume['name']}.service"}
        if volume["unlock"] == "tang":  # a key server may come later than the host
            wanted.add(f"dualtrack-volume-again@{volume['name']}.timer")
        assert called == wanted, f"{unit} calls {', '.join(sorted(called)) or 'nobody'}"
        line = host.check_output("grep '^%s ' /etc/crypttab", volume["name"])
        assert "nofail" in line


def test_nothing_can_be_written_while_it_is_locked(host: Any, hostvars: dict[str, Any]) -> None:
    """Below the mount point the directory is closed, to root too."""
    for volume in volumes(hostvars):
        parent = host.check_output("dirname %s", volume["mount"])
        name = host.check_output("basename %s", volume["mount"])
        # What is under a mount is seen through another mount of the file system that holds it.
        done = host.run("unshare --mount sh -c %s", f"mount --bind {parent} /mnt && touch /mnt/{name}/plain")
        assert done.rc != 0, f"a file could be written under {volume['mount']} without the volume"
