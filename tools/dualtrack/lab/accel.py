"""How virtual machines run here: by KVM where it boots a stock kernel, else by emulation, 10 to 20 times slower."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from dualtrack.core.errors import BadInput
from dualtrack.core.files import write_atomically
from dualtrack.core.paths import cache_dir

#: The last that a kernel says which was given no root file system: so far it has come.
SIGN = "Unable to mount root fs"
PROBE_S = 15
#: An older processor, with what SM4's fast implementation needs. `max` takes a fifth more processor time to boot (36.2
#: and 30.1 s): kernels and libraries prefer instructions that are expensive to emulate, where it has them.
#: Without the two that a saved state cannot be restored with; a machine that boots has the same processor.
EMULATED = "SandyBridge,+avx2,-x2apic,-tsc-deadline"


def options(kernel: Path) -> list[str]:
    """Return QEMU's options; `DUALTRACK_VM_ACCEL` (kvm or tcg) decides, or a trial of ``kernel`` once per boot."""
    chosen = os.environ.get("DUALTRACK_VM_ACCEL", "")
    if chosen not in ("", "kvm", "tcg"):
        raise BadInput(f"DUALTRACK_VM_ACCEL is {chosen!r}", hint="kvm, tcg, or leave it out")
    if (chosen or probed(kernel)) == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi", "-cpu", EMULATED]


def probed(kernel: Path) -> str:
    """Return `kvm` or `tcg`. A /dev/kvm that is there need not work: nested ones often do not boot a stock kernel."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    answer = cache_dir() / "vm" / f"accel-{boot_id}"
    if not answer.is_file():
        write_atomically(answer, (b"kvm" if boots_with_kvm(kernel) else b"tcg"))
    return answer.read_text()


def boots_with_kvm(kernel: Path) -> bool:
    """Try it: a kernel without a root file system is given some seconds to get as far as missing it."""
    command = [
        "setpriv", "--pdeathsig", "KILL",
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-accel", "kvm",
        "-cpu", "host", "-smp", "2", "-m", "512", "-no-reboot", "-serial", "stdio", "-kernel", str(kernel),
        "-append", "console=ttyS0 panic=-1",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_S, check=False)
    except (subprocess.TimeoutExpired, FileNotFoundError):
        return False
    return SIGN in done.stdout.decode(errors="replace")
