"""What may stand between a word and the value that it names, for the rules of all kinds that depend on a word.

- Marks of Markdown, HTML and quotes around the word, the sign or both: `**密码**：`, `**密码：** `, `<b>密码</b>：`.
- A bracket that says more of the word: `密码（初始）：`, `Passport (number):`; and a star, for what is required.
- A dot, a number, another word: `Tel.:`, `电话1：`, `微信/QQ：`.
- Words between: `password for admin:`, `密码重置为`, `密码如下：`; and what names the value: `"password", "value":`.
- Blanks and underlines of forms: `密码        ：`, `电话：________`.
- After a value, more values of the same kind: `02162345678/02162345679`, or a list below the word or beside it.
- Brackets around the word, with the value directly behind them: `【护照号】E12345678`.

Patterns are for windows that were made plain. Each is of bounded length.
"""

from __future__ import annotations

from dualtrack.knowledge.pii.characters import BREAK
from dualtrack.knowledge.pii.vocabulary import FAMILY

#: Characters in a bracket after a word.
LONGEST_ASIDE = 16
_NAMES = (
    "a|b|big|br|code|dd|del|div|dt|em|font|h[1-6]|i|ins|kbd|key|label|li|mark|p|s|small|span|strike|strong|sub|sup"
    "|t[dhrt]|u"
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
#: The name of a value, where the word before it is the value of another name.
_OF_VALUE = r"\\?[\"']?(?:,| -)?\s{0,16}(?:\\?[\"']|<)?(?:value|content|string)\\?[\"']?(?=\s{0,3}[:=>])"
_WORDS = (
    r"(?<= )(?:for|of) (?>[A-Za-z0-9_@.-]{1,32}(?: [A-Za-z0-9_@.-]{1,32})?)"
    "|已?被?(?:重置|重设|重新设置|修改|更改|更新|变更|设置|设定|改|设)(?=[为成])"
    r"|[是为成](?=\s{0,2}(?:[*_`~]{1,3}|[\"'”’])?\s{0,2}[:=])"
    "|均|都|皆|分别|默认|暂定|暂|仍|还|就|现|统1|如下|见下"
    r"|(?:[/、&]|[和及与或]|(?<= )(?:and|or) ) ?[\u4e00-\u9fffA-Za-z1]{1,16}?(?:[ _-][A-Za-z]{1,8}){0,2}"
)
#: A number of several of the same kind, and the dot of a word that is short for another.
_NUMBERED = r"[ _#-]{0,2}[0-9]{1,2}(?![0-9])|\."
#: What any of these begins with: most words have nothing of it behind them.
_BEGINS = (
    r"(?=\s{0,2}[*_`~\\\"'”’」』】〕»)<>\]\[(【〔「{foa已被重修更变设改均都皆分默暂仍还就现统如见/、&和及与或#.0-9-]"
    r"|\s{1,16}(?:value|content)|\s{0,2}[是为成]\s{0,2}[*_`~\"'”’]{0,3}\s{0,2}[:=])"
)
#: Blanks before a sign, as in settings that stand below each other.
_BLANKS = r"(?:[ \t]{4,24}+(?=[:=])|\s{0,3})"
#: Between a word and a sign.
BESIDE = rf"(?:{_BEGINS}(?:\s{{0,2}}(?:{_NUMBERED}|{_MARKS}|{_ASIDE}|{_WORDS})|{_OF_VALUE}){{1,6}}(?={_BLANKS}{SIGN}))"
#: What closes around a word and its sign.
CLOSES = rf"(?:{TAG}|{_LINKED}|(?:[*_`~]{{1,3}}|\\?[\"'”’]|[\]」』】〕»)])(?=\s))"
#: The number of an item: a circled one is a digit here, and has a break behind it before another one.
_CIRCLED = rf"[0-9](?: ?{BREAK}| |(?=[A-Za-z]))"
#: What is not one but the day of a date: `1. April 2016`.
_NO_DATE = r"(?![0-9]{1,2}\.? ?[a-z\u00e0-\u017e]{3,10}\.?(?:,? |,)(?:19|20)[0-9]{2})"
_NUMBER = rf"{_NO_DATE}(?:\(?[0-9]{{1,2}}[.)、]|{BREAK}?{_CIRCLED})"
#: The end of a line, also as Markdown and HTML write it within a paragraph; and a blank line behind it.
_LINE = r"[ \t]{0,3}(?:\\?\r?\n|<br ?/?>(?:\r?\n)?)(?:[ \t]{0,3}\r?\n)?"
#: What begins the items of a list, each on its line, also in the quotation of a mail; and a box to tick.
_BULLET = r"[-*+.•·●](?: {0,3}\[[ x]\](?= ))?"
_ITEM = rf"{_LINE}[ \t]{{0,12}}(?:> ?){{0,4}}[ \t]{{0,12}}(?:{_BULLET}|{_NUMBER})[ \t]{{0,3}}"
#: The first item of a list that begins on the line of its word; where `1.` may be of a fraction, it is none.
_FIRST = rf"(?<=[:=]) ?{_NO_DATE}(?:\(?1[.)、] {{0,2}}|1(?: ?{BREAK}| |(?=[A-Za-z])))"
_FIRST_SECRET = rf"(?<=[:=]) ?(?:\(?1(?:[.)] |、) ?|\(1\) ?|1 ?{BREAK})"
#: What closes around a word before such a list.
_CLOSED = rf"(?:{TAG}|[*_`~]{{1,3}}|[\"'”’\]」』】〕»)]){{0,2}}"
#: What closes around a word that has its value directly behind it; not of a link.
_ENCLOSED = r"(?:[」』】》〕][*_]{0,2} ?|[\])][*_]{0,2} ?(?![(\[]))"
_NAMED_IN_BRACKETS = r"(?:[」』】》〕]|(?<=[\u4e00-\u9fff])[\])]) ?(?![(\[<:=])(?=[!-~]{6})"
#: Blanks and underlines after a sign, as in forms.
_FILL = r"(?:[ \t]{0,2}_{3,40}+[ \t]{0,8}|[ \t]{3,40}+)"
#: Brackets and quotes that open around a value.
_OPENS_AROUND = "‘《〈«‹〔〖"
#: Between a word and what it names: any of these; or, where words are common, a sign at least.
_SIGNS = rf"""[\s:=#*"'“”「『【\[(<>|为是叫`~\\{_OPENS_AROUND}]"""
_MANY = (
    rf"{_CLOSED}{_ITEM}|(?<=[:=]){_FILL}|{_FIRST}"
    r"|(?<=[:=\s*])_{1,3}(?!_)|[ \t]{4,24}+(?=[:=])|_{4,40}+| -{1,2} "
)
#: In this order: what is most frequent is tried first.
_SOME = rf"""(?:[:=#*"'“”「『【(<>|为是叫`~\\]|\[(?:\s{{1,12}}(?=["']))?|{_MANY}|\s|[{_OPENS_AROUND}])"""
#: A character of Chinese that is none of these does not stand between a word and its value, unless it begins one.
NEAR = "(?![\u4e00-\u9fff](?<![已被重修更变设改均都皆分默暂仍还就现统如见和及与或是为叫军士文兵警武海空后政装联]))"
#: The attributes of an element of XML that has the value.
_ATTRIBUTES = r" [a-z][^<>\n]{0,40}>(?=[^<>\n]{4,40}</)"
LINK = rf"(?:{BESIDE}|\.)??(?:{_ATTRIBUTES}|{_ENCLOSED}|{_SOME}{{0,6}}(?:{CLOSES}{_SIGNS}{{0,4}}){{0,2}})"
#: Behind a sign, a bracket that says more of the word: `电话：（办公）62345678`; one in Chinese before all kinds.
_CHINESE_ASIDE = "[\u4e00-\u9fff]{1,16}"
_BEHIND = rf"(?:(?<=[:=])|(?<=[:=]\s))(?:\({_CHINESE_ASIDE}\)|【{_CHINESE_ASIDE}】|\[{_CHINESE_ASIDE}\]) ?"
BEHIND = rf"(?:{_BEHIND}|(?:(?<=[:=])|(?<=[:=]\s))(?:\([a-z ]{{1,16}}\)|\[[a-z ]{{1,16}}\]) ?)?"
#: Hyphens or dots that lead from a Chinese word to a telephone, which does not look like a day.
LEADS = r"(?:(?<=[\u4e00-\u9fff])(?: ?-{1,4} ?(?!(?:19|20)[0-9]{6}(?![0-9]))| ?[.…⋯·]{1,40}+ ?))?"
#: A bank before an account: `账号：招商银行 6214 8301 …`.
OF_BANK = r"(?:(?<=[:=\s])(?>(?:[\u4e00-\u9fff()]|[0-9]{1,3}(?=[\u4e00-\u9fff])){2,28})(?<=[行部处社)])[ :,]{0,2})?"
#: A person's name before a value that names them: `电话：李雷 62345678`. A numeral in it is a digit here. One without a
#: frequent family name has a blank or a sign behind it, and is not a word that names another number.
_HAN_OR_NUMERAL = "(?:[\u4e00-\u9fff]|[0-9](?![0-9]))"
_NO_NAME = "[号码证额价费数量日时分元年月单期版]"
_POINT = "(?<=[\u4e00-\u9fff])[.·](?=[\u4e00-\u9fff])"
_ANY_NAME = rf"(?<=[:=,;、/|])\s?(?:{_HAN_OR_NUMERAL}|{_POINT}){{2,8}}(?<!{_NO_NAME})"
_OTHERS = "Nos?|Number|Order|Room|Ref|Case|Ticket|Invoice|Item|I[Dd]|Code|Ext|Build|Version|PO|SKU|Call"
_NAME = rf"(?!(?:{_OTHERS})\b)[A-Z\u00c0-\u00de][\w'’.-]{{0,14}}"
_LATIN = rf"(?-i:{_NAME}(?: {_NAME}){{0,2}}(?:[:,] ?| ))"
OF_PERSON = (
    rf"(?:(?:(?<=[:=\s,;、/|])(?:{FAMILY}{_HAN_OR_NUMERAL}{{1,2}}|{_LATIN})|{_ANY_NAME}(?=[(,:、/\t -]))"
    rf"(?:\({_CHINESE_ASIDE}\))?[ \t:,、/-]{{0,2}})?"
)
#: After a sign may be an annotation of a type, what begins a block of YAML, or the name of an account.
_ANNOTATED = r"(?:[a-z_][\w.]{0,20}(?:\[[\w., ]{0,20}\])?(?: ?\| ?None)? ?= ?(?=[\"']))?"
_BLOCK = r"(?:[|>][+-]?\n[ \t]{1,16})?"
_ACCOUNT = r"(?:[a-z_.-]{1,24} / )?"
_AROUND = rf"(?:[\s“”「『【{_OPENS_AROUND}]|\\?[\"']|\[\s{{0,12}}(?=[\"'])|{CLOSES}){{0,4}}"


def _said(first: str) -> str:
    """Return what is between a word that is common and its value: a sign at least; ``first`` begins a list."""
    return (
        rf"(?:{_NAMED_IN_BRACKETS}|{BESIDE}?(?: is(?=\s{{0,3}}[:=]))?{_BLANKS}{SIGN}"
        rf"(?:{_FILL}|{_CLOSED}{_ITEM}|{first})?\s{{0,2}}(?:{_BEHIND})?{_ANNOTATED}{_BLOCK}{_ACCOUNT}{_AROUND})"
    )


SAID, SAID_ACCOUNT = _said(_FIRST_SECRET), _said(_FIRST)
#: Marks that open around a value of letters and digits.
OPENS = r"[*_`~]{0,3}"
#: Between values of one word, each of which may have a bracket after it; passwords have a sign before the next field.
_AFTER, _BEFORE = r"[\"']?(?: ?\([^()\n]{0,16}\))?[*_`~]{0,3}", "[*_`~\"']{0,3}"
#: What the item of a list may end with, after its value: a stop, or a few words.
_END_OF_ITEM = r"(?:[;；。.,]|[ \t]{1,3}[^\s0-9][^\n0-9]{0,15})?"
_AND = r" ?(?:和|或|及|与|and|or) ?"
_IN_LIST = r"[\"'] ?,\s{0,12}[\"'](?=[^\"':=\n]{4,64}[\"']\s{0,12}[,\]])"
_BY_NAME = rf"(?: ?{FAMILY}[\u4e00-\u9fff]{{1,2}}(?= ?[/、,;|]))?"
#: What is between two items on one line; the number of the second one may be taken for a part of a value with blanks.
_NEXT = rf"(?: ?[/、,;|。]? ?{_NUMBER} ?|(?<= [0-9])[.)、] ?)"
_NEXT_SECRET = rf"(?: ?[/、]? ?(?:\(?[0-9]{{1,2}}[.)、] {{0,2}}|{BREAK}?[0-9] ?{BREAK}))"
AND = (
    rf"{_AFTER}{_BY_NAME}(?:{_NEXT}| ?[/、,;|] ?| ?,\r?\n[ \t]{{0,12}}(?=[\"'])|{_AND}|{_END_OF_ITEM}{_ITEM}){_BEFORE}"
)
AND_SECRET = rf"(?:{_IN_LIST}|{_AFTER}(?:{_NEXT_SECRET}| ?[/、] ?|{_AND}|{_END_OF_ITEM}{_ITEM}){_BEFORE})"
#: The values of one word that follow the first one: no days without separators.
NO_DAY = r"(?!(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?![0-9]))"
