"""PDF, and the zipped formats of office programs: DOCX and XLSX."""

from __future__ import annotations

import io
import itertools
import math
import re
import zipfile
import zlib
from collections import Counter
from decimal import Decimal
from typing import Any

from dualtrack.knowledge.parsing import glyphs, tables, word
from dualtrack.knowledge.parsing.blocks import Block, Parsed, Unreadable

#: What an archive may become when it is unpacked: so many bytes, and so many times its own size.
MOST_BYTES, MOST_TIMES, MOST_FILES = 512 << 20, 200, 20_000
MOST_PAGES = 20_000
#: Cells that a sheet may have as it says; a sheet of a million rows is a database.
MOST_CELLS = 5_000_000
#: Digits of a number that is written without an exponent.
MOST_DIGITS = 30
#: The namespace of workbooks in the strict form, which the library does not know.
STRICT = b"http://purl.oclc.org/ooxml/spreadsheetml/main"
#: What of a workbook is not read, by where in its archive it is.
NOT_READ = {
    "xl/comments": "comments of cells", "xl/threadedComments/": "comments of cells", "xl/charts/": "a chart",
    "xl/chartsheets/": "a chart", "xl/embeddings/": "an embedded file", "xl/diagrams/data": "a diagram",
}  # fmt: skip
#: A formula after which its cell ends, or has an empty value.
_WITHOUT_VALUE = re.compile(
    rb"(?:</(?:\w+:)?f>|<(?:\w+:)?f(?:\s[^<>]*)?/>)\s*(?:<(?:\w+:)?v\s*/>\s*|<(?:\w+:)?v>\s*</(?:\w+:)?v>\s*)?</(?:\w+:)?c>"
)
#: A character by its number in a text of a workbook; the place of a row and of a cell.
_NUMBERED = re.compile("_x([0-9A-Fa-f]{4})_")
_ROW = re.compile(rb"""<(?:\w+:)?row\s(?:[^>]{0,400}?\s)?r\s*=\s*["']([0-9]{1,7})["']""")
_CELL = re.compile(rb"""<(?:\w+:)?c\s(?:[^>]{0,400}?\s)?r\s*=\s*["']([A-Za-z]{1,3})([0-9]{1,7})["']""")
#: PDFium writes this for a hyphen at the end of a line, between letters.
_HYPHEN = re.compile("[\x02\ufffe]\n?")
#: The end of a line in a mail address: at its sign, or before the last part of its domain.
_IN_ADDRESS = re.compile(
    r"(?<=[A-Za-z0-9_%+-]@)\n(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])\n(?=@[A-Za-z0-9-]+\.[A-Za-z])"
    r"|(?<=[A-Za-z0-9]\.)\n(?=(?:com|cn|net|org|edu|gov|hk|tw|io|ai)\b)",
)
#: Kinds of annotations in a PDF that have no text of their own: links, and the windows of others.
WITHOUT_TEXT = frozenset((2, 16))


def pdf(data: bytes) -> Parsed:
    """Return the text of each page; Unreadable without a password, or where there is no text, as in scans."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        encrypted = "password" in str(error).lower()
        raise Unreadable("it is encrypted" if encrypted else "it is not a PDF, or a broken one") from None
    if len(document) > MOST_PAGES:
        raise Unreadable(f"it has more than {MOST_PAGES:,} pages")
    blocks, empty, annotated, partly = [], 0, 0, 0
    unread = Counter[str]()
    for number in range(len(document)):
        try:
            page = document[number]
            annotated += _annotated(page)
            textpage = page.get_textpage()
            share = glyphs.without_text(textpage)
            if reason := glyphs.unread(page, share):
                unread[reason] += 1
                continue
            partly += share > 0
            words = _whole(textpage.get_text_bounded())
        except pypdfium2.PdfiumError:
            words = ""
        empty += not words
        blocks += [
            Block(kind="text", text=it.strip("\n"), place=f"page {number + 1}")
            for it in words.split("\n\n")
            if it.strip()
        ]
    left = [f"{count} of {len(document)} pages, whose text is {reason}" for reason, count in unread.items()]
    if not blocks and left:
        raise Unreadable(f"its text is {next(iter(unread))}: print it anew with its fonts in it")
    if not blocks:
        raise Unreadable("it has no text: pages may be pictures, which are not read")
    left += [f"{empty} of {len(document)} pages without text"] if empty else []
    left += [f"{partly} pages with characters of which is not known what they are"] if partly else []
    left += [f"{annotated} pages with annotations or form fields"] if annotated else []
    left += [f"{attached} attached files"] if (attached := document.count_attachments()) else []
    return Parsed(blocks, left)


def _whole(said: str) -> str:
    """Return the text of a page with words and mail addresses whole that go over the end of a line."""
    said = _HYPHEN.sub("", said.replace("\r\n", "\n").replace("\r", "\n")).strip()
    return _IN_ADDRESS.sub("", said)


def _annotated(page: Any) -> bool:
    """Tell whether a page of a PDF has annotations with a text of their own."""
    import pypdfium2.raw as c

    for number in range(c.FPDFPage_GetAnnotCount(page)):
        annotation = c.FPDFPage_GetAnnot(page, number)
        kind = c.FPDFAnnot_GetSubtype(annotation)
        c.FPDFPage_CloseAnnot(annotation)
        if kind not in WITHOUT_TEXT:
            return True
    return False


def unpacked(data: bytes) -> None:
    """Refuse an archive that becomes too much; Unreadable."""
    try:
        entries = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        raise Unreadable("it is not an office document, or a broken or encrypted one") from None
    total = sum(it.file_size for it in entries)
    if len(entries) > MOST_FILES or total > MOST_BYTES or total > MOST_TIMES * max(len(data), 10_000):
        raise Unreadable(
            f"unpacked it would be {total:,} bytes in {len(entries):,} files: {total // len(data):,} times its size"
        )
    if any(it.flag_bits & 1 for it in entries):
        raise Unreadable("it is encrypted")


def docx(data: bytes) -> Parsed:
    """Return the headings, paragraphs and rows of tables of a DOCX document, in order (`word`)."""
    unpacked(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return word.read(archive)
    except (KeyError, ValueError, IndexError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise Unreadable(f"it is not a DOCX document, or a broken one: {error}") from None


def xlsx(data: bytes) -> Parsed:
    """Return the rows of an XLSX workbook's sheets, by the values that formulas had when it was saved."""
    unpacked(data)
    import openpyxl

    try:
        left = _beside_cells(data)
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        blocks: list[Block] = []
        cells = 0
        for number, sheet in enumerate(book.worksheets, 1):
            rows = []
            sheet.reset_dimensions()  # what a sheet says of its size may be too small: programs write A1 for any
            for row in sheet.iter_rows(values_only=True):
                cells += len(row)
                if cells > MOST_CELLS:
                    raise Unreadable(f"it has more than {MOST_CELLS:,} cells")
                rows.append(["" if it is None else _shown(_written(it)) for it in row])
            if found := tables.rows(rows, f"sheet {number}"):
                blocks += [Block(kind="heading", text=sheet.title, level=1), *found]
    except (KeyError, ValueError, IndexError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise Unreadable(f"it is not an XLSX workbook, or a broken one: {error}") from None
    return Parsed(blocks, left)


def _written(value: object) -> str:
    """Return a value of a cell; a number as its digits: programs write `1.3912345678E10` for a telephone."""
    if isinstance(value, float) and math.isfinite(value):
        number = Decimal(repr(value))
        if abs(number.adjusted()) <= MOST_DIGITS:
            plain = f"{number:f}"
            return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return str(value)


def _shown(said: str) -> str:
    """Return a text of a cell as it is shown: characters may be written as their numbers, `_x0031_`."""
    if "_x" not in said:
        return said
    plain = _NUMBERED.sub(lambda it: chr(int(it[1], 16)), said).replace("\0", "")
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _in_order(sheet: bytes) -> bool:
    """Tell whether each cell of a sheet is behind those before it; the library leaves others out."""
    rows = [int(it) for it in _ROW.findall(sheet)]
    cells = [(int(row), len(column), column) for column, row in _CELL.findall(sheet)]
    return all(it < after for it, after in itertools.pairwise(rows)) and all(
        it < after for it, after in itertools.pairwise(cells)
    )


def _beside_cells(data: bytes) -> list[str]:
    """Return what of a workbook is not in its cells."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if "xl/workbook.xml" in names and STRICT in archive.read("xl/workbook.xml"):
            raise Unreadable("it is a workbook in the strict form: save it as an ordinary one (.xlsx)")
        left = {reason for start, reason in NOT_READ.items() if any(it.startswith(start) for it in names)}
        sheets = [archive.read(it) for it in names if it.startswith(("xl/worksheets/", "xl/chartsheets/"))]
        if any(_WITHOUT_VALUE.search(it) for it in sheets):
            left.add("formulas whose values are not saved")
        if not all(map(_in_order, sheets)):
            left.add("cells that are out of order or there twice")
        if any(re.search(rb"<(?:\w+:)?(?:odd|even|first)(?:Header|Footer)\b[^>]*>[^<]", it) for it in sheets):
            left.add("headers and footers")
        if any(b"<a:t>" in archive.read(it) for it in names if it.startswith("xl/drawings/") and it.endswith(".xml")):
            left.add("text of shapes")
    return sorted(left)
