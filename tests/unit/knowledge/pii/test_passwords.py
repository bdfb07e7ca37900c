"""Passwords are found whole or not at all: no part of one stays in a text."""

from __future__ import annotations

import itertools

import pytest

from dualtrack.knowledge.pii.mask import mask
from dualtrack.knowledge.pii.scan import scan

WORDS = (
    "密码：",
    "密碼︰",
    "口令﹕",
    "登录密码为",
    "password: ",
    "password=",
    'password = "',
    '{"password":"',
    "pwd: ",
)
SIGNS = "!#$%&'()*+,-./:;=?@[]^_`{|}~"


def value_of(word: str) -> str:
    return '"' if word.endswith('"') else ""


@pytest.mark.parametrize("word", WORDS)
def test_a_sign_inside_a_password_does_not_end_it(word: str) -> None:
    for sign, (one, other) in itertools.product(SIGNS, (("Pa1", "word999"), ("Pass", "word99"), ("P1ss9", "word"))):
        if sign == "(" and word.isascii() and not one[0].isdigit():
            continue  # looks like a call in a program
        for end in ("\n", "", " next", "。"):
            text = f"{word}{one}{sign}{other}{value_of(word)}{end}"
            found = [text.encode()[it.start : it.end].decode() for it in scan(text.encode())]
            assert found == [f"{one}{sign}{other}"], text


@pytest.mark.parametrize("value", ["Abc12345", "a1B2c3D4"])
def test_what_follows_a_password_stays(value: str) -> None:
    for text in (
        "密码：{}，请尽快修改", "(password: {})", "{{password: {}, user: li}}", "{{password:{},user:li}}",
        "<b>password: {}</b>", '{{"password":"{}","user":"li"}}', "密码：{}；用户：李", "f(password='{}', x)",
        "密码是{}吗",
    ):  # fmt: skip
        assert mask(text.format(value).encode()).data.decode() == text.format("[secret]")


@pytest.mark.parametrize(
    "text",
    ["密钥：AES-256", "password: sha256", "密码：8-16位", "令牌：10086个", "密码：2024年修改", "token=4096tokens",
     "token: 4096k", "password_hash: bcrypt12", "password = getpass(1)", "secret: ${KEY1}"],
)  # fmt: skip
def test_what_is_no_password(text: str) -> None:
    assert not scan(text.encode())


#: Forms of configurations, logs and programs.
FORMS = (
    "<password>{}</password>", r'{{"log":"{{\"password\":\"{}\"}}"}}', "'password' => '{}'", 'password := "{}"',
    "password: str = '{}'", "password: Optional[str] = '{}'", "password: str | None = '{}'", "?password%3D{}",
    "password (default): {}", "Password for admin: {}", "Password for the administrator: {}", "密码重置为：{}",
    "密码已修改为 {}", "密码改为{}", "密碼變更為：{}", "授权码：{}", "授權碼：{}", "password: |\n  {}",
    "password: >-\n    {}",
    '<property name="password" value="{}"/>', '<property name="password">{}</property>', 'password=\\"{}\\" ',
    '<password type="x">{}</password>', "`password`: {}", "--password={}", "export DB_PASSWORD='{}'",
    "Authorization: Basic {}", "'Authorization': 'Bearer {}'", r'{{\"authorization\": \"Bearer {}\"}}',
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_configurations_and_logs(form: str) -> None:
    for value, end in itertools.product(("Abc12345", "a1b2c3d4e5f6a7b8", "x9.y8-z7"), ("", "\n", " next", "。")):
        text = form.format(value) + end
        assert mask(text.encode()).data.decode() == form.format("[secret]") + end


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("Authorization: Basic YWRtaW46YWRtaW4=", True), ("Authorization: Basic realm", False),
        ("Authorization: Bearer your-token-here", False), ('-H "Authorization: Bearer $TOKEN1234567"', False),
        ("Authorization: basic knowledge", False), ("Authorization: Basic 认证", False),
    ],
)  # fmt: skip
def test_what_http_sends(text: str, is_one: bool) -> None:
    assert bool(scan(text.encode())) is is_one
