"""Rows of tables as texts that can be understood alone, in which every text of every cell is.

A table has names of columns in its first row, or it is a form: each label has its value beside it. Where that is not
sure, both readings hold: each value is after the name of its column, and one that a label of its row may name is after
this label. A name that no value follows is said in a row of its own.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from operator import itemgetter

from dualtrack.knowledge.parsing import boxes, items, labels
from dualtrack.knowledge.parsing.blocks import Block

#: Names of columns that are longer are notes: they are said once and not in each row.
LONGEST_NAME = 40
#: What the two columns of a list of labels and values are called.
OF_LABELS = frozenset((
    "项目", "项", "字段", "字段名", "名称", "属性", "参数", "键", "栏目", "信息项", "資料項目", "項目", "欄位", "名稱",
    "key", "field", "item", "name", "property", "attribute", "parameter",
))  # fmt: skip
OF_VALUES = frozenset((
    "内容", "值", "取值", "数值", "信息", "数据", "填写", "填写内容", "说明", "內容", "資料", "說明",
    "value", "content", "data", "information", "entry",
))  # fmt: skip
_YEAR = re.compile(r"(?:19|20)[0-9]{2}\s*[年/-]?[^0-9]*$|[^0-9]{0,20}[0-9]{1,2}[^0-9]*$")
_NUMBER = re.compile(r"[-+]?[0-9][0-9.,%\s]*")
#: Labels above a column that are kept, as in a table with names of columns again and again.
MOST_ABOVE = 16
#: A row: the texts of its cells that have one, by their columns; and with its number.
Cells = dict[int, str]
Row = tuple[int, Cells]
#: The columns of a label and its value; -1 where there is none.
_Pair = tuple[int, int]


def rows(cells: Sequence[Sequence[str]], name: str | None) -> list[Block]:
    """Return the rows of a table as blocks. Their place begins with ``name``; they have none where it is None."""
    numbered = ((number, [labels.joined(it) for it in row]) for number, row in enumerate(boxes.joined(cells), 1))
    found = [(number, {at: it for at, it in enumerate(row) if it}) for number, row in numbered if any(row)]
    counted = _counted(found)
    if counted:
        found = [(number, rest) for number, row in found if (rest := dict([*row.items()][number in counted :]))]
    columns = sorted({at for _, row in found for at in row})
    above = _Above()
    said: list[tuple[int, str]] = []
    for part, named in _parts_of(found):
        pairs = [] if named else _pairs([row for _, row in part], sorted({at for _, row in part for at in row}))
        if pairs:
            said += [(number, _of_form(row, it, above)) for (number, row), it in zip(part, pairs, strict=True)]
        else:
            said += _table(part, columns, above, named=named)
    if counted:
        missing = [(it, "") for it in counted.keys() - {number for number, _ in said}]
        said = [
            (number, "; ".join(it for it in (counted.pop(number, ""), text) if it))
            for number, text in sorted([*said, *missing], key=itemgetter(0))
        ]
    return [
        Block(kind="row", text=text, place="" if name is None else f"{name} row {number}".strip())
        for number, text in said
    ]


def _counted(found: list[Row]) -> dict[int, str]:
    """Return the numbers of rows by rows where the first column counts them, also those of the names of columns.

    Beside it are at least two columns, or one with a value, and a word that names personal data. Elsewhere such a
    column is as any other.
    """
    first = min((min(row) for _, row in found), default=0)
    counted = {number: row[first] for number, row in found if first in row}
    said = [int(it) for it in counted.values() if it.isdecimal() and len(it) < 10]
    if len(said) < 2 or len(said) < len(counted) or said != [*range(said[0], said[0] + len(said))]:
        return {}
    rest = [(at, it) for _, row in found for at, it in row.items() if at != first]
    names = [it for _, it in rest if labels.names_value(it)][:MOST_ABOVE]
    several = len({at for at, _ in rest}) > 1 or any(labels.fits(it, name) for _, it in rest for name in names)
    return counted if names and several else {}


def alone(texts: Sequence[str]) -> str:
    """Return the cells of a row whose columns have no names: a value stays beside the label that may name it."""
    return " | ".join(_parts(dict(enumerate(map(labels.joined, boxes.joined([texts])[0]))), _Names(0, {}, 0), _Above()))


class _Above:
    """Labels above the cells of each column that may name values below them, the nearest first."""

    def __init__(self) -> None:
        self._of: dict[int, list[str]] = {}

    def add(self, row: Cells) -> None:
        """Note the labels of a row that has nothing else; one is also above the empty cells behind it."""
        if not all(labels.is_label(it) for it in row.values()):
            return
        last = max(row)
        for at, it in row.items():
            if labels.names_value(it):
                after = next(
                    (then for then in range(at + 1, last + 1) if then in row), last + 2 if len(row) > 1 else at + 1
                )
                for column in range(at, after):
                    known = self._of.setdefault(column, [])
                    if it in known:
                        known.remove(it)
                    known.insert(0, it)
                    del known[MOST_ABOVE:]

    def of(self, column: int, value: str, name: str) -> str:
        """Return the nearest label above a value that the value is written like; empty where none but its name is."""
        known = self._of.get(column, [])
        if not known or known == [name] or labels.names_value(value) or labels.fits(value, name):
            return ""
        for one in (labels.fits, labels.may_fit, labels.fits_person):
            if found := next((it for it in known if one(value, it)), ""):
                return found
        return ""


def _parts_of(found: list[Row]) -> Iterator[tuple[list[Row], bool]]:
    """Yield a table in parts, each of which but the first begins with names of columns, and whether it does."""
    starts = [at for at, it in enumerate(_has_names(found)) if it]
    if starts[:1] != [0]:
        yield found[: starts[0] if starts else len(found)], False
    for start, end in itertools.pairwise([*starts, len(found)]):
        yield found[start:end], True


def _has_names(found: list[Row]) -> list[bool]:
    """Tell of each row whether it names the columns: values below labels in it are what these name, beside it not.

    Below a row that may have names, most texts of another one do, or it has other columns: `微信` is a value there.
    """
    below: Cells = {}
    before: Cells = {}  # what stands before each of these in its row
    own: set[int] = set()  # columns with values that a label before them in their row names
    # Whether each row names columns as the first one that does, as another one, and within the columns of one above.
    asked: list[tuple[bool, bool, bool]] = []
    for _, row in reversed(found):
        under = {at: (below.get(at, ""), before.get(at, "")) for at in row}
        fit = any(labels.fits(value, row[at]) and not labels.fits(value, it) for at, (value, it) in under.items())
        alone = fit or _names_those_below(row, below, most=False)
        first = alone or any(at not in own and _is_above(row[at], *it) for at, it in under.items())
        asked.append((first, alone, _names_those_below(row, below, most=True)))
        below |= row
        left = {at: row.get(then, "") for then, at in itertools.pairwise([-1, *row])}
        before |= left
        own |= {at for at, it in left.items() if labels.may_name(it, row[at])}
    named: set[int] = set()
    said: list[bool] = []
    for (_, row), (first, alone, within) in zip(found, reversed(asked), strict=True):
        said.append((within if len(named & set(row)) * 2 > len(row) else alone) if named else first)
        named |= set(row) if named or said[-1] or _may_be_names(row) else set()
    return said


def _is_above(label: str, value: str, before: str) -> bool:
    """Tell whether a label may name the value below it by its digits, and what is before that value does not."""
    return labels.has_number(value) and labels.may_name(label, value) and not labels.names_value(before)


def _may_be_names(row: Cells) -> bool:
    beside = itertools.pairwise(row.values())
    return (
        len(row) > 1
        and all(labels.is_label(it) for it in row.values())
        and not any(labels.may_fit(value, label) or labels.fits_person(value, label) for label, value in beside)
    )


def _names_those_below(row: Cells, below: Cells, *, most: bool) -> bool:
    pairs = _values_beside(row)
    named = {at for at, it in row.items() if labels.may_fit(below.get(at, ""), it)}
    if pairs and not named - {at for at, then in pairs.items() if then == at + 1}:
        return False
    if most and sum(map(labels.names_value, row.values())) * 2 <= len(row):
        return False
    if named:
        return True
    beside = itertools.pairwise(row.values())
    people = sum(labels.fits_person(below.get(at, ""), it) for at, it in row.items())
    return len(row) > 1 and people > sum(labels.fits_person(value, label) for label, value in beside)


def _values_beside(row: Cells) -> dict[int, int]:
    """Return the columns of labels in a row whose values may be beside them, and those of these values."""
    return {at: then for at, then in itertools.pairwise(row) if labels.may_fit(row[then], row[at])}


def _without_pairs(row: Cells, below: Cells) -> Cells:
    """Return a row of names of columns without a label and its value that are beside these, as a telephone above."""
    pairs = _values_beside(row)
    values = {at: below.get(at, "") for at in pairs}
    alone = {at for at, it in values.items() if not labels.may_name(row[at], it)}
    return {at: it for at, it in row.items() if at not in alone and at not in pairs.values()} if pairs else row


def _pair(label: str, value: str) -> str:
    """Return a value directly after its label."""
    label = labels.written(label)
    return items.labelled(label, value) if label and value else label or value


def _of_form(row: Cells, pairs: list[_Pair], above: _Above) -> str:
    """Return a row of a form, as `_parts` has one of a table."""
    said: list[str] = []
    for at, then in pairs:
        label, value = row.get(at, ""), row.get(then, "")
        if label and not labels.names_value(label) and (name := above.of(at, label, "")):
            said.append(_pair(name, label))
            label = ""
        said.append(_pair(_with_above(label, above.of(then, value, label) if value else ""), value))
    above.add(row)
    return "; ".join(it for it in said if it)


def _with_above(name: str, above: str) -> str:
    """Return what is said before a value: its name, and after this one above that fits."""
    if not above or above == name:
        return name
    return f"{name} / {labels.written(above)}" if name else above


def _pairs(found: list[Cells], columns: list[int]) -> list[list[_Pair]]:
    """Return the columns of labels and values of each row of a form; none where a table is not one for sure."""
    if len(columns) < 2:
        return []
    turns = all(len(row) == 1 or len(row) % 2 == 0 for row in found)
    ways = [[_in_order(row) for row in found]] if turns else []
    if len(columns) % 2 == 0:
        ways.insert(0, [_by_column(row, columns) for row in found])
    for way in ways:
        if _is_form(
            [[(row.get(at, ""), row.get(then, "")) for at, then in it] for row, it in zip(found, way, strict=True)]
        ):
            return way
    return []


def _by_column(row: Cells, columns: list[int]) -> list[_Pair]:
    """Return labels and values where they take turns from column to column; either may be missing."""
    return [(at, then) for at, then in zip(columns[::2], columns[1::2], strict=True) if at in row or then in row]


def _in_order(row: Cells) -> list[_Pair]:
    """Return labels and values where they take turns from one text to the next, as in merged cells."""
    places = list(row)
    if len(places) == 1:
        return [(places[0], -1)]
    return list(zip(places[::2], places[1::2], strict=True))


def _is_form(way: list[list[tuple[str, str]]]) -> bool:
    pairs = [it for row in way for it in row if it[1]]
    first = next((row for row in way if any(value for _, value in row)), None)
    if first is None or any(label and not labels.is_label(label) for label, _ in pairs):
        return False
    if len(pairs) < sum(len(row) for row in way) / 2:
        return False
    # The kind of a document, such as a passport, is a value beside its label where another label has its own there.
    if any(labels.names_value(value) for _, value in first):
        return any(labels.may_name(label, value) for label, value in pairs)
    if all(label.lower() in OF_LABELS and value.lower() in OF_VALUES for label, value in first):
        return True
    if sum(label.endswith((":", "：")) for label, _ in pairs) * 2 >= len(pairs):
        return True
    if any(_is_numbers(it) for it in _columns(way)):
        return False
    named = sum(any(labels.names_value(label) for label, value in row if value) for row in way)
    return named >= 2 or any(_is_value(value) or labels.may_fit(value, label) for label, value in first)


def _is_value(cell: str) -> bool:
    """Tell whether a cell of a first row is a value, not the name of a column, which may have a year or a number."""
    return any(it.isdigit() for it in cell) and not _YEAR.fullmatch(cell)


def _columns(way: list[list[tuple[str, str]]]) -> Iterator[list[str]]:
    for at in range(max(len(row) for row in way)):
        yield [row[at][1] for row in way if at < len(row) and row[at][1]]


def _is_numbers(values: list[str]) -> bool:
    """Tell whether values are numbers below the name of a column."""
    return len(values) > 2 and not _NUMBER.fullmatch(values[0]) and all(_NUMBER.fullmatch(it) for it in values[1:])


class _Names:
    """The names of columns, and which of them values were said after."""

    def __init__(self, number: int, row: Cells, place: int, names: Cells | None = None) -> None:
        """``place`` is where in the texts the row would be; ``names`` are those of its texts that are names."""
        self.number, self.row, self.place = number, row, place
        self._names = row if names is None else names
        self._used: set[int] = set()

    def of(self, column: int) -> str:
        """Return the name of a column for one of its values; empty where there is none to repeat."""
        name = self._names.get(column, "")
        return name if len(name) <= LONGEST_NAME or labels.names_value(name) else ""

    def use(self, column: int) -> None:
        """Note that the name of a column was said with a value."""
        self._used.add(column)

    @property
    def missing(self) -> bool:
        """Whether a text was not said yet."""
        return any(it not in self._used for it in self.row)


def _table(found: list[Row], columns: list[int], above: _Above, *, named: bool) -> list[tuple[int, str]]:
    """Return the rows of a table, or of a part of one whose first row has names for sure."""
    said: list[tuple[int, str]] = []
    names: list[_Names] = []
    without = False  # the first row is not one of names
    below = dict(itertools.chain.from_iterable(row.items() for _, row in reversed(found[1:]))) if named else {}
    for at, (number, row) in enumerate(found):
        after = found[at + 1][1] if at + 1 < len(found) else {}
        first = not names and not without
        if first and not named and len(row) == 1 and len(columns) > 1 and min(row) == columns[0]:
            said.append((number, "".join(row.values())))  # a title
        elif first and (named or (after and _may_name(row, columns))):
            names.append(_Names(number, row, len(said), _without_pairs(row, below) if named else None))
        else:
            without = not names
            said.append((number, "; ".join(_parts(row, names[-1] if names else _Names(0, {}, 0), above))))
        above.add(row)
    for it in reversed(names):
        if it.missing:
            said.insert(it.place, (it.number, "; ".join(_parts(it.row, _Names(0, {}, 0), _Above()))))
    return said


def _may_name(row: Cells, columns: list[int]) -> bool:
    """Tell whether a first row may have names of columns: not where a label in it has its value beside it."""
    texts = list(row.values())
    beside = itertools.pairwise(texts)
    if any(labels.names_value(label) and not labels.is_label(value) for label, value in beside):
        return False
    return len(columns) > 1 or labels.is_label(texts[0])


def _parts(row: Cells, names: _Names, above: _Above) -> Iterator[str]:
    """Yield the texts of a row, each after the name of its column, or after a label that may name it.

    This label is in the row or above in the column. It is said directly before the value, beside the name.
    """
    label = held = ""
    for at, it in row.items():
        name = names.of(at)
        over = above.of(at, it, name)
        if label and not labels.fits(it, name) and _is_of(label, it, name, over):
            said = items.labelled(held or label, it) + (f" ({name})" if name else "")
            held = ""
        else:
            said = _pair(_with_above(name, over), it)
            if held:
                yield held
                held = ""
        if name:
            names.use(at)
        if labels.names_value(it):
            label = labels.written(it)
            held = _pair(name, label) if name else label
        else:
            yield said
    if held:
        yield held


def _is_of(label: str, value: str, name: str, over: str) -> bool:
    """Tell whether a value belongs to a label before it in its row, not to one above it in its column."""
    if labels.fits(value, label):
        return True
    return (
        not over
        and not labels.names_value(name)
        and labels.may_be_personal(value, label)
        and not labels.names_value(value)
    )
