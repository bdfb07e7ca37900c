"""Plain text, Markdown and CSV; and which encoding a text has.

A wrong guess makes nonsense that is indexed, and hides personal data from its patterns. So an encoding must be sure,
or the text is refused.
"""

from __future__ import annotations

import codecs
import csv
import io
import re

from dualtrack.knowledge.parsing import tables
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
_BREAK = re.compile(r"<br\s*/?>", re.I)
_PIPE = re.compile(r"(?<!\\)\|")
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
    """Return the paragraphs of a text, which blank lines separate."""
    return Parsed([Block(kind="text", text=it.strip("\n")) for it in re.split(r"\n\s*\n", decoded(data)) if it.strip()])


def markdown(data: bytes) -> Parsed:
    """Return the headings, paragraphs and rows of tables of a Markdown text. Code between fences stays together."""
    blocks: list[Block] = []
    lines: list[str] = []
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
            blocks.append(Block(kind="text", text=text))

    for line in decoded(data).split("\n"):
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
    return Parsed(blocks)


def _is_below_names(line: str, above: str) -> bool:
    """Tell whether a line separates the names of a table's columns, which are above it, from its rows."""
    return "|" in above and _RULE.fullmatch(line.strip()) is not None and len(_cells(line)) == len(_cells(above))


def _cells(line: str) -> list[str]:
    line = line.strip().removeprefix("|")
    found = [_BREAK.sub("\n", it.replace("\\|", "|")) for it in _PIPE.split(line)]
    return found[:-1] if len(found) > 1 and not found[-1].strip() else found


def table(data: bytes) -> Parsed:
    """Return the rows of a CSV file, each with the names of its columns, so that a row alone can be understood."""
    text = decoded(data)
    try:
        dialect: type[csv.Dialect] | str = csv.Sniffer().sniff(text[:8192], delimiters=",;\t|")
    except csv.Error:
        dialect = "excel"
    try:
        found = list(csv.reader(io.StringIO(text), dialect))
    except csv.Error as error:
        raise Unreadable(f"it is not CSV: {error}") from None
    return Parsed(tables.rows(found, ""))
