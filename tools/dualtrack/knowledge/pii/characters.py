"""Characters that stand for others: digits of all scripts, wide letters, and what is invisible between them.

Texts are never normalised whole, only windows around candidates are (`candidates`). Each character becomes one other,
or none where it shows nothing.
"""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt

from dualtrack.knowledge.pii.traditional import simplified

Codes = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]
#: Stands for what shows nothing: it may be anywhere inside a number.
GLUE = "\x01"
#: Written before and after each window: no pattern crosses it.
EDGE = "\x02"
#: Written where digits of one script end and those of another begin, in the second form of a text (`forms`).
BREAK = "\x03"
#: Between parts of a document that are looked at together; a line ends there.
PART = "\x1d"
#: What people write between groups of digits; a star in Markdown.
SEPARATORS = " \t\r\n-.·/_,()*"
CHINESE_DIGITS = {
    "〇": "0", "○": "0", "◯": "0", "零": "0", "一": "1", "二": "2", "三": "3", "四": "4", "五": "5", "六": "6",
    "七": "7", "八": "8", "九": "9", "壹": "1", "贰": "2", "叁": "3", "肆": "4", "伍": "5", "陆": "6", "柒": "7",
    "捌": "8", "玖": "9", "幺": "1", "两": "2", "貳": "2", "參": "3", "陸": "6",
}  # fmt: skip
#: Letters of other scripts that look like those in numbers.
LOOKALIKES = {
    "Х": "X", "х": "x", "Ⅹ": "X", "ⅹ": "x", "Χ": "X", "А": "A", "В": "B", "С": "C", "Е": "E", "Н": "H", "К": "K",
    "М": "M", "О": "O", "Р": "P", "Т": "T",
}  # fmt: skip
#: Where digits begin that Unicode has since 15 and 16, and Python not yet.
_NEWER_DIGITS = (0x10D40, 0x11F50, 0x1CCF0)
_DASHES = "‐‑‒–—―−﹣－"
_SPACES = "\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_DOTS = "．•∙⋅・"
#: Wide, vertical and small ones; the sign of a ratio, which Chinese print has for a colon; a letter that looks so.
COLONS = "：︰︓﹕∶꞉"


@cache
def digits() -> dict[str, str]:
    """Return every character that is a digit in some script, and its ASCII digit."""
    found = CHINESE_DIGITS | {chr(first + it): str(it) for first in _NEWER_DIGITS for it in range(10)}
    for code in range(128, 0x20000):
        value = unicodedata.digit(chr(code), None)
        # Superscripts and subscripts are exponents and notes.
        if value is not None and unicodedata.decomposition(chr(code)).split(" ")[0] not in ("<super>", "<sub>"):
            found[chr(code)] = str(value)
    return found


@cache
def invisible() -> str:
    """Return the characters that show nothing between digits: formats, joiners, selectors, fillers, controls, marks.

    Of controls those that editors and terminals leave out, of marks those that are set on anything: letters of many
    scripts have marks of their own, and with all of them Hyperscan's patterns would be large.
    """
    more = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\0\x1b\x7f"
    marks = [range(0x300, 0x370), range(0x180B, 0x180F), range(0x20D0, 0x20F1), range(0xFE00, 0xFE10)]
    marks += [range(0xFE20, 0xFE30), range(0xE0100, 0xE01F0)]
    formats = (
        chr(code)
        for code in (*range(0x80, 0x20000), *range(0xE0000, 0xE0080))
        if unicodedata.category(chr(code)) == "Cf"
    )
    return "".join({*more, *(chr(code) for it in marks for code in it), *formats})


#: Of digits: those that keyboards write, those that are words, and the first number of any other script.
ORDINARY, WORDS, OTHERS = 1, 2, 3


@cache
def _scripts() -> npt.NDArray[np.uint8]:
    """Return for each character the script of its digit, or 0 where it is none."""
    found = np.zeros(sys.maxunicode + 1, np.uint8)
    names: dict[str, int] = {}
    for it in digits():
        # ARABIC-INDIC DIGIT ONE, CIRCLED DIGIT ONE, MATHEMATICAL BOLD DIGIT ONE: what is before `DIGIT` is the script.
        name = unicodedata.name(it, f"{ord(it) & ~15:x} DIGIT").partition(" DIGIT")[0]
        found[ord(it)] = OTHERS + names.setdefault(name, len(names))
    found[[ord(it) for it in CHINESE_DIGITS]] = WORDS
    for first in ("0", "\uff10"):
        found[ord(first) : ord(first) + 10] = ORDINARY
    return found


def scripts(raw: Codes) -> npt.NDArray[np.uint8]:
    """Return the script of each digit: ORDINARY, WORDS or more; 0 of all else."""
    return _scripts().take(raw, mode="clip")


@cache
def table() -> dict[int, str]:
    """Return what `str.translate` needs to make a window plain."""
    wide = {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    found = {
        **simplified(), **wide, **LOOKALIKES, **digits(), **dict.fromkeys(_DASHES, "-"), **dict.fromkeys(_SPACES, " "),
        **dict.fromkeys(_DOTS, "."), **dict.fromkeys(invisible(), GLUE), "\x01": " ", "\x02": " ",
        **dict.fromkeys(COLONS, ":"), "（": "(", "）": ")", "，": ",", "＠": "@", "﹫": "@",
        "\x85": "\n", "\u2028": "\n", "\u2029": "\n", PART: "\n",
    }  # fmt: skip
    return {ord(it): to for it, to in found.items()}


@cache
def _codes() -> Codes:
    found = np.arange(sys.maxunicode + 1, dtype=np.uint32)
    for code, to in table().items():
        found[code] = ord(to)
    return found


def plain(text: str, edges: list[int]) -> tuple[str, Places | None]:
    """Return a text in which digits, letters and separators are ASCII's, and nothing is invisible.

    ``edges`` are the places of the text's edges; no other character becomes one. The second value is where each
    character was in the text, or None where all are where they were.
    """
    codes, unseen, _ = plain_codes(text, np.array(edges, np.int64))
    kept = np.delete(np.arange(len(codes) + len(unseen)), unseen) if len(unseen) else None
    return codes.tobytes().decode("utf-32-le"), kept


def plain_codes(text: str, edges: Places) -> tuple[Codes, Places, Codes]:
    """Return the code points of what `plain` returns, where in the text was what is invisible, and what they were."""
    # No code point is beyond the table: "clip" is the mode that takes least time.
    raw = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    codes = _codes().take(raw, mode="clip")
    codes[edges] = ord(EDGE)
    unseen = np.flatnonzero(codes == ord(GLUE))
    return (np.delete(codes, unseen), unseen, np.delete(raw, unseen)) if len(unseen) else (codes, unseen, raw)
