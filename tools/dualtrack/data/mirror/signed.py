"""The manifest's text, and not a byte of it before it is known who signed it: gpgv checks, this module asks exactly.

An exit code tells little: `gpg --decrypt` ends with 0 for a text that nobody signed, gpgv for a key that was revoked.
So the file must be one text signed in the clear and nothing beside it, with one signature in its block; gpgv must say
that it is good, and by the key that came another way; and what gpgv says was signed is what is used.

Only the standard library is needed, since ci/setup.sh asks before there is an environment:
`PYTHONPATH=tools python3 -P tools/dualtrack/data/mirror/signed.py MANIFEST.asc KEY` prints the text.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from dualtrack.core.errors import BadInput, DualtrackError, Refused
from dualtrack.core.proc import run

#: The first line of a manifest. Version 1 had no date until which it is valid.
HEAD = "dualtrack mirror 2"
#: More bytes than a manifest or a key has.
LONGEST = 256 << 20
#: How far a site's clock may be behind that of the machine that signed.
CLOCK = timedelta(days=1)

#: A text signed in the clear, alone in its file. No line of a manifest begins with a dash; blanks at a line's end and
#: control characters are refused, since a signature in the clear does not cover all of them.
_SHAPE = re.compile(
    rb"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA(?:256|384|512)\n\n"
    rb"(?P<text>(?:[^\x00-\x20\x7f-](?:[^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?\n)+)"
    rb"-----BEGIN PGP SIGNATURE-----\n\n"
    rb"(?P<block>(?:[A-Za-z0-9+/]{1,76}={0,2}\n)+)(?:=[A-Za-z0-9+/]{4}\n)?"
    rb"-----END PGP SIGNATURE-----\n"
)
_KEY = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\n(?:[A-Za-z]+: [^\n]*\n)*\n"
    rb"(?P<block>(?:[A-Za-z0-9+/]{1,76}={0,2}\n)+)(?:=[A-Za-z0-9+/]{4}\n)?"
    rb"-----END PGP PUBLIC KEY BLOCK-----\n?"
)
#: Packet types of RFC 4880, 4.3.
_SIGNATURE, _PUBLIC_KEY = 2, 6
#: SHA-256, SHA-384, SHA-512 (RFC 4880, 9.4).
_DIGESTS = {"8", "9", "10"}

#: What gpgv says for one good signature: nothing else may be among it, and the second line's words exactly once.
_ONCE = ("NEWSIG", "GOODSIG", "VALIDSIG", "PLAINTEXT")
_EXPECTED = {*_ONCE, "KEY_CONSIDERED", "SIG_ID", "PLAINTEXT_LENGTH", "VERIFICATION_COMPLIANCE_MODE"}
_REASONS = {
    "NO_PUBKEY": "is not signed by this key",
    "BADSIG": "is not signed by this key, or was changed since",
    "REVKEYSIG": "is signed by a key that was revoked", "KEYREVOKED": "is signed by a key that was revoked",
    "EXPKEYSIG": "is signed by a key that has expired", "KEYEXPIRED": "is signed by a key that has expired",
    "EXPSIG": "bears a signature that has expired", "SIGEXPIRED": "bears a signature that has expired",
    "ERRSIG": "bears a signature that cannot be checked",
}  # fmt: skip


@dataclass(frozen=True)
class Dates:
    """When a manifest was made, and until when it is valid; both in UTC."""

    made: datetime
    until: datetime


def text(signed: Path, key: Path) -> str:
    """Return the text that the key in the file ``key`` signed; BadInput, which says why, where it is not so."""
    data, ring = _read(signed), keyring(_read(key), key)
    if why := unfit(data):
        raise _untrusted(signed, why)
    with tempfile.TemporaryDirectory(prefix="dt-gpgv-") as folder:
        home = Path(folder)
        (home / "key.gpg").write_bytes(ring)
        (home / "signed").write_bytes(data)
        said = run(
            ["gpgv", "--homedir", home, "--keyring", home / "key.gpg", "--status-fd", "1", "--output", home / "text",
             home / "signed"],
            env={"LC_ALL": "C"}, check=False,
        )  # fmt: skip
        if why := judged(said.stdout, fingerprint(ring)):
            raise _untrusted(signed, why)
        found = (home / "text").read_bytes() if said.returncode == 0 else None
    shape = _SHAPE.fullmatch(data)
    if found is None or shape is None or found.rstrip(b"\n") != shape["text"].rstrip(b"\n"):
        raise _untrusted(signed, "does not hold the text that gpgv says was signed")
    try:
        return found.decode()
    except UnicodeDecodeError:
        raise BadInput(f"{signed} is not UTF-8") from None


def unfit(data: bytes) -> str:
    """Return why these bytes are not one text signed in the clear, once, and nothing else; empty where they are."""
    if not data.strip():
        return "is empty"
    if not data.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----\n"):
        return "does not begin with a text that is signed in the clear"
    if len(re.findall(rb"(?m)^-----BEGIN ", data)) > 2 or not data.endswith(b"\n-----END PGP SIGNATURE-----\n"):
        return "holds more than the one text that is signed"
    if (shape := _SHAPE.fullmatch(data)) is None:
        return "is not written as `gpg --clear-sign` writes a manifest"
    try:
        kinds = [kind for kind, _ in packets(base64.b64decode(shape["block"], validate=False))]
    except (ValueError, IndexError):
        return "bears a signature that cannot be read"
    if set(kinds) != {_SIGNATURE}:
        return "has something else than a signature where that should be"
    return "" if len(kinds) == 1 else f"bears {len(kinds)} signatures instead of one"


def judged(said: str, pinned: str) -> str:
    """Return why gpgv's status lines are not those of one good signature by ``pinned`` (a fingerprint), or nothing."""
    lines = [line.split(" ") for line in said.split("\n") if line]
    words = Counter(line[1] if line[0] == "[GNUPG:]" and len(line) > 1 else "?" for line in lines)
    if words["NEWSIG"] > 1:
        return f"bears {words['NEWSIG']} signatures instead of one"
    for word, why in _REASONS.items():
        if words[word]:
            return why
    if strange := sorted(words.keys() - _EXPECTED):
        return f"was not accepted: gpgv says {strange[0]}"
    if any(words[word] != 1 for word in _ONCE):
        return "is not signed"
    fields = next(line for line in lines if line[1] == "VALIDSIG")
    if len(fields) < 12 or fields[11] != pinned:
        return "is not signed by this key"
    if fields[9] not in _DIGESTS or fields[10] != "01":  # 01: a text's signature
        return "is signed by a digest, or in a way, that is not taken"
    return ""


def keyring(data: bytes, key: Path) -> bytes:
    """Return a public key as gpgv reads it: armour is taken off. BadInput where the file is not one public key."""
    try:
        if armoured := _KEY.fullmatch(data.replace(b"\r\n", b"\n").strip()):
            data = base64.b64decode(armoured["block"])
        kinds = [kind for kind, _ in packets(data)]
    except (ValueError, IndexError):
        kinds = []
    if kinds[:1] != [_PUBLIC_KEY] or kinds.count(_PUBLIC_KEY) != 1:
        raise BadInput(f"{key} is not one public key", hint="the file that `gpg --armor --export` writes for one key")
    return data


def fingerprint(ring: bytes) -> str:
    """Return a key's fingerprint in hexadecimal digits, of version 4 (RFC 4880, 12.2)."""
    _, body = next(packets(ring))
    return hashlib.sha1(b"\x99" + len(body).to_bytes(2) + body, usedforsecurity=False).hexdigest().upper()


def packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each packet (RFC 4880, 4.2); ValueError or IndexError for bytes that are none."""
    at = 0
    while at < len(data):
        first = data[at]
        if not first & 0x80:
            raise ValueError("no packet")
        if first & 0x40:
            kind, size = first & 0x3F, data[at + 1]
            at += 2
            if 192 <= size < 224:
                size, at = ((size - 192) << 8) + data[at] + 192, at + 1
            elif size == 255:
                size, at = int.from_bytes(data[at : at + 4]), at + 4
            elif size >= 224:
                raise ValueError("a packet in parts")
        else:
            kind, width = (first & 0x3C) >> 2, 1 << (first & 3)
            if width == 8:
                raise ValueError("a packet without a length")
            size, at = int.from_bytes(data[at + 1 : at + 1 + width]), at + 1 + width
        if at + size > len(data):
            raise ValueError("a packet is cut off")
        yield kind, data[at : at + size]
        at += size


def dates(text: str) -> Dates:
    """Return the dates of a manifest; BadInput for a text that is none of the version that this program knows."""
    lines = text.split("\n")
    if lines[0] != HEAD:
        raise BadInput(
            "MANIFEST.asc is none of a version that this program knows", hint=f"its first line must be: {HEAD}"
        )
    found = []
    for number, word in ((1, "made "), (2, "until ")):
        line = lines[number] if len(lines) > number else ""
        try:
            if not line.startswith(word):
                raise ValueError
            moment = datetime.strptime(line.removeprefix(word), "%Y-%m-%dT%H:%M:%SZ")
        except ValueError:
            raise BadInput(f"MANIFEST.asc, line {number + 1} is not understood: {line[:80]}") from None
        found.append(moment.replace(tzinfo=UTC))
    return Dates(*found)


def out_of_date(known: Dates, now: datetime, accepted: date | None = None) -> str:
    """Return why a manifest does not count at the moment ``now``, or nothing.

    One that has expired counts where it was valid until the day ``accepted`` or longer: who accepts an old medium names
    it, and a still older one is refused as ever.
    """
    if known.made > now + CLOCK:
        return f"was made on {known.made:%Y-%m-%d}, and this machine's clock says {now:%Y-%m-%d}: set the clock"
    if known.until > now or (accepted is not None and known.until.date() >= accepted):
        return ""
    day = f"{known.until:%Y-%m-%d}"
    return (
        f"was valid until {day}: bring a newer mirror; where none can be had, accept this one by --accept-expired {day}"
        f" or DUALTRACK_MIRROR_EXPIRED={day}"
    )


def day(word: str | None) -> date | None:
    """Return a day written as 2026-11-30, None for none; BadInput for anything else."""
    try:
        return date.fromisoformat(word) if word else None
    except ValueError:
        raise BadInput(f"{word} is not a day", hint="write it as 2026-11-30") from None


def hold(name: Path, known: Dates, accepted: date | None) -> None:
    """Raise Refused, which says how to continue, where a manifest does not count today."""
    if why := out_of_date(known, datetime.now(UTC), accepted):
        raise Refused(f"{name} {why}")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > LONGEST:
        raise BadInput(f"{path} is longer than any that is meant")
    return data


def _untrusted(signed: Path, why: str) -> BadInput:
    return BadInput(f"{signed} {why}: nothing in the mirror can be trusted")


def main() -> None:
    """Print the text of a manifest whose signature is the key's, and that is valid; one line on stderr otherwise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("key", type=Path)
    parser.add_argument("--accept-expired", metavar="DATE", default=os.environ.get("DUALTRACK_MIRROR_EXPIRED"))
    given = parser.parse_args()
    try:
        found = text(given.manifest, given.key)
        hold(given.manifest, dates(found), day(given.accept_expired))
    except DualtrackError as error:
        print(f"dualtrack: {error}", file=sys.stderr)
        sys.exit(int(error.code))
    sys.stdout.write(found)


if __name__ == "__main__":
    main()
