"""Private keys and long tokens are taken out whole, however they are decorated, or the text is not passed on."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import textwrap
import urllib.parse
from collections.abc import Callable

import pytest

from dualtrack.core.errors import External
from dualtrack.knowledge.pii.mask import Policy, mask, mask_parts
from dualtrack.knowledge.pii.scan import scan

#: Bytes of a key body, the same in each run.
RAW = b"".join(hashlib.sha256(b"key %d" % it).digest() for it in range(20))
PIECE = 16
MARKERS = (
    *(f"-----{{}} {it}PRIVATE KEY-----" for it in ("", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED ", "TSS2 ")),
    "-----{} PGP PRIVATE KEY BLOCK-----",
    "---- {} SSH2 ENCRYPTED PRIVATE KEY ----",
    "—-{} PRIVATE KEY-—",
    r"\-----{} PRIVATE KEY\-----",
    "{} PRIVATE KEY",
)
#: Letters, digits and signs as keyboards for Chinese write them.
WIDE = str.maketrans({it: chr(it + 0xFEE0) for it in range(0x21, 0x7F)})
ARMOUR: dict[str, tuple[str, ...]] = {
    "legacy": ("Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,0123456789ABCDEF0123456789ABCDEF", ""),
    "pgp": ("Version: GnuPG v2.0.22 (GNU/Linux)", "Comment: the key of the second host in the rack", ""),
}
Layout = Callable[[list[str]], str]
LAYOUTS: dict[str, Layout] = {
    "plain": "\n".join,
    "windows": "\r\n".join,
    "json": lambda lines: '{"private_key": "' + r"\n".join(lines) + '"}',
    "json, slashes": lambda lines: '{"k": "' + r"\r\n".join(lines).replace("/", r"\/") + '"}',
    "json in json": lambda lines: r'{\"k\": \"' + r"\\n".join(lines) + r'\"}',
    "env": lambda lines: "TLS_KEY=" + r"\n".join(lines),
    "url": lambda lines: "key=" + urllib.parse.quote("\n".join(lines), safe="") + "&x=1",
    "quoted mail": lambda lines: "\n".join(f"> {it}" for it in lines),
    "quoted twice": lambda lines: "\n".join(f"> > {it}" for it in lines),
    "comment": lambda lines: "\n".join(f"# {it}" for it in lines),
    "slashes": lambda lines: "\n".join(f" * {it}" for it in lines),
    "program": lambda lines: "\n".join(f'    "{it}\\n" +' for it in lines),
    "table": lambda lines: "\n".join(f"| {it} |" for it in lines),
    "html": lambda lines: "".join(f'<p class="code">{it}</p>\n' for it in lines),
    "html cells": lambda lines: "".join(f'<tr><td style="width: 40em">{it}<br/></td></tr>' for it in lines),
    "nbsp": lambda lines: "".join(f"{it}\xa0\n" for it in lines),
    "zwsp": lambda lines: "".join(f"\ufeff{it} \u200b\n" for it in lines),
    "numbered": lambda lines: "\n".join(f"{number:3}  {it}" for number, it in enumerate(lines, 1)),
    "log": lambda lines: "\n".join(f"2024-03-15 12:00:00.123 host app[99]: INFO  {it}" for it in lines),
    "one line": " ".join,
    "chinese": lambda lines: "\n".join(f"　{it}。" for it in lines),
}  # fmt: skip
#: Of these, lines stay apart: each may be a part of a document.
PARTS = [it for it in LAYOUTS if it not in ("json", "json, slashes", "json in json", "env", "url", "one line")]


def body() -> list[str]:
    return textwrap.wrap(base64.b64encode(RAW).decode(), 64)


def left(lines: list[str], text: str) -> list[str]:
    """Return the pieces of a body that are left in a text, by 16 characters, without escapes."""
    text = text.replace(r"\/", "/").replace("%2B", "+").replace("%2F", "/").replace("%3D", "=")
    whole = "".join(lines)
    pieces = {whole[it : it + PIECE] for it in range(len(whole) - PIECE + 1)}
    joined = "".join(it for it in text if it.isascii() and (it.isalnum() or it in "+/="))
    return [it for it in pieces if it in text or it in joined]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_of_a_key_is_left(layout: str) -> None:
    kinds: list[tuple[str, tuple[str, ...], Policy]] = [(marker, (), "mask") for marker in MARKERS]
    kinds += [(MARKERS[1], armour, "remove") for armour in ARMOUR.values()]
    for (marker, armour, policy), closed in itertools.product(kinds, (True, False)):
        key = [marker.format("BEGIN"), *armour, *body(), *([marker.format("END")] * closed)]
        text = f"The key is:\n\n{LAYOUTS[layout](key)}\n\nRestart the server afterwards. 谢谢。\n"
        clean = mask(text.encode(), policy).data.decode()
        assert not left(body(), clean), (text, clean)
        assert scan(clean.encode()) == []
        assert "PRIVATE" not in clean
        assert clean.startswith("The key is:")
        assert clean.endswith("Restart the server afterwards. 谢谢。\n"), (text, clean)


@pytest.mark.parametrize("marker", [*MARKERS, "Private-Lines: 12"])
@pytest.mark.parametrize("blank", [" ", "\u3000"])
@pytest.mark.parametrize("closed", [True, False])
def test_a_marker_may_be_wide(marker: str, blank: str, closed: bool) -> None:
    begin, end = (marker.format(it).translate(WIDE).replace(" ", blank) for it in ("BEGIN", "END"))
    lines = [begin, *body(), *([end] * (closed and begin != end))]
    clean = mask(f"见附件\n{chr(10).join(lines)}\n谢谢。\n".encode()).data.decode()
    # Hyphens behind a wide backslash, which escapes nothing, stay.
    assert re.sub(r"[\\＼－]", "", clean) == "见附件\n[secret]\n谢谢。\n"


@pytest.mark.parametrize("marker", [*MARKERS, "Private-Lines: 12"])
def test_a_body_of_hexadecimal_pairs(marker: str) -> None:
    pairs = [RAW[it : it + 15].hex(":") + ":" for it in range(0, 300, 15)]
    text = "\n".join([marker.format("BEGIN"), *(f"    {it}" for it in pairs), "    ", "after it"])
    assert mask(text.encode()).data.decode().lstrip("\\") == "[secret]\n    \nafter it"


@pytest.mark.parametrize("layout", PARTS)
def test_a_key_that_goes_over_parts(layout: str) -> None:
    for marker, closed in itertools.product(MARKERS, (True, False)):
        key = [marker.format("BEGIN"), *body(), *([marker.format("END")] * closed)]
        parts = ["before it", *LAYOUTS[layout](key).splitlines(), "after it"]
        clean, kinds = mask_parts(parts)
        assert len(clean) == len(parts)
        assert (clean[0], clean[-1]) == ("before it", "after it")
        assert not left(body(), " ".join(clean)), clean
        assert kinds["secret"] >= 1


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("size", [400, 1500])
def test_long_keys_and_several(size: int, closed: bool) -> None:
    """A key is longer than what is looked at together, and one follows another."""
    long = textwrap.wrap(base64.b64encode(RAW * (size // 10)).decode(), 64)
    key = [MARKERS[0].format("BEGIN"), *long, *([MARKERS[0].format("END")] * closed)]
    clean = mask("\n".join([*key, "between them", *key, "13912345678"]).encode())
    assert clean.data.decode().split("\n")[-2:] == ["[secret]", "[phone]"]
    assert "between them" in clean.data.decode()
    assert not left(body(), clean.data.decode())


@pytest.mark.parametrize("between", ["text " * 80, "\n" * 300, "| |\n" * 100])
def test_a_key_without_a_known_end_is_not_passed_on(between: str) -> None:
    text = f"{MARKERS[0].format('BEGIN')}\n{body()[0]}\n{between}{body()[1]}\n"
    assert scan(text.encode())
    with pytest.raises(External, match="no end"):
        mask(text.encode())
    with pytest.raises(External, match="no end"):
        mask_parts(text.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        "Begin with a private key of the host.",
        "begin: private key",
        "The end of a private key.",
        "BEGIN CERTIFICATE " + body()[0],
        "-----BEGIN PUBLIC KEY-----\n" + "\n".join(body()),
    ],
)
def test_what_is_no_private_key(text: str) -> None:
    assert not [it for it in scan(text.encode()) if it.kind == "secret"]


def test_a_marker_in_a_sentence_takes_nothing_else_out() -> None:
    clean = mask(b"A file with -----BEGIN PRIVATE KEY----- holds a key in /usr/share/ca-certificates/mozilla.")
    assert clean.data == b"A file with [secret] holds a key in /usr/share/ca-certificates/mozilla."


def test_many_markers_take_no_longer_than_their_text() -> None:
    # With a search of its own for each marker this takes minutes.
    text = "-----BEGIN PRIVATE KEY----- a b c \n" * 8000
    assert mask(text.encode()).kinds == {"secret": 8000}


@pytest.mark.parametrize("head", [20, 150, 400, 3000])
@pytest.mark.parametrize("claims", [20, 280, 300, 3000])
def test_tokens_are_found_whole_however_long(head: int, claims: int) -> None:
    token = "eyJ" + "a1" * head + ".eyJ" + "b2" * claims + "." + "c3" * 40
    for text in (f"Bearer {token}", f"token={token}\n", f"'{token}',", f"登录{token}。"):
        assert token not in (clean := mask(text.encode()).data.decode())
        assert "b2b2" not in clean
        assert "c3c3" not in clean
        assert "a1a1" not in clean


@pytest.mark.parametrize("size", [200, 256, 257, 300, 1000, 5000])
@pytest.mark.parametrize("word", ["token: ", "access_token=", "密钥：", "api_key = ", "sk-"])
def test_secrets_after_a_word_are_found_whole_however_long(size: int, word: str) -> None:
    clean = mask(f"{word}{'a1B2c3D4e5' * (size // 10)}{'x' * (size % 10)} next".encode()).data.decode()
    assert clean.endswith("[secret] next")
