"""Every word in every Chinese writing, and every identifier with wide letters, is found as in its plain form."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

import opencc
import pytest

from dualtrack.knowledge.pii import matching, traditional, vocabulary
from dualtrack.knowledge.pii.characters import CHINESE_DIGITS
from dualtrack.knowledge.pii.numbers import RULES as OF_DIGITS
from dualtrack.knowledge.pii.scan import scan
from tests.support import personal_registers as registers
from tests.support.personal_data import Maker
from tests.support.personal_grid import VALUES

#: The characters of the mainland, of Taiwan and of Hong Kong, and Taiwan's with its own words.
WRITINGS = ("s2t", "s2tw", "s2hk", "s2twp")
TO_SIMPLIFIED = ("t2s", "tw2s", "hk2s")
HAN = re.compile("[\u3400-\u9fff]")
MADE = Maker(7)
#: A text for each list of words, with `WORD` where the word is.
SAMPLES = {
    "SOLDIER": "WORD 12345678", "PASSPORT": "WORD：e12345678", "PERMIT": "WORD：12345678",
    "IDENTITY": "WORD：A123456(3)", "RESIDENCE": "WORD：ABC123456789012",
    "CARD": "WORD：123456789012", "DEVICE": f"WORD：{MADE.imei()}", "FUND": "WORD：123456789",
    "PATIENT": "WORD号：A0012345", "RECORD": "WORD：A0012345", "BIRTH": "WORD：1990-03-07", "PHONE": "WORD：5123456",
    "COMPANY": f"WORD：{registers.credit_code(MADE.random).lower()}",
    "IBAN": f"WORD：{registers.account(MADE.random).lower()}", "WECHAT": "WORD：abcdef12",
    "QQ": "WORD：12345678", "SSN": "WORD：123-45-6789",
    "LOGIN": "WORD：Passw0rd!x", "PERSON": "WORD：王小明", "TITLE": "王小明WORD",
    "PLACE": "WORD：51.5007, -0.1246", "POSITION": "WORD：31.2304, 121.4737",
    "LATITUDE": "WORD：51.5007, 经度：-0.1246", "LONGITUDE": "WORD：0.1246, 纬度：51.5007",
}  # fmt: skip
#: Characters, one in a list: places of plates, of roads, of houses, and arms.
CHARACTERS = {
    "PLATES": "WORDA12345", "ROADS": "某某文WORD12号", "HOUSES": "文三路12WORD", "ARMS": "WORD字第12345678号",
}  # fmt: skip
#: Parts of patterns, whose characters are compared with OpenCC's below; `ARMS_AS_DIGITS` are numerals.
PARTS = {"NO", "OF_LOGIN", "FAMILY", "NOT_HOUSES", "ARMS_AS_DIGITS"}


def found(text: str) -> list[tuple[str, str]]:
    data = text.encode()
    return [(it.kind, data[it.start : it.end].decode()) for it in scan(data)]


def written(word: str) -> list[str]:
    """Return the ways to write a word in which parts are optional, or one of several."""
    parts = [(it, "") if optional else (it,) for it, optional in re.findall(r"(\[[^]]*\]|.)(\?)?", word)]
    ways = [["".join(it)] if len(it) == 1 else list(it[1:-1] or it) for it in itertools.chain(*[[p[0]] for p in parts])]
    some = [[*way, ""] if len(part) == 2 else way for way, part in zip(ways, parts, strict=True)]
    return ["".join(it) for it in itertools.product(*some)]


def all_words() -> Iterator[tuple[str, str]]:
    """Yield every word with a text that has it before its value."""
    for name, sample in SAMPLES.items():
        for word in getattr(vocabulary, name).split("|"):
            for it in written(word):
                yield it, sample
    for name, sample in CHARACTERS.items():
        for it in getattr(vocabulary, name):
            yield it, sample


@pytest.fixture(scope="module")
def converters() -> dict[str, Callable[[str], str]]:
    return {it: opencc.OpenCC(it).convert for it in (*WRITINGS, *TO_SIMPLIFIED)}


def test_every_list_of_words_is_in_this_test() -> None:
    lists = {name for name, it in vars(vocabulary).items() if name.isupper() and isinstance(it, str)}
    assert lists == {*SAMPLES, *CHARACTERS, *PARTS}


def test_every_word_is_found_in_every_writing(converters: dict[str, Callable[[str], str]]) -> None:
    missed, count = [], 0
    for word, sample in all_words():
        expected = found(sample.replace("WORD", word))
        assert expected, f"not found in simplified characters: {sample.replace('WORD', word)}"
        # OpenCC takes every 代码 for a program's: 程式碼.
        for writing in WRITINGS[: 3 if "代码" in word else 4]:
            text = converters[writing](sample.replace("WORD", word))
            count += 1
            # A value is the same, but for characters in it: plates, names, addresses.
            if [kind for kind, _ in found(text)] != [kind for kind, _ in expected]:
                missed.append(f"{writing}: {text} {found(text)}, {expected}")
    assert not missed, "\n".join(missed)
    assert count > 600


def test_every_form_of_every_character_of_a_word_is_found() -> None:
    missed = [
        text
        for word, sample in all_words()
        for place, it in enumerate(word)
        for other in next((forms[1:] for forms in traditional.FORMS.split() if forms[0] == it), "")
        if not found(text := sample.replace("WORD", word[:place] + other + word[place + 1 :]))
    ]
    assert not missed, "\n".join(missed)


def test_forms_of_characters_are_those_that_opencc_knows(converters: dict[str, Callable[[str], str]]) -> None:
    every = [chr(it) for it in (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000))]
    known: dict[str, set[str]] = {}
    for name in TO_SIMPLIFIED:
        for other, it in zip(every, converters[name]("\n".join(every)).split("\n"), strict=True):
            if it != other and len(it) == 1:
                known.setdefault(it, set()).add(other)
    texts = [it for it in vars(vocabulary).values() if isinstance(it, str)]
    texts += [rule.more.pattern for _, rule in matching.RULES if rule.more]
    texts += [rule.pattern.pattern for _, rule in matching.RULES] + [rule.pattern.pattern for rule in OF_DIGITS]
    used = set(HAN.findall("".join(texts))) - set(CHINESE_DIGITS)
    assert len(used) > 300
    wanted = {it: known[it] - set(CHINESE_DIGITS) for it in used & set(known)}
    have = {it[0]: set(it[1:]) for it in traditional.FORMS.split()}
    assert {it: forms for it, forms in wanted.items() if forms and forms - have.get(it, set())} == {}


def wide(text: str, which: Callable[[int, str], bool]) -> str:
    """Return a text in which some of ASCII's letters and digits are wide."""
    return "".join(
        chr(ord(it) + 0xFEE0) if it.isascii() and it.isalnum() and which(place, it) else it
        for place, it in enumerate(text)
    )


#: Values in which letters and digits are wide: all, either, every second one.
WIDE: dict[str, Callable[[int, str], bool]] = {
    "all": lambda _place, _it: True,
    "letters": lambda _place, it: it.isalpha(),
    "digits": lambda _place, it: it.isdigit(),
    "even": lambda place, _it: place % 2 == 0,
    "odd": lambda place, _it: place % 2 == 1,
}


def test_every_kind_is_found_with_wide_letters_and_digits() -> None:
    made, missed, count = Maker(8), [], 0
    for kind, (word, value) in VALUES.items():
        for _ in range(3):
            it = value(made)
            forms = {name: wide(it, which) for name, which in WIDE.items()}
            forms |= {f"one, {place}": wide(it, lambda at, _, place=place: at == place) for place in range(len(it))}
            for name, form in forms.items():
                for before in {word, wide(word, WIDE["all"])}:
                    text = f"见 {before}{form}。"
                    count += 1
                    if not any(form in own or (own in form and len(own) >= 0.8 * len(form)) for _, own in found(text)):
                        missed.append(f"{kind}, {name}: {text} {found(text)}")
    assert not missed, f"{len(missed)} of {count}\n" + "\n".join(missed[:60])
    assert count > 1500


def test_a_number_is_found_with_letters_for_any_of_its_digits() -> None:
    number = "13011001101"
    like = [("0", "O") if it == "0" else ("1", "l") if it == "1" else (it,) for it in number]
    forms = ["".join(it) for it in itertools.product(*like)]
    assert [value for _, value in found("\n\n".join(forms))] == forms
    assert len(forms) == 1024


def test_every_word_of_latin_letters_is_found_wide() -> None:
    missed = [
        text
        for word, sample in all_words()
        if word.isascii() and not found(text := sample.replace("WORD", wide(word, WIDE["all"])))
    ]
    assert not missed, "\n".join(missed)
