"""What requests say: wherever in their JSON personal data is, and however it is written there, it is found."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtrack.knowledge.pii import body
from tests.support.personal_data import Maker

SEEDS = st.integers(0, 2**32)
#: Letters that say nothing, longer than what is looked at beside a joint.
LONG = "abcd efgh " * (body.END // 5)
MODELS = ("qwen-max", "gpt-4o-2024-08-06", "claude-3-5-sonnet-20241022", "deepseek-v3.1", "glm-4-0520")


def every(seeds: st.SearchStrategy[int] = SEEDS, examples: int = 60) -> Callable:
    """Return what runs a test with many seeds; the first scan compiles patterns, and takes its time."""
    return lambda test: settings(deadline=None, max_examples=examples)(given(seeds)(test))


def escaped(text: str) -> str:
    """Return a string of JSON, each of its characters by its number."""
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[it : it + 2].hex()}" for it in range(0, len(units), 2)) + '"'


def whole(made: Maker) -> str:
    """Return an identifier that needs no word before it."""
    return made.random.choice([made.mobile, made.id_card, made.card, made.mail])()


def wrapped(made: Maker, value: str) -> str:
    """Return JSON that has other JSON anywhere inside."""
    for _ in range(made.random.randrange(5)):
        value = made.random.choice(['{"a": 1, "b": %s}', '["x", %s, null]', '{"c": [[%s]]}']) % value
    return value


@every()
def test_each_of_several_fields_with_one_name(seed: int) -> None:
    made = Maker(seed)
    name = made.random.choice(["content", "role", "名字"])
    values = ['"abc"', "true", '["x"]', '{"y": "z"}', "0.5"]
    for value, expected in (('"abcdef"', False), (json.dumps(whole(made)), True)):
        rows = [*made.random.choices(values, k=3), value]
        made.random.shuffle(rows)
        fields = ",".join(f"{made.random.choice([json.dumps(name), escaped(name)])}: {it}" for it in rows)
        assert body.holds(wrapped(made, f"{{{fields}}}").encode()) is expected


@pytest.mark.parametrize(
    "found",
    [
        b'\xef\xbb\xbf{"a": 1}', '{"a": 1}'.encode("utf-16"), b"NaN", b"-Infinity", b'{"a": Infinity}',
        b'"\xed\xa0\x80"', b'{"\\udfff": 1}', b'{"a":' * 100_000, b"[" * 500 + b"]" * 500, b'"' + b"[" * 100_000 + b'"',
        b'"a\nb"', b"01",
    ],
)  # fmt: skip
def test_what_is_no_json_cannot_be_called_clean(found: bytes) -> None:
    assert body.holds(found)


@every()
def test_numbers_of_any_length_are_looked_at(seed: int) -> None:
    made = Maker(seed)
    long = "1" * made.random.randint(4000, 10_000)
    for number in (long, f"-{long}", f"{long}.{long}", f"1e{long}", f"1e-{long}", f"{long}e999999999999999999"):
        assert not body.holds(f'{{"a": {number}}}'.encode())
        assert body.holds(f'{{"a": {number}, "b": {made.mobile()}}}'.encode())


def _messages(parts: list[str]) -> object:
    roles = itertools.cycle(["user", "assistant"])
    return {"model": "m", "messages": [{"role": role, "content": it} for role, it in zip(roles, parts, strict=False)]}


def _content(parts: list[str]) -> object:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": it} for it in parts]}]}


def _fields(parts: list[str]) -> object:
    return {f"part {chr(97 + number)}": it for number, it in enumerate(parts)}


def _calls(parts: list[str]) -> object:
    calls = [
        {"id": f"call_{it}", "arguments": json.dumps({"q": part})} for it, part in zip("abcdef", parts, strict=False)
    ]
    return {"messages": [{"role": "assistant", "tool_calls": calls}]}


@pytest.mark.parametrize("shape", [_messages, _content, _fields, _calls, lambda it: {"input": it}])
@every()
def test_what_goes_over_several_places(shape: Callable[[list[str]], object], seed: int) -> None:
    made = Maker(seed)
    before, after = made.random.choice(["", LONG]), made.random.choice(["", LONG])
    for text, expected in (("abcdefghijklm", False), (whole(made), True)):
        cuts = sorted(made.random.sample(range(1, len(text)), made.random.randint(1, 3)))
        parts = [text[first:last] for first, last in itertools.pairwise([0, *cuts, len(text)])]
        found = shape([f"{before} {parts[0]}", *parts[1:-1], f"{parts[-1]} {after}"])
        assert body.holds(json.dumps(found).encode()) is expected


@every()
def test_json_inside_of_strings(seed: int) -> None:
    made = Maker(seed)
    levels = made.random.randint(1, 3)
    for value, expected in ((json.dumps("abc"), False), (escaped(whole(made)), True)):
        text = wrapped(made, value)
        for _ in range(levels):
            text = wrapped(made, made.random.choice([json.dumps, escaped])(text))
        assert body.holds(text.encode()) is expected


@every()
def test_escapes_in_the_middle_of_a_text(seed: int) -> None:
    made = Maker(seed)
    for value, expected in (("abc 名字 😀", False), (whole(made), True)):
        inside = f'{{"q": {escaped(value)}}}'
        for _ in range(made.random.randrange(3)):
            inside = json.dumps({"arguments": inside})
        text = made.random.choice(["```json\n%s\n```", "data: %s\n\n", '{"q": "a"}\n%s', "[x] %s", '%s, "cut'])
        assert body.holds(wrapped(made, json.dumps(text % inside)).encode()) is expected


@every()
def test_escapes_that_go_over_several_strings_and_in_names(seed: int) -> None:
    made = Maker(seed)
    for value, expected in (("abcdefghijk", False), (made.mobile(), True)):
        text = escaped(value)[1:-1]
        place = made.random.randrange(1, len(text))
        parts = [{"content": text[:place]}, {"content": text[place:]}]
        assert body.holds(json.dumps({"messages": parts}).encode()) is expected
        for name in (json.dumps({"x": value}), f'{{"x": "{text}"}}', f"a {text}"):
            assert body.holds(json.dumps({name: 1}).encode()) is expected


@every(examples=60)
def test_lists_of_fractions_are_no_places(seed: int) -> None:
    made = Maker(seed)
    rows = [made.random.uniform(-1000, 1000) for _ in range(2000)]
    assert not body.holds(json.dumps({"embedding": rows}).encode())
    assert not body.holds(json.dumps({"x": [made.random.uniform(20, 50), made.random.uniform(75, 130)]}).encode())


def test_what_would_take_much_memory_cannot_be_called_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    # A number of five characters is not text of forty.
    assert len(body.text(b"[" + b"1e40," * 1000 + b"1]")) < 15_000
    monkeypatch.setattr(body, "MOST_VALUES", 1000)
    assert not body.holds(b"[" + b"1," * 1000 + b"1]")
    assert body.holds(b"[" + b"1," * 1001 + b"1]")


def test_json_that_is_too_deep_inside_of_strings() -> None:
    text = '"abc"'
    found = []
    for _ in range(10):
        found.append(body.holds(text.encode()))
        text = json.dumps(text)
    # Up to some depth it is read, and is clean; from there on that cannot be told.
    assert found == sorted(found)
    assert found[0] is False
    assert found[-1] is True


#: Names of fields, and values that are personal after such a name only.
NAMED: list[tuple[tuple[str, ...], Callable[[Maker], object]]] = [
    (
        (
            "password", "passwd", "db_password", "密码", "登录密码", "secret", "api_key", "access-key", "passwords",
            "password2", "密码2", "secretKey", "passwordConfirm", "password_hash", "privateKey",
        ),
        lambda made: made.random.choice([made.word(4, 9) + made.digits(3), int("5" + made.digits(6))]),
    ),
    (
        ("birth_date", "birthday", "birthDate", "dateOfBirth", "date_of_birth", "出生日期", "生日"),
        lambda made: made.random.choice([str(made.day()), f"{made.day():%Y%m%d}", int(f"{made.day():%Y%m%d}")]),
    ),
    (("微信号", "微信", "wechat", "wechat_id"), lambda made: made.word(6, 12)),
    (("QQ", "qq", "QQ号"), lambda made: made.random.choice([int, str])(made.lettered("5", digits=8))),
    (("passport_no", "passportNumber", "护照号码"), lambda made: made.lettered("E", digits=8)),
    (("card_number", "卡号"), lambda made: made.random.choice([int, str])(made.lettered("9", digits=15))),
    (("phone_number", "tel", "电话"), lambda made: made.random.choice([int, str])(made.lettered("8", digits=7))),
    (("coordinates", "position"), lambda made: [made.random.uniform(75, 130), made.random.uniform(20, 50)]),
]  # fmt: skip


@every(examples=200)
def test_a_value_that_is_personal_by_the_name_of_its_field(seed: int) -> None:
    made = Maker(seed)
    names, value = made.random.choice(NAMED)
    found = value(made)
    if isinstance(found, str | int):
        found = made.random.choice([found, [found], [found, "x"], [[found]], {"value": found}, {"a": [{"b": found}]}])
        assert not body.holds(json.dumps({"abc": found}).encode())
    named = {"x": "y", made.random.choice(names): found, "z": 1}
    assert body.holds(wrapped(made, json.dumps(named, ensure_ascii=made.random.random() < 0.5)).encode())


@every()
def test_a_place_is_two_fields(seed: int) -> None:
    made = Maker(seed)
    one, other = made.random.choice(
        [("latitude", "longitude"), ("lat", "lng"), ("geo_lat", "geo_lon"), ("geoLat", "geoLon"), ("纬度", "经度")]
    )
    # Anywhere on Earth.
    fields = [(one, made.random.uniform(-90, 90)), (other, made.random.uniform(-180, 180))]
    made.random.shuffle(fields)
    assert body.holds(json.dumps({"id": 7, **dict(fields), "name": "x"}).encode())
    for names in (("latency", "long"), ("lat", "latency"), ("lat", "latitude"), ("lonely", "flat")):
        assert not body.holds(json.dumps(dict(zip(names, (12.34567, 0.45678), strict=True))).encode())
    assert not body.holds(json.dumps(dict(zip("ab", (-12.34567, -123.4567), strict=True))).encode())


@every()
def test_numbers_with_a_point_or_an_exponent(seed: int) -> None:
    made = Maker(seed)
    without_x = (it for it in iter(made.id_card, "") if it.isdigit())
    number = made.random.choice([lambda: next(without_x), made.card, made.mobile])()
    for it in (
        f"{number}.0", f"{number}.000", f"{number}e0", f"{number}E+0", f"{number}0e-1",
        f"{number[0]}.{number[1:]}e{len(number) - 1}", f"0.{number}E{len(number)}",
        f"{number[:-3]}.{number[-3:]}00e+3",
    ):  # fmt: skip
        assert body.holds(f'{{"a": {it}}}'.encode()), it


def ordinary(made: Maker) -> dict[str, object]:
    """Return a request as clients send it, without personal data."""
    chance = made.random
    said = ["hello there", "请总结这段文字。", "what is 3.14 times 2?", "版本 3.11 发布于哪一年？", "list 10 primes"]
    roles = itertools.cycle(["user", "assistant"])
    schema = {"type": "object", "properties": {it: {"type": "string", "minLength": chance.randrange(99)} for it in (
        "password", "phone", "birth_date", "QQ", "latitude", "longitude")}}  # fmt: skip
    fields: dict[str, object] = {
        "token": chance.randrange(1000), "pad_token": "<pad0>", "eos_token": "<|im_end2|>",
        "max_tokens": chance.choice([4096, 131072, chance.randrange(1 << 20)]),
        "max_completion_tokens": chance.randrange(1 << 20), "temperature": chance.uniform(0, 2),
        "top_p": chance.random(), "n": 1, "seed": chance.randrange(1 << 31), "stream": True,
        "stream_options": {"include_usage": True},
        "stop": ["\n\n", "END"],
        "stop_token_ids": [chance.randrange(150_000) for _ in range(chance.randint(1, 4))],
        "user": made.word(3, 20),
        "logit_bias": {str(chance.randrange(100_000)): -100, str(chance.randrange(100_000)): 5}, "top_logprobs": 5,
        "presence_penalty": chance.uniform(-2, 2), "frequency_penalty": 0, "response_format": {"type": "json_object"},
        "tools": [{"type": "function", "function": {"name": "sign_up", "parameters": schema}}], "tool_choice": "auto",
        "metadata": {"trace": f"{chance.getrandbits(128):032x}", "created": 1_700_000_000 + chance.randrange(1 << 26)},
        "timestamp": 1_700_000_000_000 + chance.randrange(1 << 36), "input": [chance.uniform(-1, 1) for _ in range(8)],
    }  # fmt: skip
    kept = chance.sample(sorted(fields), chance.randint(3, len(fields)))
    messages = [{"role": role, "content": it} for role, it in zip(roles, chance.choices(said, k=5), strict=False)]
    return {"model": chance.choice(MODELS), "messages": messages, **{it: fields[it] for it in kept}}


def test_ordinary_requests_leave() -> None:
    made = Maker(5)
    stayed = [it for _ in range(3000) if body.holds(json.dumps(it := ordinary(made)).encode())]
    assert not stayed, (len(stayed), stayed[0])
