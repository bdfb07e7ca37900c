"""What a text is taken apart into for lexical search: pairs of Chinese characters, and words of other scripts (pure).

No dictionary: on labelled questions pairs of neighbours (bigrams) are as good as a tokenizer with one (ADR 38).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

#: Changes with what `terms` returns: weights that were fitted for other terms do not hold.
RULES = "bigrams-1"
#: Scripts that put no space between words: Chinese characters, and Japan's kana.
_UNSPACED = "\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_RUN = re.compile(f"[{_UNSPACED}]+|[^\\W_{_UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")


def terms(text: str) -> Iterator[str]:
    """Yield the terms of a text, in order: of 磁盘阵列 they are 磁盘, 盘阵 and 阵列, of MD-5 md and 5.

    A character alone is itself. Wide letters and digits are like narrow ones, and upper case is like lower case.
    """
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).lower()):
        if len(run) > 1 and _IS_UNSPACED.match(run):
            yield from (run[place : place + 2] for place in range(len(run) - 1))
        else:
            yield run
