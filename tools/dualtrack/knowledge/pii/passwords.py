"""Values after a word such as `password`: where one ends, and what is none."""

from __future__ import annotations

import base64
import re

SHORTEST, LONGEST = 4, 300
#: Signs that may close what a value is in.
_CLOSING = r""""',;)\]}>"""
#: After a value comes a blank, a character that no password has, or the end; or signs that close what the value is in,
#: and then such a character; or a sign and the next name (`,user=`), or a tag. A sign between two other characters is
#: part of the value, or a part of a password would stay; but a bracket before a character that no password has begins a
#: remark.
_ENDS = (
    rf"(?=[{_CLOSING}]*(?:[^!-~]|\Z)|\([^ -~]|[\"'][,;:)\]}}>]"
    rf"|\\[\"'](?:[{_CLOSING}\\]|[^!-~]|\Z)|[\"']?[,;] ?[\"']?[a-z_][\w.-]{{0,31}}[\"']?[:=]|</?[a-z]{{1,10}}[ />])"
)
#: One more value after another one has letters and digits.
MIXED = r"(?=[!-~]{0,40}?[A-Za-z])(?=[!-~]{0,40}?[0-9])(?=[!-~]{6})"
#: Between double quotes a value ends there alone; no blank is in it.
_QUOTED = rf"(?<=\")(?<!\\\")(?:\\[!-~]|[!#-\[\]-~]){{{SHORTEST},{LONGEST}}}+(?=\")"
#: A longer one continues to the end of its window, and `keys` finds its end.
_PLAIN = rf"(?![{_CLOSING}])(?:[!-~]{{{SHORTEST},{LONGEST - 1}}}?{_ENDS}|[!-~]{{200,{LONGEST}}})"
VALUE = f"{_QUOTED}|{_PLAIN}"
#: A value that is a call is not a secret, but code that asks for one; after a Chinese word no code follows.
_CALL = re.compile(r"[$A-Za-z_][\w.:>-]*\(")
#: Nor is what stands for one: a special token, a variable.
_STANDS_FOR_ONE = re.compile(r"<[^>]*>(?![A-Za-z0-9])|\$\{.*\}|\$[A-Z_][A-Z0-9_]*(?:[^!-~]|[\"',;)\]}>]|\Z)")
#: Nor the name of an algorithm, nor a count: `密码：8-16位`, `令牌：10086个`.
_ALGORITHM = re.compile(
    r"(?:aes|des|sm[234]|sha|md5|rsa|hmac|hs|rs|es|ecdsa|ed|bcrypt|scrypt|argon)(?:[_-]?[0-9]{1,4})?"
    r"(?:[_-](?:gcm|cbc|ctr|ecb|sha|[0-9]{1,4}))*",
    re.I,
)
_COUNT = re.compile(r"[0-9]{1,5}(?:[-~][0-9]{1,5})?(?=[位个年月天次条种])")
_NOT_AFTER = {
    "token": re.compile(r"[0-9]{1,6}(?:[\"',;)\]}>].*|k|tokens?)?"),
    "pwd": re.compile(r"/[\w.-]+(?:/[\w.-]*)*(?:[,;].*)?"),
}


#: After the name of a field of HTTP: what a browser sends, or a token.
AUTHORIZATION = (
    r"authorization\\?[\"']? ?(?:=>|[:=])\s{0,2}\\?[\"']?(?:basic|bearer) ([A-Za-z0-9+/=._~-]{8,300})(?![A-Za-z0-9])"
)


def check(found: re.Match[str]) -> bool:
    """Return whether a value can be a secret: it has a digit, and is neither code that asks for one nor of another use.

    A token may be the number of one in a model's vocabulary, and ``pwd`` a directory.
    """
    # A sign that may be inside of a secret is none where it ends one: `64;` has two characters.
    value, said = found[1].rstrip("\"',;)]}>"), found[0].lower()
    if len(value) < SHORTEST or not any(it.isdigit() for it in value):
        return False
    if any(said.startswith(word) and it.fullmatch(value) for word, it in _NOT_AFTER.items()):
        return False
    if _ALGORITHM.fullmatch(value) or _counted(found) or (said[0].isascii() and _CALL.match(value)):
        return False
    return not _STANDS_FOR_ONE.match(found.string, found.start(1), found.end(1) + 2)


def _counted(found: re.Match[str]) -> bool:
    counted = _COUNT.match(found.string, found.start(1))
    return counted is not None and counted.end() == found.end(1)


def authorization(found: re.Match[str]) -> bool:
    """Return whether what follows can be a token, or a name and a password: most examples have no digit."""
    return any(it.isdigit() for it in found[1]) or ":" in _decoded(found[1])


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""
