"""What the command line loads before it needs a cipher. What modules import, import-linter holds (pyproject.toml)."""

from __future__ import annotations

import subprocess
import sys


def test_the_command_line_loads_no_cipher_before_it_needs_one() -> None:
    code = "import sys, dualtrack.cli; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ciphers = ("dualtrack.security.seal", "dualtrack.crypto", "ctypes", "Cryptodome", "cryptography")
    assert not [name for name in loaded if name.startswith(ciphers)]
