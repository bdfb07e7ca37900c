"""Keys and passphrases in files, as the command line is given them.

A file with a private key or a passphrase that others may read or write is refused (`files.check_ours`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from dualtrack.core.errors import BadInput, DualtrackError
from dualtrack.core.files import check_ours, read_secret, read_whole, read_with_facts
from dualtrack.crypto import libcrypto
from dualtrack.security.seal.atomic_output import target
from dualtrack.security.seal.errors import SealError
from dualtrack.security.seal.slots import Identity, Passphrase, Recipient, Sm2Identity, Sm2Recipient, characters

K = TypeVar("K")

_MAX_PASSPHRASE = 1024


def passphrase(path: Path) -> bytes:
    """Return the first line of a file (or of a pipe: `<(pass show …)`), which holds a passphrase and nothing else.

    The line ends with LF or CR LF, and neither belongs to the passphrase; all else of it does, as the bytes that it is.
    """
    line, _, more = read_secret(path, _MAX_PASSPHRASE).partition(b"\n")
    secret = line.removesuffix(b"\r")
    if not characters(secret) or more.strip() or b"\0" in secret:
        raise BadInput(f"{path} holds no passphrase", hint="one line, not of blanks only, and nothing else")
    return secret


def public(path: Path) -> libcrypto.PublicKey:
    """Read a public key file; a private key is refused, so that nobody gets used to passing theirs around."""
    pem = read_whole(path, libcrypto.MAX_PEM)
    if b"PRIVATE KEY" in pem:
        raise BadInput(f"{path} is a private key", hint=f"dualtrack keys public {path} prints its public half")
    return named(path, lambda: libcrypto.public_key(pem))


def private(path: Path, secret: bytes = b"") -> libcrypto.PrivateKey:
    """Read a private key file, with the passphrase it is under."""
    pem, info = read_with_facts(path, libcrypto.MAX_PEM)
    if b"PUBLIC KEY" in pem and b"PRIVATE KEY" not in pem:
        raise BadInput(f"{path} is a public key; opening needs the private half")
    check_ours(path, info)
    return named(path, lambda: libcrypto.private_key(pem, secret))


def new(path: Path, secret: bytes = b"") -> libcrypto.PrivateKey:
    """Make a private key file that only its owner can read; never in the place of another."""
    key = libcrypto.generate()
    with target(str(path), force=False, mode=0o600) as write:
        write(memoryview(key.private_pem(secret)))
    return key


def recipients(keys: Sequence[Path], passphrase_file: Path | None) -> list[Recipient]:
    """Return all for whom to seal."""
    found: list[Recipient] = [Sm2Recipient(public(path)) for path in keys]
    return found + ([Passphrase(passphrase(passphrase_file))] if passphrase_file else [])


def identities(keys: Sequence[Path], passphrase_file: Path | None, secret_file: Path | None = None) -> list[Identity]:
    """Return all that may open; ``secret_file`` holds the passphrase that private keys are under."""
    secret = passphrase(secret_file) if secret_file else b""
    found: list[Identity] = [Sm2Identity(private(path, secret)) for path in keys]
    found += [Passphrase(passphrase(passphrase_file))] if passphrase_file else []
    if not found:
        raise BadInput("nothing to open it with", hint="give --identity or --passphrase-file")
    return found


def named(path: Path, read: Callable[[], K]) -> K:
    """Return what ``read`` returns; its error gets the file's name in front."""
    try:
        return read()
    except SealError as error:
        raise type(error)(error.reason, f"{path}: {error}", chunk=error.chunk) from None
    except DualtrackError as error:
        raise type(error)(f"{path}: {error}") from None
