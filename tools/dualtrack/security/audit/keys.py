"""The host's keys, one an epoch: born here, used for a limited time, then destroyed.

Whoever takes today's key can sign for today. Yesterday's heads are signed by a key that nobody has any more, and name
today's public key.
"""

from __future__ import annotations

import os
from pathlib import Path

from dualtrack.core.errors import External
from dualtrack.core.files import check_own_folder, read_secret, sync_path, write_atomically
from dualtrack.crypto import libcrypto


def new(path: Path) -> libcrypto.PrivateKey:
    """Make a key whose private half lies in ``path``, readable for its owner alone; return it."""
    key = libcrypto.generate()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    check_own_folder(path.parent)
    write_atomically(path, key.private_pem(), mode=0o600)
    sync_path(path.parent)  # before a head names it: the one before it is destroyed then
    return key


def load(path: Path) -> libcrypto.PrivateKey:
    """Return the key in a file; External where it is gone, Refused for a link and where others may read or write it."""
    if not os.path.lexists(path):
        raise External(f"the trail's key {path} is gone", hint="the trail up to here can be verified; begin a new one")
    return libcrypto.private_key(read_secret(path, libcrypto.MAX_PEM, given=False, follow=False))
