"""Identifiers that have letters, or a word before them that says what they are.

Each family has a hint for Hyperscan, of bytes and broad, and rules for windows that were made plain: a pattern whose
group 1 is the identifier, and a check. Between a word and what it names may be a few characters.
"""

from __future__ import annotations

import re

import numpy as np

from dualtrack.knowledge.pii import days, keys, passwords
from dualtrack.knowledge.pii import vocabulary as say
from dualtrack.knowledge.pii.beside import (
    AND,
    AND_SECRET,
    BEHIND,
    BESIDE,
    CLOSES,
    LEADS,
    LINK,
    NEAR,
    NO_DAY,
    OF_BANK,
    OF_PERSON,
    OPENS,
    SAID,
    SAID_ACCOUNT,
)  # fmt: skip
from dualtrack.knowledge.pii.characters import CHINESE_DIGITS, COLONS, Codes, Places
from dualtrack.knowledge.pii.lines import END_OF_LINE, broken
from dualtrack.knowledge.pii.mails import MAILS, WRITTEN_MAILS
from dualtrack.knowledge.pii.registers import (
    CREDIT_CODE,
    CREDIT_CODE_WRITTEN,
    END,
    IBANS_OF_ALL,
    REGISTERS,
    START,
    account,
    company,
)  # fmt: skip
from dualtrack.knowledge.pii.rules import (
    DIGITS,
    LETTERS,
    Check,
    Pattern,
    Rule,
    always,
    begins_capitals,
    begins_word,
    heads_of,
    shape,
)
from dualtrack.knowledge.pii.traditional import either
from dualtrack.knowledge.pii.vocabulary import (
    FAMILY,
    LOGIN,
    NO,
    OF_LOGIN,
    PERSON,
    PLATES,
    ROADS,
    TITLE,
    WECHAT,
)  # fmt: skip

HAN = r"[\u4e00-\u9fff]"
HAN_OR_WORD = r"[\u4e00-\u9fff0-9A-Za-z-]"
#: Digits, one more than the bounds that follow, with single separators.
GROUPED = r"[0-9](?:[ -]?[0-9])"
#: Between groups of an identity card.
_GAP = rf"(?:{END_OF_LINE}|[ -])?"
#: A card on two lines whose first line alone would not be one.
_FOUR = "[0-9]{4}"
CARD_ON_LINES = broken((_FOUR, _FOUR, _FOUR, rf"{_FOUR}(?:[ -][0-9]{{1,3}})?")) + r"(?![0-9])"
#: The same of a telephone, whose area may be in brackets; after its first digit.
IN_AREA = r"(?:(?:\) ?|\)?[ -]|/)?[0-9])"
#: A telephone with blanks around its hyphens: behind its area, or in three groups.
BLANKS = r"(?:\(?0[0-9]{2,3}\)?|\+?86[ -]?[1-9][0-9]{1,2}) ?- ?[0-9]{3,4}[ -]?[0-9]{4}|[0-9]{3,4}(?: ?- ?[0-9]{3,4}){2}"
VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
VIN_LETTERS = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "12345678123457923456789"), strict=True))
#: For check digits by Luhn, one number at a time: twice a digit, and its digits added.
DOUBLED = str.maketrans("0123456789", "0246813579")
#: Characters of a place before the number of its house, and between its road and that number.
LONGEST_PLACE, FROM_ROAD = 40, 14
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}(?:([-/.])(?:0?[1-9]|1[0-2])\1(?:0[1-9]|[12][0-9]|3[01])(?![0-9])|-(?:19|20)[0-9]{2}\Z)"
)
NUMERALS = str.maketrans(CHINESE_DIGITS)


def vin(found: re.Match[str]) -> bool:
    """Return whether the ninth of 17 characters is right (GB 16735-2019); the maker's code has a letter."""
    text = found[1]
    values = [VIN_LETTERS.get(it) or int(it) for it in text]
    check = sum(value * weight for value, weight in zip(values, VIN_WEIGHTS, strict=True)) % 11
    return bool(text[8] == "0123456789X"[check] and not text[:3].isdigit() and text[13:].isdigit())


def _degrees(found: re.Match[str]) -> list[float]:
    return sorted(abs(float(it)) for it in re.findall(r"[0-9]{1,3}\.[0-9]+", found[1])[:2])


def _on_earth(found: re.Match[str]) -> bool:
    one, other = _degrees(found)
    return one <= 90 and other <= 180


def _in_china(found: re.Match[str]) -> bool:
    """Return whether both are inside the box around China, in either order."""
    one, other = _degrees(found)
    return 3 <= one <= 54 and 73 <= other <= 136


def _six_digits(found: re.Match[str]) -> bool:
    return len(re.findall("[0-9]", found[1])) >= 6 and _no_date(found)


def _no_date(found: re.Match[str]) -> bool:
    """Return whether a number is neither a day nor two years: `电话 2024-03-15 10:00`, `社保 2023-2024`."""
    return not _DATE.match(found[1])


def _imei(found: re.Match[str]) -> bool:
    digits = re.sub("[^0-9]", "", found[1])
    return sum(map(int, digits[-1::-2] + digits[-2::-2].translate(DOUBLED))) % 10 == 0


def _place(found: re.Match[str]) -> int:
    """Return where an address begins whose last part was found; -1 where no road is before that part."""
    text, last = found.string, found.start(1)
    start = last
    while start > max(0, last - LONGEST_PLACE) and (text[start - 1].isalnum() or text[start - 1] == "-"):
        start -= 1
    road = max(text.rfind(it, start + 1, last) for it in ROADS)
    return start if road >= 0 and last - road <= FROM_ROAD else -1


def _keyed(kind: str, words: str, value: str, check: Check = always, more: str = "", between: str = "") -> Rule:
    # Words with numerals are looked for as windows have them, which were made plain.
    words, near = words.translate(NUMERALS), "" if HAN in value else NEAR
    # `No` may be the beginning of a month.
    number, no_day = ("", "") if kind == "birth_date" else (NO.translate(NUMERALS), NO_DAY)
    pattern = Pattern(rf"(?:{words})s?{more}{number}{near}(?: is)?{LINK}{BEHIND}{between}({value})", re.I)
    return Rule(kind, pattern, check, heads=heads_of(words), more=_more(value, no_day, AND + between))


def _more(value: str, which: str = "", between: str = AND) -> Pattern:
    """Return a pattern for one more value after one that a rule found."""
    return Pattern(f"{between}{which}({value})", re.I)


def _mac_begins(codes: Codes, places: Places) -> Places:
    """Return those places that begin a word of two characters before a colon or a hyphen."""
    sign = codes[np.minimum(places + 2, len(codes) - 1)]
    return begins_word(codes, places[(sign == ord(":")) | (sign == ord("-"))])


def _with_places(codes: Codes, places: Places) -> Places:
    """Return those digits before a point after which are four digits at least."""
    last = len(codes) - 1
    digits = [codes[np.minimum(places + it, last)] - ord("0") < 10 for it in range(2, 6)]
    found: Places = places[np.logical_and.reduce(digits)]
    return found


def _fraction_begins(text: str, at: int) -> tuple[int]:
    """Return where a number begins whose last digit before its point is at a place."""
    while "0" <= text[at - 1] <= "9":
        at -= 1
    return (at - (text[at - 1] == "-"),)


def _any_of(characters: str) -> bytes:
    return b"(?:" + b"|".join(either(it) for it in characters) + b")"


NAMES = shape(
    either(f"(?:{PERSON}|{TITLE})"),
    Rule("name", Pattern(
        rf"(?:{PERSON}){BESIDE}?(?:\s{{0,3}}[:=|]\s{{0,2}}(?:{CLOSES} ?){{0,2}}{OPENS}|\s|是|为|叫)"
        rf"((?=[0-9]?{HAN}){FAMILY}(?:{HAN}|[0-9](?![0-9])){{1,2}})(?!{HAN})"
    ), heads=heads_of(PERSON), more=_more(f"{FAMILY}{HAN}{{1,2}}(?!{HAN})")),
    Rule(
        "name", Pattern(rf"({FAMILY}{HAN}{{1,2}})(?={TITLE})"),
        heads=heads_of(TITLE), starts=lambda _, at: (at - 4, at - 3, at - 2),
    ),
    shared=False,
)  # fmt: skip
#: A number and what it counts, and more of them after it; before it must be a road, and where that is.
_HOUSE = rf"[0-9]{{1,5}} ?(?:号(?!{say.NOT_HOUSES})|[{say.HOUSES[1:]}])"
_NUMBERED = rf"{_HOUSE}(?:{HAN_OR_WORD}{{0,12}}?[0-9]{{1,5}}(?:号|栋|幢|室|单元|层|楼)){{0,4}}"
ADDRESSES = shape(
    either(f"(?:{'|'.join(ROADS)})[^\\n]{{0,36}}?(?:{'|'.join(say.HOUSES)})"),
    Rule("address", Pattern(f"({_NUMBERED})"), begin=_place, heads=((DIGITS, DIGITS + " " + say.HOUSES),)),
    shared=False,
)  # fmt: skip
#: Five or six characters after the place, of which two at most are letters; for electric cars, the first or the last.
_PLATE_NUMBER = (
    r"(?:[A-HJK][A-HJ-NP-Z0-9][0-9]{4}|[0-9]{5}[A-HJK]"
    r"|(?=[A-Z]{0,2}[0-9]|[0-9][A-Z])(?=(?:[A-Z]*[0-9]){3})[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳])"
)
CARS = (
    shape(
        rb"(?-i)" + _any_of(PLATES) + rb".{0,4}?[A-Z]",
        Rule(
            "plate",
            Pattern(rf"([{PLATES}] ?[A-HJ-NP-Z][ .·-]?{_PLATE_NUMBER}){END}"),
            heads=((PLATES, LETTERS + " "),),
        ),
        before=24,
        after=48,
        back=16,
    ),
    shape(
        rb"(?-i)[A-HJ-NP-Z0-9]{17}",
        Rule(
            "vin",
            Pattern(rf"{START}([A-HJ-NPR-Z0-9]{{17}}){END}"),
            vin,
            worth=begins_capitals,
        ),
        CREDIT_CODE,
        before=24,
        after=24,
        back=18,
        length=17,
    ),
)
#: Six groups and no more: longer ones are fingerprints, and all zeros or ones are not a device.
MACS = shape(
    rb"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}",
    Rule("mac", Pattern(
        START + r"(?<![^0-9A-Za-z][0-9A-Fa-f]{2}[:-])"
        r"((?!(?:00[:-]){5}00|(?:ff[:-]){5}ff)[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\2){4}[0-9a-f]{2})"
        r"(?![0-9A-Za-z]|[:-][0-9A-Fa-f]{2}(?![0-9A-Za-z]))",
        re.I,
    ), worth=_mac_begins),
    before=24, after=24, back=17, length=17,
)  # fmt: skip
_DEGREES = r"-?[0-9]{1,3}\.[0-9]{4,}"
#: From a name to the next one: names are whole, and what is before the second one is a word of its own.
_TO_NUMBER = rf"[^\w\n-]{{1,6}}(?:{CLOSES}[^\w\n-]{{0,4}})?"
_TO_NAME = r"[^\w-]{1,6}(?:[a-z]{1,12}[ _.])?"


def _pair(between: int) -> str:
    return rf"((?<![0-9])(?<![0-9]\.){_DEGREES}°? ?[NSEW]?[ ,;/]{{1,{between}}}{_DEGREES}(?!\.?[0-9])°? ?[NSEW]?)"


def _after(words: str, check: Check) -> Rule:
    """Return a rule for two numbers after a word; there they may be two of a list of JSON as well (`body`)."""
    pattern = rf"(?<![a-z])(?:{words})(?![a-z]){BESIDE}??[^0-9\n]{{0,20}}?(?:{CLOSES}[^0-9\n]{{0,4}})?{_pair(5)}"
    return Rule("coordinates", Pattern(pattern, re.I), check, heads=heads_of(words))


def _named(one: str, other: str) -> Rule:
    """Return a rule for two numbers, each after its name, on one line or on two."""
    pattern = (
        rf"(?<![a-z])(?:{one}){BESIDE}??{_TO_NUMBER}"
        rf"({_DEGREES}{_TO_NAME}(?<![a-z])(?:{other}){BESIDE}??{_TO_NUMBER}{_DEGREES})(?!\.?[0-9])"
    )
    return Rule("coordinates", Pattern(pattern, re.I), _on_earth, heads=heads_of(one))


PLACES = shape(
    rb"[0-9]\.[0-9]{4}.{1,40}?[0-9]\.[0-9]{4}",
    Rule(
        "coordinates",
        Pattern(_pair(3), re.I),
        _in_china,
        heads=((DIGITS, "."),),
        worth=_with_places,
        starts=_fraction_begins,
    ),
    _after(say.PLACE, _on_earth),
    _after(say.POSITION, _in_china),
    _named(say.LATITUDE, say.LONGITUDE),
    _named(say.LONGITUDE, say.LATITUDE),
    after=96,
    back=96,
)
#: Words alone: that digits come soon is looked at afterwards, which takes a tenth of what it takes Hyperscan. Digits
#: of other scripts are hits of their own.
_NAMED = (
    f"字第|{say.SOLDIER}|{say.PERMIT}|永久居留|居留证|{say.PASSPORT}|身[份分]|公民身份|驾驶证|驾驶执照|驾照|统一证号|hkid"
    f"|identity[ _-]?card|id[ _-]?card|{say.CARD}|{say.DEVICE}|{say.FUND}|{say.PATIENT}|出生|生日|birth|born|dob|d.o.b"
    f"|{say.PHONE}|{say.COMPANY}|{say.IBAN}|{say.RECORD}|{say.SSN}"
)
NAMED = shape(
    b"(?:%b)" % either(_NAMED),
    Rule("military_id", Pattern(
        rf"((?:[{say.ARMS}]|(?<![0-9])[{say.ARMS_AS_DIGITS}])字第 ?[0-9](?:[ -]?[0-9]){{4,9}} ?号?)"
    ), heads=((say.ARMS + say.ARMS_AS_DIGITS, "字"),)),
    _keyed("military_id", say.SOLDIER, rf"(?:{HAN}|[A-Za-z]){{0,2}}第? ?[0-9]{{6,10}}"),
    _keyed("travel_permit", say.PERMIT,
           rf"(?:(?:[A-Za-z][ -]?)?[0-9]{{8}}(?:[0-9]{{2}})?|[A-Za-z]{{2}}[ -]?[0-9]{{7}}){END}"),
    # Whatever its check digit is: people mistype their own.
    _keyed("id_card", say.IDENTITY, rf"[1-9][0-9]{{5}}{_GAP}[0-9]{{8}}{_GAP}[0-9]{{3}}[0-9Xx]{END}"),
    _keyed(
        "regional_id", say.IDENTITY,
        rf"(?:[A-Za-z]{{1,2}}[ -]?[0-9]{{6}}[ -]?(?:\([0-9Aa]\)|\[[0-9Aa]\]|[0-9Aa])"
        rf"|[A-Za-z][ -]?[1289A-Da-d][0-9]{{8}}|[157]/?[0-9]{{6}}(?:[/-][0-9]|\([0-9]\))){END}",
    ),
    _keyed("foreigner_permit", say.RESIDENCE, rf"[A-Za-z]{{3}}[ -]?[0-9]{{12}}{END}"),
    _keyed("passport", say.PASSPORT, rf"(?:[A-Za-z]{{1,2}}[ -]?[0-9]{{7,8}}|[0-9]{{9}}){END}"),
    _keyed("bank_card", say.CARD, rf"{CARD_ON_LINES}|{GROUPED}{{11,22}}(?![0-9])", between=OF_BANK),
    _keyed("bank_card", say.IBAN, rf"(?:{IBANS_OF_ALL}){END}", account),
    _keyed("credit_code", say.COMPANY, CREDIT_CODE_WRITTEN + END, company),
    _keyed("imei", say.DEVICE, rf"{GROUPED}{{14}}(?![0-9])", _imei, "(?: ?[12](?=[ :]))?"),
    _keyed("social_security", say.FUND, rf"[A-Za-z]{{0,3}}-?[0-9](?:-?[A-Za-z0-9]){{6,19}}{END}", _six_digits,
           "(?:卡|个人)?"),
    _keyed("social_security", say.SSN, rf"[0-9]{{3}}[ -]?[0-9]{{2}}[ -]?[0-9]{{4}}{END}"),
    _keyed("medical_record", say.PATIENT, rf"[A-Za-z]{{0,4}}[0-9-]{{5,15}}{END}", _no_date, "(?:号码|编号|号)"),
    _keyed("medical_record", say.RECORD, rf"[A-Za-z]{{0,4}}[0-9-]{{5,15}}{END}", _no_date),
    _keyed(
        "birth_date", rf"{say.BIRTH}|birth(?=(?:[ _-]time)?[\"'\\]{{0,2}}(?: [a-z]{{1,12}}(?==))? {{0,3}}[:=>])",
        more="(?:日期|年月日|年月|于|[ _-]?(?:date|time|on))?",
        value=days.VALUE,
    ),
    # With the code of a country first: the other form would find a part of it.
    _keyed("phone", say.PHONE, rf"(?:(?:\+|00)[1-9]{IN_AREA}{{8,13}}|{BLANKS}"
           rf"|(?:\+?[0-9]{{1,3}}[ -]|(?:\+|00)[0-9]{{1,3}}\.|\(?\+?86[)-]? ?)?\(?[0-9]{IN_AREA}{{6,11}})(?![0-9])",
           _no_date, "(?:号码|号)?", LEADS + OF_PERSON),
    before=40, after=112, back=48, digit=80,
)  # fmt: skip
PERMITS = shape(
    rb"(?-i)[HM][0-9][0-9]",
    # Not the number under which a medicine is licensed.
    Rule("travel_permit", Pattern(rf"{START}(?<!准字)([HM][0-9]{{8}}(?:[0-9]{{2}})?){END}"),
         heads=(("HM", DIGITS),)),
    before=24, after=64, back=24,
)  # fmt: skip
_WECHAT = rf"[A-Za-z][A-Za-z0-9_-]{{5,19}}{END}"
#: What the name of an account has behind its word.
_OF_ACCOUNT = r"(?:号码?|[账帐][号户]|\.?[ _-]?(?:account|acct\.?|nos?\.?|num(?:ber)?s?|id))"
_QQ = rf"[1-9][0-9]{{4,10}}{END}"
#: Not after a letter, but for an escaped end of a line, and a small letter before capitals (`MyQQ`).
_QQ_BEGINS = r"(?:(?<![A-Za-z])|(?<=\\[nrt])|(?-i:(?<=[a-z])(?=QQ)))"
ACCOUNTS = shape(
    either(f"(?:{WECHAT}|{say.QQ})[^a-z0-9]{{0,72}}?[a-z0-9]"),
    Rule("messenger", Pattern(rf"(?:{WECHAT}){_OF_ACCOUNT}{{0,2}}{SAID_ACCOUNT}{OPENS}({_WECHAT})", re.I),
         heads=heads_of(WECHAT), more=_more(_WECHAT, "(?=[A-Za-z_-]*[0-9])")),
    Rule("messenger", Pattern(
        rf"{_QQ_BEGINS}(?:{say.QQ})(?:{_OF_ACCOUNT}{{1,2}}(?:{SAID_ACCOUNT}| )?|{SAID_ACCOUNT}| )"
        rf"{OPENS}({_QQ})", re.I,
    ), heads=heads_of(say.QQ), more=_more(_QQ, NO_DAY)),
    before=112, after=112, back=96,
)  # fmt: skip
SECRETS = (
    shape(
        either(f"(?:{LOGIN})(?:[^\\n:=]{{0,24}}?(?:[:=>([{{]|%3|{'|'.join(COLONS)}|＝|[])]|（|［|【|「|〔|）|］|】|」|』|》|〕|是|为|成)"
               "|[\"']?,?\\s{0,16}[\"'<]?(?:value|content|string))"),
        Rule("secret", Pattern(rf"(?:{LOGIN}){OF_LOGIN}{SAID}({passwords.VALUE})", re.I),
             passwords.check, heads=heads_of(LOGIN), more=_more(passwords.VALUE, passwords.MIXED, AND_SECRET)),
        before=64, back=64, digit=160, digits=1,
    ),
    # Keys that are known by their first letters, tokens (JWT), and private keys, whose end `keys` looks for.
    shape(
        rb"sk-[a-z0-9_-]{16}|gh[posu]_[a-z0-9]{20}|akia[0-9a-z]{16}|eyj[a-z0-9_-]{10,}\.eyj"
        rb"|authorization.{1,16}?(?:basic|bearer) |://[a-z0-9_.-]{0,16}:[^/]|" + keys.HINT,
        # The password of an address, with a name before it or without.
        Rule("secret", Pattern(r"://[^\s/@:]{0,32}:((?=[^\s/@]*[0-9])[^\s/@:$<{]{4,64})(?=@)"),
             heads=heads_of("://")),
        Rule("secret", Pattern(passwords.AUTHORIZATION, re.I), passwords.authorization,
             heads=heads_of("authorization")),
        Rule("secret", Pattern(
            rf"({START}(?:sk-[A-Za-z0-9_-]{{16,128}}|gh[posu]_[A-Za-z0-9]{{20,255}}|AKIA[0-9A-Z]{{16}}{END}"
            r")|(?<=[A-Za-z0-9_-]{13})\.eyJ[A-Za-z0-9_-]{4})"
        ), heads=heads_of("sk-|gh|AKIA|.eyJ")),
        keys.RULE,
    ),
)  # fmt: skip
FAMILIES = (NAMES, ADDRESSES, MAILS, WRITTEN_MAILS, *CARS, REGISTERS, MACS, PLACES, NAMED, PERMITS, ACCOUNTS, *SECRETS)
