"""A Linux kernel as QEMU starts it fastest: unpacked here, natively, instead of by the emulated machine itself.

A bzImage unpacks itself at every boot, 3 to 4 s of processor time when emulated. What it unpacks is an ELF file
(vmlinux), which QEMU starts directly where it names an entry for that (PVH). Debian's kernels do.
https://docs.kernel.org/arch/x86/boot.html describes the header that is read here.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import struct
from collections.abc import Iterator
from pathlib import Path

from dualtrack.core.files import write_atomically
from dualtrack.core.paths import cache_dir

#: `XEN_ELFNOTE_PHYS32_ENTRY`: the note that names the entry, in the kernel's include/xen/interface/elfnote.h.
PVH_NOTE = 18
NOTES_SEGMENT = 4  # PT_NOTE
#: By the first bytes of what is packed. LZMA and zstd are missing: no supported system packs its kernel with the first,
#: Python unpacks the second from 3.14 on, and a kernel that is not unpacked here boots as well, only more slowly.
UNPACKERS = {b"\xfd7zXZ\x00": lzma.decompress, b"\x1f\x8b\x08": gzip.decompress}


def startable(kernel: Path) -> Path:
    """Return the ELF file of ``kernel``, from the cache where it was unpacked before; ``kernel`` when there is none.

    The file is named by the digest of the kernel, so that another kernel is never started in its place.
    """
    data = kernel.read_bytes()
    unpacked = cache_dir() / "vm" / "kernels" / hashlib.sha256(data).hexdigest()
    if not unpacked.is_file():
        found = vmlinux(data)
        if found is None:
            return kernel
        write_atomically(unpacked, found)
    return unpacked


def vmlinux(kernel: bytes) -> bytes | None:
    """Return the ELF file inside a bzImage; None where it is packed in an unknown way, or QEMU could not start it."""
    if kernel[0x202:0x206] != b"HdrS" or struct.unpack_from("<H", kernel, 0x206)[0] < 0x208:
        return None
    offset, length = struct.unpack_from("<II", kernel, 0x248)
    start = (kernel[0x1F1] + 1) * 512 + offset
    # The size of what is unpacked follows, in four bytes.
    packed = kernel[start : start + length - 4]
    unpack = next((unpack for magic, unpack in UNPACKERS.items() if packed.startswith(magic)), None)
    try:
        found = unpack(packed) if unpack else b""
    except (lzma.LZMAError, OSError, EOFError):
        return None
    return found if PVH_NOTE in notes(found) else None


def notes(elf: bytes) -> Iterator[int]:
    """Yield the types of Xen's notes in an ELF file of 64 bits; nothing from another file."""
    if elf[:5] != b"\x7fELF\x02":
        return
    table, size, count = (
        struct.unpack_from(form, elf, where)[0] for form, where in (("<Q", 32), ("<H", 54), ("<H", 56))
    )
    for number in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", elf, table + number * size)
        if kind == NOTES_SEGMENT:
            yield from _notes_of(elf[offset : offset + length])


def _notes_of(segment: bytes) -> Iterator[int]:
    at = 0
    while at + 12 <= len(segment):
        name_size, size, kind = struct.unpack_from("<III", segment, at)
        if segment[at + 12 : at + 16] == b"Xen\x00":
            yield kind
        at += 12 + (name_size + 3 & ~3) + (size + 3 & ~3)
