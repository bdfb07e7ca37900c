"""What the body of a request says: texts, numbers and names of its JSON, as a text in which rules find personal data.

A field is a line, `name: value`, as people write it: many rules need the word before a value. A second look joins
strings that lie in several places, with nothing between: those of fields with one name, such as all `content`, and all
in order. Of a long one its ends are enough there.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from dualtrack.knowledge.pii.scan import scan

#: Objects and lists in each other; JSON in a string of JSON counts for so many of them.
DEEPEST, IN_STRING = 100, 24
#: Characters of a string that are looked at together with what is before and after it.
END = 256
#: Between fields, and between values of a list: no number goes over either, or lists of numbers would be telephones,
#: and two of a list are not a place without a word that says so.
BREAK, NEXT = ";\n", " ;;; "
#: Values that a body may have, by its commas and colons, texts included: each takes many times its own length.
MOST_VALUES = 1 << 21
#: Characters of a value that are written after the name of a field further out, whose first value it is.
LABELLED = 64
#: Written where a string is cut: letters, so that digits beside them are not a number, and a line that ends.
CUT = "z\nz"
#: Characters of a number that may be written with a point or an exponent, and digits before and after its point.
LONGEST_NUMBER, MOST_DIGITS = 64, 20
#: Where words of a name begin: `birth_date`, `birthDate` and `birth date` are the same, and so are those with a number.
_BETWEEN_WORDS = re.compile(r"[_-]|(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=[0-9]+$)")
_MAY_BE_JSON = re.compile(r'\s*["\[{]')
#: A character's number in JSON that is somewhere in a text, also in JSON in JSON; but no half of a character.
_ESCAPED = re.compile(r"(?<!\\)\\++u(?![dD][89a-fA-F])([0-9a-fA-F]{4})")


class Unreadable(ValueError):
    """A body is not JSON in UTF-8, or deeper than is looked at."""


class _Fields(list[tuple[str, Any]]):
    """An object of JSON, also those of its fields whose name comes again."""


class _Number(str):
    """A number of JSON, as it is written: of a float some digits would be lost, and Python reads no long integers."""

    __slots__ = ()


def _refuse(constant: str) -> object:
    raise Unreadable(f"{constant} is not JSON")


_HOOKS: Any = {"object_pairs_hook": _Fields, "parse_int": _Number, "parse_float": _Number}
_STRICT = json.JSONDecoder(**_HOOKS, parse_constant=_refuse)
#: In strings it is looked for as generously as it is written: with NaN, and with lines inside of strings.
_GENEROUS = json.JSONDecoder(**_HOOKS, parse_constant=_Number, strict=False)


def holds(body: bytes) -> bool:
    """Tell whether a request holds personal data: in texts, numbers and names of its JSON, escapes resolved.

    Also where it is not JSON, or no text: what cannot be read cannot be called clean.
    """
    try:
        return bool(scan(text(body)))
    except (ValueError, RecursionError, MemoryError):
        return True


def text(body: bytes) -> bytes:
    """Return what a body says, in UTF-8.

    Raises ValueError (Unreadable, or of `json` and of codecs) where it cannot be read as JSON in UTF-8, RecursionError
    where it is so deep that `json` gives up.
    """
    if body.count(b",") + body.count(b":") > MOST_VALUES:
        raise Unreadable("too many values")
    found = _Said()
    found.value("", _STRICT.decode(body.decode()), 0)
    return found.text()


class _Said:
    """Collects what is said: lines, and strings by the names of their fields and in order."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        #: As they are written, in order; each once.
        self._names: dict[str, None] = {}
        self._strings: list[str] = []
        self._by_name: dict[str, list[str]] = defaultdict(list)

    def text(self) -> bytes:
        joined = [_joined(it) for it in (self._strings, *self._by_name.values()) if len(it) > 1]
        unescaped = [_unescaped(it) for it in joined if "\\u" in it]
        return BREAK.join([*self._lines, *self._names, *joined, *unescaped]).encode()

    def value(self, name: str, value: object, depth: int, labels: tuple[str, ...] = ()) -> None:
        """Add a value of a field; ``labels``, of fields from the outermost on, are written before its first line."""
        if depth > DEEPEST:
            raise Unreadable("JSON is too deep")
        if isinstance(value, _Fields):
            for field, it in value:
                self._field(field, it, depth, labels)
                labels = ()
        elif isinstance(value, list):
            for simple, them in itertools.groupby(value, _simple):
                if simple:
                    self._row(name, them, depth, labels)
                    labels = ()
                for it in () if simple else them:
                    self.value(name, it, depth + 1, labels)
                    labels = ()
        else:
            self._row(name, [value], depth, labels)

    def _field(self, name: str, value: object, depth: int, labels: tuple[str, ...]) -> None:
        if name not in self._names:
            self._names[name] = None
            self._inside("", name, depth)
        self.value(name, value, depth + 1, (*labels, f"{_BETWEEN_WORDS.sub(' ', name)}: "))

    def _row(self, name: str, values: Iterable[object], depth: int, labels: tuple[str, ...]) -> None:
        """Add values that are neither objects nor lists, as one line."""
        texts = [it for it in values if isinstance(it, str)]
        line = NEXT.join(form for it in texts for form in _forms(it))
        self._lines += [label + line[:LABELLED] for label in labels[:-1]]
        self._lines.append("".join(labels[-1:]) + line)
        for it in texts:
            if not isinstance(it, _Number):
                self._string(name, it, depth)

    def _string(self, name: str, value: str, depth: int) -> None:
        self._strings.append(value)
        self._by_name[name].append(value)
        self._inside(name, value, depth)

    def _inside(self, name: str, value: str, depth: int) -> None:
        """Add what a string says where it is JSON, or has characters as JSON writes them."""
        try:
            found = _GENEROUS.decode(value) if _MAY_BE_JSON.match(value) else None
        except json.JSONDecodeError:  # a text that begins like JSON
            found = None
        if found is not None:
            self.value(name, found, depth + IN_STRING)
        elif "\\u" in value:
            self._lines.append(_unescaped(value))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda it: chr(int(it[1], 16)), text)


def _simple(value: object) -> bool:
    return not isinstance(value, list)


def _forms(value: str) -> tuple[str, ...]:
    """Return a string, or a number as it is written, and without an exponent and zeros after its point."""
    if not isinstance(value, _Number) or len(value) > LONGEST_NUMBER or value.lstrip("-").isdigit():
        return (value,)
    try:
        number = Decimal(value)
    except InvalidOperation:  # an exponent that no number of anybody's has
        return (value,)
    if not number.is_finite() or abs(number.adjusted()) > MOST_DIGITS:
        return (value,)
    plain = f"{number:f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return (value, plain) if plain != value else (value,)


def _joined(strings: list[str]) -> str:
    return "".join(it if len(it) <= 2 * END else it[:END] + CUT + it[-END:] for it in strings)
