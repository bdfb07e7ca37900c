"""What a result depends on outside the checkout: the system, its packages, the tools, and the images of lab hosts."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

#: Programs that do not come as Debian packages everywhere, each with what makes it tell its version.
PROGRAMS = (
    ("go", "version"),
    ("terraform", "version"),
    ("tofu", "version"),
    ("java", "-version"),
    ("git", "--version"),
)

#: Changes with what inputs are taken to be: older results are then not comparable.
FORMAT = "3"


def digest() -> str:
    """Return the digest of this machine's part in a result."""
    from dualtrack.lab import rootfs, vmimage

    parts = [FORMAT, platform.release(), platform.machine(), sys.version, rootfs.key(), vmimage.key()]
    parts.append(_said("dpkg-query", "--show", "--showformat", "${Package}=${Version}\n"))
    parts += [_said(*words) for words in PROGRAMS]
    # Whether virtual machines are emulated, or run by the processor.
    parts.append(str(Path("/dev/kvm").exists()))
    parts += [os.environ.get(name, "") for name in ("AWS_CA_BUNDLE", "TF_CLI_CONFIG_FILE")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _said(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return "absent"
    return done.stdout + done.stderr
