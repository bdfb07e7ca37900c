"""Shares in files: sealed for each custodian, handed over, joined. The steps need no two people in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dualtrack.core.errors import BadInput
from dualtrack.core.files import check_ours, read_secret, read_with_facts
from dualtrack.security.seal import blob, keyfiles, secret_sharing
from dualtrack.security.seal.atomic_output import folder, target
from dualtrack.security.seal.chunks import START
from dualtrack.security.seal.header import MAGIC
from dualtrack.security.seal.slots import Identity, Sm2Recipient

_MAX_SHARE = 2 * START + 2 * secret_sharing.MAX_SECRET  # base64 and the header twice


@dataclass(frozen=True)
class Given:
    """A share's file, and the key of the custodian it is for."""

    file: str
    custodian: str


def split(secret: Path, threshold: int, custodians: Sequence[Path], output: Path, made: str) -> list[Given]:
    """Split what is in ``secret``; the directory ``output`` gets one sealed share per custodian, all or none of them.

    Refused where others may read or write ``secret``: what they know already is not worth custodians.
    """
    keys = [keyfiles.public(path) for path in custodians]
    if len({key.id for key in keys}) < len(keys):
        raise BadInput("the same custodian twice", hint="two shares with one person lower the threshold")
    shares = secret_sharing.split(
        read_secret(secret, secret_sharing.MAX_SECRET), secret.name, threshold, len(keys), made
    )
    given = []
    with folder(str(output)) as place:
        for share, key, path in zip(shares, keys, custodians, strict=True):
            file = f"share-{share.index}-of-{share.count}-{path.stem}.sealed"
            (place / file).write_bytes(blob.seal(secret_sharing.encode(share), [Sm2Recipient(key)]))
            given.append(Given(str(output / file), f"sm2:{key.id.hex()}"))
    return given


def hand_over(file: Path, identities: Sequence[Identity], recipient: Path, output: str) -> secret_sharing.Share:
    """Seal a custodian's share anew, for whoever joins them; return it."""
    officer = Sm2Recipient(keyfiles.public(recipient))
    share = _share(file, identities)
    with target(output, force=False, mode=0o600) as write:
        write(memoryview(blob.seal(secret_sharing.encode(share), [officer])))
    return share


def join(files: Sequence[Path], identities: Sequence[Identity], output: str, *, force: bool) -> secret_sharing.Joined:
    """Join shares, sealed for one of ``identities`` or open, and write the secret to ``output``.

    Refused where others may read or write the file of an open one.
    """
    joined = secret_sharing.join([(str(file), _share(file, identities)) for file in files])
    with target(output, force=force, mode=0o600) as write:
        write(memoryview(joined.secret))
    return joined


def _share(file: Path, identities: Sequence[Identity]) -> secret_sharing.Share:
    data, info = read_with_facts(file, _MAX_SHARE)
    if not data.startswith(MAGIC):
        share = secret_sharing.decode(data, str(file))
        check_ours(file, info)
        return share
    if not identities:
        raise BadInput(f"{file} is sealed", hint="give the --identity that it is sealed for")
    return secret_sharing.decode(keyfiles.named(file, lambda: blob.unseal(data, identities)), str(file))
