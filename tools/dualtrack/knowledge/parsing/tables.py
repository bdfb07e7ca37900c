"""Rows of tables as texts that can be understood alone, in which every text of every cell is.

A table has names of columns in its first row, or it is a form: each label has its value beside it. Where that is not
sure, both readings hold: each value is after the name of its column, and one that a label of its row may name is after
this label. A name that no value follows is said in a row of its own.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from dualtrack.knowledge.parsing import labels
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
#: A row: the texts of its cells that have one, by their columns.
Cells = dict[int, str]


def rows(cells: Sequence[Sequence[str]], name: str | None) -> list[Block]:
    """Return the rows of a table as blocks. Their place begins with ``name``; they have none where it is None."""
    numbered = ((number, [it.strip() for it in row]) for number, row in enumerate(cells, 1))
    found = [(number, {at: it for at, it in enumerate(row) if it}) for number, row in numbered if any(row)]
    columns = sorted({at for _, row in found for at in row})
    form = _pairs([row for _, row in found], columns)
    if form:
        said = [(number, "; ".join(_pair(*it) for it in pairs)) for (number, _), pairs in zip(found, form, strict=True)]
    else:
        said = _table(found, columns)
    return [
        Block(kind="row", text=text, place="" if name is None else f"{name} row {number}".strip())
        for number, text in said
    ]


def alone(texts: Sequence[str]) -> str:
    """Return the cells of a row whose columns have no names: a value stays beside the label that may name it."""
    return " | ".join(_parts(dict(enumerate(texts)), _Names(0, {}, 0)))


def _pair(label: str, value: str) -> str:
    return f"{labels.bare(label) or label}: {value}" if label and value else label or value


def _pairs(found: list[Cells], columns: list[int]) -> list[list[tuple[str, str]]]:
    """Return the labels and values of each row of a form; none where a table is not one for sure."""
    if len(columns) < 2:
        return []
    turns = all(len(row) == 1 or len(row) % 2 == 0 for row in found)
    ways = [[_in_order(row) for row in found]] if turns else []
    if len(columns) % 2 == 0:
        ways.insert(0, [_by_column(row, columns) for row in found])
    for way in ways:
        if _is_form(way):
            return way
    return []


def _by_column(row: Cells, columns: list[int]) -> list[tuple[str, str]]:
    """Return labels and values where they take turns from column to column; either may be missing."""
    taken = [(row.get(at, ""), row.get(then, "")) for at, then in zip(columns[::2], columns[1::2], strict=True)]
    return [it for it in taken if any(it)]


def _in_order(row: Cells) -> list[tuple[str, str]]:
    """Return labels and values where they take turns from one text to the next, as in merged cells."""
    texts = list(row.values())
    if len(texts) == 1:
        return [(texts[0], "")]
    return list(zip(texts[::2], texts[1::2], strict=True))


def _is_form(way: list[list[tuple[str, str]]]) -> bool:
    pairs = [it for row in way for it in row if it[1]]
    first = next((row for row in way if any(value for _, value in row)), None)
    if first is None or any(label and not labels.is_label(label) for label, _ in pairs):
        return False
    if len(pairs) < sum(len(row) for row in way) / 2 or any(labels.names_value(value) for _, value in first):
        return False
    if all(label.lower() in OF_LABELS and value.lower() in OF_VALUES for label, value in first):
        return True
    if sum(label.endswith((":", "：")) for label, _ in pairs) * 2 >= len(pairs):
        return True
    if any(_is_numbers(it) for it in _columns(way)):
        return False
    named = sum(any(labels.names_value(label) for label, value in row if value) for row in way)
    return named >= 2 or any(_is_value(value) for _, value in first)


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

    def __init__(self, number: int, row: Cells, place: int) -> None:
        """``place`` is where in the texts the row would be."""
        self.number, self.row, self.place = number, row, place
        self._used: set[int] = set()

    def of(self, column: int) -> str:
        """Return the name of a column for one of its values; empty where there is none to repeat."""
        name = self.row.get(column, "")
        return name if len(name) <= LONGEST_NAME else ""

    def use(self, column: int) -> None:
        """Note that the name of a column was said with a value."""
        self._used.add(column)

    @property
    def missing(self) -> bool:
        """Whether a text was not said yet."""
        return any(it not in self._used for it in self.row)


def _table(found: list[tuple[int, Cells]], columns: list[int]) -> list[tuple[int, str]]:
    said: list[tuple[int, str]] = []
    names: list[_Names] = []
    without = False  # the first row is not one of names
    for at, (number, row) in enumerate(found):
        after = found[at + 1][1] if at + 1 < len(found) else {}
        title = not names and len(row) == 1 and len(columns) > 2 and min(row) == columns[0] and len(after) > 2
        if title:
            said.append((number, "".join(row.values())))
        elif (not names and not without and after and _may_name(row, columns)) or (
            names and _is_names(row, after, names[-1])
        ):
            names.append(_Names(number, row, len(said)))
        else:
            without = not names
            said.append((number, "; ".join(_parts(row, names[-1] if names else _Names(0, {}, 0)))))
    for it in reversed(names):
        if it.missing:
            said.insert(it.place, (it.number, "; ".join(_parts(it.row, _Names(0, {}, 0)))))
    return said


def _may_name(row: Cells, columns: list[int]) -> bool:
    """Tell whether a first row may have names of columns: not where a label in it has its value beside it."""
    texts = list(row.values())
    beside = itertools.pairwise(texts)
    if any(labels.names_value(label) and not labels.is_label(value) for label, value in beside):
        return False
    return len(columns) > 1 or labels.is_label(texts[0])


def _is_names(row: Cells, after: Cells, names: _Names) -> bool:
    """Tell whether a row within a table names columns anew: it has labels, and below them are values they name."""
    if not all(labels.is_label(it) for it in row.values()):
        return False
    named = [at for at, it in row.items() if labels.names_value(it)]
    if len(named) == len(row):
        return True
    values = {at for at in named if at in after and labels.may_be_personal(after[at], row[at])}
    return any(not labels.names_value(after[at]) and not labels.names_value(names.of(at)) for at in values)


def _parts(row: Cells, names: _Names) -> Iterator[str]:
    """Yield the texts of a row, each after the name of its column, or after a label of the row that may name it."""
    label = held = ""
    for at, it in row.items():
        name = names.of(at)
        if label and not labels.names_value(name) and labels.may_be_personal(it, label) and not labels.names_value(it):
            said = f"{it} ({name})" if name else it
            if held:
                held, said = "", f"{held}: {said}"
            else:
                said = f"{label}: {said}"
        else:
            said = _pair(name, it)
            if held:
                yield held
                held = ""
        if name:
            names.use(at)
        if labels.names_value(it):
            label = labels.bare(it)
            held = labels.bare(said)
        else:
            yield said
    if held:
        yield held
