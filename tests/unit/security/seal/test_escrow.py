"""Secrets kept by several: any k bring them back, fewer learn nothing, a mangled share is named and never believed."""

from __future__ import annotations

import itertools
import secrets
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dualtrack.core.errors import BadInput, DualtrackError, Findings, Refused
from dualtrack.crypto import libcrypto
from dualtrack.security.seal import blob, header, keyfiles, secret_sharing
from dualtrack.security.seal import escrow as custody
from dualtrack.security.seal.secret_sharing import Share, decode, encode, join, split
from dualtrack.security.seal.slots import Sm2Identity, Sm2Recipient


@pytest.fixture(autouse=True)
def cheap_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key under the passphrase slot is random here: how slow a guess is does not matter to these tests."""
    monkeypatch.setattr(header, "LOG_N", 10)
    monkeypatch.setattr(header, "P", 1)


SECRET = b"-----BEGIN PRIVATE KEY-----\nnot really\n"


def five() -> list[tuple[str, Share]]:
    return [(f"share-{share.index}", share) for share in split(SECRET, "root.key", 3, 5, "2026-11-25")]


def changed(share: Share, **fields: Any) -> Share:
    return msgspec.structs.replace(share, **fields)


def test_any_three_of_five_and_no_two() -> None:
    shares = five()
    for some in itertools.combinations(shares, 3):
        joined = join(some)
        assert (joined.secret, joined.name, joined.left_out) == (SECRET, "root.key", ())
    assert join(shares).secret == SECRET
    for some in itertools.combinations(shares, 2):
        with pytest.raises(BadInput, match="3 shares are needed, and these are 2"):
            join(some)
    with pytest.raises(BadInput, match="same share twice"):
        join([shares[0], shares[1], ("again", shares[1][1])])
    with pytest.raises(BadInput, match="no shares"):
        join([])


@pytest.mark.parametrize(("threshold", "count"), [(2, 2), (2, 3), (20, 20), (5, 9)])
def test_other_numbers(threshold: int, count: int) -> None:
    shares = [
        (str(share.index), share) for share in split(secrets.token_bytes(64), "x", threshold, count, "2026-11-25")
    ]
    assert len(join(shares[-threshold:]).secret) == 64


@pytest.mark.parametrize(("threshold", "count"), [(1, 3), (4, 3), (0, 0), (2, 21), (-1, 3)])
def test_numbers_that_make_no_sense(threshold: int, count: int) -> None:
    with pytest.raises(BadInput, match="custodians"):
        split(b"x", "x", threshold, count, "2026-11-25")


def test_secrets_of_no_or_too_much_size() -> None:
    for secret in (b"", bytes(secret_sharing.MAX_SECRET + 1)):
        with pytest.raises(BadInput, match="bytes"):
            split(secret, "x", 2, 3, "2026-11-25")


MANGLED: dict[str, dict[str, Any]] = {
    "value": {"value": "0" * 32},
    "index": {"index": 5},
    "secret": {"secret": "AAAA"},
    "threshold": {"threshold": 2},
    "made": {"made": "2020-01-01"},
    "name": {"name": "other.key"},
    "digests": {"digests": ("0" * 64,) * 5},
}


@pytest.mark.parametrize("fields", MANGLED.values(), ids=MANGLED.keys())
def test_a_mangled_share_is_named_and_left_out(fields: dict[str, Any]) -> None:
    shares = five()
    shares[1] = ("share-of-bob", changed(shares[1][1], **fields))
    with pytest.raises(Findings, match="share-of-bob is damaged or forged"):
        join(shares[:3])
    joined = join(shares[:4])
    assert (joined.secret, joined.left_out) == (SECRET, ("share-of-bob is damaged or forged",))


def test_a_forger_who_knows_the_format_cannot_pass() -> None:
    """Bob makes another value and the digest that goes with it: then the new share disagrees with all the others."""
    shares = five()
    bob = shares[1][1]
    value = "1" * 32
    digests = list(bob.digests)
    digests[1] = secret_sharing._digest(bob.set, 2, value)
    shares[1] = ("share-of-bob", changed(bob, value=value, digests=tuple(digests)))
    with pytest.raises(Findings, match="share-of-bob"):
        join(shares[:3])
    assert join(shares).secret == SECRET


def test_shares_of_two_sets_and_shares_that_disagree() -> None:
    one, two = five(), five()
    with pytest.raises(BadInput, match="different sets"):
        join([one[0], one[1], two[2]])
    with pytest.raises(Findings, match="no two of these"):
        join(
            [
                ("a", changed(one[0][1], made="x")),
                ("b", changed(one[1][1], made="y")),
                ("c", changed(one[2][1], made="z")),
            ]
        )


def test_shares_that_agree_on_a_wrong_secret_are_found() -> None:
    other = five()[0][1].secret
    shares = [(name, changed(share, secret=other)) for name, share in five()]
    with pytest.raises(Findings, match="do not open"):
        join(shares)


def test_two_shares_say_nothing_about_the_key() -> None:
    """With two of three points of a parabola every key is still possible: a third share can be made for any of them."""
    from Cryptodome.Protocol.SecretSharing import Shamir

    shares = [(share.index, bytes.fromhex(share.value)) for _, share in five()][:2]
    keys = {bytes(Shamir.combine([*shares, (3, bytes([n]) * 16)], ssss=False)) for n in range(50)}
    assert len(keys) == 50


def test_a_share_as_text() -> None:
    share = five()[0][1]
    assert decode(encode(share), "x") == share
    assert str(share) == f"share 1 of 5 of root.key, set {share.set[:8]}, made 2026-11-25, 3 needed"
    document = msgspec.json.decode(encode(share))
    for key, value in (
        ("schema", "dualtrack.escrow-share/2"), ("index", 0), ("index", 6), ("value", "x"), ("digests", []),
        ("count", 21), ("threshold", 6), ("more", 1), ("set", "../../x"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match="bob"):
            decode(msgspec.json.encode({**document, key: value}), "bob")
    for data in (b"", b"{", b"\xff\xff", b"[]"):
        with pytest.raises(BadInput, match="bob"):
            decode(data, "bob")


def test_the_steps_in_files(tmp_path: Path) -> None:
    keys = [keyfiles.new(tmp_path / f"{name}.key") for name in ("alice", "bob", "carol", "officer")]
    for name, key in zip(("alice", "bob", "carol", "officer"), keys, strict=True):
        (tmp_path / f"{name}.pub").write_bytes(key.pem())
    secret = tmp_path / "root.key"
    secret.touch(0o600)
    secret.write_bytes(SECRET)
    custodians = [tmp_path / f"{name}.pub" for name in ("alice", "bob", "carol")]
    given = custody.split(secret, 2, custodians, tmp_path / "shares", "2026-11-25")
    assert secret.read_bytes() == SECRET
    assert [Path(one.file).name for one in given] == [
        "share-1-of-3-alice.sealed",
        "share-2-of-3-bob.sealed",
        "share-3-of-3-carol.sealed",
    ]
    with pytest.raises(DualtrackError):  # alice's share is not for bob
        custody.hand_over(Path(given[0].file), [Sm2Identity(keys[1])], tmp_path / "officer.pub", str(tmp_path / "x"))
    for number in (0, 2):
        custody.hand_over(
            Path(given[number].file),
            [Sm2Identity(keys[number])],
            tmp_path / "officer.pub",
            str(tmp_path / f"{number}.handed"),
        )
    handed = [tmp_path / "0.handed", tmp_path / "2.handed"]
    with pytest.raises(DualtrackError):
        custody.join(handed, [Sm2Identity(keys[0])], str(tmp_path / "back"), force=False)
    with pytest.raises(BadInput, match="sealed"):
        custody.join(handed, [], str(tmp_path / "back"), force=False)
    with pytest.raises(BadInput, match="2 shares are needed"):
        custody.join(handed[:1], [Sm2Identity(keys[3])], str(tmp_path / "back"), force=False)
    assert not (tmp_path / "back").exists()
    custody.join(handed, [Sm2Identity(keys[3])], str(tmp_path / "back"), force=False)
    assert ((tmp_path / "back").read_bytes(), (tmp_path / "back").stat().st_mode & 0o777) == (SECRET, 0o600)
    # Opened shares do as well, beside sealed ones.
    (tmp_path / "open").touch(0o600)
    (tmp_path / "open").write_bytes(blob.unseal(Path(given[1].file).read_bytes(), [Sm2Identity(keys[1])]))
    custody.join([tmp_path / "open", handed[0]], [Sm2Identity(keys[3])], str(tmp_path / "again"), force=False)
    with pytest.raises(Refused):
        custody.split(secret, 2, custodians, tmp_path / "shares", "2026-11-25")
    with pytest.raises(BadInput, match="same custodian"):
        custody.split(secret, 2, [custodians[0], custodians[0]], tmp_path / "other", "2026-11-25")
    assert not (tmp_path / "other").exists()


def test_a_sealed_file_that_is_no_share(tmp_path: Path) -> None:
    key = libcrypto.generate()
    (tmp_path / "no-share").write_bytes(blob.seal(b"hello", [Sm2Recipient(key)]))
    with pytest.raises(BadInput, match="no-share holds no share"):
        custody.join([tmp_path / "no-share"], [Sm2Identity(key)], str(tmp_path / "out"), force=False)


@pytest.mark.attack("a user", "reads or replaces a share that was opened", "prevented", "keys: modes of share files")
@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602])
def test_an_opened_share_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    """A sealed one lies where it likes: its reader needs the key, and what is changed in it is found."""
    officer = keyfiles.new(tmp_path / "officer.key")
    (tmp_path / "officer.pub").write_bytes(officer.pem())
    files = []
    for name, share in five()[:3]:
        files.append(tmp_path / name)
        files[-1].touch(0o600)
        files[-1].write_bytes(encode(share))
    custody.join(files, [], str(tmp_path / "back"), force=False)
    files[1].chmod(mode)
    for use in (
        lambda: custody.join(files, [], str(tmp_path / "x"), force=False),
        lambda: custody.hand_over(files[1], [], tmp_path / "officer.pub", str(tmp_path / "x")),
    ):
        with pytest.raises(Refused) as caught:
            use()
        said = f"others may read or write {files[1]} (mode {mode:04o}) (chmod 600 {files[1]}; as it is, only through"
        assert (str(caught.value).startswith(said), int(caught.value.code)) == (True, 5)
        assert not (tmp_path / "x").exists()
    sealed = blob.seal(files[1].read_bytes(), [Sm2Recipient(officer)])
    files[1].write_bytes(sealed)
    custody.join(files, [Sm2Identity(officer)], str(tmp_path / "again"), force=False)
    assert (tmp_path / "again").read_bytes() == SECRET
