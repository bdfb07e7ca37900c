"""Which URLs of services are taken, from parts of which some are wrong; and the authorities that are believed."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from dualtrack.core import https
from dualtrack.core.errors import BadInput
from dualtrack.security.pki import authority

SECRET = "hunter2"
SCHEMES = (
    ["https://", "HTTPS://"],
    ["http://", "", "//", "https:", "https:/", "ftp://", "httpſ://", " https://", "https//"],
)
USERS = ([""], [f"u:{SECRET}@", f"{SECRET}@", "@", ":@", f"u:{SECRET}%40@", f"u@v:{SECRET}@", f"u:{SECRET}/x@"])
HOSTS = (
    ["h", "H.example", "a-b.c_d", "127.0.0.1", "[::1]", "[2001:db8::A]", "例子.cn", "l" * 63, "h.", "x." * 126 + "y"],
    ["", ".", "a..b", ".a", "-a", "a-", "l" * 64, "l" * 70 + ".cn", "例" * 70, "x." * 150 + "y", "h" * 300, "a b",
     "a\0b", "a\nb", "a\tb", "a\\b", "a\u200bb", "a\u3000b", "a\ud800b", "a*b", "a%41b", "a,b", "[::1", "::1]", "::1",
     "[]", "[::1]x", "[v1.x]", "[h]", "[::1%lo]", "[[::1]]", "[1.2.3.4]", "[::1]]"],
)  # fmt: skip
PORTS = (
    ["", ":1", ":443", ":65535"],
    [
        ":0",
        ":00",
        ":65536",
        ":99999999999",
        ":x",
        ":-1",
        ":+1",
        ":1_0",
        ": 1",
        ":1 ",
        ":１",
        ":1:2",
        "::1",
        ":\0",
        ":1\n",
    ],
)
PATHS = (
    ["", "/"],
    ["?", "?x=1", "/?x=1", "#", "/#f", "/ ", "/\0", "/\x7f", "/é", "/ſ", "/\u212a", "\\", "/\u2028", "\n"],
)
LONGER = ["/v1", "/a/b/", "/%20", "//x"]


def right(paths: list[str]) -> list[tuple[str, ...]]:
    return list(itertools.product(SCHEMES[0], USERS[0], HOSTS[0], PORTS[0], paths))


def wrong(paths: list[str]) -> list[str]:
    """Return each wrong part in a place of a right URL, with right parts of every kind beside it."""
    parts = [SCHEMES, USERS, HOSTS, PORTS, (paths, PATHS[1])]
    found = []
    for at, (_, bad) in enumerate(parts):
        others = [it[0] if place != at else bad for place, it in enumerate(parts)]
        found += ["".join(it) for it in itertools.product(*others)]
    return found


def test_right_ones_are_taken_apart() -> None:
    for scheme, user, host, port, path in right(PATHS[0] + LONGER):
        found = https.address(scheme + user + host + port + path, 9, path=True)
        name = host.strip("[]").lower().encode("idna").decode() if "[" not in host else host.strip("[]").lower()
        assert found == (name, int(port[1:] or 9), path.rstrip("/"))
        # What is shown is taken again, as the same.
        assert https.address(f"https://{found.at}{found.path}", 1, path=True) == found


@pytest.mark.parametrize("path", [True, False])
def test_wrong_ones_are_refused_in_a_line_without_their_secrets(path: bool) -> None:
    urls = wrong(PATHS[0])
    if not path:
        urls += ["".join(it) for it in right(LONGER)]
    for url in urls:
        with pytest.raises(ValueError, match=r"^(the URL|what is in the URL)") as error:
            https.address(url, 443, path=path)
        assert type(error.value) is ValueError, url  # not one that a library raises
        assert SECRET not in str(error.value)
        assert str(error.value).isprintable()


def test_authorities(tmp_path: Path) -> None:
    pki = tmp_path / "pki"
    authority.ensure(pki)
    pem = (pki / "ca.pem").read_bytes()
    file = tmp_path / "ca.pem"
    for around in (b"", "# 内部\n".encode(), b"\xff\n", b"\0\n"):
        file.write_bytes(around + pem + around)
        assert len(https.trusted(file).get_ca_certs()) == 1
    for bad in (b"", b"\n", b"nonsense", pem[:-40], pem.replace(b"CERTIFICATE", b"REQUEST"), pem[40:], b"\xff" * 100):
        file.write_bytes(bad)
        with pytest.raises(BadInput, match="is not a certificate of an authority") as error:
            https.trusted(file)
        assert "\n" not in str(error.value)
    for bad in (b"", pem.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"), b"# none\n"):
        file.write_bytes(bad)
        with pytest.raises(BadInput, match=r"it has no certificate \(BEGIN CERTIFICATE\)"):
            https.trusted(file)
    begin = b"-----BEGIN CERTIFICATE-----\n"
    sealed = pem.replace(begin, begin + b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC," + b"0" * 32 + b"\n\n")
    for bad in (sealed, pem + sealed, pem + begin, pem + pem[:-40]):
        file.write_bytes(bad)
        with pytest.raises(BadInput, match="is not whole"):  # and nobody is asked for a passphrase
            https.trusted(file)
    file.write_bytes(pem.replace(b"CERTIFICATE", b"X509 CERTIFICATE").replace(b"\n", b"\r\n") * 2)
    assert len(https.trusted(file).get_ca_certs()) == 1
    file.write_bytes(pem + b" " * https.MOST_PEM)
    with pytest.raises(BadInput, match="too long"):
        https.trusted(file)


def test_when_to_ask_again() -> None:
    assert https.retry_after("7") == https.retry_after("\t7 ") == https.retry_after("0" * 9000 + "7") == 7
    for far in ("1000000", "9" * 400, "9" * 9000, "Wed, 21 Oct 9999 07:28:00 GMT"):
        assert https.retry_after(far) == 86400
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 0 < (https.retry_after(later) or 0) <= 3600
    assert https.retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    for none in (
        "",
        " ",
        "soon",
        "-1",
        "1.5",
        "inf",
        "nan",
        "\x1f5",
        "5\x1f",
        "5\n",
        "１",
        "Wed, 99 Oct 2015 07:28:00 GMT",
        "\0",
        ",",
    ):
        assert https.retry_after(none) is None
