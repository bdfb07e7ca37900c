"""Numbers in groups that a line breaks at one of their own separators: `139 1234` and `5678` on the next line.

A number whose only separator is the end of a line is found as any number with the same between all digits is
(`numbers.spread`). Here all other separators are one blank each, or one hyphen each.
"""

from __future__ import annotations

from collections.abc import Sequence

#: What ends a line between two groups, by the separator of the others.
ENDS = {" ": r" ?\r?\n {0,2}", "-": r"-\r?\n {0,2}"}
#: The same, whatever the separator.
END_OF_LINE = r"(?:[ -]?\r?\n {0,2})"
#: No other number is beside a number on two lines: rows of a table would be such numbers.
ALONE, ALONE_AFTER = r"(?<![0-9][ \t-])", r"(?![ \t-]{0,2}[0-9])"


def broken(groups: Sequence[str], places: Sequence[int] = ()) -> str:
    """Return a pattern for groups, each of which is a pattern, with the end of a line behind one of some, or of any."""
    found = []
    for place in places or range(len(groups) - 1):
        for gap, end in ENDS.items():
            found.append(gap.join(groups[: place + 1]) + end + gap.join(groups[place + 1 :]))
    return f"(?:{'|'.join(found)})"
