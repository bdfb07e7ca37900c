"""What is taken out of texts, and that nothing is left."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dualtrack.cli import app
from dualtrack.core.errors import BadInput, External
from dualtrack.knowledge.pii import mask as masking
from dualtrack.knowledge.pii.kinds import KINDS
from dualtrack.knowledge.pii.mask import POLICIES, Policy, mask, mask_parts
from dualtrack.knowledge.pii.scan import scan
from tests.support.personal_data import Maker, texts

KEY = bytes(range(32))
PLACE = re.compile(rf"\[(?:{'|'.join(KINDS)})(?::[a-p]{{16}})?\]")


def masked(text: str, policy: Policy = "mask", tenant: str = "a") -> str:
    key, tenant = (KEY, tenant) if policy == "pseudonym" else (b"", "")
    return mask(text.encode(), policy, key=key, tenant=tenant).data.decode()


@pytest.mark.parametrize("policy", POLICIES)
@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_nothing_is_left_and_the_rest_stays(policy: Policy, seed: int) -> None:
    for made in texts(seed, 20):
        result = masked(made.text, policy)
        assert scan(result.encode()) == []
        assert masked(result, policy) == result
        for _, start, end in made.spans:
            assert made.text[start:end] not in result
        if policy == "mask" and len(made.spans) == 1:
            # The rest is a text that the masked one is made of, in order.
            parts = [re.escape(it) for it in PLACE.split(result)]
            assert re.fullmatch(".+?".join(parts), made.text, re.S)


@given(st.text(st.sampled_from("0123456789X -\n一二〇①\u200b@a.京A密码:卡号[]"), max_size=200))
@settings(deadline=None, max_examples=200)
def test_hostile_texts_end_clean_or_not_at_all(text: str) -> None:
    for policy in POLICIES:
        assert scan(masked(text, policy).encode()) == []  # type: ignore[arg-type]


def test_what_comes_together_is_taken_out_too() -> None:
    # Between the halves of a number is another one.
    assert masked("1381234[13800138000]5678", "remove") == "1381234[]5678"
    assert masked("1381234\n13800138000\n5678", "remove") == ""


def test_what_cannot_be_taken_out_is_not_passed_on() -> None:
    def stubborn(text: str):
        return iter([("name", 0, len(text))])

    with pytest.raises(External, match="is left"):
        mask(b"x", recognisers=(stubborn,))


def test_pseudonyms_are_the_same_however_a_value_is_written() -> None:
    made = Maker(5)
    for _ in range(15):
        number = made.mobile()
        codes = {masked(made.written(number), "pseudonym") for _ in range(10)}
        assert len(codes) == 1, codes
        assert re.fullmatch(r"\[phone:[a-p]{16}\]", codes.pop())
        code = masked(number, "pseudonym")
        for word, country in itertools.product(
            ("", "电话：", "tel: ", "phone: "), ("+86 ", "86-", "0086", "+86.", "+86 0")
        ):
            for it in (number, f"{number[:3]} {number[3:7]} {number[7:]}", f"{number[:3]}-{number[3:7]}-{number[7:]}"):
                if word or it == number:
                    assert masked(word + country + it, "pseudonym").endswith(code), word + country + it
    assert masked("Zhang@Corp.cn", "pseudonym") == masked("zhang@corp.cn", "pseudonym")


def test_pseudonyms_differ_by_value_tenant_key_and_kind() -> None:
    numbers = {f"138{number:08}" for number in range(500)}
    assert len({masked(it, "pseudonym") for it in numbers}) == 500
    assert masked("13812345678", "pseudonym", "a") != masked("13812345678", "pseudonym", "b")
    other = mask(b"13812345678", "pseudonym", key=b"k" * 32, tenant="a").data.decode()
    assert other != masked("13812345678", "pseudonym")


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_a_value_has_one_code_with_the_code_of_its_country_and_however_its_sign_is_written(seed: int) -> None:
    made = Maker(seed)
    number, name = made.mobile(), made.word(3, 9)
    # Spread in the same way or broken, a number and what is before it are one.
    forms = [number, *(code + made.written(number) for code in ("+86", "86", "0086", "8\u200b6", "８６", "86-"))]
    assert len({PLACE.search(masked(it, "pseudonym"))[0] for it in forms}) == 1  # type: ignore[index]
    assert len({masked(f"{name}{at}abc.cn", "pseudonym") for at in ("@", "＠", "%40", "&#64;", "&#X40;")}) == 1


@pytest.mark.parametrize("key", [b"", b"k" * 31])
def test_keys_that_are_too_short(key: bytes) -> None:
    with pytest.raises(BadInput, match="at least 32 bytes"):
        mask(b"x", "pseudonym", key=key, tenant="a")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "in.txt").write_text("张三丰 13812345678\n")

    def call(*words: str, stdin: bytes = b""):
        return CliRunner().invoke(app, ["pii", *words], input=stdin)

    return call


def test_scan_prints_places_and_no_values(run) -> None:
    done = run("scan", "in.txt")
    found = json.loads(done.stdout)
    assert found["findings"] == [{"kind": "phone", "start": 4, "end": 15}]
    assert found["kinds"] == {"phone": 1}
    assert "138" not in done.output
    assert str(done.exception) == "found 1 phone"
    assert json.loads(run("scan", "-", stdin=b"nothing\n").stdout)["findings"] == []


def test_mask_writes_a_file_or_stdout(run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("mask", "in.txt").exit_code == 0
    assert capfd.readouterr().out == "张三丰 [phone]\n"
    done = run(
        "mask",
        "-",
        "-o",
        "out.txt",
        "--policy",
        "pseudonym",
        "--key-file",
        "key",
        "--tenant",
        "a",
        stdin=b"13812345678",
    )
    assert done.exit_code == 0
    assert re.fullmatch(r"\[phone:[a-p]{16}\]", (tmp_path / "out.txt").read_text())
    assert (tmp_path / "out.txt").stat().st_mode & 0o777 == 0o600
    assert "exists" in str(run("mask", "in.txt", "-o", "out.txt").exception)
    assert run("mask", "in.txt", "-o", "out.txt", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mask", "in.txt", "--policy", "hide"], "--policy is one of"),
        (["mask", "in.txt", "--policy", "pseudonym"], "need --key-file and --tenant"),
        (["mask", "in.txt", "--policy", "pseudonym", "--key-file", "key"], "need --key-file and --tenant"),
        (["mask", "in.txt", "--tenant", "a"], "are for pseudonyms"),
        (["mask", "absent.txt"], "absent.txt"),
        (["scan", "."], ""),
        (["scan", "/bin/ls"], "is not UTF-8 at byte"),
    ],
)
def test_wrong_words(run, words: list[str], said: str) -> None:
    done = run(*words)
    assert done.stdout == ""
    assert done.exception is not None
    assert said in str(done.exception)


def test_nothing_is_written_where_something_would_be_left(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "replacement", lambda *_: lambda _kind, value: value)
    done = run("mask", "in.txt", "-o", "out.txt")
    assert isinstance(done.exception, External)
    assert not (tmp_path / "out.txt").exists()
    assert done.stdout == ""


def test_the_command_in_a_pipe(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("dualtrack")
    done = subprocess.run(
        [program, "pii", "mask", "-"],
        input="电话 138-1234-5678\n".encode(),
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout.decode() == "电话 [phone]\n"
    assert done.stderr.decode() == "took out 1 phone\n"
    kinds = json.loads(subprocess.run([program, "pii", "kinds", "--json"], capture_output=True, check=True).stdout)
    assert [it["name"] for it in kinds["kinds"]] == list(KINDS)


def test_a_value_that_a_word_names_once_is_taken_out_where_it_stands_alone() -> None:
    parts = {
        "姓名: 李雷; 护照号: E12345678; 办公电话: 62345678": "姓名: [name]; 护照号: [passport]; 办公电话: [phone]",
        "护照号\n办公电话\nE12345678\n62345678": "护照号\n办公电话\n[passport]\n[phone]",
        "xE12345678 E123456789 62345678.5 623456789": "xE12345678 E123456789 62345678.5 623456789",
        "见E12345678。": "见[passport]。",
        "初始密码: Abc12345": "初始密码: [secret]",
        "Abc12345, Abc123456": "[secret], Abc123456",
        # A day may be another one's, and what is short may be any number.
        "出生日期: 1990-03-07": "出生日期: [birth_date]",
        "on 1990-03-07": "on 1990-03-07",
        "QQ: 12345": "QQ: [messenger]",
        "12345": "12345",
    }
    assert mask_parts([*parts])[0] == [*parts.values()]
    assert "E12345678" in mask("护照号: E12345678\n\n另见E12345678".encode()).data.decode()


#: What may stand around a value that was found once, at least one of them on each side.
BEFORE = (
    "",
    "@",
    "No.",
    "admin:",
    "id=",
    "scan\\",
    "visa-",
    "a_",
    "见",
    "(",
    '"',
    "'",
    "：",
    "a ",
    "x,",
    "x;",
    "x|",
    "x=",
    "[",
    "<b>",
    "**",
    "`",
    "/",
    "，",
)
AFTER = (
    "",
    "@host",
    "&b=1",
    ".pdf",
    "-8001",
    "\\1.jpg",
    "_x",
    "#",
    "。",
    ")",
    '"',
    "'",
    ".",
    ",",
    ";y",
    "|y",
    " z",
    "]",
    "</b>",
    "**",
    "`",
    "!",
    "?",
    "，",
    ").",
    ",y",
)


@pytest.mark.parametrize(
    "value",
    ["Abc12345", "Welcome2024!", "p@ssw0rd#1", "12345.abc", "$ecret-2024$", "a%b^c&1d", "~Tilde1~", "x+y_z-9",
     "Pass.word.1", "Qwer1234?", "*Star*123*", "@dm1n@2024"],
)  # fmt: skip
def test_a_value_with_signs_is_taken_out_wherever_it_stands_alone(value: str) -> None:
    alone = [
        (f"{before}{value}{after}", f"{before}[secret]{after}") for before, after in itertools.product(BEFORE, AFTER)
    ]
    around = (("**", "**"), ("`", "`"), ("", "."), ("", "!"))
    if value[:1].isalnum() and value[-1:].isalnum():  # a value that was found with a mark stands without it elsewhere
        for before, after in around:
            parts = [f"password: {before}{value}{after}", "另行说明如下", f"用 {value} 登录"]
            assert mask_parts(parts)[0][2] == "用 [secret] 登录"
    if value[:1].isalnum() and value[-1:].isalnum():  # else what is without the signs at its ends stands alone there
        alone += [(said, said) for said in (f"x{value}", f"{value}x", f"1{value}", f"{value}0")]
    # What is said between them belongs to none of them.
    parts = [it for said, _ in alone for it in ("另行说明如下", said)]
    assert mask_parts([f"初始密码: {value}", *parts])[0][2::2] == [clean for _, clean in alone]
