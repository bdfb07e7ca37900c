"""Plain text, Markdown and CSV; and which encoding a text has.

A wrong guess makes nonsense that is indexed, and hides personal data from its patterns. So an encoding must be sure,
or the text is refused.
"""

from __future__ import annotations

import codecs
import csv
import io
import re

from dualtrack.knowledge.parsing import columns, labels, tables
from dualtrack.knowledge.parsing.blocks import Block, Parsed, Unreadable

#: In this order: a mark at the start, then what decodes without an error; most Chinese texts of before are GB18030.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
#: GB18030 decodes nearly everything. It counts when most of what is not ASCII are the 6,763 characters of GB 2312.
SURE = 0.9
#: The share of kana that no Chinese text has; and of characters at the places of Korean syllables, if there are enough.
KANA, KOREAN, ENOUGH, LAST_KOREAN = 0.1, 0.95, 16, 0xC8
_HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*\s*$")
_FENCE = re.compile(r"\s*(```+|~~~+)")
#: Below the names of a Markdown table's columns; and what separates its cells.
_RULE = re.compile(r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?")
#: A sign that is written with a backslash, outside of code; of cells of tables this is looked at there.
_ESCAPED = re.compile(r"(`[^`\n]*`)|\\([!-/:-@\[-_{}~])")
#: What hides an element of HTML.
_HIDDEN = re.compile(r"<[a-z][^<>]{0,400}?(?:\shidden\b|display\s*:\s*none|visibility\s*:\s*hidden)", re.I)
_BREAK = re.compile(r"<br\s*/?>", re.I)
_PIPE = re.compile(r"(?<!\\)\|")
#: What the first line of a CSV file may say of the others.
_SEPARATOR = re.compile(r"sep=(.)\n", re.I)
_DELIMITERS = ";\t|，；"
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def decoded(data: bytes) -> str:
    """Return a text; Unreadable where its encoding is not sure, or it is not text."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            try:
                return _text(data.decode(encoding))
            except UnicodeDecodeError as error:
                raise Unreadable(f"it says that it is {encoding}, and is not at byte {error.start}") from None
    try:
        return _text(data.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    for encoding, common in (("gb18030", "gb2312"), ("big5", "big5")):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        foreign = [it for it in text if ord(it) > 127]
        if sum(_has(it, common) for it in foreign) >= SURE * len(foreign):
            if encoding == "gb18030" and _is_of_neighbours(data, foreign):
                break
            return _text(text)
    raise Unreadable("its encoding is not sure: convert it to UTF-8")


def _is_of_neighbours(data: bytes, foreign: list[str]) -> bool:
    """Tell whether a text of GB18030 may be one of EUC-JP, by its kana, or of EUC-KR, by where its characters are.

    Korean syllables are where GB 2312 has those characters whose pinyin begins with A to Q; of sixteen characters of a
    Chinese text, one is behind them.
    """
    if sum("\u3040" <= it <= "\u30ff" for it in foreign) > KANA * len(foreign):
        return True
    han = [it for it in foreign if "\u4e00" <= it <= "\u9fff"]
    if len(han) < ENOUGH or sum(it.encode("gb18030")[0] > LAST_KOREAN for it in han) > (1 - KOREAN) * len(han):
        return False
    return _decodes(data, "euc_kr")


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _has(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _text(text: str) -> str:
    if len(_CONTROL.findall(text[:100_000])) > len(text[:100_000]) // 100:
        raise Unreadable("it is not text: it is full of control characters")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def plain(data: bytes) -> Parsed:
    """Return the paragraphs of a text, which blank lines separate, and rows of tables in them."""
    parts = re.split(r"\n\s*\n", decoded(data))
    return Parsed([block for it in parts if it.strip() for block in columns.blocks(it.strip("\n"))])


def markdown(data: bytes) -> Parsed:
    """Return the headings, paragraphs and rows of tables of a Markdown text. Code between fences stays together."""
    blocks: list[Block] = []
    lines: list[str] = []
    left: dict[str, None] = {}
    fence = ""

    def flush() -> None:
        at = 0
        marked = next((it for it, line in enumerate(lines) if _FENCE.match(line)), len(lines))
        for place in range(1, marked):
            if place > at and _is_below_names(lines[place], lines[place - 1]):
                say(lines[at : place - 1])
                at = next((it for it in range(place, len(lines)) if "|" not in lines[it]), len(lines))
                blocks.extend(tables.rows([_cells(it) for it in (lines[place - 1], *lines[place + 1 : at])], None))
        say(lines[at:])
        lines.clear()

    def say(these: list[str]) -> None:
        if text := "\n".join(these).strip("\n"):
            blocks.extend(columns.blocks(text))

    in_table = in_comment = False
    for line in decoded(data).split("\n"):
        if not fence and (in_comment or "<!--" in line):
            line, in_comment = _without_comments(line, inside=in_comment)
            left["a comment"] = None
        if not fence and not _FENCE.match(line):
            line = _ESCAPED.sub(lambda it: it[1] or it[2], line)
            if _HIDDEN.search(line):
                left["elements of HTML that may be hidden, whose text is read"] = None
        if not fence and "<table" in line.lower():
            in_table = True
        if in_table:  # also over blank lines
            lines.append(line)
            in_table = "</table" not in line.lower()
            continue
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence and (heading := _HEADING.match(line)):
            flush()
            blocks.append(Block(kind="heading", text=heading[2], level=len(heading[1])))
            continue
        elif not fence and not line.strip():
            flush()
            continue
        lines.append(line)
    flush()
    return Parsed(blocks, list(left))


def _without_comments(line: str, *, inside: bool) -> tuple[str, bool]:
    """Return a line without comments of HTML, and whether one continues behind it."""
    parts: list[str] = []
    at = 0
    while True:
        if inside:
            end = line.find("-->", at)
            if end < 0:
                return "".join(parts), True
            at, inside = end + 3, False
        begin = line.find("<!--", at)
        if begin < 0:
            return "".join([*parts, line[at:]]), False
        parts.append(line[at:begin])
        at, inside = begin + 4, True


def _is_below_names(line: str, above: str) -> bool:
    """Tell whether a line separates the names of a table's columns, which are above it, from its rows."""
    return "|" in above and _RULE.fullmatch(line.strip()) is not None and len(_cells(line)) == len(_cells(above))


def _cells(line: str) -> list[str]:
    line = line.strip().removeprefix("|")
    found = [_BREAK.sub("\n", it.replace("\\|", "|")) for it in _PIPE.split(line)]
    return found[:-1] if len(found) > 1 and not found[-1].strip() else found


def _delimiter(text: str) -> str:
    """Return what separates cells where that is not a comma: a sign between names, which each line has as often."""
    lines = [it for it in text[:8192].split("\n")[:20] if it.strip()]
    if len(lines) > 1 and "," not in lines[0]:
        for it in _DELIMITERS:
            counts = {line.count(it) for line in lines}
            if len(counts) == 1 and counts != {0} and all(map(labels.is_label, lines[0].split(it))):
                return it
    return ","


def table(data: bytes) -> Parsed:
    """Return the rows of a CSV file, each with the names of its columns, so that a row alone can be understood."""
    text = decoded(data)
    said = _SEPARATOR.match(text)
    if said:  # Excel's own line
        text = text[said.end() :]
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(text[:8192], delimiters=said[1] if said else ",;\t|")
    except csv.Error:
        dialect = type("Own", (csv.excel,), {"delimiter": said[1] if said else _delimiter(text)})
    try:
        found = list(csv.reader(io.StringIO(text), dialect))
    except csv.Error as error:
        raise Unreadable(f"it is not CSV: {error}") from None
    return Parsed(tables.rows(found, ""))
