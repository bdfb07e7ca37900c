"""Takes personal data out of a text, by a policy, and fails where any is left.

- ``remove``: nothing stays.
- ``mask``: its kind stays, ``[phone]``.
- ``pseudonym``: its kind and a code stay, ``[phone:kfnebpgjcmoahldi]``: one code for one value however it is written,
  another one for each tenant. Without the key nobody can tell what is behind a code, nor test a guess.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from cryptography.hazmat.primitives.hashes import SM3
from cryptography.hazmat.primitives.hmac import HMAC

from dualtrack.core.errors import BadInput, External
from dualtrack.crypto.kdf import hkdf
from dualtrack.knowledge.pii import characters, days, escapes, keys
from dualtrack.knowledge.pii.forms import LIKE_DIGITS
from dualtrack.knowledge.pii.mails import AT, AT_WORDS, DOT, DOT_WORDS
from dualtrack.knowledge.pii.numbers import AREA, COUNTRY
from dualtrack.knowledge.pii.scan import PiiFinding, Recogniser, scan

Policy = Literal["remove", "mask", "pseudonym"]
POLICIES: tuple[str, ...] = get_args(Policy)
KEY_BYTES = 32
#: Characters of a code, of 4 bits each: two of a million values have the same one with a chance of 1 in 37 million.
CODE = 16
#: What is taken out may leave something behind that was none before: its parts come together.
ROUNDS = 8
KEY_HINT = "take the key out of the text, or write its END line behind it"
#: Kinds that have no letters but X: those that are written for digits stand for these.
OF_DIGITS = ("phone", "id_card", "residence_permit")
#: Kinds in which signs tell values apart.
WITH_SIGNS = ("email", "messenger")
#: The code of the country before a landline with its area, and before a mobile number of Taiwan.
LANDLINE, TAIWAN_MOBILE = re.compile(r"^(?:00)?860?(?=[1-9][0-9]{8,10}$)"), re.compile(r"^8860?(?=9[0-9]{8}$)")
#: Where a number begins with its area, without the zero of calls within the country.
WITHOUT_ZERO = re.compile(rf"^(?={AREA}[2-8][0-9]{{6,7}}$)")
#: The code of the country before a whole mobile number.
BEFORE_MOBILE = re.compile(rf"^{COUNTRY}(?=1[0-9]{{10}}$)")


#: A value that may stand once more: a word of ASCII characters with a digit, long enough to be no other number.
_WHOLE = re.compile(rb"(?=[^0-9]*[0-9])[!-~]{6,}")
#: Where one may begin, and may not end: within letters and digits. A number with a decimal point is another one.
_BEGINS, _CONTINUES = re.compile(rb"(?<![0-9A-Za-z])(?=[!-~])"), re.compile(rb"[0-9A-Za-z]")
_DECIMAL, _FRACTION = re.compile(rb"(?<=[0-9]\.)"), re.compile(rb"\.[0-9]")
#: Marks of a text around a value, and the end of a sentence, which may be taken for a part of it.
_AROUND = b"*_~`.!?"


@dataclass(frozen=True)
class Masked:
    """A text without personal data, and how often each kind was taken out."""

    data: bytes
    kinds: dict[str, int]


def mask(
    data: bytes,
    policy: Policy = "mask",
    *,
    key: bytes = b"",
    tenant: str = "",
    recognisers: tuple[Recogniser, ...] = (),
    again: bool = False,
) -> Masked:
    """Return a text of UTF-8 without what `scan` finds in it; with ``again`` also where a found value stands once more.

    ``key``: 32 bytes at least, and ``tenant``, for pseudonyms. Raises UnicodeDecodeError where the text is none,
    BadInput for a key that is too short, External where something is left or a private key has no end.
    """
    write = replacement(policy, key, tenant)
    kinds: Counter[str] = Counter()
    values: dict[bytes, str] = {}
    for _ in range(ROUNDS):
        if not (found := scan(data, recognisers)):
            found = [*_once_more(data, values)]
        if not found:
            return Masked(data, dict(kinds))
        if keys.open_ended(data, ((it.start, it.end, it.kind) for it in found)):
            raise External("a private key has no end that can be told: nothing is passed on", hint=KEY_HINT)
        kinds.update(it.kind for it in found)
        if again:
            named = {data[it.start : it.end]: it.kind for it in found if it.kind != "birth_date"}
            both = ((it, kind) for value, kind in named.items() for it in (value, value.strip(_AROUND)))
            values |= {value: kind for value, kind in both if _WHOLE.fullmatch(value)}
        data = _replaced(data, found, write)
    raise External("personal data is left after eight rounds: nothing is passed on")


def mask_parts(parts: Sequence[str], **how: Any) -> tuple[list[str], dict[str, int]]:
    """Return the parts of a document without personal data, also where it goes over the end of a part; as `mask`.

    What begins in one part is taken out of the next one, too. A value that a word names in one part may stand alone in
    another one, such as the plain text of a mail whose table is in the other form: it is taken out there as well.
    """
    joined = characters.PART.join(it.replace(characters.PART, " ") for it in parts)
    found = mask(joined.encode(), again=True, **how)
    return found.data.decode().split(characters.PART), found.kinds


def _once_more(data: bytes, values: dict[bytes, str]) -> Iterator[PiiFinding]:
    """Yield the places of values, none of which is a part of a longer word or number there."""
    lengths = sorted({len(it) for it in values}, reverse=True)
    place = 0
    for it in _BEGINS.finditer(data) if values else ():
        start = it.start()
        if start < place:
            continue
        for length in lengths:
            end = start + length
            kind = values.get(data[start:end])
            if kind is not None and not _CONTINUES.match(data, end) and not _is_part(data, start, end):
                place = end
                yield PiiFinding(kind=kind, start=start, end=end)
                break


def _is_part(data: bytes, start: int, end: int) -> bool:
    """Tell whether digits are those before or behind a decimal point."""
    if not data[start:end].isdigit():
        return False
    return _DECIMAL.match(data, start) is not None or _FRACTION.match(data, end) is not None


def replacement(policy: Policy, key: bytes, tenant: str) -> Callable[[str, bytes], bytes]:
    """Return what makes the text that stands for a value from its kind and the value."""
    if policy == "remove":
        return lambda _kind, _value: b""
    if policy == "mask":
        return lambda kind, _value: f"[{kind}]".encode()
    if len(key) < KEY_BYTES:
        raise BadInput(f"a key for pseudonyms has at least {KEY_BYTES} bytes", hint="openssl rand -out FILE 32")
    own = hkdf(key, b"dualtrack pseudonym\0" + tenant.encode(), KEY_BYTES)

    def pseudonym(kind: str, value: bytes) -> bytes:
        made = HMAC(own, SM3())
        made.update(kind.encode() + b"\0" + canonical(kind, value.decode()).encode())
        # Letters alone: no code looks like a number.
        code = made.finalize().hex()[:CODE].translate(str.maketrans("0123456789abcdef", "abcdefghijklmnop"))
        return f"[{kind}:{code}]".encode()

    return pseudonym


def canonical(kind: str, value: str) -> str:
    """Return a value without what may be written in several ways: scripts, case, separators, what is invisible.

    Also without the code of its country before a mobile number, which is found with it after a word.
    """
    if kind == "secret":  # signs and case are part of it
        return value
    plain, _ = characters.plain(escapes.plain(value), [])
    if kind == "email":
        plain = re.sub(f"{DOT}|{DOT_WORDS}", ".", re.sub(AT_WORDS, "@", plain, flags=re.I), flags=re.I)
    elif kind in OF_DIGITS:
        plain = plain.translate(LIKE_DIGITS)
    if kind in WITH_SIGNS:
        return re.sub(r"[^\w@.+'!%-]", "", re.sub(AT, "@", plain, flags=re.I)).casefold()
    if kind == "birth_date" and (day := days.canonical(plain)):
        return day
    found = re.sub(r"[^\w]|_", "", plain.replace("(0)", "") if kind == "phone" else plain).casefold()
    return _domestic(found) if kind == "phone" else found


def _domestic(number: str) -> str:
    """Return a telephone as the mainland and Taiwan call their own, or with the code of its country."""
    found = LANDLINE.sub("0", BEFORE_MOBILE.sub("", number))
    found = TAIWAN_MOBILE.sub("0", found if found != number else number.removeprefix("00"))
    return WITHOUT_ZERO.sub("0", found)


def _replaced(data: bytes, found: list[PiiFinding], write: Callable[[str, bytes], bytes]) -> bytes:
    parts, place = [], 0
    for it in found:
        value = data[it.start : it.end]
        # The ends of parts that it goes over stay.
        parts += [
            data[place : it.start],
            write(it.kind, value),
            characters.PART.encode() * value.count(characters.PART.encode()),
        ]
        place = it.end
    return b"".join([*parts, data[place:]])
