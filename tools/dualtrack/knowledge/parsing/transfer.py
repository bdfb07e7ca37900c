"""How the bytes of a mail's part are written, whatever the spelling of its encoding; damage is said, never indexed."""

from __future__ import annotations

import binascii
import quopri
import re
from email.errors import MissingHeaderBodySeparatorDefect
from email.message import EmailMessage

from dualtrack.knowledge.parsing.blocks import Unreadable

#: Encodings by the letters and digits of their names; what is written as it is has no name, or one of these.
AS_IT_IS = ("", "7bit", "8bit", "binary")
UU = ("uuencode", "xuuencode", "uue", "xuue")
NAME = "Content-Transfer-Encoding"
_COMMENT = re.compile(r"\([^()]*\)")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
#: A sign of quoted-printable that is neither a byte nor the end of a line.
_BROKEN = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\Z)")


def encoding(written: str) -> str:
    """Return the name of an encoding without what does not belong to it: comments, parameters, quotes, blanks, case."""
    while (without := _COMMENT.sub("", written)) != written:
        written = without
    return re.sub(r"[^a-z0-9]", "", re.split("[;,]", written, maxsplit=1)[0].lower())


def decoded(part: EmailMessage) -> tuple[bytes, list[str]]:
    """Return the bytes of a part that has no parts, and what of it is left out; Unreadable where it cannot be had."""
    names = {encoding(str(value)) for name, value in part.raw_items() if name.lower() == NAME.lower()}
    del part[NAME]  # so that nothing is decoded by a library that keeps what it cannot decode
    said = part.get_payload(decode=True)
    raw = said if isinstance(said, bytes) else b""
    if any(isinstance(it, MissingHeaderBodySeparatorDefect) for it in part.defects) and _names_encoding(raw):
        raise Unreadable("its header is broken, so its encoding is not known")
    if len(names) > 1:
        raise Unreadable("it names several encodings")
    name = names.pop() if names else ""
    if name in AS_IT_IS:
        return raw, []
    if name == "base64":
        return _base64(raw)
    if name == "quotedprintable":
        return _quoted_printable(raw)
    if name in UU:
        return _uu(raw)
    raise Unreadable(f"its encoding is not known: {name[:40]}")


def _names_encoding(raw: bytes) -> bool:
    return NAME.lower().encode() in raw[:8192].lower()


def _base64(raw: bytes) -> tuple[bytes, list[str]]:
    """Decode lines until one that is none of base64, or after which another one cannot be: what is behind is said."""
    lines = [it.strip() for it in raw.strip().splitlines()]
    taken: list[bytes] = []
    for line in lines:
        if (taken and (taken[-1].endswith(b"=") or len(taken[-1]) % 4)) or not _BASE64.fullmatch(line):
            break
        taken.append(line)
    if lines and not taken:
        raise Unreadable("it is not in the encoding that it names, base64")
    left = ["text behind the base64 of a part"] if any(lines[len(taken) :]) else []
    whole = b"".join(taken).rstrip(b"=")
    cut = len(b"".join(taken)) % 4
    if cut:
        left.insert(0, "the end of a part, whose base64 is cut off")
        whole = whole[: len(whole) - (len(whole) % 4 == 1)]
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4)), left


def _quoted_printable(raw: bytes) -> tuple[bytes, list[str]]:
    """Decode lines without those that have a sign which is none."""
    lines = raw.splitlines(keepends=True)
    kept = [it for it in lines if not _BROKEN.search(it.rstrip(b"\r\n"))]
    left = ["lines of a part whose quoted-printable is broken"] if len(kept) < len(lines) else []
    if lines and lines[-1].rstrip(b" \t").endswith(b"="):
        left.append("the end of a part, whose quoted-printable is cut off")
    return quopri.decodestring(b"".join(kept)), left


def _uu(raw: bytes) -> tuple[bytes, list[str]]:
    """Decode what is between `begin` and `end`."""
    lines = raw.strip().splitlines()
    end = next((at for at, it in enumerate(lines) if it.strip() == b"end"), -1)
    if not lines or not lines[0].startswith(b"begin ") or end < 0:
        raise Unreadable("it is not in the encoding that it names, uuencode")
    try:
        said = b"".join(binascii.a2b_uu(it) for it in lines[1:end])
    except binascii.Error:
        raise Unreadable("it is not in the encoding that it names, uuencode") from None
    return said, ["text behind the uuencode of a part"] if any(it.strip() for it in lines[end + 1 :]) else []
