#!/usr/bin/python
"""LUKS2 volumes with SM4: look at one, make one, give it another key, destroy it. Keys never touch a disk in plain.

What is secret lies in a directory on a memory file system that belongs to one call and is gone with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: sm4_volume
short_description: look at an SM4 volume, make it, give it another key, destroy it
description: Secrets come and go in arguments that are not logged, and are passed to cryptsetup by pipes.
options:
  action:
    description: what to do
    type: str
    choices: [probe, create, finish, rotate, grow, erase]
    default: probe
  volume:
    description: an entry of sm4_volume_volumes
    type: dict
    required: true
  secret:
    description: the recovery key, where the action needs one; made by C(create)
    type: str
  passphrase:
    description: what is typed at boot, for the unlock method passphrase
    type: str
  old_slots:
    description: key slots that C(finish) drops
    type: list
    elements: str
    default: []
  pbkdf_memory_kib:
    description: argon2id's memory
    type: int
    default: 262144
  erase_first:
    description: erase what is on the device before the volume is made
    type: bool
    default: false
"""

#: A volume whose keys are not all in place yet holds nothing, and may be made anew.
UNFINISHED = "dualtrack-unfinished"
#: Seven keys are enough, and a header backup is a megabyte instead of sixteen.
LAYOUT = ["--luks2-metadata-size", "16k", "--luks2-keyslots-size", "1m"]
#: What nobody can guess (a recovery key has 192 random bits, a key file 512) gains nothing by stretching, and the boot
#: waits for it: the least that LUKS allows. A passphrase gets what pbkdf_memory_kib and cryptsetup's own two seconds
#: make of it.
RANDOM = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
CIPHER = ["--type", "luks2", "--cipher", "sm4-xts-plain64", "--key-size", "256", "--hash", "sm3"]


class Failed(Exception):
    """A command failed; the message is its own."""


def run(*words: str, secret: bytes | None = None) -> str:
    """Run a command with ``secret`` on its standard input, and return what it printed."""
    env = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(words, input=secret or b"", capture_output=True, env=env, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise Failed(f"{words[0]} {words[1]}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout.decode(errors="replace")


@contextlib.contextmanager
def in_memory() -> Iterator[Path]:
    """Yield a directory in memory that nobody else can read, gone afterwards."""
    folder = Path(tempfile.mkdtemp(dir="/run", prefix="dualtrack-key-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def key_folder(volume: dict[str, Any]) -> Iterator[Path]:
    """Yield the directory that the key file's path starts from: the key device, mounted for the moment, or /."""
    device = volume.get("key_device")
    if not device:
        yield Path("/")
        return
    found = run("findfs", device).strip() if "=" in device else device
    with in_memory() as folder:
        where = folder / "mount"
        where.mkdir()
        run("mount", found, str(where))
        try:
            yield where
        finally:
            run("umount", str(where))


def path_in(folder: Path, volume: dict[str, Any]) -> Path:
    """Return where the key file lies when its device is mounted at ``folder``."""
    return folder / str(volume["key_file"]).lstrip("/")


def dump(device: str) -> dict[str, Any]:
    """Return the LUKS2 header's own description, empty where there is none."""
    try:
        text = run("cryptsetup", "luksDump", "--dump-json-metadata", device)
    except Failed:
        return {}
    found: dict[str, Any] = json.loads(text)
    return found


def label(device: str, found: list[dict[str, Any]]) -> str:
    """Return the label in the header: as a signature has it already, else as cryptsetup says, which takes longer."""
    known = next((entry.get("label") for entry in found if entry["type"] == "crypto_LUKS"), None)
    if known:
        return str(known)
    lines = run("cryptsetup", "luksDump", device).splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("Label:")), "")


def probe(volume: dict[str, Any]) -> dict[str, Any]:
    """Return what there is, without a change."""
    name, device = volume["name"], volume["device"]
    there = Path(device).exists()
    header = dump(device) if there else {}
    found = signatures(device) if there else []
    kernel = Path(device).resolve().name if there else ""
    mapped = Path("/dev/mapper", name)
    backing = ""
    if mapped.exists():
        lines = run("cryptsetup", "status", name).splitlines()
        backing = next(
            (Path(line.split()[1]).resolve().name for line in lines if line.strip().startswith("device:")), ""
        )
    key_state = ""
    if volume["unlock"] == "key_file" and there:
        key_state = key_file_state(volume)
    return {
        "there": there,
        "kernel": kernel,
        "signatures": [entry["type"] for entry in found],
        "luks": bool(header),
        "cipher": header.get("segments", {}).get("0", {}).get("encryption", ""),
        "label": label(device, found) if header else "",
        "slots": len(header.get("keyslots", {})),
        "tokens": sorted(token["type"] for token in header.get("tokens", {}).values()),
        "open": mapped.exists(),
        "opened_from": backing,
        "content": [entry["type"] for entry in signatures(str(mapped))] if mapped.exists() else [],
        "holders": sorted(item.name for item in Path("/sys/class/block", kernel, "holders").glob("*"))
        if kernel
        else [],
        "mounts": mounts_of(kernel),
        "key_file": key_state,
    }


def signatures(device: str) -> list[dict[str, Any]]:
    """Return what lies on a device: of each signature its type and, where it has one, its label."""
    text = run("wipefs", "--json", "--no-act", device)
    found: list[dict[str, Any]] = json.loads(text or "{}").get("signatures", [])
    return found


def mounts_of(kernel: str) -> list[str]:
    """Return where a device is mounted itself."""
    lines = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return [words[1] for words in lines if words[0].startswith("/dev/") and Path(words[0]).resolve().name == kernel]


def key_file_state(volume: dict[str, Any]) -> str:
    """Return `absent`, `present`, or what is wrong with the key file."""
    try:
        with key_folder(volume) as folder:
            path = path_in(folder, volume)
            if not path.exists():
                return "absent"
            state = path.stat()
            if state.st_uid != 0 or state.st_mode & 0o077:
                return f"wrong rights ({state.st_mode & 0o777:o}, owner {state.st_uid})"
            return "present"
    except Failed as error:
        return f"no key device: {error}"


def enrol(volume: dict[str, Any], existing: bytes, passphrase: str, memory: list[str]) -> None:
    """Add the key that opens the volume at boot; ``existing`` is one that opens it now."""
    device, method = volume["device"], volume["unlock"]
    if method == "tang":
        policy = json.dumps({"url": volume["tang_url"], "thp": volume["tang_thumbprint"]})
        run("clevis", "luks", "bind", "-f", "-k", "-", "-d", device, "tang", policy, secret=existing)
        return
    if method == "tpm2":
        with in_memory() as folder:
            (folder / "key").write_bytes(existing)
            run("systemd-cryptenroll", f"--unlock-key-file={folder}/key", "--tpm2-device=auto", device)
        return
    fresh = passphrase.encode() if method == "passphrase" else secrets.token_bytes(64)
    add_key(device, existing, fresh, memory if method == "passphrase" else RANDOM)
    if method == "key_file":
        write_key(volume, fresh)


def add_key(device: str, existing: bytes, fresh: bytes, stretching: list[str]) -> None:
    """Let ``fresh`` open the volume, too."""
    with in_memory() as folder:
        (folder / "new").write_bytes(fresh)
        words = ("cryptsetup", "luksAddKey", "--batch-mode", *stretching, "--hash", "sm3", "--key-file", "-", device)
        run(*words, str(folder / "new"), secret=existing)


def write_key(volume: dict[str, Any], content: bytes) -> None:
    """Write the key file, whole and readable by root alone, in the place of an older one."""
    with key_folder(volume) as folder:
        path = path_in(folder, volume)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o400)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder_handle = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder_handle)
        os.close(folder_handle)


def recovery_key() -> str:
    """Return a new recovery key, to be typed in an emergency: groups of digits and letters, 192 bits."""
    text = secrets.token_hex(24)
    return "-".join(text[start : start + 6] for start in range(0, 48, 6))


def create(volume: dict[str, Any], passphrase: str, memory: list[str], erase_first: bool) -> dict[str, Any]:
    """Make the volume, open it, and return its recovery key, which is kept nowhere here."""
    device, name = volume["device"], volume["name"]
    if erase_first:
        run("wipefs", "--all", device)
    recovery = recovery_key()
    key = recovery.encode()
    run("cryptsetup", "luksFormat", "--batch-mode", *CIPHER, *LAYOUT, *RANDOM, "--label", UNFINISHED, "--key-file", "-",
        device, secret=key)  # fmt: skip
    enrol(volume, key, passphrase, memory)
    run("cryptsetup", "open", "--type", "luks2", "--key-file", "-", device, name, secret=key)
    return {"recovery_key": recovery}


def boot_key(volume: dict[str, Any], passphrase: str) -> bytes:
    """Return the key that opens the volume at boot, from where the boot takes it."""
    if volume["unlock"] == "tang":
        found = dump(volume["device"])
        slots = [slot for token in found["tokens"].values() if token["type"] == "clevis" for slot in token["keyslots"]]
        if not slots:
            raise Failed("no key server is bound to it")
        return run("clevis", "luks", "pass", "-d", volume["device"], "-s", slots[0]).rstrip("\n").encode()
    if volume["unlock"] == "key_file":
        with key_folder(volume) as folder:
            return path_in(folder, volume).read_bytes()
    if volume["unlock"] == "tpm2":
        raise Failed("a TPM does not give its key away: have the custodians join the recovery key, and give that")
    return passphrase.encode()


def rotate(volume: dict[str, Any], old: str, passphrase: str, memory: list[str]) -> dict[str, Any]:
    """Add a new recovery key and a new key for the boot, by ``old`` or by what opens it at boot.

    A locked volume is opened. The keys that were before still open it: C(finish) drops them, once the new recovery key
    is kept.
    """
    device = volume["device"]
    existing = old.encode() if old else boot_key(volume, passphrase)
    before = set(dump(device)["keyslots"])
    if not Path("/dev/mapper", volume["name"]).exists():
        run("cryptsetup", "open", "--type", "luks2", "--key-file", "-", device, volume["name"], secret=existing)
    recovery = recovery_key()
    add_key(device, existing, recovery.encode(), RANDOM)
    enrol(volume, recovery.encode(), passphrase, memory)
    return {"recovery_key": recovery, "old_slots": sorted(before)}


def grow(volume: dict[str, Any], passphrase: str, check_mode: bool) -> bool:
    """Let an open volume use all of its device; tell whether it did not yet."""
    device, mapped = volume["device"], f"/dev/mapper/{volume['name']}"
    segment = dump(device)["segments"]["0"]
    room = size_of(device) - int(segment["offset"])
    if size_of(mapped) >= room - room % int(segment["sector_size"]):
        return False
    if not check_mode:
        run("cryptsetup", "resize", "--key-file", "-", volume["name"], secret=boot_key(volume, passphrase))
    return True


def size_of(device: str) -> int:
    """Return a block device's size in bytes."""
    return int(run("blockdev", "--getsize64", device))


def finish(volume: dict[str, Any], old_slots: list[str], secret: str) -> None:
    """Call the volume finished once its keys are kept, and drop the keys that were before."""
    device = volume["device"]
    tokens = dump(device).get("tokens", {})
    for slot in old_slots:
        for number, token in tokens.items():
            if token["type"] == "clevis" and slot in token["keyslots"]:
                run("cryptsetup", "token", "remove", "--token-id", number, device)
        run("cryptsetup", "luksKillSlot", "--batch-mode", "--key-file", "-", device, slot, secret=secret.encode())
    run("cryptsetup", "config", "--label", volume["name"], device)


def erase(volume: dict[str, Any]) -> dict[str, Any]:
    """Destroy every key slot and both copies of the header, and prove that nothing is left to open it with."""
    device, name = volume["device"], volume["name"]
    if Path("/dev/mapper", name).exists():
        run("cryptsetup", "close", name)
    run("cryptsetup", "luksErase", "--batch-mode", device)
    slots = len(dump(device).get("keyslots", {}))
    run("wipefs", "--all", device)
    size = 16 << 20
    with Path(device).open("r+b") as file:
        file.write(b"\0" * size)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        blank = file.read(size) == b"\0" * size
    return {"slots_left": slots, "header_blank": blank, "luks": bool(dump(device))}


def main() -> None:
    """Do what was asked for."""
    module = AnsibleModule(
        {
            "action": {"choices": ["probe", "create", "finish", "rotate", "grow", "erase"], "default": "probe"},
            "volume": {"type": "dict", "required": True},
            "secret": {"type": "str", "no_log": True},
            "passphrase": {"type": "str", "no_log": True},
            "old_slots": {"type": "list", "elements": "str", "default": []},
            "pbkdf_memory_kib": {"type": "int", "default": 262144},
            "erase_first": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    p = module.params
    memory = ["--pbkdf", "argon2id", "--pbkdf-memory", str(p["pbkdf_memory_kib"])]
    result: dict[str, Any] = {}
    try:
        if p["action"] == "probe":
            result = probe(p["volume"])
        elif p["action"] == "grow":
            result = {"changed": grow(p["volume"], p["passphrase"] or "", module.check_mode)}
        elif not module.check_mode:
            if p["action"] == "create":
                result = create(p["volume"], p["passphrase"] or "", memory, p["erase_first"])
            elif p["action"] == "rotate":
                result = rotate(p["volume"], (p["secret"] or "").strip(), p["passphrase"] or "", memory)
            elif p["action"] == "finish":
                finish(p["volume"], p["old_slots"], p["secret"] or "")
            else:
                result = erase(p["volume"])
    except Failed as error:
        module.fail_json(msg=f"volume {p['volume'].get('name')}: {error}")
    module.exit_json(**{"changed": p["action"] != "probe", **result})


if __name__ == "__main__":
    main()
