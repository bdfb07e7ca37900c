"""The kinds of personal data that are looked for, and how two standards rank each.

- GB/T 35273-2020, appendices A and B: personal information, and personal sensitive information.
- GB/T 45574-2025, in force since 2025-11-01: sensitive personal information. The number of an identity card is not on
  its list, though the picture of the card is; medical records, financial accounts and locations are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Rank = Literal["personal", "sensitive"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of personal data: its name in findings and masks, its titles, and its rank in each of the standards."""

    name: str
    english: str
    chinese: str
    gb35273: Rank
    gb45574: Rank


def _kind(name: str, english: str, chinese: str, gb35273: Rank, gb45574: Rank) -> Kind:
    return Kind(name=name, english=english, chinese=chinese, gb35273=gb35273, gb45574=gb45574)


KINDS = {
    kind.name: kind
    for kind in (
        _kind("id_card", "resident identity card number", "居民身份证号", "sensitive", "personal"),
        _kind("residence_permit", "residence permit (HK, Macao, Taiwan)", "港澳台居民居住证", "sensitive", "personal"),
        _kind("foreigner_permit", "foreigner's permanent residence", "外国人永久居留证", "sensitive", "personal"),
        _kind("travel_permit", "mainland travel permit", "港澳台通行证号", "sensitive", "personal"),
        _kind("regional_id", "identity card (HK, Macao, Taiwan)", "港澳台身份证号", "sensitive", "personal"),
        _kind("passport", "passport number", "护照号", "sensitive", "personal"),
        _kind("military_id", "military identity card number", "军官证号", "sensitive", "sensitive"),
        _kind("social_security", "social security or housing fund number", "社保、公积金账号", "sensitive", "personal"),
        _kind("medical_record", "medical record number", "病历号", "sensitive", "sensitive"),
        _kind("phone", "telephone number", "电话号码", "personal", "personal"),
        _kind("email", "e-mail address", "电子邮箱", "personal", "personal"),
        _kind("messenger", "WeChat or QQ account", "微信、QQ 号", "personal", "personal"),
        _kind("bank_card", "bank card or account number", "银行卡号、账号", "sensitive", "sensitive"),
        _kind("credit_code", "unified social credit code", "统一社会信用代码", "personal", "personal"),
        _kind("plate", "vehicle plate", "车牌号", "personal", "personal"),
        _kind("vin", "vehicle identification number", "车辆识别代号", "personal", "personal"),
        _kind("imei", "identity of a mobile device (IMEI)", "设备识别码（IMEI）", "personal", "personal"),
        _kind("mac", "hardware address of a network card (MAC)", "网卡物理地址（MAC）", "personal", "personal"),
        _kind("coordinates", "coordinates of a place", "经纬度", "sensitive", "sensitive"),
        _kind("birth_date", "date of birth", "出生日期", "personal", "personal"),
        _kind("secret", "password, token or private key", "口令、令牌、私钥", "sensitive", "personal"),
        _kind("name", "name of a person", "姓名", "personal", "personal"),
        _kind("address", "postal address", "住址", "sensitive", "personal"),
    )
}  # fmt: skip
