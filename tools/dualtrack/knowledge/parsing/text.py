"""Plain text, and which encoding a text has.

A wrong guess makes nonsense that is indexed, and hides personal data from its patterns. So an encoding must be sure,
or the text is refused.
"""

from __future__ import annotations

import codecs

from dualtrack.knowledge.parsing import columns
from dualtrack.knowledge.parsing.blocks import Parsed, Unreadable
from dualtrack.knowledge.pii.readable import many_controls

#: In this order: a mark at the start, then what decodes without an error; most Chinese texts of before are GB18030.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
#: The same as a character, which belongs to no text.
BOM = "\ufeff"
#: GB18030 decodes nearly everything. It counts when most of what is not ASCII are the 6,763 characters of GB 2312.
SURE = 0.9
#: The share of kana that no Chinese text has; and of characters at the places of Korean syllables, if there are enough.
KANA, KOREAN, ENOUGH, LAST_KOREAN = 0.1, 0.95, 16, 0xC8


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


def has_mark(data: bytes) -> bool:
    """Tell whether a text begins with a mark of its encoding, which counts more than what anything says of it."""
    return data.startswith(tuple(mark for mark, _ in MARKS))


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
    if many_controls(text) is not None:
        raise Unreadable("it is not text: it is full of control characters")
    return text.lstrip(BOM).replace("\r\n", "\n").replace("\r", "\n")


def plain(data: bytes) -> Parsed:
    """Return the paragraphs of a text, which blank lines separate, and rows of tables in them."""
    return Parsed(columns.blocks(decoded(data), paragraphs=True))
