"""Sealing: one core beside libgcrypt, `cryptography` and AES-256-GCM; whole processes, memory, disk beside dd."""

from __future__ import annotations

import os
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from measure import Case, alternate, show

from dualtrack.crypto import kdf, libgcrypt
from dualtrack.security.seal import keyfiles, stream

MIB = 1 << 20
CHUNK = MIB
RUNS = 7
SIZE = int(sys.argv[1]) if len(sys.argv) > 1 else 1024  # MiB in a file or a pipe
PIECE = 128  # MiB in each run of a cipher
CLI = Path(sys.executable).parent / "dualtrack"


def ours(threads: int = 1) -> None:
    """Seal by our pipeline, reading from memory and writing nowhere."""
    left = PIECE

    def read(view: memoryview) -> int:
        nonlocal left
        if not left:
            return 0
        left -= 1
        view[:] = CONTENT
        return len(view)

    stream.seal(read, lambda _: None, kdf.PayloadKey(bytes(16), bytes(7)), CHUNK, threads=threads)


def everywhere(work: Callable[[], None]) -> Callable[[], None]:
    """Do it with all cores allowed."""

    def run() -> None:
        os.sched_setaffinity(0, CORES)
        work()
        os.sched_setaffinity(0, {max(CORES)})

    return run


def library() -> None:
    """The same chunks by libgcrypt alone."""
    gcm, data = libgcrypt.Gcm(bytes(16)), bytearray(CONTENT) + bytes(16)
    for number in range(PIECE):
        gcm.seal(number.to_bytes(12, "big"), data, CHUNK)
    gcm.close()


def library_threads() -> None:
    """As much by libgcrypt alone in each of several threads: what the machine has to give at this moment."""
    threads = [threading.Thread(target=library) for _ in CORES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cryptography_sm4() -> None:
    """The same chunks by `cryptography`, into a buffer that is there already."""
    from cryptography.hazmat.primitives.ciphers import Cipher, modes
    from cryptography.hazmat.primitives.ciphers.algorithms import SM4

    out = bytearray(CHUNK + 16)
    for number in range(PIECE // 4):
        work = Cipher(SM4(bytes(16)), modes.GCM(number.to_bytes(12, "big"))).encryptor()
        work.update_into(CONTENT, out)
        work.finalize()


def cryptography_aes() -> None:
    """What the same costs with AES-256-GCM, which has instructions of its own in the processor."""
    from cryptography.hazmat.primitives.ciphers import Cipher, modes
    from cryptography.hazmat.primitives.ciphers.algorithms import AES

    out = bytearray(CHUNK + 16)
    for number in range(PIECE):
        work = Cipher(AES(bytes(32)), modes.GCM(number.to_bytes(12, "big"))).encryptor()
        work.update_into(CONTENT, out)
        work.finalize()


CORES = os.sched_getaffinity(0)
CONTENT = secrets.token_bytes(CHUNK)
CIPHERS: dict[str, tuple[Callable[[], None], int]] = {
    "dualtrack, one thread": (ours, PIECE),
    "libgcrypt SM4-GCM": (library, PIECE),
    "cryptography SM4-GCM": (cryptography_sm4, PIECE // 4),
    "cryptography AES-256-GCM": (cryptography_aes, PIECE),
}
THREADED: dict[str, tuple[Callable[[], None], int]] = {
    f"dualtrack, {len(CORES)} threads": (everywhere(lambda: ours(len(CORES))), PIECE),
    f"libgcrypt alone, {len(CORES)} threads": (everywhere(library_threads), PIECE * len(CORES)),
    "dualtrack, one thread": (ours, PIECE),
}


def speeds(title: str, ciphers: dict[str, tuple[Callable[[], None], int]]) -> None:
    """Print MiB/s, medians of alternating runs, and the first as a multiple of each other's speed."""
    os.sched_setaffinity(0, {max(CORES)})
    taken: dict[str, list[float]] = {name: [] for name in ciphers}
    for _ in range(RUNS):
        for name, (work, amount) in ciphers.items():
            begin = time.perf_counter()
            work()
            taken[name].append(amount / (time.perf_counter() - begin))
    os.sched_setaffinity(0, CORES)
    print(f"\n{title} (medians of {RUNS}, in turns)")
    mine = next(iter(taken.values()))
    for name, found in taken.items():
        ratio = statistics.median(a / b for a, b in zip(mine, found, strict=True))
        print(
            f"  {name:34} {statistics.median(found):8.0f} MiB/s"
            + ("" if found is mine else f"   ours is {ratio:5.2f} x")
        )


def processes(folder: Path) -> None:
    """Whole processes: start-up, keys, reading and writing are in their time."""
    key, public = folder / "key", folder / "public"
    public.write_bytes(keyfiles.new(key).pem())
    plain = folder / "plain"
    with plain.open("wb") as file:
        for _ in range(SIZE):
            file.write(CONTENT)
    sealed = folder / "sealed"

    def shell(name: str, line: str) -> Case:
        return Case(name, ["sh", "-c", line], cwd=folder)

    pipe = "seal - -o - -r public"
    figures = alternate(
        [
            shell("dualtrack seal, pipe to pipe", f"cat plain | {CLI} {pipe} | cat > /dev/null"),
            shell("dualtrack seal, to /dev/null", f"{CLI} {pipe} < plain > /dev/null"),
            shell("the same on one core", f"taskset -c {max(CORES)} {CLI} {pipe} < plain > /dev/null"),
            shell("cat, pipe to pipe", "cat plain | cat | cat > /dev/null"),
        ],
        runs=5,
    )
    show(f"{SIZE} MiB through pipes", figures[0], figures[1:])
    figures = alternate(
        [
            shell("dualtrack seal", f"{CLI} seal plain -o sealed --force -r public"),
            shell("dd, with fsync", "dd if=plain of=copied bs=1M conv=fsync status=none"),
            shell("cp, then sync", "cp plain copied && sync copied"),
        ],
        runs=5,
    )
    show(f"{SIZE} MiB from disk to disk, synced", figures[0], figures[1:])
    words = "-i key"
    figures = alternate(
        [
            shell("dualtrack unseal to a pipe", f"{CLI} unseal - -o - {words} < sealed | cat > /dev/null"),
            shell("dualtrack seal verify", f"{CLI} seal verify sealed {words}"),
            shell("dualtrack unseal to disk", f"{CLI} unseal sealed -o opened --force {words}"),
            shell("64 MiB of it by --range", f"{CLI} unseal sealed -o - {words} --range {SIZE // 2 * MIB}:{64 * MIB}"),
            shell("dualtrack seal rekey", f"{CLI} seal rekey sealed {words} -r public"),
        ],
        runs=3,
    )
    show(f"opening {SIZE} MiB", figures[0], figures[1:])
    assert sealed.stat().st_size > SIZE * MIB


def main() -> None:
    """Measure and print."""
    speeds("sealing chunks of 1 MiB on one core", CIPHERS)
    speeds("the same on all cores", THREADED)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        processes(Path(folder))


if __name__ == "__main__":
    main()
