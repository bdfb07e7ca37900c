"""What may stand between a word and the value that it names, for the rules of all kinds that depend on a word.

- Marks of Markdown, HTML and quotes around the word, the sign or both: `**密码**：`, `**密码：** `, `<b>密码</b>：`.
- A bracket that says more of the word: `密码（初始）：`, `Passport (number):`; and a star, for what is required.
- Words between: `password for admin:`, `密码重置为`.
- After a value, more values of the same kind: `02162345678/02162345679`.

Patterns are for windows that were made plain. Each is of bounded length.
"""

from __future__ import annotations

#: Characters in a bracket after a word.
LONGEST_ASIDE = 16
_NAMES = (
    "a|b|big|br|code|dd|del|div|dt|em|font|h[1-6]|i|ins|kbd|label|li|mark|p|s|small|span|strike|strong|sub|sup|t[dhrt]"
    "|u"
)
#: Tags that show a text; a password may begin with anything else in angle brackets.
TAG = rf"</?(?:{_NAMES})(?: [^<>\n]{{0,40}})?/?>"
#: A sign between a word and its value, not of a comparison; in URLs, in programs, in XML where a tag follows the value.
SIGN = r"(?::=|=>|=(?!= )|[是为成]:?|:|%3[ad]|(?: [a-z][^<>\n]{0,40})?>(?=[^<>\s]{4,300}</))"
#: What closes around a word, also the address of a link.
_LINKED = r"\](?:\([^()\s]{0,80}\)|\[[\w -]{0,24}\])"
_MARKS = rf"[*_`~]{{1,3}}+|\\?[\"'”’]|[」』】〕»)]|{TAG}(?:[^<>\n]{{0,24}}(?=</))?|>(?!>)|{_LINKED}|\]"
_BRACKETS = ((r"\(", r"\)"), ("【", "】"), ("〔", "〕"), ("「", "」"), (r"\{", r"\}"))
#: In a program, `[…]` after a name and before `=` is an index.
_ASIDE = "|".join(
    (
        rf"(?<![A-Za-z0-9_\]])\[[^\[\]\n]{{0,{LONGEST_ASIDE}}}\]",
        rf"\[[^\[\]\n]{{0,{LONGEST_ASIDE}}}\](?! ?[=\[\]])",
        *(rf"{one}[^{one}{other}\n]{{0,{LONGEST_ASIDE}}}{other}" for one, other in _BRACKETS),
    )
)
_WORDS = (
    r"(?<= )(?:for|of) (?>[A-Za-z0-9_@.-]{1,32}(?: [A-Za-z0-9_@.-]{1,32})?)|(?:value|content)(?==)"
    "|已?被?(?:重置|重设|重新设置|修改|更改|更新|变更|设置|设定|改|设)(?=[为成])"
)
#: What any of these begins with: most words have nothing of it behind them.
_BEGINS = r"(?=\s{0,2}[*_`~\\\"'”’」』】〕»)<>\]\[(【〔「{fovc已被重修更变设改])"
#: Between a word and a sign.
BESIDE = rf"(?:{_BEGINS}(?:\s{{0,2}}(?:{_MARKS}|{_ASIDE}|{_WORDS})){{1,6}}(?=\s{{0,3}}{SIGN}))"
#: What closes around a word and its sign.
CLOSES = rf"(?:{TAG}|{_LINKED}|(?:[*_`~]{{1,3}}|\\?[\"'”’]|[\]」』】〕»)])(?=\s))"
#: Between a word and what it names: any of these; or, where words are common, a sign at least.
_SIGNS = r"""[\s:=#*"'“”「『【\[(<>|为是叫`~\\]"""
LINK = rf"{BESIDE}??{_SIGNS}{{0,6}}(?:{CLOSES}{_SIGNS}{{0,4}}){{0,2}}"
#: After a sign may be an annotation of a type, or what begins a block of YAML.
_ANNOTATED = r"(?:[a-z_][\w.]{0,20}(?:\[[\w., ]{0,20}\])?(?: ?\| ?None)? ?= ?(?=[\"']))?"
_BLOCK = r"(?:[|>][+-]?\n[ \t]{1,16})?"
SAID = rf"{BESIDE}?\s{{0,3}}{SIGN}\s{{0,2}}(?:{_ANNOTATED}{_BLOCK}(?:[\s“”「『]|\\?[\"']|{CLOSES}){{0,4}})"
#: Marks that open around a value of letters and digits.
OPENS = r"[*_`~]{0,3}"
#: Between values of one word, each of which may have a bracket after it; passwords have a sign before the next field.
_AFTER, _BEFORE = r"(?: ?\([^()\n]{0,16}\))?[*_`~]{0,3}", "[*_`~\"']{0,3}"
_AND = r" ?(?:和|或|及|与|and|or) ?"
AND, AND_SECRET = (rf"{_AFTER}(?: ?[{it}] ?|{_AND}){_BEFORE}" for it in ("/、,;|", "/、"))
#: The values of one word that follow the first one: no days without separators.
NO_DAY = r"(?!(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?![0-9]))"
