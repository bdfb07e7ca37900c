"""A secret that several custodians keep together: any ``threshold`` of them bring it back, fewer learn nothing.

The secret is sealed under a random 128-bit key, and that key is split by Shamir's scheme (`pycryptodomex`). Every share
carries the sealed secret too, so that shares are all that anybody has to find again. It also carries a digest of each
share of its set: a share that was mangled is told from the good ones, and named, instead of giving a wrong secret.
"""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from dualtrack.core.errors import BadInput, External, Findings
from dualtrack.crypto.sm3 import sm3
from dualtrack.security.seal import blob
from dualtrack.security.seal.errors import SealError
from dualtrack.security.seal.slots import Passphrase

KIND = "dualtrack.escrow-share/1"
MAX_SECRET = 64 * 1024  # keys and passphrases; anything larger is sealed, and its key is what is kept
MAX_CUSTODIANS = 20
_KEY = 16  # what the library's Shamir splits

_Hex16 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
_Hex32 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_CUSTODIANS)]


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"kind": "schema"}, kw_only=True):
    """One custodian's share: ``made`` is its day, ``value`` the secret part, ``secret`` the sealed secret in base64."""

    kind: str
    set: _Hex16
    name: str
    made: str
    threshold: _Count
    count: _Count
    index: _Count
    value: _Hex16
    digests: tuple[_Hex32, ...]
    secret: str

    @property
    def common(self) -> tuple[object, ...]:
        """Return what all shares of a set have in common."""
        return self.set, self.name, self.made, self.threshold, self.count, self.digests, self.secret

    def __str__(self) -> str:
        return (
            f"share {self.index} of {self.count} of {self.name}, set {self.set[:8]}, made {self.made},"
            f" {self.threshold} needed"
        )


@dataclass(frozen=True)
class Joined:
    """A secret that was brought back, under the name that it had, and what was wrong with shares that were left out."""

    secret: bytes
    name: str
    left_out: tuple[str, ...]


def split(secret: bytes, name: str, threshold: int, count: int, made: str) -> list[Share]:
    """Return ``count`` shares of ``secret``, any ``threshold`` of which bring it back; ``made`` is today's date."""
    from Cryptodome.Protocol.SecretSharing import Shamir

    if not 2 <= threshold <= count <= MAX_CUSTODIANS:
        raise BadInput(
            f"{threshold} of {count} custodians", hint=f"at least 2 needed, as many there, {MAX_CUSTODIANS} at most"
        )
    if not 0 < len(secret) <= MAX_SECRET:
        raise BadInput(f"a secret of {len(secret)} bytes", hint=f"1 to {MAX_SECRET}: seal it, and split the key")
    key = secrets.token_bytes(_KEY)
    sealed = b64encode(blob.seal(secret, [Passphrase(key.hex().encode())])).decode()
    values = {index: bytes(value).hex() for index, value in Shamir.split(threshold, count, key, ssss=False)}
    number = secrets.token_hex(16)
    digests = tuple(_digest(number, index, values[index]) for index in range(1, count + 1))
    shares = [
        Share(
            kind=KIND,
            set=number,
            name=name,
            made=made,
            threshold=threshold,
            count=count,
            index=index,
            value=values[index],
            digests=digests,
            secret=sealed,
        )
        for index in range(1, count + 1)
    ]
    for some in (shares[:threshold], shares[-threshold:]):  # before anybody throws the secret away
        if join([(share.name, share) for share in some]).secret != secret:
            raise External("the shares do not give the secret back: nothing was written")
    return shares


def join(found: Sequence[tuple[str, Share]]) -> Joined:
    """Bring a secret back from shares, each with the name of the file that it came from.

    Shares that are not as they were made are left out and named. BadInput when they are too few or of different
    secrets, Findings when too few of them are good.
    """
    from Cryptodome.Protocol.SecretSharing import Shamir

    if len({share.set for _, share in found}) > 1:
        raise BadInput("shares of different sets: " + ", ".join(f"{file} is of {s.set[:8]}" for file, s in found))
    if not found:
        raise BadInput("no shares", hint="name the files that the custodians handed over")
    common, agreeing = Counter(share.common for _, share in found).most_common(1)[0]
    if agreeing == 1 and len(found) > 1:
        raise Findings("no two of these shares agree about their set", hint="get them from the custodians again")
    good: dict[int, Share] = {}
    bad: list[str] = []
    for file, share in found:
        if share.common == common and _sound(share):
            good[share.index] = share
        else:
            bad.append(f"{file} is damaged or forged")
    one = found[0][1] if not good else next(iter(good.values()))
    if len(good) < one.threshold:
        problem = f"{one.threshold} shares are needed, and these are {len(good)}"
        if bad:
            raise Findings("; ".join([problem, *bad]), hint="get those from their custodians again")
        raise BadInput(problem, hint=f"each of the {one.count} custodians has one; the same share twice is one")
    chosen = [(index, bytes.fromhex(share.value)) for index, share in sorted(good.items())][: one.threshold]
    key = bytes(Shamir.combine(chosen, ssss=False))
    try:
        secret = blob.unseal(b64decode(one.secret), [Passphrase(key.hex().encode())])
    except SealError as error:
        raise Findings(f"the shares agree, and yet do not open their secret: {error}") from None
    return Joined(secret, one.name, tuple(bad))


def encode(share: Share) -> bytes:
    """Return a share as the JSON document that is sealed for its custodian."""
    return msgspec.json.format(msgspec.json.encode(share), indent=2) + b"\n"


def decode(data: bytes, origin: str) -> Share:
    """Read a share; BadInput, with the name of its file, for anything else."""
    try:
        share = msgspec.json.decode(data, type=Share)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"{origin} holds no share: {error}") from None
    if share.kind != KIND or not share.index <= share.count == len(share.digests) or share.threshold > share.count:
        raise BadInput(f"{origin} holds no share that this release knows")
    return share


def _sound(share: Share) -> bool:
    return share.digests[share.index - 1] == _digest(share.set, share.index, share.value)


def _digest(number: str, index: int, value: str) -> str:
    return sm3(f"{KIND} {number} {index} {value}".encode()).hex()
