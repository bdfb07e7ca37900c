"""Identifiers of registers outside the mainland, of companies and of banks; their check digits computed by tables."""

from __future__ import annotations

import random
import string


def _digits(chance: random.Random, count: int) -> str:
    return "".join(chance.choices(string.digits, k=count))


def hong_kong(chance: random.Random) -> str:
    """Return an identity card of Hong Kong, with its check digit in brackets."""
    letters, body = chance.choice(["A", "K", "Z", "WX", "EC"]), _digits(chance, 6)
    values = [36, *(ord(it) - 55 for it in letters)][-2:] + [int(it) for it in body]
    check = -sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True)) % 11
    return f"{letters}{body}({'0123456789A'[check]})"


def taiwan(chance: random.Random) -> str:
    """Return an identity card of Taiwan with its check digit; A is 10 there, and F 15."""
    letter, body = chance.choice("ABCDEF"), chance.choice("1289") + _digits(chance, 7)
    total = 1 + 9 * "ABCDEF".index(letter) + sum(int(it) * (8 - place) for place, it in enumerate(body))
    return f"{letter}{body}{-total % 10}"


def credit_code(chance: random.Random) -> str:
    """Return a unified social credit code with its check digit (GB 32100)."""
    letters = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    body = chance.choice(["91", "92", "51", "12"]) + chance.choice(["110108", "440305"])
    body += "".join(chance.choices(letters, k=9))
    return body + letters[-sum(letters.index(it) * 3**place for place, it in enumerate(body)) % 31]


def account(chance: random.Random) -> str:
    """Return an account of a bank in Europe (IBAN)."""
    forms = [("DE", _digits(chance, 18)), ("FR", _digits(chance, 23)), ("GB", "NWBK" + _digits(chance, 14))]
    country, body = chance.choice(forms)
    check = 98 - int("".join(str(int(it, 36)) for it in f"{body}{country}00")) % 97
    whole, gap = f"{country}{check:02}{body}", chance.choice(["", " "])
    return gap.join(whole[place : place + 4] for place in range(0, len(whole), 4))


def abroad(chance: random.Random) -> str:
    """Return a telephone of another country, with the country's code."""
    return chance.choice(
        [
            f"+44 20 79{_digits(chance, 2)} {_digits(chance, 4)}", f"+1 212 7{_digits(chance, 2)} {_digits(chance, 4)}",
            f"+1-415-5{_digits(chance, 2)}-{_digits(chance, 4)}", f"+852 9{_digits(chance, 3)} {_digits(chance, 4)}",
            f"+4915{_digits(chance, 9)}", f"+81 3-{_digits(chance, 4)}-{_digits(chance, 4)}",
        ]
    )  # fmt: skip
