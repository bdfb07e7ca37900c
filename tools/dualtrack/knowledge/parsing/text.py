"""Plain text, Markdown and CSV; and which encoding a text has.

A wrong guess makes nonsense that is indexed, and hides personal data from its patterns. So an encoding must be sure,
or the text is refused.
"""

from __future__ import annotations

import codecs
import csv
import io
import re

from dualtrack.knowledge.parsing.blocks import Block, Parsed, Unreadable

#: In this order: a mark at the start, then what decodes without an error; most Chinese texts of before are GB18030.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
#: GB18030 decodes nearly everything. It counts when most of what is not ASCII are the 6,763 characters of GB 2312.
SURE = 0.9
_HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*\s*$")
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
            return _text(text)
    raise Unreadable("its encoding is not sure: convert it to UTF-8")


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
    """Return the headings and paragraphs of a Markdown text. Code between fences stays together."""
    blocks: list[Block] = []
    lines: list[str] = []
    fence = ""

    def flush() -> None:
        if text := "\n".join(lines).strip("\n"):
            blocks.append(Block(kind="text", text=text))
        lines.clear()

    for line in decoded(data).split("\n"):
        mark = re.match(r"\s*(```+|~~~+)", line)
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
    return Parsed(rows(found, ""))


def rows(cells: list[list[str]], name: str) -> list[Block]:
    """Return rows as blocks; the first one names the columns."""
    filled = [(number, row) for number, row in enumerate(cells, 1) if any(cell.strip() for cell in row)]
    if not filled:
        return []
    names = filled[0][1]
    found = []
    for number, row in filled[1:] or filled:
        said = (f"{names[place].strip()}: {cell.strip()}" if len(filled) > 1 and place < len(names) else cell.strip()
                for place, cell in enumerate(row) if cell.strip())  # fmt: skip
        found.append(Block(kind="row", text="; ".join(said), place=f"{name} row {number}".strip()))
    return found
