"""Mail addresses: what they look like, and what only looks like one."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import numpy.typing as npt

from dualtrack.knowledge.pii.characters import Codes, Places
from dualtrack.knowledge.pii.rules import DIGITS, LETTERS, Pattern, Rule, shape

#: Domains that are nobody's (RFC 2606, RFC 6762), and what units of systemd end with, whose names may have an `@`.
NOBODYS = re.compile(
    r"[@.](?:example\.(?:com|org|net)|example|invalid|test|localhost|local"
    r"|automount|device|mount|path|scope|service|slice|socket|swap|target|timer)$"
    # Names of files, none of which is a domain: `icon@2x.png`, `package@1.2.tgz`; but an address may be before one.
    r"|@(?:[^.@]+|[0-9][0-9.]*)\.(?:png|jpe?g|gif|svg|webp|bmp|ico|tgz|gz|whl|rpm|deb|pdf|css|js|ts|json|yaml|digest)$",
    re.I,
)
#: What follows a host where git and scp find a directory on it: always one, and one where the account or a command says
#: so (`git@host:owner/repository`). Anything else may be a password that was copied together with its address.
DIRECTORY = re.compile(r":(?!//)(?:[/~]|[\w.~-]+/[\w.~/-]*\.git(?![\w/]))", re.A)
PERHAPS = re.compile(r":(?!//)[\w.~-]*/", re.A)
ACCOUNT = re.compile(r"(?:git|hg|svn)@", re.I)
COMMAND, FROM_COMMAND = re.compile(r"(?<![\w-])(?:scp|rsync|clone|ssh)\s[^\n]*\Z", re.A), 60
#: Characters of the name in a mail address, and what it is made of.
LONGEST_NAME, _NAME = 65, re.compile(r"[\w.+%-]+", re.A)
#: Letters of any script, and signs between letters, in a name that has some that are not in `_NAME`.
_ANY_NAME, _SIGNS = re.compile(r"[\w.+%'’!-]+"), ".+%'’!-"
_HAN = "\u3007\u4e00-\u9fff"
_HAN_AT_END, _NUMERALS = re.compile(rf"[{_HAN}0-9]*[{_HAN}]\Z"), re.compile(f"[{_HAN}]+")
#: Characters of such a name without a blank before it.
_LONGEST_HAN = 16
#: Between name and domain, in URLs and in HTML as well.
AT = "(?:@|%40|&#(?:0{0,4}64|x0{0,4}40);|&commat;)"
#: A point, in a domain of such an address.
DOT = r"(?:\.|%2E|&#(?:0{0,4}46|x0{0,4}2E);|&period;)"

#: The same in words, and for points, as people write them against robots.
AT_WORDS, DOT_WORDS = (rf" ?[\[({{<【] ?(?:{it}) ?[\])}}>】] ?" for it in ("at|@", r"dot|点|\."))


def _mail(found: re.Match[str]) -> bool:
    return not NOBODYS.search(found[1]) and not _directory(found)


def _directory(found: re.Match[str]) -> bool:
    """Return whether a host follows the ``@``, and a directory on it."""
    text, (start, end) = found.string, found.span(1)
    if DIRECTORY.match(text, end):
        return True
    command = ACCOUNT.match(text, start) or COMMAND.search(text, max(0, start - FROM_COMMAND), start)
    return bool(command and PERHAPS.match(text, end))


def _name_before(text: str, at: int) -> list[int]:
    """Return where the name of a mail address may begin whose last character is at a place, before its ``@``."""
    before = _NAME.match(text[at : max(0, at - LONGEST_NAME) : -1])
    # A name begins with a letter, a digit or `_`: other signs are a text's own.
    return [at + 1 - len(before[0][::-1].lstrip(".+%-"))] if before else []


def _any_name_before(text: str, at: int) -> list[int]:
    """Return where the name of a mail address may begin whose ``@`` is at a place, where it has more than `_NAME`.

    Chinese has no blanks: a name is all Chinese, or what follows the Chinese before it.
    """
    before = _ANY_NAME.match(text[at - 1 : max(0, at - LONGEST_NAME) : -1])
    name = before[0][::-1] if before else ""
    chinese = _HAN_AT_END.search(name)
    name = (chinese[0] if chinese else _NUMERALS.split(name)[-1]).lstrip(_SIGNS)
    return [] if _NAME.fullmatch(name) or not name else [at - len(name)]


def whole(data: bytes, start: int, end: int) -> int:
    """Return where the name of a mail address in a text begins that was found from a Chinese numeral on.

    Numerals are digits to the rules: 三 of 张三@ is a name with what is before it, 三 of 张三li@ is not part of one.
    """
    lead = _NUMERALS.match(data[start:end].decode())
    if not lead:
        return start
    if re.match(f" ?{AT}|＠| ?[(（\\[【{{<]", data[start:end].decode()[lead.end() :], re.I):
        before = data[max(0, start - 4 * _LONGEST_HAN) : start].decode(errors="ignore")
        name = _HAN_AT_END.search(before)
        return start - len(name[0].encode()) if name else start
    return start + len(lead[0].encode())


def _name_before_words(text: str, at: int) -> list[int]:
    """Return where such a name may begin that ends before a place, or before a blank that is before it."""
    return _name_before(text, at - 1 - (text[at - 1] == " "))


@cache
def _in_label() -> npt.NDArray[np.bool_]:
    """Return which characters are in the label of a domain; all beyond ASCII, which are one here, are not."""
    return np.array([it < 128 and (chr(it).isalnum() or it == ord("-")) for it in range(129)])


#: What a point begins with, in any of its forms.
_POINTS = [ord(it) for it in ".([%&"]


def _point_follows(codes: Codes, places: Places) -> Places:
    """Return those places before an ``@`` after whose next label is a point: a text may be full of what has none."""
    ends = np.flatnonzero(~_in_label()[np.minimum(codes, 128)])
    following = ends[np.minimum(np.searchsorted(ends, places + 2), len(ends) - 1)]
    point = np.isin(codes[following], _POINTS)
    found: Places = places[point | (codes[places + 1] != ord("@"))]
    return found


def _point_after(codes: Codes, places: Places) -> Places:
    """Return those ``@`` after whose next label is a point."""
    return _point_follows(codes, places - 1) + 1


#: After the last label of a host, which has no `-` and no digit.
_END = "(?![A-Za-z0-9])"
_DOMAIN = rf"(?:[a-z0-9-]{{1,63}}(?:{DOT}|{DOT_WORDS})){{1,8}}[a-z]{{2,24}}"
MAILS = shape(
    # Beside the sign may be what looks like a letter, too, or is invisible.
    rb"[a-z0-9_%+.\x00\x1b\x7f-]" + AT.encode() + rb"(?:[a-z0-9-][a-z0-9.\x80-\xff\x00\x1b\x7f-]|[\x00\x1b\x7f])"
    rb"|@[\xc2-\xf4]|[\x80-\xbf]@|\xef\xbc\xa0",
    Rule("email", Pattern(
        rf"(?<!\w)([a-z0-9_][\w.+%-]{{0,63}}{AT}{_DOMAIN}){_END}", re.A | re.I
    ), _mail, heads=((LETTERS + DIGITS + "_.+%-", "@%&"),), starts=_name_before, worth=_point_follows),
    Rule("email", Pattern(rf"([\w.+%'’!-]{{1,64}}@{_DOMAIN}){_END}", re.I), _mail,
         heads=(("@", LETTERS + DIGITS),), starts=_any_name_before, worth=_point_after),
    before=136, after=224, back=12,
)  # fmt: skip
WRITTEN_MAILS = shape(
    rb"(?:[\[({<]|\xef\xbc\x88|\xe3\x80\x90) ?(?:at|@) ?(?:[\])}>]|\xef\xbc\x89|\xe3\x80\x91)",
    Rule("email", Pattern(
        rf"(?<!\w)([a-z0-9_][\w.+%-]{{0,63}}{AT_WORDS}(?:[a-z0-9-]{{1,63}}(?:\.|{DOT_WORDS})){{1,8}}[a-z]{{2,24}}){_END}",
        re.A | re.I,
    ), _mail, heads=(("[({<【", " aA@"),), starts=_name_before_words),
    before=136, after=224, back=80,
)  # fmt: skip
