"""Manifests that somebody forged, with a real gpg: none is taken, whatever gpg itself makes of it."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.data.mirror import check, manifest, offline, signed
from dualtrack.data.mirror.signed import Dates
from tests.conftest import ROOT, Cli

pytestmark = pytest.mark.skipif(
    not (shutil.which("gpg") and shutil.which("gpgv")), reason="the mirror is signed by gpg, and this machine has none"
)

#: Long ago, when keys were made, one of them for ten days; and the day after.
PAST = "20250101T000000"
THEN = "20250102T000000"
EVIL = b"evil weights"


class Key(NamedTuple):
    """A key: its fingerprint, and the file of its public half."""

    fingerprint: str
    public: Path


class Gpg:
    """gpg with a home of its own, whose path is short enough for the agent's socket."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *words: str | Path, stdin: bytes = b"") -> bytes:
        command = [
            "gpg",
            "--homedir",
            self.home,
            "--batch",
            "--no-tty",
            "--quiet",
            "--yes",
            "--pinentry-mode",
            "loopback",
        ]
        done = subprocess.run([*command, "--passphrase", "", *words], input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def key(self, name: str, *, made: str = "", expires: str = "never") -> Key:
        """Make a key."""
        when = ["--faked-system-time", made] if made else []
        self(*when, "--quick-generate-key", name, "ed25519", "sign", expires)
        listed = self("--list-keys", "--with-colons", name).decode()
        found = re.findall(r"^fpr:+([0-9A-F]{40}):", listed, re.MULTILINE)[0]
        return Key(found, self.export(found))

    def export(self, *fingerprints: str, name: str = "") -> Path:
        """Write public keys into a file."""
        path = self.home / f"{name or fingerprints[0]}.asc"
        path.write_bytes(self("--armor", "--export", *fingerprints))
        return path

    def clear(self, text: bytes, *keys: Key, words: tuple[str, ...] = ()) -> bytes:
        """Sign a text in the clear."""
        users = [word for key in keys for word in ("--local-user", f"{key.fingerprint}!")]
        return self(*words, *users, "--digest-algo", "SHA256", "--clear-sign", stdin=text)


class Bench(NamedTuple):
    """The forger's bench: keys, a mirror with swapped weights, and the manifest's text that would fit them."""

    gpg: Gpg
    ours: Key
    foreign: Key
    brief: Key
    past: Key
    revoked: Key
    mirror: Path
    text: bytes


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Keys are made once; every test writes the manifest anew."""
    with tempfile.TemporaryDirectory(prefix="dt-test-") as home:
        gpg = Gpg(Path(home))
        ours, foreign = gpg.key("site <mirror@dualtrack.invalid>"), gpg.key("mallory <m@dualtrack.invalid>")
        gpg("--quick-add-key", ours.fingerprint, "cv25519", "encr", "never")  # so that somebody can encrypt to it
        gpg.export(ours.fingerprint)
        brief, past = gpg.key("brief", made=PAST, expires="10d"), gpg.key("past", made=PAST)
        mirror = tmp_path_factory.mktemp("medium")
        (mirror / "models").mkdir()
        (mirror / "models/w.bin").write_bytes(EVIL)
        now = datetime.now(UTC).replace(microsecond=0)
        files = {"models/w.bin": manifest.File(len(EVIL), hashlib.sha256(EVIL).hexdigest())}
        text = manifest.encode(files, Dates(now, now + timedelta(days=90))).encode()
        yield Bench(gpg, ours, foreign, brief, past, gpg.key("revoked"), mirror, text)
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


def armoured(data: bytes, what: str = "SIGNATURE") -> bytes:
    """Return packets in armour."""
    return b"-----BEGIN PGP %b-----\n\n%b-----END PGP %b-----\n" % (
        what.encode(),
        base64.encodebytes(data),
        what.encode(),
    )


def parts(message: bytes) -> tuple[bytes, bytes]:
    """Split a text signed in the clear: all before its signature, and the signature's packet."""
    before, mark, block = message.partition(b"-----BEGIN PGP SIGNATURE-----\n")
    body = re.search(rb"\n\n?((?:[A-Za-z0-9+/]{2,}={0,2}\n)+)", b"\n" + block)
    assert mark
    assert body
    return before, base64.b64decode(body[1])


def stored(it: Bench, *words: str) -> bytes:
    """Return the text as gpg keeps it without anybody's signature."""
    return it.gpg(*words, "--store", stdin=it.text)


def joined(it: Bench, *others: bytes) -> bytes:
    """Return our own signed text with more packets in its signature's block."""
    before, own = parts(it.gpg.clear(it.text, it.ours))
    return before + armoured(b"".join(others[:1]) + own + b"".join(others[1:]))


def revoked(it: Bench) -> bytes:
    """Return a text by a key of which everybody learns afterwards that it is revoked."""
    made = it.gpg.clear(it.text, it.revoked)
    note = (it.gpg.home / f"openpgp-revocs.d/{it.revoked.fingerprint}.rev").read_text().replace(":-----", "-----")
    it.gpg("--import", stdin=note.encode())
    it.gpg.export(it.revoked.fingerprint)
    return made


Forge = Callable[[Bench], bytes]
OUTSIDE = b"f" * 64 + b"  12  models/x.bin\n"

#: What gpgv itself gives away, too: by which key it should be, what is said, the manifest.
FORGED: dict[str, tuple[str, str, Forge]] = {
    "literal packet": ("ours", "does not begin with a text", lambda it: stored(it, "--armor", "-z", "0")),
    "literal packet, bare": ("ours", "does not begin with a text", lambda it: stored(it, "-z", "0")),
    "compressed literal": ("ours", "does not begin with a text", lambda it: stored(it, "--armor", "-z", "9")),
    "encrypted to the site's key": (
        "ours", "does not begin with a text",
        lambda it: it.gpg("--armor", "--trust-model", "always", "-r", it.ours.fingerprint, "--encrypt", stdin=it.text),
    ),
    "detached signature in place of the text": (
        "ours", "does not begin with a text",
        lambda it: it.gpg("--armor", "-u", it.ours.fingerprint, "--detach-sign", stdin=it.text),
    ),
    "empty": ("ours", "is empty", lambda _: b""),
    "a blank line": ("ours", "is empty", lambda _: b"\n"),
    "the text alone": ("ours", "does not begin with a text", lambda it: it.text),
    "the text without its signature": (
        "ours", "holds more than", lambda it: parts(it.gpg.clear(it.text, it.ours))[0],
    ),
    "foreign key": ("ours", "is not signed by this key", lambda it: it.gpg.clear(it.text, it.foreign)),
    "changed afterwards": (
        "ours", "is not signed by this key, or was changed",
        lambda it: it.gpg.clear(it.text.replace(b"  12  ", b"  13  "), it.ours).replace(b"  13  ", b"  12  "),
    ),
    "expired signature": (
        "past", "bears a signature that has expired",
        lambda it: it.gpg.clear(
            it.text, it.past, words=("--faked-system-time", THEN, "--default-sig-expire", "5d")
        ),
    ),
    "expired key": (
        "brief", "is signed by a key that has expired",
        lambda it: it.gpg.clear(it.text, it.brief, words=("--faked-system-time", THEN)),
    ),
    "revoked key": ("revoked", "is signed by a key that was revoked", revoked),
    "signed by us and somebody else": (
        "ours", "bears 2 signatures", lambda it: it.gpg.clear(it.text, it.ours, it.foreign),
    ),
    "somebody else's signature first": (
        "ours", "bears 2 signatures", lambda it: joined(it, parts(it.gpg.clear(it.text, it.foreign))[1]),
    ),
    "signed by us twice": (
        "ours", "bears 2 signatures",
        lambda it: joined(it, b"", parts(it.gpg.clear(it.text, it.ours, words=("--digest-algo", "SHA512")))[1]),
    ),
    "a literal packet in the signature's block": (
        "ours", "has something else than a signature", lambda it: joined(it, stored(it, "-z", "0")),
    ),
    "a header that changes what is read": (
        "ours", "is not written as",
        lambda it: it.gpg.clear(it.text, it.ours).replace(b"SHA256\n", b"SHA256\nNotDashEscaped: x\n", 1),
    ),
    "two signed texts": (
        "ours", "holds more than", lambda it: it.gpg.clear(it.text, it.ours) + it.gpg.clear(it.text, it.ours),
    ),
    "somebody else's text, then ours": (
        "ours", "holds more than", lambda it: it.gpg.clear(it.text, it.foreign) + it.gpg.clear(it.text, it.ours),
    ),
}  # fmt: skip

#: What gpgv takes as signed by us, and what therefore only its shape gives away.
MISSHAPEN: dict[str, tuple[str, Forge]] = {
    "text before it": ("does not begin with a text", lambda it: OUTSIDE + it.gpg.clear(it.text, it.ours)),
    "text after it": ("holds more than", lambda it: it.gpg.clear(it.text, it.ours) + OUTSIDE),
    "signed, and packed": (
        "does not begin with a text", lambda it: it.gpg("--armor", "-u", it.ours.fingerprint, "--sign", stdin=it.text),
    ),
    "blanks at a line's end": (
        "is not written as", lambda it: it.gpg.clear(it.text, it.ours).replace(b"w.bin\n", b"w.bin  \n"),
    ),
    "other line ends": (
        "does not begin with a text", lambda it: it.gpg.clear(it.text, it.ours).replace(b"\n", b"\r\n"),
    ),
    "another header": (
        "is not written as", lambda it: it.gpg.clear(it.text, it.ours).replace(b"SHA256\n", b"SHA256\nHash: SHA1\n", 1),
    ),
    "text in the signature's headers": (
        "is not written as",
        lambda it: it.gpg.clear(it.text, it.ours).replace(b"SIGNATURE-----\n", b"SIGNATURE-----\nComment: x\n", 1),
    ),
}  # fmt: skip


def lay(it: Bench, data: bytes) -> Path:
    """Put a manifest onto the medium."""
    path = it.mirror / manifest.NAME
    path.write_bytes(data)
    return path


def gpgv(it: Bench, data: bytes, key: Key) -> str:
    """Return what gpgv alone says of a manifest."""
    ring, path = it.gpg.home / "ring.gpg", it.gpg.home / "message"
    ring.write_bytes(signed.keyring(key.public.read_bytes(), key.public))
    path.write_bytes(data)
    command = ["gpgv", "--homedir", it.gpg.home, "--keyring", ring, "--status-fd", "1", "--output", "/dev/null", path]
    return subprocess.run(command, capture_output=True, text=True, check=False, errors="replace").stdout


def test_what_is_signed_by_the_key_alone_is_taken(bench: Bench) -> None:
    path = lay(bench, bench.gpg.clear(bench.text, bench.ours))
    assert signed.text(path, bench.ours.public) == bench.text.decode()
    assert check.check(bench.mirror, bench.ours.public).problems == ()


@pytest.mark.attack("who carries the mirror", "forges its manifest", "prevented", "gpgv, the named key")
@pytest.mark.attack("who carries the mirror", "wraps the signed manifest", "prevented", "the manifest's form")
@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_manifest_is_refused(bench: Bench, kind: str) -> None:
    """By its shape, before gpgv is asked; and by gpgv's words, were the shape not looked at."""
    by, why, forge = FORGED[kind]
    key, data = getattr(bench, by), forge(bench)
    lay(bench, data)
    with pytest.raises(BadInput, match=re.escape(why)) as error:
        check.check(bench.mirror, key.public)
    assert "nothing in the mirror can be trusted" in str(error.value)
    assert "\n" not in str(error.value)
    assert signed.judged(gpgv(bench, data, key), key.fingerprint) != ""


@pytest.mark.parametrize("kind", MISSHAPEN)
def test_what_gpgv_would_take_and_nobody_signed_like_that_is_refused(bench: Bench, kind: str) -> None:
    why, forge = MISSHAPEN[kind]
    data = forge(bench)
    assert " VALIDSIG " in gpgv(bench, data, bench.ours), "this forgery shows nothing"
    lay(bench, data)
    with pytest.raises(BadInput, match=re.escape(why)) as error:
        check.check(bench.mirror, bench.ours.public)
    assert "\n" not in str(error.value)


def test_a_key_file_is_one_public_key(bench: Bench, tmp_path: Path) -> None:
    """Of a file with two keys nobody could say which one must have signed."""
    path = lay(bench, bench.gpg.clear(bench.text, bench.ours))
    both = bench.gpg.export(bench.ours.fingerprint, bench.foreign.fingerprint, name="both")
    bare, private, text = tmp_path / "bare.gpg", tmp_path / "private.asc", tmp_path / "text"
    bare.write_bytes(bench.gpg("--export", bench.ours.fingerprint))
    private.write_bytes(bench.gpg("--armor", "--export-secret-keys", bench.ours.fingerprint))
    text.write_text("no key\n")
    assert signed.text(path, bare) == bench.text.decode()
    for wrong in (both, private, text, path):
        with pytest.raises(BadInput, match="is not one public key"):
            signed.text(path, wrong)
    assert signed.fingerprint(bare.read_bytes()) == bench.ours.fingerprint


def test_every_way_in_refuses_what_nobody_signed(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line, the setting of a site, set-up before there is an environment, and the page's own command."""
    lay(bench, stored(bench, "--armor"))
    cli = Cli(tmp_path)
    where = ("--from", str(bench.mirror), "--key", str(bench.ours.public))
    for words in (("mirror", "verify", *where), ("mirror", "serve", *where, "--port", "0")):
        done = cli(*words, check=False)
        assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (2, 1, "")
        assert "does not begin with a text that is signed" in done.stderr
    monkeypatch.setenv("DUALTRACK_MIRROR", str(bench.mirror))
    monkeypatch.setenv("DUALTRACK_MIRROR_KEY", str(bench.ours.public))
    with pytest.raises(BadInput, match="does not begin"):
        offline.folder()
    for done in (set_up(), printed(bench)):
        assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (2, 1, "")
        assert "does not begin with a text that is signed" in done.stderr


@pytest.mark.attack("who carries the mirror", "brings an old one", "prevented", "its last day")
def test_an_old_medium_is_refused_until_somebody_accepts_it(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through each way in; and a still older one is refused by who accepted this one."""
    until = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    day, later = f"{until:%Y-%m-%d}", f"{until + timedelta(days=1):%Y-%m-%d}"
    dates = Dates(until - timedelta(days=90), until)
    files = {"models/w.bin": manifest.File(len(EVIL), hashlib.sha256(EVIL).hexdigest())}
    lay(bench, bench.gpg.clear(manifest.encode(files, dates).encode(), bench.ours))
    said = f"was valid until {day}: bring a newer mirror"
    cli, where = Cli(tmp_path), ("--from", str(bench.mirror), "--key", str(bench.ours.public))
    found = cli("mirror", "verify", *where, check=False)
    assert (found.returncode, said in found.stderr) == (1, True)
    assert cli("mirror", "verify", *where, "--accept-expired", later, check=False).returncode == 1
    assert "valid until" in cli("mirror", "verify", *where, "--accept-expired", day).stdout
    assert cli("mirror", "verify", *where, "--accept-expired", "soon", check=False).returncode == 2
    refused = cli("mirror", "serve", *where, "--port", "0", check=False)
    assert (refused.returncode, said in refused.stderr) == (5, True)

    monkeypatch.setenv("DUALTRACK_MIRROR", str(bench.mirror))
    monkeypatch.setenv("DUALTRACK_MIRROR_KEY", str(bench.ours.public))
    for accepted, code in (("", 5), (later, 5), (day, 0)):
        monkeypatch.setenv("DUALTRACK_MIRROR_EXPIRED", accepted)
        for done in (set_up(), printed(bench)):
            assert (done.returncode, said in done.stderr) == (code, code == 5), done.stderr
    assert offline.folder() == bench.mirror


def set_up() -> subprocess.CompletedProcess[str]:
    """Run set-up with this process's settings, as far as there is an environment."""
    return subprocess.run(
        ["ci/setup.sh", "--environment-only"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip


def printed(bench: Bench) -> subprocess.CompletedProcess[str]:
    """Run the command of the runbook's fallback, with nothing but the standard library."""
    page = (ROOT / "docs/how-to/carry-a-mirror-in.md").read_text()
    command = re.search(r"PYTHONPATH=tools python3 (-\S+ \S+signed\.py) medium/MANIFEST\.asc site-key\.asc", page)
    assert command, "the page has no such command"
    words = [*command[1].split(), bench.mirror / manifest.NAME, bench.ours.public]
    return subprocess.run(
        [sys.executable, "-S", *words], cwd=ROOT, env={**os.environ, "PYTHONPATH": "tools"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
