"""Values of a cell, each directly behind the label of the cell: its lines, the items of a list, an old and a new one.

The rules for personal data find a value behind its word, and others behind that one only as texts have them. The number
of an item stays before its label: behind it, `1.` and a number would be a fraction.
"""

from __future__ import annotations

import re

from dualtrack.knowledge.parsing import labels

#: Letters and digits of a value behind the number of an item without a blank; fewer may be of a fraction.
_VALUE = r"(?=(?:[^A-Za-z0-9\n]{0,3}[A-Za-z0-9]){7})"
#: What begins a line of a cell that is a list, but for numbers; empty where it is none.
_BULLET = re.compile(r"\s*(?:[-*+•‣◦]\s+(?:\[[ xX]\]\s+)?|[·●○■□◆◇▪▫★☆※➢►✓√]\s*)?")
_ONE_TO_99 = "0?[1-9]|[1-9][0-9]"
#: The number of an item at the beginning of a line or within one; and one that may be a part of a password.
_NUMBER = re.compile(
    rf"(?:(?P<glued>(?P<digits>{_ONE_TO_99})[.)](?=\S){_VALUE})|[（(](?P<within>{_ONE_TO_99})[)）]|(?P<sign>{_ONE_TO_99})"
    r"(?:[.)]\s+|[、．）])|(?P<circled>[①-⑳]))\s*(?![\s;；,，、。/|]|\Z)"
)
#: What is in the mark of an item beside its number; and what may be before one within a line.
_DIGITS, _PARTS = re.compile(r"[\s0-9①-⑳]"), ";；,，、。/|"
#: Between a value and another one that was there before it, or is there beside it.
_OTHER = re.compile(
    r"(?:[（(\[【]\s*(?:原|旧|新|曾用|备用|备|现|另)|→|⇒|➔|-{1,2}>|=>|\s(?:备用|备|原|旧|新|另|改为|变更为|现为)"
    r"|改为|变更为|[&\\+。])(?:为|是)?[:：]?\s*"
    r"(?P<value>[A-Za-z0-9](?:[A-Za-z0-9_@!#%*.-]| (?=[A-Za-z0-9])|\([0-9A]\))*)"
)


def labelled(label: str, value: str) -> str:
    """Return a value after a label: each line and each item of one, where the label names what these may be."""
    lines = [it for it in value.split("\n") if it.strip()]
    if not labels.names_identifier(label) or not any(labels.may_be_personal(it, label) for it in lines):
        return f"{label}: {value}"
    return "\n".join(_line(label, it) for it in lines) if len(lines) > 1 else _line(label, value)


def _line(label: str, line: str) -> str:
    """Return a line with the label before each of its items, each of which is a line then."""
    bullet = _BULLET.match(line)
    at = bullet.end() if bullet else 0
    found = _items(line, at, secret=labels.names_secret(label)) or [(at, at)]
    ends = [*(begin for begin, _ in found[1:]), len(line)]
    said = [
        f"{line[begin:start]}{_values(label, line[start:end])}" for (begin, start), end in zip(found, ends, strict=True)
    ]
    return line[:at] + "\n".join(said)


def begins(line: str) -> bool:
    """Tell whether a line begins as the item of a list does."""
    bullet = _BULLET.match(line)
    return (bullet is not None and bool(bullet[0].strip())) or _NUMBER.match(line.lstrip()) is not None


def _items(line: str, at: int, *, secret: bool) -> list[tuple[int, int]]:
    """Return where the numbers of items begin and end in a line, which begins with the first one, in their order."""
    found: list[tuple[int, int]] = []
    last, style = 0, ""
    for it in _NUMBER.finditer(line, at):
        number = int(it["digits"] or it["within"] or it["sign"] or 0) or ord(it["circled"]) - ord("①") + 1
        if it["glued"] and secret:
            continue
        # A number in brackets behind an identity card may be its last digit.
        before = line[it.start() - 1 : it.start()]
        apart = it["circled"] or (secret and it["within"]) or before.isspace() or before in _PARTS
        own = _DIGITS.sub("", it[0])
        if found and (number != last + 1 or own != style or not apart):
            continue
        if not found and it.start() != at:
            return []
        found.append(it.span())
        last, style = number, own
    return found


def _values(label: str, said: str) -> str:
    """Return a text after a label, and the label once more before another value in it that is written as it names."""
    parts, at = [f"{label}: "], 0
    secret = labels.names_secret(label)
    for it in _OTHER.finditer(said):
        # A password has no blank in it, and no character outside ASCII.
        part_of_it = secret and it[0].isascii() and not said[: it.start() + 1][-2:].count(" ")
        if it.start() and not part_of_it and labels.may_fit(it["value"], label):
            parts += [said[at : it.start("value")], f"{label}: "]
            at = it.start("value")
    return "".join([*parts, said[at:]])
