"""The mirror's signing key: made once per mirror, kept outside the directory that is served.

gpg is given a home directory that lives as long as one call. Its agent then outlives nothing, and the length of the
cache directory's path does not matter (a unix socket's may have 107 characters).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dualtrack.core import directory_handles
from dualtrack.core.files import write_atomically
from dualtrack.core.proc import run

USER = "dualtrack mirror <mirror@dualtrack.invalid>"
_BATCH = ("--batch", "--no-tty", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")


def ensure_key(folder: Path) -> Path:
    """Return the private key's file in ``folder`` (mode 0700), making an Ed25519 key when there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    directory_handles.close_to_others(folder)
    path = folder / "private.asc"
    if not path.is_file():
        with _home() as gpg:
            run([*gpg, "--quick-generate-key", USER, "ed25519", "sign", "never"])
            text = run([*gpg, "--armor", "--export-secret-keys"]).stdout
        write_atomically(path, text.encode(), 0o600)
    return path


def public_key(private: Path) -> str:
    """Return the public half, as ASCII-armoured text."""
    with _home(private) as gpg:
        return run([*gpg, "--armor", "--export"]).stdout


def clear_sign(private: Path, text: str) -> str:
    """Return ``text`` signed in the clear, as apt reads `InRelease`."""
    with _home(private) as gpg:
        return run([*gpg, "--digest-algo", "SHA256", "--clear-sign"], stdin=text).stdout


@contextmanager
def _home(private: Path | None = None) -> Iterator[list[str]]:
    """Yield the words that start gpg in a fresh home directory, with the key ``private`` imported."""
    with tempfile.TemporaryDirectory(prefix="dt-gpg-") as folder:
        gpg = ["gpg", "--homedir", folder, *_BATCH]
        try:
            if private is not None:
                run([*gpg, "--import", str(private)])
            yield gpg
        finally:
            run(["gpgconf", "--homedir", folder, "--kill", "all"], check=False)
