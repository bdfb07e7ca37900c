"""Text of others, such that every character of it shows: none commands a terminal, changes an order, or is unseen."""

from __future__ import annotations

import re
import unicodedata

#: Categories of characters that command a terminal, change the order of what is read, or show nothing.
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Characters that are letters or marks to Unicode and show nothing: fillers, blanks, joiners, variation selectors.
BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
#: Characters of a word in an error: what was given may be a whole file.
LONGEST = 200
_ORDINARY = re.compile(r"[ -~]*")


def visible(text: str, keep: str = "") -> str:
    """Return a text in which every character shows: those that would not are written as Python writes them (`\\x1b`).

    ``keep`` names characters that stay, such as the ends of lines.
    """
    if _ORDINARY.fullmatch(text):
        return text
    return "".join(it.encode("unicode_escape").decode() if it not in keep and hidden(it) else it for it in text)


def printable(error: str) -> str:
    """Return an error as one line in which every character shows, and no word is longer than `LONGEST`."""
    return re.sub(rf"(\S{{{LONGEST}}})\S+", r"\1…", visible(error))


def hidden(it: str) -> bool:
    """Tell whether a character commands a terminal, changes the order of what is read, or shows nothing."""
    return unicodedata.category(it) in UNSEEN or bool(BLANK.match(it))
