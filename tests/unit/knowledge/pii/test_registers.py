"""Identifiers of registers: check digits as others verify them, telephones of other countries, and what is none."""

from __future__ import annotations

import random

import phonenumbers
import pytest
from stdnum import iban as judge_iban
from stdnum.cn import uscc as judge_uscc
from stdnum.exceptions import ValidationError
from stdnum.tw import ubn as judge_ubn

from dualtrack.knowledge.pii import registers
from dualtrack.knowledge.pii.abroad import is_telephone
from dualtrack.knowledge.pii.scan import scan
from tests.support import personal_registers as made


def kinds(text: str) -> list[tuple[str, str]]:
    data = text.encode()
    return [(it.kind, data[it.start : it.end].decode()) for it in scan(data)]


def test_unified_social_credit_codes_as_another_verifies_them() -> None:
    chance = random.Random(1)
    for _ in range(300):
        code = made.credit_code(chance)
        assert judge_uscc.is_valid(code)
        assert registers.credit_code(code)
        other = code[:-1] + chance.choice("0123456789ABCDEFGHJKLMNPQRTUWXY")
        assert registers.credit_code(other) == judge_uscc.is_valid(other)


def test_accounts_as_another_verifies_them() -> None:
    chance = random.Random(2)
    for _ in range(300):
        account = made.account(chance)
        # By chance a part is a telephone, whose name the whole then has.
        assert [value for _, value in kinds(f"IBAN {account}.")] == [account]
        try:
            judge_iban.validate(account, check_country=False)
        except ValidationError:
            pytest.fail(account)
        wrong = account[:-1] + str((int(account[-1]) + 1) % 10)
        assert not registers.iban(wrong.replace(" ", ""))


@pytest.mark.parametrize(
    ("number", "right"),
    [("A1234563", True), ("A1234564", False), ("WX1234568", False), ("G123456A", True), ("E8797246", True)],
)
def test_identity_cards_of_hong_kong(number: str, right: bool) -> None:
    assert registers.hong_kong(number) is right


@pytest.mark.parametrize(
    ("number", "right"),
    [("A123456789", True), ("A123456788", False), ("F131104093", True), ("O100001235", False)],
)
def test_identity_cards_of_taiwan(number: str, right: bool) -> None:
    assert registers.taiwan(number) is right


def test_companies_of_taiwan_as_another_verifies_them() -> None:
    chance = random.Random(3)
    numbers = [f"{chance.randrange(10**8):08}" for _ in range(2000)]
    ours = {it for it in numbers if registers.taiwan_company(it)}
    # Since April 2023 a sum that 5 divides is right; the other one knows those that 10 divides.
    assert ours > {it for it in numbers if judge_ubn.is_valid(it)}
    assert 350 < len(ours) < 500


def test_telephones_of_other_countries_as_another_knows_them() -> None:
    missed = []
    for region in phonenumbers.SUPPORTED_REGIONS:
        if region == "CN":
            continue
        for of in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
            number = phonenumbers.example_number_for_type(region, of)
            if not number:
                continue
            for form in (phonenumbers.PhoneNumberFormat.E164, phonenumbers.PhoneNumberFormat.INTERNATIONAL):
                text = phonenumbers.format_number(number, form)
                digits = [it for it in text if it.isdigit()]
                # Fewer than ten digits are not looked for without a word: the page says so.
                if len(digits) >= 10 and kinds(f"请拨 {text}。") != [("phone", text)]:
                    missed.append(text)
    assert not missed


@pytest.mark.parametrize("digits", ["9991234567", "0123456789", "442079460958123", "44", ""])
def test_digits_that_are_no_telephone_of_a_country(digits: str) -> None:
    assert not is_telephone(digits)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("电话(0755)2345 6789", [("phone", "0755)2345 6789")]),
        ("电话:(021)6234-5678", [("phone", "021)6234-5678")]),
        ("固话 0571 8765 4321", [("phone", "0571 8765 4321")]),
        ("400-820-8820", [("phone", "400-820-8820")]),
        ("热线4008208820", [("phone", "4008208820")]),
        ("HKID: A123456(3)", [("regional_id", "A123456(3)")]),
        ("身份证 A1234563", [("regional_id", "A1234563")]),
        ("身分證字號 A123456789", [("regional_id", "A123456789")]),
        ("港澳通行证 C12345678", [("travel_permit", "C12345678")]),
        ("大陆居民往来台湾通行证 L12345678", [("travel_permit", "L12345678")]),
        ("驾驶证号 110105194912310021", [("id_card", "110105194912310021")]),
        ("+44 (0)20 7946 0958", [("phone", "+44 (0)20 7946 0958")]),
        ("MAC:00:1A:2B:3C:4D:5E", [("mac", "00:1A:2B:3C:4D:5E")]),
        ("13912345678.25", []),
        ("-13800001111.5", []),
        ("13912345678.2号楼", [("phone", "13912345678")]),
        ("13912345678 字节", []),
        ("13912345678 B", []),
        ("13912345678 B座", [("phone", "13912345678")]),
        ("13912345678KiB", []),
        ("13912345678 位元組", []),
        ("13912345678字节跳动", [("phone", "13912345678")]),
        ("13912345678 比特大陸", [("phone", "13912345678")]),
        ("手機 0912-345-678", [("phone", "0912-345-678")]),
        ("0912-345-678", [("phone", "0912-345-678")]),
        ("0912-345 678", []),
        ("HKID Z683365-A", [("regional_id", "Z683365-A")]),
        ("HKID: z683365[a]", [("regional_id", "z683365[a]")]),
        ("護照 e-12345678", [("passport", "e-12345678")]),
        ("統一編號：04595257", [("credit_code", "04595257")]),
        ("统一编号：04595258", []),
        ("税号 91440300-ma5dc3xt5-k", [("credit_code", "91440300-ma5dc3xt5-k")]),
        ("iban: de89 3704 0044 0532 0130 00", [("bank_card", "de89 3704 0044 0532 0130 00")]),
        ("GB82-WEST-1234-5698-7654-32", [("bank_card", "GB82-WEST-1234-5698-7654-32")]),
        ("信用卡 6222-0212-3456-7890-128", [("bank_card", "6222-0212-3456-7890-128")]),
        ("陸字第12345678號", [("military_id", "陸字第12345678號")]),
        ("2016字第12345号", []),
        ("马路三号桥", []),
        ("版本1.39.12345678", []),
        ("1.13912345678\n2.13912345679", [("phone", "13912345678"), ("phone", "13912345679")]),
        ("x = 1.13912345678", []),
        ("国药准字H20123456", []),
        ("550e8400-e29b-41d4-a716-a13912345678", []),
        ("0x13912345678", []),
        ("a13912345678f0", []),
        ("a13912345678", [("phone", "13912345678")]),
    ],
)
def test_examples(text: str, expected: list[tuple[str, str]]) -> None:
    assert kinds(text) == expected


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", "\n "])
def test_accounts_and_codes_of_companies_go_over_the_end_of_a_line(end: str) -> None:
    chance = random.Random(9)
    for place in range(4, 15):
        account, code = made.account(chance).replace(" ", ""), made.credit_code(chance)
        broken = account[:place] + end + account[place:]
        # By chance a part of it is another number as well.
        assert "".join(value for _, value in kinds(f"IBAN {broken}.\n")) == broken
        groups = " ".join(account[it : it + 4] for it in range(0, len(account), 4)).replace(" ", end, place // 4)
        assert "".join(value for _, value in kinds(f"{groups}\n")).startswith(groups[:24])
        broken = code[:place] + end + code[place:]
        assert kinds(f"税号：{broken}\n") == [("credit_code", broken)]
