"""Telephones of other countries, written with a plus and the code of the country."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from dualtrack.knowledge.pii.characters import Codes
from dualtrack.knowledge.pii.groups import Groups

#: Digits of national numbers, least and most, and the codes of the countries that have these (ITU-T E.164, as the
#: metadata of `phonenumbers` 9 says). China is not here: `numbers` has rules of its own for it.
LENGTHS = """
5-8 290 500 247 682 683 690 676 677 678 686 688 298 299 672 681 687
5-10 27 82 358 685 53 63 95 98 880 40 252 359 376 421 508 243 353 20 57 60 64 378 850 856 964 976 977
6-9 46 48 220 231 254 263 265 354 423 595 967 597 230 241 267 372 507 599 670 675 961 975
6-12 43 49 352 62 381 882 39 383 883 972 870 878 888
7-7 238 239 246 248 269 291 297 501 592 673 674 679 680 691 692 960
8-8 45 47 65 216 222 223 226 227 228 232 235 236 253 257 266 268 350 356 357 370 371 373 374 382 386 389 502 503 504
8-8 505 506 509 591 598 689 800 808 852 853 965 968 973 974 993
8-9 32 36 51 66 213 224 250 258 264 355 377 385 387 593 855 886 962 963 970 971
9-9 33 34 41 56 61 93 94 211 212 218 221 233 237 240 242 244 245 249 251 255 256 260 261 262 351 375 380 420 590 594
9-9 596 966 979 992 994 995 996 998
9-11 44 81 84 92 881 31
10-11 1 7 30 52 58 90 91 225 229 234 54 55
"""
#: What may be between groups, two of it at most; and of digits in all, with the code.
_BETWEEN, _MOST = frozenset(" -.()/"), 15


#: A day after the offset of a time zone: `UTC+8 2024-03-15`.
_DATE = re.compile(r"[0-9]{1,2} (?:19|20)[0-9]{2}[-./](?:0?[1-9]|1[0-2])[-./]")


@cache
def _lengths() -> dict[str, tuple[int, int]]:
    found = {}
    for line in LENGTHS.split("\n"):
        lengths, _, codes = line.partition(" ")
        for code in codes.split():
            least, most = map(int, lengths.split("-"))
            found[code] = least, most
    return found


def is_telephone(digits: str) -> bool:
    """Return whether digits begin with the code of a country that has national numbers as long as the rest."""
    for size in (1, 2, 3):
        if found := _lengths().get(digits[:size]):
            return found[0] <= len(digits) - size <= found[1]
    return False


def telephones(text: str, codes: Codes, groups: Groups) -> list[tuple[int, int]]:
    """Return where telephones are that begin with a plus; as long as each can be."""
    found = []
    for first in np.flatnonzero(codes[groups.starts - 1] == ord("+")).tolist():
        start, digits, end = int(groups.starts[first]), "", 0
        if _DATE.match(text, start) or text[start - 4 : start - 1] in ("UTC", "GMT"):
            continue
        for place in range(first, len(groups.starts)):
            begin, size = int(groups.starts[place]), int(groups.sizes[place])
            # A zero in brackets is for calls within the country.
            digits += "" if text[begin - 1 : begin + 2] == "(0)" else text[begin : begin + size]
            if len(digits) > _MOST:
                break
            if is_telephone(digits):
                end = begin + size
            if not groups.gaps[place] or not _BETWEEN.issuperset(text[begin + size : int(groups.starts[place + 1])]):
                break
        if end:
            found.append((start - 1, end))
    return found
